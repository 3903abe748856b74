//! Somebody's reading on, as the sockets of the members hear of it.

use std::cell::OnceCell;

use chat_kit::id::UserId;
use chat_proto::v1 as pb;
use serde_json::{json, value::RawValue};

use super::{Frame, encoded};
use crate::wire::{Dialect, fields::iso};

/// Somebody's reading on, on its way to sockets.
pub struct ReadAdvanced<'a> {
    event: &'a pb::ReadAdvanced,
    up_to: OnceCell<Box<RawValue>>,
    own: OnceCell<Box<RawValue>>,
    unified: OnceCell<Box<RawValue>>,
    /// One for each sender of what was read, in the order of the event.
    receipts: Vec<OnceCell<Box<RawValue>>>,
}

impl<'a> ReadAdvanced<'a> {
    /// Wraps an event; nothing is encoded yet.
    #[must_use]
    pub fn new(event: &'a pb::ReadAdvanced) -> Self {
        let cell = OnceCell::new;
        let receipts = event.messages.iter().map(|_| cell()).collect();
        Self { event, up_to: cell(), own: cell(), unified: cell(), receipts }
    }

    /// Returns what a socket hears. The mobile family is told of others how far they have read, the
    /// desktop family which of one's own messages; of one's own reading the desktop family alone.
    pub fn frames(&self, user_id: UserId, dialect: Dialect) -> serde_json::Result<Vec<Frame<'_>>> {
        let user_id = user_id.to_string();
        let is_reader = user_id == self.event.user_id;
        let mut frames = Vec::new();
        match (dialect, is_reader) {
            (Dialect::Unified, _) => frames.push(("receipt:read", self.unified()?)),
            (Dialect::Flutter, true) => {}
            (Dialect::Electron | Dialect::Undeclared, true) => {
                frames.push(("messages-read", self.own()?));
            }
            (Dialect::Flutter, false) => frames.push(("read_up_to", self.up_to()?)),
            (Dialect::Electron, false) => frames.extend(self.receipt(&user_id)?),
            (Dialect::Undeclared, false) => {
                frames.push(("read_up_to", self.up_to()?));
                frames.extend(self.receipt(&user_id)?);
            }
        }
        Ok(frames)
    }

    fn up_to(&self) -> serde_json::Result<&RawValue> {
        let pb::ReadAdvanced { conversation_id, user_id, read_at, .. } = self.event;
        encoded(
            &self.up_to,
            || json!({ "conversationId": conversation_id, "by": user_id, "at": iso(read_at.as_ref()) }),
        )
    }

    fn own(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.own, || json!({ "conversationId": self.event.conversation_id }))
    }

    fn unified(&self) -> serde_json::Result<&RawValue> {
        let event = self.event;
        encoded(&self.unified, || {
            json!({
                "conversationId": event.conversation_id,
                "userId": event.user_id,
                "seq": event.seq,
                "messageCreatedAt": iso(event.read_at.as_ref()),
                "readAt": iso(event.advanced_at.as_ref()),
            })
        })
    }

    /// Returns what the sender of messages that were read hears, if he wrote some.
    fn receipt(&self, sender_id: &str) -> serde_json::Result<Option<Frame<'_>>> {
        let place = self.event.messages.iter().position(|read| read.sender_id == sender_id);
        let Some(place) = place else { return Ok(None) };
        let (event, read) = (self.event, &self.event.messages[place]);
        let body = encoded(&self.receipts[place], || {
            json!({
                "conversationId": event.conversation_id,
                "messageIds": read.message_ids,
                "readBy": event.user_id,
                "readAt": iso(event.advanced_at.as_ref()),
            })
        });
        Ok(Some(("messages:read-receipt", body?)))
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use serde_json::Value;

    use super::*;

    fn event(reader: UserId, sender: UserId) -> pb::ReadAdvanced {
        pb::ReadAdvanced {
            conversation_id: "c1".to_owned(),
            user_id: reader.to_string(),
            seq: 7,
            read_at: Some(Timestamp { seconds: 1_769_847_330, nanos: 7_000_000 }),
            advanced_at: Some(Timestamp { seconds: 1_769_847_331, nanos: 0 }),
            previous_seq: 4,
            messages: vec![pb::ReadMessages {
                sender_id: sender.to_string(),
                message_ids: vec!["m5".to_owned(), "m7".to_owned()],
            }],
        }
    }

    fn heard(event: &ReadAdvanced<'_>, user: UserId, dialect: Dialect) -> Vec<(String, Value)> {
        let frames = event.frames(user, dialect).expect("encodable").into_iter();
        frames
            .map(|(name, body)| (name.to_owned(), serde_json::from_str(body.get()).expect("JSON")))
            .collect()
    }

    #[test]
    fn every_dialect_hears_its_own_names_and_bodies() {
        let (reader, sender, third) = (UserId::new(), UserId::new(), UserId::new());
        let event = event(reader, sender);
        let event = ReadAdvanced::new(&event);
        let named = |name: &str, body: Value| (name.to_owned(), body);
        let up_to = named(
            "read_up_to",
            json!({
                "conversationId": "c1", "by": reader.to_string(), "at": "2026-01-31T08:15:30.007Z",
            }),
        );
        let receipt = named(
            "messages:read-receipt",
            json!({
                "conversationId": "c1", "messageIds": ["m5", "m7"],
                "readBy": reader.to_string(), "readAt": "2026-01-31T08:15:31.000Z",
            }),
        );
        let own = named("messages-read", json!({ "conversationId": "c1" }));
        let unified = named(
            "receipt:read",
            json!({
                "conversationId": "c1", "userId": reader.to_string(), "seq": 7,
                "messageCreatedAt": "2026-01-31T08:15:30.007Z", "readAt": "2026-01-31T08:15:31.000Z",
            }),
        );
        for (user, dialect, expected) in [
            (sender, Dialect::Flutter, vec![&up_to]),
            (sender, Dialect::Electron, vec![&receipt]),
            (sender, Dialect::Undeclared, vec![&up_to, &receipt]),
            (third, Dialect::Undeclared, vec![&up_to]),
            (third, Dialect::Electron, vec![]),
            (reader, Dialect::Flutter, vec![]),
            (reader, Dialect::Electron, vec![&own]),
            (reader, Dialect::Undeclared, vec![&own]),
            (reader, Dialect::Unified, vec![&unified]),
            (third, Dialect::Unified, vec![&unified]),
        ] {
            let heard = heard(&event, user, dialect);
            assert_eq!(heard.iter().collect::<Vec<_>>(), expected, "{dialect:?}");
        }
    }

    #[test]
    fn body_is_encoded_once_for_all() {
        let (reader, sender) = (UserId::new(), UserId::new());
        let event = event(reader, sender);
        let event = ReadAdvanced::new(&event);
        let body = || {
            let frames = event.frames(sender, Dialect::Electron).expect("encodable");
            std::ptr::from_ref(frames[0].1)
        };
        assert!(std::ptr::addr_eq(body(), body()));
    }
}
