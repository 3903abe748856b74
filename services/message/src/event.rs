//! Builds events from documents and an audience. Does not publish.

use bson::DateTime;
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{self as pb, event::Payload};

use crate::store::messages::{Held, Message, OutboxEntry, OutboxKind, Place};

/// Returns the outbox entry of a message that is about to be stored.
#[must_use]
pub fn created_entry(id: MessageId, now: DateTime) -> OutboxEntry {
    OutboxEntry { event_id: format!("{id}:created:0"), kind: OutboxKind::Created, at: now }
}

/// Builds the event of an outbox entry.
#[must_use]
pub fn build(entry: &OutboxEntry, message: Message, recipient_ids: Vec<String>) -> pb::Event {
    let (created_at, change) = (message.created_at, entry.change());
    let changed_at = message.changed_at.unwrap_or(created_at);
    let message = Some(message.into());
    let (occurred_at, payload) = match entry.kind {
        OutboxKind::Created => {
            (created_at, Payload::MessageCreated(pb::MessageCreated { message }))
        }
        OutboxKind::Edited => {
            (changed_at, Payload::MessageEdited(pb::MessageEdited { message, change }))
        }
        OutboxKind::Deleted => {
            (changed_at, Payload::MessageDeleted(pb::MessageDeleted { message, change }))
        }
        OutboxKind::Reacted => {
            (changed_at, Payload::MessageReacted(pb::MessageReacted { message, change }))
        }
    };
    let occurred_at = Some(to_timestamp(occurred_at));
    pb::Event { id: entry.event_id.clone(), occurred_at, recipient_ids, payload: Some(payload) }
}

/// Somebody's reading on in a conversation.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Who has read.
    pub user_id: UserId,
    /// The newest message that he has read.
    pub to: Place,
    /// Number up to which he had read before.
    pub previous_seq: i64,
    /// The messages between the two that others wrote.
    pub covered: Vec<Place>,
    /// When he read them.
    pub advanced_at: DateTime,
}

/// Builds the event of somebody's reading on. It needs no outbox: on every connect its state is told anew.
#[must_use]
pub fn read_advanced(reading: &Reading, recipient_ids: Vec<String>) -> pb::Event {
    let Reading { conversation_id, user_id, to, previous_seq, covered, advanced_at } = reading;
    let mut messages: Vec<pb::ReadMessages> = Vec::new();
    for message in covered {
        let sender_id = message.sender_id.to_string();
        let id = message.id.to_string();
        match messages.iter_mut().find(|read| read.sender_id == sender_id) {
            Some(read) => read.message_ids.push(id),
            None => messages.push(pb::ReadMessages { sender_id, message_ids: vec![id] }),
        }
    }
    let advanced_at = Some(to_timestamp(*advanced_at));
    let payload = Payload::ReadAdvanced(pb::ReadAdvanced {
        conversation_id: conversation_id.to_string(),
        user_id: user_id.to_string(),
        seq: to.seq,
        read_at: Some(to_timestamp(to.created_at)),
        advanced_at,
        previous_seq: *previous_seq,
        messages,
    });
    let id = format!("{conversation_id}:{user_id}:read:{}", to.seq);
    pb::Event { id, occurred_at: advanced_at, recipient_ids, payload: Some(payload) }
}

/// Messages that have reached somebody.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Whom.
    pub user_id: UserId,
    /// Number up to which they had reached him before.
    pub previous_seq: i64,
    /// The newest message that has.
    pub newest: Place,
    /// All that has reached him since.
    pub held: Held,
    /// When it did.
    pub advanced_at: DateTime,
}

/// Builds the event of a delivery. It needs no outbox: on every connect its state is told anew.
#[must_use]
pub fn delivered_advanced(delivery: &Delivery, recipient_ids: Vec<String>) -> pb::Event {
    let Delivery { user_id, previous_seq, newest, held, advanced_at } = delivery;
    let Held { conversation_id, of_others, .. } = held;
    let messages = of_others.iter().map(|place| pb::DeliveredMessage {
        sender_id: place.sender_id.to_string(),
        message_id: place.id.to_string(),
        created_at: Some(to_timestamp(place.created_at)),
    });
    let advanced_at = Some(to_timestamp(*advanced_at));
    let payload = Payload::DeliveredAdvanced(pb::DeliveredAdvanced {
        conversation_id: conversation_id.to_string(),
        user_id: user_id.to_string(),
        seq: newest.seq,
        delivered_at: Some(to_timestamp(newest.created_at)),
        advanced_at,
        previous_seq: *previous_seq,
        messages: messages.collect(),
    });
    let id = format!("{conversation_id}:{user_id}:delivered:{}", newest.seq);
    pb::Event { id, occurred_at: advanced_at, recipient_ids, payload: Some(payload) }
}
