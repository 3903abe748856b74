//! Builds events from documents and an audience. Does not publish.

use bson::DateTime;
use chat_kit::{id::MessageId, time::to_timestamp};
use chat_proto::v1::{self as pb, event::Payload};

use crate::store::messages::{Message, OutboxEntry, OutboxKind};

/// Returns the outbox entry of a message that is about to be stored.
#[must_use]
pub fn created_entry(id: MessageId, now: DateTime) -> OutboxEntry {
    OutboxEntry { event_id: format!("{id}:created:0"), kind: OutboxKind::Created, at: now }
}

/// Builds the event of an outbox entry.
#[must_use]
pub fn build(entry: &OutboxEntry, message: Message, recipient_ids: Vec<String>) -> pb::Event {
    let occurred_at = Some(to_timestamp(message.created_at));
    let payload = match entry.kind {
        OutboxKind::Created => {
            Payload::MessageCreated(pb::MessageCreated { message: Some(message.into()) })
        }
    };
    pb::Event { id: entry.event_id.clone(), occurred_at, recipient_ids, payload: Some(payload) }
}
