//! What sockets say of having heard and read, in every spelling.

use bson::DateTime;
use chat_kit::time::{from_timestamp, to_timestamp};
use chat_proto::v1::{self as pb, mark_read_request::Target};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{event, fields};
use crate::{
    error::ApiError,
    openapi::{DESKTOP, Events, MOBILE, NEW, Nothing},
    socket::Identity,
};

/// Most messages that one call says are delivered.
pub const MOST_DELIVERED: usize = 200;
/// Most messages that one call says are read.
const MOST_READ: usize = 1000;

/// What a socket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// These messages have arrived.
    Delivered(Vec<String>),
    /// A conversation has been read.
    Read(Reading),
}

/// How far a conversation has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The conversation.
    pub conversation_id: String,
    mark: Mark,
}

/// A place in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    End,
    Messages(Vec<String>),
    Until(DateTime),
    Number(i64),
}

/// Which messages have arrived.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveredRequest)]
struct Delivered {
    message_id: Option<String>,
    #[serde(default)]
    message_ids: Option<Vec<String>>,
}

/// How far a conversation has been read, in every spelling.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReadRequest)]
struct Read {
    conversation_id: Option<String>,
    conversation: Option<String>,
    message_ids: Option<Vec<String>>,
    by: Option<String>,
    at: Option<String>,
    #[serde(default, deserialize_with = "fields::whole")]
    seq: Option<i64>,
}

/// Reads that messages have arrived.
pub fn delivered(_: &str, data: &str, _: &Identity) -> Result<Receipt, ApiError> {
    let Delivered { message_id, message_ids } = fields::read(fields::value(data.as_bytes())?)?;
    let ids: Vec<String> = message_ids.into_iter().flatten().chain(message_id).collect();
    let ids = message_ids_of(ids, MOST_DELIVERED)?;
    if ids.is_empty() {
        fields::required("messageId", [None])?;
    }
    Ok(Receipt::Delivered(ids))
}

/// Reads that a conversation has been read: to a time by the mobile family, to its end or to the newest of
/// some messages by the desktop family, to its end or to a number by new clients.
pub fn read(name: &str, data: &str, identity: &Identity) -> Result<Receipt, ApiError> {
    let read: Read = fields::read(fields::value(data.as_bytes())?)?;
    let id = fields::required("conversationId", [read.conversation_id, read.conversation])?;
    let conversation_id = fields::conversation_id("conversationId", &id)?.to_string();
    let mark = match name {
        event::READ_UP_TO => {
            let by = fields::first([read.by]);
            if by.is_some_and(|by| by.parse() != Ok(identity.user_id)) {
                return Err(ApiError::forbidden("nobody reads for somebody else"));
            }
            let at = fields::first([read.at]).map(|at| fields::instant("at", &at)).transpose()?;
            Mark::Until(at.as_ref().map_or_else(DateTime::now, from_timestamp))
        }
        event::MARK_READ => {
            let ids = message_ids_of(read.message_ids.unwrap_or_default(), MOST_READ)?;
            if ids.is_empty() { Mark::End } else { Mark::Messages(ids) }
        }
        _ => read.seq.map_or(Mark::End, Mark::Number),
    };
    Ok(Receipt::Read(Reading { conversation_id, mark }))
}

fn message_ids_of(ids: Vec<String>, most: usize) -> Result<Vec<String>, ApiError> {
    if ids.len() > most {
        return Err(ApiError::validation(format!("messageIds: at most {most} at once")));
    }
    let id = |id: String| Ok(fields::message_id("messageId", &id)?.to_string());
    ids.into_iter().map(id).collect()
}

