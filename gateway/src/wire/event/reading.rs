//! Somebody's reading on, as the sockets of the members hear of it.

use std::cell::OnceCell;

use chat_kit::id::UserId;
use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::{json, value::RawValue};
use utoipa::ToSchema;

use super::{Frame, encoded};
use crate::{
    openapi::{DESKTOP, Events, MOBILE, NEW},
    wire::{Dialect, fields::iso},
};

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

    /// Returns what a socket hears that has been told of a later reading: which of one's own messages somebody
    /// has read, which the later one did not say.
    pub fn late_frames(
        &self,
        user_id: UserId,
        dialect: Dialect,
    ) -> serde_json::Result<Vec<Frame<'_>>> {
        let user_id = user_id.to_string();
        let hears = matches!(dialect, Dialect::Electron | Dialect::Undeclared);
        if !hears || user_id == self.event.user_id {
            return Ok(Vec::new());
        }
        Ok(self.receipt(&user_id)?.into_iter().collect())
    }

    fn up_to(&self) -> serde_json::Result<&RawValue> {
        let pb::ReadAdvanced { conversation_id, user_id, read_at, .. } = self.event;
        encoded(&self.up_to, || {
            json!(UpTo { conversation_id, by: user_id, at: iso(read_at.as_ref()) })
        })
    }

    fn own(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.own, || json!(Own { conversation_id: &self.event.conversation_id }))
    }

    fn unified(&self) -> serde_json::Result<&RawValue> {
        let event = self.event;
        encoded(&self.unified, || {
            json!(Advanced {
                conversation_id: &event.conversation_id,
                user_id: &event.user_id,
                seq: event.seq,
                message_created_at: iso(event.read_at.as_ref()),
                read_at: iso(event.advanced_at.as_ref()),
            })
        })
    }

    /// Returns what the sender of messages that were read hears, if he wrote some.
    fn receipt(&self, sender_id: &str) -> serde_json::Result<Option<Frame<'_>>> {
        let place = self.event.messages.iter().position(|read| read.sender_id == sender_id);
        let Some(place) = place else { return Ok(None) };
        let (event, read) = (self.event, &self.event.messages[place]);
        let body = encoded(&self.receipts[place], || {
            json!(Receipt {
                conversation_id: &event.conversation_id,
                message_ids: &read.message_ids,
                read_by: &event.user_id,
                read_at: iso(event.advanced_at.as_ref()),
            })
        });
        Ok(Some(("messages:read-receipt", body?)))
    }
}

/// How far somebody has read, to the mobile family.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReadUpTo)]
struct UpTo<'a> {
    conversation_id: &'a str,
    by: &'a str,
    at: Option<String>,
}

/// That one has read oneself, to the desktop family.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OwnReading)]
struct Own<'a> {
    conversation_id: &'a str,
}

/// Which of one's messages somebody has read, to the desktop family.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReadReceipt)]
struct Receipt<'a> {
    conversation_id: &'a str,
    message_ids: &'a [String],
    /// The id of the reader.
    read_by: &'a str,
    read_at: Option<String>,
}

/// How far somebody has read, to new clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedReadReceipt)]
struct Advanced<'a> {
    conversation_id: &'a str,
    user_id: &'a str,
    seq: i64,
    message_created_at: Option<String>,
    read_at: Option<String>,
}

/// Says which events reading brings.
pub(super) fn events(events: &mut Events) {
    let read = "Somebody has read on";
    events.heard::<UpTo<'_>>(MOBILE, "read_up_to", read);
    events.heard::<Receipt<'_>>(
        DESKTOP,
        "messages:read-receipt",
        "Somebody has read these messages",
    );
    events.heard::<Own<'_>>(DESKTOP, "messages-read", "The user has read on, here or elsewhere");
    events.heard::<Advanced<'_>>(NEW, "receipt:read", read);
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
    fn of_a_late_reading_only_the_messages_are_told_and_to_their_senders_alone() {
        let (reader, sender) = (UserId::new(), UserId::new());
        let event = event(reader, sender);
        let event = ReadAdvanced::new(&event);
        for (user, dialect, names) in [
            (sender, Dialect::Flutter, vec![]),
            (sender, Dialect::Unified, vec![]),
            (sender, Dialect::Electron, vec!["messages:read-receipt"]),
            (sender, Dialect::Undeclared, vec!["messages:read-receipt"]),
            (UserId::new(), Dialect::Undeclared, vec![]),
            (reader, Dialect::Undeclared, vec![]),
        ] {
            let frames = event.late_frames(user, dialect).expect("encodable");
            let heard: Vec<_> = frames.into_iter().map(|(name, _)| name).collect();
            assert_eq!(heard, names, "{dialect:?}");
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
