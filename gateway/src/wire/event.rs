//! The names and bodies under which an event reaches a socket, by its dialect and by whether its user
//! wrote the message. A body is encoded at most once per spelling, however many sockets hear it.

mod call;
mod change;
mod delivered;
mod notice;
mod presence;
mod reading;
mod typing;

use std::cell::OnceCell;

use chat_kit::id::UserId;
use chat_proto::v1 as pb;
use serde_json::value::RawValue;

pub use self::call::{CallNews, News};
pub use self::change::{Change, ChangeToReader, MessageChanged};
pub use self::delivered::DeliveredAdvanced;
pub use self::notice::Notice;
pub use self::presence::{PresenceChanged, at_first, is_told_at_first};
pub use self::reading::ReadAdvanced;
pub use self::typing::TypingChanged;
use super::{Dialect, message};
use crate::openapi::Events;

/// Name of the first event on a new socket.
pub const CONNECTED: &str = "connected";
/// Name of the answer to a desktop event that failed.
pub const ERROR: &str = "error";
/// Name of the event that gives a sender's sockets the stored message.
pub const MESSAGE_SENT: &str = "message-sent";

/// Name of the last event of a socket whose session is over, for new clients.
pub const SESSION_REVOKED: &str = "session:revoked";

/// Name of the desktop clients' event that sends a message.
pub const SEND_MESSAGE: &str = "send-message";
/// Name of the event of the unified vocabulary that sends a message.
pub const MESSAGE_SEND: &str = "message:send";

/// Name of an event of desktop clients that has no effect: that they open a conversation.
pub const JOIN_CONVERSATION: &str = "join-conversation";
/// Name of an event of desktop clients that has no effect: that they close a conversation.
pub const LEAVE_CONVERSATION: &str = "leave-conversation";

/// Name of the mobile clients' event that a message has arrived.
pub const DELIVERED: &str = "delivered";
/// Name of the event of the unified vocabulary that messages have arrived.
pub const RECEIPT_DELIVERED: &str = "receipt:delivered";
/// Name of the mobile clients' event that a conversation has been read up to a time.
pub const READ_UP_TO: &str = "read_up_to";
/// Name of the desktop clients' event that a conversation, or messages of it, have been read.
pub const MARK_READ: &str = "mark-read";
/// Name of the event of the unified vocabulary that a conversation has been read.
pub const RECEIPT_READ: &str = "receipt:read";
/// Name of the event by which the reader's desktop clients hear that he has read.
pub const MESSAGES_READ: &str = "messages-read";

/// Name of the event that somebody types, or does no more.
pub const TYPING: &str = "typing";
/// Name of the desktop clients' event that somebody types no more.
pub const TYPING_STOPPED: &str = "typing-stopped";

/// Name of the event by which a client that comes back asks what it has missed.
pub const SYNC: &str = "sync";

/// Name under which the opening of a socket is measured.
pub const CONNECT: &str = "connect";

/// Names of what sockets may ask for.
pub const INBOUND: [&str; 21] = [
    CONNECT,
    SEND_MESSAGE,
    MESSAGE_SEND,
    JOIN_CONVERSATION,
    LEAVE_CONVERSATION,
    DELIVERED,
    RECEIPT_DELIVERED,
    READ_UP_TO,
    MARK_READ,
    RECEIPT_READ,
    TYPING,
    TYPING_STOPPED,
    SYNC,
    super::call::INVITE,
    super::call::ANSWER,
    super::call::CANDIDATE,
    super::call::HANGUP,
    super::call::OFFER,
    super::call::OLD_ANSWER,
    super::call::ICE_CANDIDATE,
    super::call::END,
];

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

    /// Returns the message on its way to the sockets of one user.
    #[must_use]
    pub fn to(&self, recipient_id: UserId) -> ToRecipient<'_> {
        ToRecipient { event: self, recipient_id, addressed: OnceCell::new() }
    }

    fn live(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.live, || message::live(self.message))
    }

    fn sent(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.sent, || message::sent(self.message))
    }

    fn received(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.received, || message::unified_received(self.message))
    }

    fn unified(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.unified, || message::unified(self.message))
    }
}

/// A stored message on its way to the sockets of one user.
pub struct ToRecipient<'a> {
    event: &'a MessageCreated<'a>,
    recipient_id: UserId,
    addressed: OnceCell<Box<RawValue>>,
}

