//! What members say of having heard and read.

use bson::DateTime;
use chat_kit::{
    id::{ConversationId, MessageId},
    time::from_timestamp,
};
use chat_proto::v1::{self as pb, mark_read_request::Target};

use super::{conversation_id, id, invalid};
use crate::error::Error;

/// Most messages that one call says are delivered.
const MOST_DELIVERED: usize = 200;
/// Most messages that one call says are read.
const MOST_READ: usize = 1000;

/// Up to what somebody has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadTo {
    /// To a message.
    Message(MessageId),
    /// To a place in a conversation.
    In(ConversationId, ReadMark),
}

/// A place in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadMark {
    /// Its end.
    End,
    /// The newest of these messages.
    Messages(Vec<MessageId>),
    /// The newest message of this time.
    Until(DateTime),
    /// The message with this number.
    Number(i64),
}

/// Reads up to what somebody says that he has read. A time that has not come yet counts as `now`.
pub fn read_to(target: Option<Target>, now: DateTime) -> Result<ReadTo, Error> {
    let within = |conversation: &str, mark| Ok(ReadTo::In(conversation_id(conversation)?, mark));
    match target {
        Some(Target::ConversationId(conversation)) => within(&conversation, ReadMark::End),
        Some(Target::MessageId(message)) => Ok(ReadTo::Message(id("message_id", &message)?)),
        Some(Target::Messages(set)) => {
            let messages = ids(&set.message_ids, MOST_READ)?;
            within(&set.conversation_id, ReadMark::Messages(messages))
        }
        Some(Target::Until(until)) => {
            let at = until.at.as_ref().map_or(now, from_timestamp).min(now);
            within(&until.conversation_id, ReadMark::Until(at))
        }
        Some(Target::Number(number)) => {
            within(&number.conversation_id, ReadMark::Number(number.seq))
        }
        None => Err(invalid("target", "name a conversation or a message")),
    }
}

/// Reads what has reached somebody.
pub fn delivered(request: &pb::MarkDeliveredRequest) -> Result<Vec<MessageId>, Error> {
    ids(&request.message_ids, MOST_DELIVERED)
}

fn ids(texts: &[String], most: usize) -> Result<Vec<MessageId>, Error> {
    if texts.len() > most {
        return Err(invalid("message_ids", &format!("at most {most} messages at once")));
    }
    texts.iter().map(|text| id("message_ids", text)).collect()
}

#[cfg(test)]
mod tests {
    use chat_kit::time::to_timestamp;

    use super::*;

    #[test]
    fn time_to_come_counts_as_now() {
        let (conversation, now) = (ConversationId::new(), DateTime::from_millis(1000));
        for (given, taken) in
            [(Some(999), 999), (Some(1000), 1000), (Some(5000), 1000), (None, 1000)]
        {
            let at = given.map(|millis| to_timestamp(DateTime::from_millis(millis)));
            let until = pb::ReadUntil { conversation_id: conversation.to_string(), at };
            let read = read_to(Some(Target::Until(until)), now).expect("a target");
            let taken = ReadMark::Until(DateTime::from_millis(taken));
            assert_eq!(read, ReadTo::In(conversation, taken), "{given:?}");
        }
    }

    #[test]
    fn too_many_messages_at_once_are_refused() {
        let ids = |count: usize| vec![MessageId::new().to_string(); count];
        let request = |count| pb::MarkDeliveredRequest { message_ids: ids(count) };
        assert_eq!(delivered(&request(200)).expect("as many as may be").len(), 200);
        assert!(matches!(
            delivered(&request(201)),
            Err(Error::Invalid { field: "message_ids", .. })
        ));
    }
}