impl Reading {
    /// Takes in what another says, if one call can say both. Says whether it did.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.conversation_id != other.conversation_id {
            return false;
        }
        match (&mut self.mark, &other.mark) {
            // The end is behind everything.
            (Mark::End, _) => {}
            (own, Mark::End) => *own = Mark::End,
            (Mark::Until(own), Mark::Until(at)) => *own = (*own).max(*at),
            (Mark::Number(own), Mark::Number(seq)) => *own = (*own).max(*seq),
            (Mark::Messages(own), Mark::Messages(ids)) if own.len() + ids.len() <= MOST_READ => {
                own.extend(ids.iter().cloned());
            }
            _ => return false,
        }
        true
    }

    /// Returns the canonical request.
    #[must_use]
    pub fn request(&self) -> pb::MarkReadRequest {
        let conversation_id = self.conversation_id.clone();
        let target = match &self.mark {
            Mark::End => Target::ConversationId(conversation_id),
            Mark::Messages(ids) => {
                Target::Messages(pb::ReadMessageSet { conversation_id, message_ids: ids.clone() })
            }
            Mark::Until(at) => {
                Target::Until(pb::ReadUntil { conversation_id, at: Some(to_timestamp(*at)) })
            }
            Mark::Number(seq) => Target::Number(pb::ReadNumber { conversation_id, seq: *seq }),
        };
        pb::MarkReadRequest { target: Some(target) }
    }
}

/// How far the caller has read by now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HasRead)]
struct HasRead<'a> {
    conversation_id: &'a str,
    seq: i64,
}

/// Returns the answer to having read.
#[must_use]
pub fn has_read(conversation_id: &str, read: &pb::MarkReadResponse) -> Value {
    json!(HasRead { conversation_id, seq: read.read_seq })
}

/// Returns what a desktop client of the reader's own hears.
#[must_use]
pub fn own_reading(conversation_id: &str) -> Value {
    json!({ "conversationId": conversation_id })
}

