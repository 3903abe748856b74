//! Builds events from documents and an audience. Does not publish.

use bson::DateTime;
use chat_kit::{
    id::{MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{self as pb, event::Payload};

use crate::store::{
    messages::{Message, OutboxEntry, OutboxKind, Place},
    receipts::Moved,
};

/// Most messages that one event of a reading covers.
const MOST_READ: usize = 200;

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

/// Builds the events of somebody's reading on, in their order: each names what is behind that of the one
/// before. `covered` are the messages that he has read, his own among them.
#[must_use]
pub fn read_advanced(moved: &Moved, covered: &[Place], recipient_ids: &[String]) -> Vec<pb::Event> {
    let Moved { conversation_id, user_id, advance } = moved;
    let last = covered.len().saturating_sub(1) / MOST_READ;
    let mut previous_seq = advance.after;
    let part = |number: usize| {
        let begin = number * MOST_READ;
        let messages = &covered[begin..covered.len().min(begin + MOST_READ)];
        let (seq, at) = match messages.last() {
            Some(end) if number < last => (end.seq, end.created_at),
            _ => (advance.to, advance.to_at),
        };
        let payload = Payload::ReadAdvanced(pb::ReadAdvanced {
            conversation_id: conversation_id.to_string(),
            user_id: user_id.to_string(),
            seq,
            read_at: Some(to_timestamp(at)),
            advanced_at: Some(to_timestamp(advance.moved_at)),
            previous_seq,
            messages: by_sender(*user_id, messages),
        });
        let event = advanced(moved, (previous_seq, seq), recipient_ids, payload);
        previous_seq = seq;
        event
    };
    (0..=last).map(part).collect()
}

/// Returns the ids of messages that others than `reader` wrote, by their senders.
fn by_sender(reader: UserId, messages: &[Place]) -> Vec<pb::ReadMessages> {
    let mut by_sender: Vec<pb::ReadMessages> = Vec::new();
    for message in messages.iter().filter(|message| message.sender_id != reader) {
        let sender_id = message.sender_id.to_string();
        let id = message.id.to_string();
        match by_sender.iter_mut().find(|read| read.sender_id == sender_id) {
            Some(read) => read.message_ids.push(id),
            None => by_sender.push(pb::ReadMessages { sender_id, message_ids: vec![id] }),
        }
    }
    by_sender
}

/// Builds the event of a delivery. `newest` are the newest messages of each sender among what has reached
/// somebody.
#[must_use]
pub fn delivered_advanced(moved: &Moved, newest: &[Place], recipient_ids: &[String]) -> pb::Event {
    let Moved { conversation_id, user_id, advance } = moved;
    let messages = newest.iter().map(|place| pb::DeliveredMessage {
        sender_id: place.sender_id.to_string(),
        message_id: place.id.to_string(),
        created_at: Some(to_timestamp(place.created_at)),
    });
    let payload = Payload::DeliveredAdvanced(pb::DeliveredAdvanced {
        conversation_id: conversation_id.to_string(),
        user_id: user_id.to_string(),
        seq: advance.to,
        delivered_at: Some(to_timestamp(advance.to_at)),
        advanced_at: Some(to_timestamp(advance.moved_at)),
        previous_seq: advance.after,
        messages: messages.collect(),
    });
    advanced(moved, (advance.after, advance.to), recipient_ids, payload)
}

/// Builds the event of a cursor's move from one number to another, the same on every repetition.
fn advanced(
    moved: &Moved,
    (from, to): (i64, i64),
    recipient_ids: &[String],
    payload: Payload,
) -> pb::Event {
    let Moved { conversation_id, user_id, advance } = moved;
    let id = format!("{conversation_id}:{user_id}:{}:{from}:{to}", advance.cursor.as_str());
    let occurred_at = Some(to_timestamp(advance.moved_at));
    pb::Event { id, occurred_at, recipient_ids: recipient_ids.to_vec(), payload: Some(payload) }
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;
    use chat_kit::id::ConversationId;

    use super::*;
    use crate::store::receipts::{Advance, Cursor};

    fn moved(after: i64, to: i64) -> Moved {
        let (to_at, moved_at) = (DateTime::from_millis(to), DateTime::from_millis(5000));
        let cursor = Cursor::Read;
        let advance = Advance { id: ObjectId::new(), cursor, after, to, to_at, moved_at };
        Moved { conversation_id: ConversationId::new(), user_id: UserId::new(), advance }
    }

    /// Returns messages with the numbers up to `to` of a writer, of which each third is another's.
    fn places(numbers: std::ops::RangeInclusive<i64>, writer: UserId, third: UserId) -> Vec<Place> {
        let place = |seq: i64| Place {
            id: MessageId::new(),
            seq,
            sender_id: if seq % 3 == 0 { third } else { writer },
            created_at: DateTime::from_millis(seq),
        };
        numbers.map(place).collect()
    }

    /// Returns what events tell: the numbers, when the message was stored, and the ids.
    fn told(events: &[pb::Event]) -> Vec<(i64, i64, Option<prost_types::Timestamp>, usize)> {
        let told = events.iter().map(|event| match &event.payload {
            Some(Payload::ReadAdvanced(read)) => {
                let count = read.messages.iter().map(|read| read.message_ids.len()).sum();
                (read.previous_seq, read.seq, read.read_at, count)
            }
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn long_reading_is_told_in_parts_that_follow_each_other() {
        let (moved, writer) = (moved(10, 460), UserId::new());
        let covered = places(11..=460, writer, moved.user_id);
        let events = read_advanced(&moved, &covered, &["r".to_owned()]);
        let at = |millis| Some(to_timestamp(DateTime::from_millis(millis)));
        let expected = [(10, 210, at(210), 133), (210, 410, at(410), 134), (410, 460, at(460), 33)];
        assert_eq!(told(&events), expected, "his own he does not read");
        let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
        let again = read_advanced(&moved, &covered, &["r".to_owned()]);
        assert_eq!(ids, again.iter().map(|event| event.id.clone()).collect::<Vec<_>>());
        assert!(ids[0].ends_with(":read:10:210") && ids[2].ends_with(":read:410:460"), "{ids:?}");
        assert!(events.iter().all(|event| event.recipient_ids == ["r"]));
    }

    #[test]
    fn reading_of_few_is_told_once_whatever_is_left_of_it() {
        let (moved, writer) = (moved(0, 200), UserId::new());
        let covered = places(1..=200, writer, writer);
        let at = Some(to_timestamp(DateTime::from_millis(200)));
        for (covered, count) in [(&covered[..], 200), (&covered[..150], 150), (&[], 0)] {
            let events = read_advanced(&moved, covered, &[]);
            assert_eq!(told(&events), [(0, 200, at, count)]);
        }
    }
}