impl ToRecipient<'_> {
    /// Says whether it is on its way to this user.
    #[must_use]
    pub fn is(&self, user_id: UserId) -> bool {
        self.recipient_id == user_id
    }

    /// Returns what a socket hears, in order. Old clients that declare nothing hear the names of both
    /// families.
    pub fn frames(
        &self,
        dialect: Dialect,
        standing: Standing,
    ) -> serde_json::Result<Vec<Frame<'_>>> {
        let event = self.event;
        Ok(match (dialect, standing) {
            (Dialect::Unified | Dialect::Flutter, Standing::Origin) => vec![],
            (Dialect::Unified, Standing::Recipient) => vec![("message:created", event.received()?)],
            (Dialect::Unified, Standing::Sender) => vec![("message:created", event.unified()?)],
            (Dialect::Flutter, _) => vec![("message", self.addressed(standing)?)],
            (Dialect::Electron, Standing::Recipient) => vec![("receive-message", event.live()?)],
            (Dialect::Electron, _) | (Dialect::Undeclared, Standing::Origin) => {
                vec![(MESSAGE_SENT, event.sent()?)]
            }
            (Dialect::Undeclared, Standing::Recipient) => {
                vec![("receive-message", event.live()?), ("message", self.addressed(standing)?)]
            }
            (Dialect::Undeclared, Standing::Sender) => {
                vec![("message", self.addressed(standing)?), (MESSAGE_SENT, event.sent()?)]
            }
        })
    }

    /// Returns the body that names the recipient: that of all recipients, but in a group, where each
    /// reads of himself. A sender's own clients must not take the message for one to them.
    fn addressed(&self, standing: Standing) -> serde_json::Result<&RawValue> {
        if self.event.message.recipient_id.is_some() || standing != Standing::Recipient {
            return self.event.live();
        }
        if let Some(addressed) = self.addressed.get() {
            return Ok(addressed);
        }
        let recipient_id = self.recipient_id.to_string();
        let addressed = message::addressed_to(&recipient_id, self.event.live()?)?;
        Ok(self.addressed.get_or_init(|| addressed))
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

/// Says which events are neither messages nor about sockets.
pub(super) fn events(events: &mut Events) {
    delivered::events(events);
    notice::events(events);
    presence::events(events);
    reading::events(events);
    typing::events(events);
    call::events(events);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dialect: Dialect, standing: Standing) -> Vec<&'static str> {
        let message = pb::Message { client_id: Some("\"c1\"".to_owned()), ..Default::default() };
        let event = MessageCreated::new(&message);
        let recipient = event.to(UserId::new());
        let frames = recipient.frames(dialect, standing).expect("encodable");
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
        let recipient = event.to(UserId::new());
        let sender = recipient.frames(Dialect::Electron, Standing::Sender).expect("encodable");
        assert!(sender[0].1.get().contains("\"clientId\":\"c1\""));
        let heard = recipient.frames(Dialect::Electron, Standing::Recipient).expect("encodable");
        assert!(!heard[0].1.get().contains("clientId"));
    }

    #[test]
    fn in_a_group_everybody_reads_of_himself_and_the_sender_of_nobody() {
        let (a, b, c) = (UserId::new(), UserId::new(), UserId::new());
        let message = pb::Message { sender_id: a.to_string(), ..Default::default() };
        let event = MessageCreated::new(&message);
        let to = |recipient, dialect, standing| {
            let recipient = event.to(recipient);
            let frames = recipient.frames(dialect, standing).expect("encodable");
            let (_, body) = frames.last().expect("a frame");
            let body: serde_json::Value = serde_json::from_str(body.get()).expect("JSON");
            body.get("to").cloned()
        };
        for recipient in [b, c] {
            for dialect in [Dialect::Flutter, Dialect::Undeclared] {
                let named = Some(recipient.to_string().into());
                assert_eq!(to(recipient, dialect, Standing::Recipient), named);
            }
            assert_eq!(to(recipient, Dialect::Electron, Standing::Recipient), None);
        }
        assert_eq!(to(a, Dialect::Flutter, Standing::Sender), None);
        let direct = pb::Message { recipient_id: Some(b.to_string()), ..message.clone() };
        let event = MessageCreated::new(&direct);
        let recipient = event.to(a);
        let frames = recipient.frames(Dialect::Flutter, Standing::Sender).expect("encodable");
        assert!(
            frames[0].1.get().contains(&format!(r#""to":"{b}""#)),
            "a pair's message names the other side"
        );
    }

    #[test]
    fn body_that_names_nobody_is_encoded_once_for_all() {
        let message = pb::Message { sender_id: "a".to_owned(), ..Default::default() };
        let event = MessageCreated::new(&message);
        let (one, other) = (event.to(UserId::new()), event.to(UserId::new()));
        let body = |recipient: &ToRecipient<'_>| {
            let frames = recipient.frames(Dialect::Electron, Standing::Recipient);
            std::ptr::from_ref(frames.expect("encodable")[0].1)
        };
        assert!(std::ptr::addr_eq(body(&one), body(&other)));
    }
}