/// Says which events tell what has arrived and what has been read.
pub(super) fn events(events: &mut Events) {
    let arrived = "Messages have arrived";
    events.said::<Delivered, Nothing>(MOBILE, event::DELIVERED, arrived);
    events.said::<Delivered, Nothing>(NEW, event::RECEIPT_DELIVERED, arrived);
    let read = "The conversation has been read up to `at`, the present if it is left out";
    events.said::<Read, HasRead<'_>>(MOBILE, event::READ_UP_TO, read);
    let read = "The conversation has been read up to the newest of `messageIds`, or to its end";
    events.said::<Read, HasRead<'_>>(DESKTOP, event::MARK_READ, read);
    let read = "The conversation has been read up to `seq`, or to its end";
    events.said::<Read, HasRead<'_>>(NEW, event::RECEIPT_READ, read);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Peer;
    use chat_kit::id::UserId;
    use std::time::SystemTime;

    const CONVERSATION: &str = "65b2a3f0c1d2e3f4a5b6c7d8";
    const ONE: &str = "65b2a3f0c1d2e3f4a5b6c7d1";
    const OTHER: &str = "65b2a3f0c1d2e3f4a5b6c7d2";

    fn parse(name: &str, data: &Value) -> Result<Receipt, ApiError> {
        let peer = Peer::test(UserId::new(), SystemTime::now());
        let reads = [event::READ_UP_TO, event::MARK_READ, event::RECEIPT_READ];
        let parse = if reads.contains(&name) { read } else { delivered };
        parse(name, &data.to_string(), peer.identity())
    }

    fn target(name: &str, mut data: Value) -> Option<Target> {
        data["conversationId"] = json!(CONVERSATION);
        match parse(name, &data).expect("a receipt") {
            Receipt::Read(reading) => reading.request().target,
            Receipt::Delivered(_) => panic!("{name} says that something is read"),
        }
    }

    #[test]
    fn every_family_says_in_its_own_way_how_far_it_has_read() {
        let end = Some(Target::ConversationId(CONVERSATION.to_owned()));
        for (name, data) in [
            (event::MARK_READ, json!({})),
            (event::MARK_READ, json!({ "messageIds": [] })),
            (event::MARK_READ, json!({ "messageIds": null, "at": "2026-01-31T08:15:30Z" })),
            (event::RECEIPT_READ, json!({})),
        ] {
            assert_eq!(target(name, data.clone()), end, "{name} {data}");
        }
        let named = target(event::MARK_READ, json!({ "messageIds": [ONE, OTHER] }));
        let Some(Target::Messages(set)) = named else { panic!("{named:?}") };
        assert_eq!(
            (&*set.conversation_id, set.message_ids),
            (CONVERSATION, vec![ONE.into(), OTHER.into()])
        );
        let until = target(event::READ_UP_TO, json!({ "at": "2026-01-31T08:15:30.123456Z" }));
        let Some(Target::Until(until)) = until else { panic!("{until:?}") };
        assert_eq!(fields::iso(until.at.as_ref()).as_deref(), Some("2026-01-31T08:15:30.124Z"));
        let now = target(event::READ_UP_TO, json!({}));
        assert!(matches!(now, Some(Target::Until(_))), "{now:?}");
        let number = target(event::RECEIPT_READ, json!({ "seq": 7 }));
        let Some(Target::Number(number)) = number else { panic!("{number:?}") };
        assert_eq!(number.seq, 7);
    }

    #[test]
    fn nobody_reads_in_another_name() {
        let forged = json!({ "conversationId": CONVERSATION, "by": ONE });
        let error = parse(event::READ_UP_TO, &forged).expect_err("forged");
        assert_eq!(error.error, "forbidden");
    }

    #[test]
    fn receipts_of_one_conversation_go_together() {
        let reading = |mark| Reading { conversation_id: CONVERSATION.to_owned(), mark };
        let ids = |count| Mark::Messages(vec![ONE.to_owned(); count]);
        let at = DateTime::from_millis;
        for (one, other, merged) in [
            (Mark::End, Mark::Number(7), Some(Mark::End)),
            (Mark::Number(7), Mark::End, Some(Mark::End)),
            (Mark::Number(7), Mark::Number(3), Some(Mark::Number(7))),
            (Mark::Until(at(3)), Mark::Until(at(7)), Some(Mark::Until(at(7)))),
            (ids(1), ids(2), Some(ids(3))),
            (ids(600), ids(401), None),
            (Mark::Number(7), Mark::Until(at(7)), None),
        ] {
            let mut both = reading(one);
            let is_merged = both.merge(&reading(other));
            assert_eq!(is_merged.then_some(both.mark), merged);
        }
        let elsewhere = Reading { conversation_id: ONE.to_owned(), mark: Mark::End };
        assert!(!reading(Mark::End).merge(&elsewhere));
    }

    #[test]
    fn what_is_no_receipt_is_refused() {
        for (name, data, error) in [
            (event::DELIVERED, json!({}), "missing"),
            (event::DELIVERED, json!({ "messageId": "m1" }), "invalid_id"),
            (event::DELIVERED, json!(null), "validation_error"),
            (event::DELIVERED, json!({ "messageId": { "$ne": null } }), "validation_error"),
            (event::RECEIPT_DELIVERED, json!({ "messageIds": vec![ONE; 201] }), "validation_error"),
            (event::RECEIPT_DELIVERED, json!({ "messageIds": [] }), "missing"),
            (event::MARK_READ, json!({}), "missing"),
            (event::MARK_READ, json!({ "conversationId": "c.$x" }), "invalid_conversation_id"),
            (
                event::READ_UP_TO,
                json!({ "conversationId": CONVERSATION, "at": "soon" }),
                "validation_error",
            ),
            (event::RECEIPT_READ, json!([CONVERSATION]), "validation_error"),
        ] {
            let refused = parse(name, &data).expect_err("no receipt");
            assert_eq!(refused.error, error, "{name} {data}");
        }
        let many = parse(event::RECEIPT_DELIVERED, &json!({ "messageIds": [ONE, OTHER] }));
        assert_eq!(many, Ok(Receipt::Delivered(vec![ONE.to_owned(), OTHER.to_owned()])));
    }
}
