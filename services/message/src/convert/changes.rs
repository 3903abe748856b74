//! What clients know, and what they have missed.

use std::collections::HashSet;

use bson::DateTime;
use chat_kit::time::{from_timestamp, to_timestamp};
use chat_proto::v1 as pb;

use super::{conversation_id, invalid};
use crate::{
    changes::{Asked, Change, Changes, Missed},
    error::Error,
};

/// Most conversations of one question.
const MOST_CONVERSATIONS: usize = 100;

/// Reads what a client knows.
pub fn known(request: pb::ListChangesRequest) -> Result<Asked, Error> {
    if request.conversations.len() > MOST_CONVERSATIONS {
        let message = format!("at most {MOST_CONVERSATIONS} conversations at once");
        return Err(invalid("conversations", &message));
    }
    let known = |known: pb::KnownConversation| {
        let change = known.cursor.filter(|cursor| !cursor.is_empty());
        Ok((
            conversation_id(&known.conversation_id)?,
            known.after_seq.max(0),
            change.map(|cursor| read_cursor(&cursor)).transpose()?,
        ))
    };
    let conversations = request.conversations.into_iter().map(known);
    let mut conversations = conversations.collect::<Result<Vec<_>, Error>>()?;
    let mut named = HashSet::new();
    conversations.retain(|(id, ..)| named.insert(*id));
    Ok(Asked {
        conversations,
        since: request.since.as_ref().map(from_timestamp),
        limit: request.limit,
    })
}

fn read_cursor(cursor: &str) -> Result<Change, Error> {
    let parsed = cursor.split_once('-').and_then(|(millis, seq)| {
        Some((DateTime::from_millis(millis.parse().ok()?), seq.parse().ok()?))
    });
    parsed.ok_or_else(|| invalid("conversations.cursor", "the cursor is none of this list's"))
}

impl From<Missed> for pb::ConversationChanges {
    fn from(missed: Missed) -> Self {
        let next = missed.next.map(|(at, seq)| format!("{}-{seq}", at.timestamp_millis()));
        Self {
            conversation_id: missed.conversation_id.to_string(),
            messages: missed.messages,
            changed: missed.changed,
            has_more: missed.has_more,
            next_cursor: next,
            cleared_seq: missed.cleared_seq,
            state: missed.state.map(Into::into),
        }
    }
}

impl From<Changes> for pb::ListChangesResponse {
    fn from(changes: Changes) -> Self {
        Self {
            conversations: changes.conversations.into_iter().map(Into::into).collect(),
            refused_ids: changes.refused.iter().map(ToString::to_string).collect(),
            as_of: Some(to_timestamp(changes.at)),
        }
    }
}
