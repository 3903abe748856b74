//! Changes of messages on their way to sockets: edited, deleted, reacted to. A body is encoded once for all
//! who read the same.

use std::cell::OnceCell;

use chat_kit::id::UserId;
use chat_proto::v1 as pb;
use serde_json::value::RawValue;

use super::{Frame, encoded};
use crate::wire::{Dialect, message};

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Its text changed.
    Edited,
    /// It was deleted for everybody.
    Deleted,
    /// What members think of it changed.
    Reacted,
}

/// A changed message on its way to sockets.
pub struct MessageChanged<'a> {
    change: Change,
    message: &'a pb::Message,
    old: OnceCell<Box<RawValue>>,
    unified: OnceCell<Box<RawValue>>,
}

impl<'a> MessageChanged<'a> {
    /// Wraps a changed message; nothing is encoded yet.
    #[must_use]
    pub fn new(change: Change, message: &'a pb::Message) -> Self {
        Self { change, message, old: OnceCell::new(), unified: OnceCell::new() }
    }

    /// Returns the change on its way to the sockets of one user.
    #[must_use]
    pub fn to(&self, reader_id: UserId) -> ChangeToReader<'_> {
        ChangeToReader { event: self, reader_id, addressed: OnceCell::new() }
    }

    fn old(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.old, || match self.change {
            Change::Deleted => message::deleted(self.message),
            Change::Edited | Change::Reacted => message::edited(self.message),
        })
    }

    fn unified(&self) -> serde_json::Result<&RawValue> {
        encoded(&self.unified, || match self.change {
            Change::Edited => message::unified_received(self.message),
            Change::Deleted => message::unified_left(self.message),
            Change::Reacted => message::unified_reactions(self.message),
        })
    }
}

/// A changed message on its way to the sockets of one user.
pub struct ChangeToReader<'a> {
    event: &'a MessageChanged<'a>,
    reader_id: UserId,
    addressed: OnceCell<Box<RawValue>>,
}

