//! The names and bodies under which an event reaches a socket, by its dialect and by whether its user
//! wrote the message. A body is encoded at most once per spelling, however many sockets hear it.

use std::cell::OnceCell;

use chat_proto::v1 as pb;
use serde_json::value::RawValue;

use super::{Dialect, message, socket};

/// Name of the first event on a new socket.
pub const CONNECTED: &str = "connected";
/// Name of the answer to a desktop event that failed.
pub const ERROR: &str = "error";
/// Name of the event that gives a sender's sockets the stored message.
pub const MESSAGE_SENT: &str = "message-sent";

/// Name of the desktop clients' event that sends a message.
pub const SEND_MESSAGE: &str = "send-message";
/// Name of the event of the unified vocabulary that sends a message.
pub const MESSAGE_SEND: &str = "message:send";

/// A name and a body to emit.
pub type Frame<'a> = (&'static str, &'a RawValue);

/// Where a socket stands towards a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its user did not write it.
    Recipient,
    /// Its user wrote it, elsewhere.
    Sender,
    /// The message was sent on this socket.
    Origin,
}

/// A stored message on its way to sockets.
pub struct MessageCreated<'a> {
    message: &'a pb::Message,
    live: OnceCell<Box<RawValue>>,
    sent: OnceCell<Box<RawValue>>,
    received: OnceCell<Box<RawValue>>,
    unified: OnceCell<Box<RawValue>>,
}

impl<'a> MessageCreated<'a> {
    /// Wraps a message; nothing is encoded yet.
    #[must_use]
    pub fn new(message: &'a pb::Message) -> Self {
        let cell = OnceCell::new;
        Self { message, live: cell(), sent: cell(), received: cell(), unified: cell() }
    }

    /// Returns what a socket hears, in order. Old clients that declare nothing hear the names of both
    /// families.
    pub fn frames(
        &self,
        dialect: Dialect,
        standing: Standing,
    ) -> serde_json::Result<Vec<Frame<'_>>> {
        Ok(match (dialect, standing) {
            (Dialect::Unified | Dialect::Flutter, Standing::Origin) => vec![],
            (Dialect::Unified, Standing::Recipient) => vec![("message:created", self.received()?)],
            (Dialect::Unified, Standing::Sender) => vec![("message:created", self.unified()?)],
            (Dialect::Flutter, _) => vec![("message", self.live()?)],
            (Dialect::Electron, Standing::Recipient) => vec![("receive-message", self.live()?)],
            (Dialect::Electron, _) | (Dialect::Undeclared, Standing::Origin) => {
                vec![(MESSAGE_SENT, self.sent()?)]
            }
            (Dialect::Undeclared, Standing::Recipient) => {
                vec![("receive-message", self.live()?), ("message", self.live()?)]
            }
            (Dialect::Undeclared, Standing::Sender) => {
                vec![("message", self.live()?), (MESSAGE_SENT, self.sent()?)]
            }
        })
    }

    fn live(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.live, || message::live(self.message))
    }

    fn sent(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.sent, || socket::sent(self.message))
    }

    fn received(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.received, || socket::received(self.message))
    }

    fn unified(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.unified, || message::unified(self.message))
    }
}

fn encoded(
    cell: &OnceCell<Box<RawValue>>,
    body: impl FnOnce() -> serde_json::Value,
) -> serde_json::Result<&RawValue> {
    if let Some(encoded) = cell.get() {
        return Ok(encoded);
    }
    let encoded = serde_json::value::to_raw_value(&body())?;
    Ok(cell.get_or_init(|| encoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dialect: Dialect, standing: Standing) -> Vec<&'static str> {
        let message = pb::Message { client_id: Some("\"c1\"".to_owned()), ..Default::default() };
        let event = MessageCreated::new(&message);
        let frames = event.frames(dialect, standing).expect("encodable");
        frames.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn every_dialect_hears_its_own_names() {
        use Standing::{Origin, Recipient, Sender};
        for (dialect, standing, heard) in [
            (Dialect::Electron, Recipient, &["receive-message"][..]),
            (Dialect::Electron, Sender, &["message-sent"]),
            (Dialect::Electron, Origin, &["message-sent"]),
            (Dialect::Flutter, Recipient, &["message"]),
            (Dialect::Flutter, Sender, &["message"]),
            (Dialect::Flutter, Origin, &[]),
            (Dialect::Undeclared, Recipient, &["receive-message", "message"]),
            (Dialect::Undeclared, Sender, &["message", "message-sent"]),
            (Dialect::Undeclared, Origin, &["message-sent"]),
            (Dialect::Unified, Recipient, &["message:created"]),
            (Dialect::Unified, Sender, &["message:created"]),
            (Dialect::Unified, Origin, &[]),
        ] {
            assert_eq!(names(dialect, standing), heard, "{dialect:?} {standing:?}");
        }
    }

    #[test]
    fn client_id_reaches_the_sender_alone() {
        let message = pb::Message { client_id: Some("\"c1\"".to_owned()), ..Default::default() };
        let event = MessageCreated::new(&message);
        let sender = event.frames(Dialect::Electron, Standing::Sender).expect("encodable");
        assert!(sender[0].1.get().contains("\"clientId\":\"c1\""));
        let recipient = event.frames(Dialect::Electron, Standing::Recipient).expect("encodable");
        assert!(!recipient[0].1.get().contains("clientId"));
    }
}
