//! Messages that have reached somebody, as the sockets of their senders hear of it.

use std::cell::OnceCell;

use chat_kit::id::UserId;
use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::{json, value::RawValue};
use utoipa::ToSchema;

use super::{DELIVERED, Frame, RECEIPT_DELIVERED, encoded};
use crate::{
    openapi::{BOTH, Events, NEW},
    wire::{Dialect, fields::iso},
};

/// Messages that have reached somebody, on their way to sockets.
pub struct DeliveredAdvanced<'a> {
    event: &'a pb::DeliveredAdvanced,
    unified: OnceCell<Box<RawValue>>,
    /// One for each sender, in the order of the event.
    receipts: Vec<OnceCell<Box<RawValue>>>,
}

impl<'a> DeliveredAdvanced<'a> {
    /// Wraps an event; nothing is encoded yet.
    #[must_use]
    pub fn new(event: &'a pb::DeliveredAdvanced) -> Self {
        let receipts = event.messages.iter().map(|_| OnceCell::new()).collect();
        Self { event, unified: OnceCell::new(), receipts }
    }

    /// Returns what a socket of a sender hears: old clients the newest of his own messages, at whose time
    /// it counts as delivered; new ones how far everything has been.
    pub fn frame(
        &self,
        user_id: UserId,
        dialect: Dialect,
    ) -> serde_json::Result<Option<Frame<'_>>> {
        let event = self.event;
        if dialect == Dialect::Unified {
            let body = encoded(&self.unified, || {
                json!(Advanced {
                    conversation_id: &event.conversation_id,
                    user_id: &event.user_id,
                    seq: event.seq,
                    message_created_at: iso(event.delivered_at.as_ref()),
                    delivered_at: iso(event.advanced_at.as_ref()),
                })
            });
            return Ok(Some((RECEIPT_DELIVERED, body?)));
        }
        let sender_id = user_id.to_string();
        let place = event.messages.iter().position(|message| message.sender_id == sender_id);
        let Some(place) = place else { return Ok(None) };
        let message = &event.messages[place];
        let body = encoded(&self.receipts[place], || {
            json!(Receipt {
                message_id: &message.message_id,
                conversation_id: &event.conversation_id,
                by: &event.user_id,
                at: iso(message.created_at.as_ref()),
            })
        });
        Ok(Some((DELIVERED, body?)))
    }
}

/// The newest of one's messages that has reached somebody, to old clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveredReceipt)]
struct Receipt<'a> {
    message_id: &'a str,
    conversation_id: &'a str,
    by: &'a str,
    /// When the message was stored.
    at: Option<String>,
}

/// How far everything has reached somebody, to new clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedDeliveredReceipt)]
struct Advanced<'a> {
    conversation_id: &'a str,
    user_id: &'a str,
    seq: i64,
    message_created_at: Option<String>,
    delivered_at: Option<String>,
}

/// Says which events deliveries bring.
pub(super) fn events(events: &mut Events) {
    let delivered = "The newest of the user's messages that has reached somebody";
    events.heard::<Receipt<'_>>(BOTH, DELIVERED, delivered);
    let delivered = "Messages up to this number have reached somebody";
    events.heard::<Advanced<'_>>(NEW, RECEIPT_DELIVERED, delivered);
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use serde_json::Value;

    use super::*;

    fn message(sender: UserId, id: &str, nanos: i32) -> pb::DeliveredMessage {
        pb::DeliveredMessage {
            sender_id: sender.to_string(),
            message_id: id.to_owned(),
            created_at: Some(Timestamp { seconds: 1_769_847_330, nanos }),
        }
    }

    #[test]
    fn every_sender_hears_of_his_own_message_in_his_own_words() {
        let (reader, ada, joan, third) =
            (UserId::new(), UserId::new(), UserId::new(), UserId::new());
        let event = pb::DeliveredAdvanced {
            conversation_id: "c1".to_owned(),
            user_id: reader.to_string(),
            seq: 7,
            delivered_at: Some(Timestamp { seconds: 1_769_847_330, nanos: 7_000_000 }),
            advanced_at: Some(Timestamp { seconds: 1_769_847_331, nanos: 0 }),
            previous_seq: 4,
            messages: vec![message(ada, "m7", 7_000_000), message(joan, "m5", 5_000_000)],
        };
        let event = DeliveredAdvanced::new(&event);
        let heard = |user, dialect| {
            let frame = event.frame(user, dialect).expect("encodable");
            let read = |body: &RawValue| serde_json::from_str::<Value>(body.get()).expect("JSON");
            frame.map(|(name, body)| (name, read(body)))
        };
        let old = |id: &str, at: &str| {
            let by = reader.to_string();
            let body = json!({ "messageId": id, "conversationId": "c1", "by": by, "at": at });
            Some(("delivered", body))
        };
        for dialect in [Dialect::Flutter, Dialect::Electron, Dialect::Undeclared] {
            assert_eq!(heard(ada, dialect), old("m7", "2026-01-31T08:15:30.007Z"));
            assert_eq!(heard(joan, dialect), old("m5", "2026-01-31T08:15:30.005Z"));
            assert_eq!(heard(third, dialect), None);
        }
        let unified = json!({
            "conversationId": "c1", "userId": reader.to_string(), "seq": 7,
            "messageCreatedAt": "2026-01-31T08:15:30.007Z", "deliveredAt": "2026-01-31T08:15:31.000Z",
        });
        assert_eq!(heard(joan, Dialect::Unified), Some(("receipt:delivered", unified)));
    }
}