impl ChangeToReader<'_> {
    /// Says whether it is on its way to this user.
    #[must_use]
    pub fn is(&self, user_id: UserId) -> bool {
        self.reader_id == user_id
    }

    /// Returns what a socket hears, in order. The old families know of no reactions.
    pub fn frames(&self, dialect: Dialect) -> serde_json::Result<Vec<Frame<'_>>> {
        let event = self.event;
        Ok(match (dialect, event.change) {
            (Dialect::Unified, Change::Edited) => vec![("message:edited", event.unified()?)],
            (Dialect::Unified, Change::Deleted) => vec![("message:deleted", event.unified()?)],
            (Dialect::Unified, Change::Reacted) => vec![("message:reaction", event.unified()?)],
            (_, Change::Reacted) => vec![],
            (Dialect::Flutter, Change::Edited) => vec![("message_edited", event.old()?)],
            (Dialect::Electron, Change::Edited) => vec![("message-edited", event.old()?)],
            (Dialect::Undeclared, Change::Edited) => {
                vec![("message_edited", event.old()?), ("message-edited", event.old()?)]
            }
            (Dialect::Flutter, Change::Deleted) => vec![("message_deleted", self.addressed()?)],
            (Dialect::Electron, Change::Deleted) => vec![("message-deleted", event.old()?)],
            (Dialect::Undeclared, Change::Deleted) => {
                vec![("message_deleted", self.addressed()?), ("message-deleted", event.old()?)]
            }
        })
    }

    /// Returns the body that names the reader, as a message does: in a group each reads of himself, and
    /// the sender of nobody.
    fn addressed(&self) -> serde_json::Result<&RawValue> {
        let reader_id = self.reader_id.to_string();
        let message = self.event.message;
        if message.recipient_id.is_some() || message.sender_id == reader_id {
            return self.event.old();
        }
        if let Some(addressed) = self.addressed.get() {
            return Ok(addressed);
        }
        let addressed = message::addressed_to(&reader_id, self.event.old()?)?;
        Ok(self.addressed.get_or_init(|| addressed))
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn message(sender: UserId, recipient: Option<UserId>) -> pb::Message {
        pb::Message {
            id: "m1".to_owned(),
            conversation_id: "c1".to_owned(),
            seq: 3,
            sender_id: sender.to_string(),
            recipient_id: recipient.map(|id| id.to_string()),
            content: "new".to_owned(),
            r#type: "text".to_owned(),
            client_id: Some("7".to_owned()),
            created_at: Some(Timestamp { seconds: 1_769_847_330, nanos: 7_000_000 }),
            edited_at: Some(Timestamp { seconds: 1_769_847_331, nanos: 0 }),
            change: 2,
            ..Default::default()
        }
    }

    fn heard(
        event: &MessageChanged<'_>,
        user: UserId,
        dialect: Dialect,
    ) -> Vec<(&'static str, Value)> {
        let reader = event.to(user);
        let frames = reader.frames(dialect).expect("encodable").into_iter();
        frames.map(|(name, body)| (name, serde_json::from_str(body.get()).expect("JSON"))).collect()
    }

    #[test]
    fn edited_message_is_told_in_every_vocabulary() {
        let (ada, grace) = (UserId::new(), UserId::new());
        let message = message(ada, Some(grace));
        let event = MessageChanged::new(Change::Edited, &message);
        let old = json!({
            "_id": "m1", "messageId": "m1", "conversationId": "c1", "conversation": "c1",
            "from": ada.to_string(), "sender": ada.to_string(), "to": grace.to_string(),
            "text": "new", "content": "new", "edited": true,
            "editedAt": "2026-01-31T08:15:31.000Z", "createdAt": "2026-01-31T08:15:30.007Z",
        });
        let unified = json!({
            "id": "m1", "conversationId": "c1", "seq": 3, "senderId": ada.to_string(),
            "recipientId": grace.to_string(), "content": "new", "type": "text",
            "editedAt": "2026-01-31T08:15:31.000Z", "createdAt": "2026-01-31T08:15:30.007Z",
        });
        for user in [ada, grace] {
            for (dialect, expected) in [
                (Dialect::Flutter, vec![("message_edited", old.clone())]),
                (Dialect::Electron, vec![("message-edited", old.clone())]),
                (
                    Dialect::Undeclared,
                    vec![("message_edited", old.clone()), ("message-edited", old.clone())],
                ),
                (Dialect::Unified, vec![("message:edited", unified.clone())]),
            ] {
                assert_eq!(heard(&event, user, dialect), expected, "{dialect:?}");
            }
        }
    }

    #[test]
    fn deleted_message_names_who_reads_of_it() {
        let (ada, grace, joan) = (UserId::new(), UserId::new(), UserId::new());
        let left = pb::Message {
            content: String::new(),
            edited_at: None,
            deleted_at: Some(Timestamp { seconds: 1_769_847_332, nanos: 0 }),
            ..message(ada, None)
        };
        let event = MessageChanged::new(Change::Deleted, &left);
        let old = json!({
            "_id": "m1", "messageId": "m1", "conversationId": "c1", "conversation": "c1",
            "from": ada.to_string(), "sender": ada.to_string(),
            "deleted": true, "isDeleted": true, "deletedAt": "2026-01-31T08:15:32.000Z",
        });
        for reader in [grace, joan] {
            let mut addressed = old.clone();
            addressed["to"] = json!(reader.to_string());
            assert_eq!(
                heard(&event, reader, Dialect::Undeclared),
                [("message_deleted", addressed), ("message-deleted", old.clone())]
            );
        }
        assert_eq!(heard(&event, ada, Dialect::Flutter), [("message_deleted", old.clone())]);
        assert_eq!(heard(&event, grace, Dialect::Electron), [("message-deleted", old)]);
        let unified = json!({
            "id": "m1", "conversationId": "c1", "seq": 3, "senderId": ada.to_string(),
            "deletedAt": "2026-01-31T08:15:32.000Z",
        });
        assert_eq!(heard(&event, grace, Dialect::Unified), [("message:deleted", unified)]);
    }

    #[test]
    fn reactions_are_told_to_new_clients_alone() {
        let (ada, grace) = (UserId::new(), UserId::new());
        let reaction = pb::Reaction {
            user_id: grace.to_string(),
            reaction: "👍".to_owned(),
            created_at: Some(Timestamp { seconds: 1_769_847_332, nanos: 0 }),
        };
        let message = pb::Message { reactions: vec![reaction], ..message(ada, Some(grace)) };
        let event = MessageChanged::new(Change::Reacted, &message);
        let body = json!({
            "id": "m1", "conversationId": "c1", "seq": 3,
            "reactions": [{
                "userId": grace.to_string(), "reaction": "👍",
                "createdAt": "2026-01-31T08:15:32.000Z",
            }],
        });
        assert_eq!(heard(&event, ada, Dialect::Unified), [("message:reaction", body)]);
        for dialect in [Dialect::Flutter, Dialect::Electron, Dialect::Undeclared] {
            assert!(heard(&event, ada, dialect).is_empty());
        }
    }
}
