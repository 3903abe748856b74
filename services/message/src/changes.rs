//! What clients that come back have missed: the messages behind the numbers that they know, and those of the
//! others that have changed since.

mod page;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, UserId},
    time::before,
};
use chat_proto::v1 as pb;

use self::page::{Found, Room};
use crate::{
    Service, convert,
    error::Error,
    states::{Row, State},
    store::messages::{Known, Message},
};

/// A change may become visible this long after the time that it bears: longer than a write may take, and
/// than clocks may differ.
const OVERLAP: Duration = Duration::from_secs(10);
/// Most messages of one conversation in an answer, of the new ones and of the changed ones each.
const MOST_OF_ONE: u32 = 200;
/// Most of all conversations together, of the new ones and of the changed ones each.
const MOST_OF_ALL: usize = 500;

/// What a client knows, and wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The conversations, none of them twice, each with the last number that is known, and the last change of
    /// a page before.
    pub conversations: Vec<(ConversationId, i64, Option<Change>)>,
    /// When the client last asked; where it never did, changes do not matter.
    pub since: Option<DateTime>,
    /// Messages wanted of one conversation.
    pub limit: u32,
}

/// The time of a change, and the number of the message.
pub type Change = (DateTime, i64);

/// What a client has missed of one conversation, as its user sees it.
#[derive(Clone, Debug)]
pub struct Missed {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number up to which he has cleared his history.
    pub cleared_seq: i64,
    /// The messages behind the number that it knows, in order.
    pub messages: Vec<pb::Message>,
    /// The earlier ones that have changed, in the order of their changes.
    pub changed: Vec<pb::Message>,
    /// Whether there is more of either.
    pub has_more: bool,
    /// Where the changes go on, if there is more of anything.
    pub next: Option<Change>,
    /// What he has not read, and how far members have; absent where there was no room for the conversation.
    pub state: Option<State>,
}

/// What a client has missed.
#[derive(Clone, Debug)]
pub struct Changes {
    /// What it has missed, by conversation, in the order that it asked in.
    pub conversations: Vec<Missed>,
    /// Conversations that its user is no member of.
    pub refused: Vec<ConversationId>,
    /// When this was so.
    pub at: DateTime,
}

/// What somebody has of a conversation that he is a member of.
struct Own {
    cleared: i64,
    counted_after: i64,
    members: HashSet<UserId>,
}

impl Service {
    /// Returns what a client of `reader`, who calls, has missed. Five queries, however many conversations.
    pub async fn list_changes(
        &self,
        caller: &Caller,
        reader: UserId,
        asked: Asked,
    ) -> Result<Changes, Error> {
        // Before anything is read: what changes meanwhile is told the next time.
        let at = DateTime::now();
        let ids = asked.conversations.iter().map(|(id, ..)| *id).collect::<Vec<_>>();
        let mut own = self.own_among(caller, &ids).await?;
        let (inside, outside): (Vec<_>, Vec<_>) =
            asked.conversations.into_iter().partition(|(id, ..)| own.contains_key(id));
        let refused = outside.into_iter().map(|(id, ..)| id).collect();
        let since = asked.since.map(|since| before(since, OVERLAP));
        let (mut known, mut rows) = (Vec::new(), Vec::new());
        for (conversation_id, after, change) in &inside {
            let Some(own) = own.get(conversation_id) else { continue };
            known.push(Known {
                conversation_id: *conversation_id,
                after: (*after).max(own.cleared),
                change: change.or(since.map(|since| (since, -1))).unwrap_or((at, i64::MAX)),
            });
            rows.push(Row {
                conversation_id: *conversation_id,
                last_message_id: None,
                counted_after: own.counted_after,
                with_all_cursors: own.members.len() > 1,
            });
        }
        let limit = limit(asked.limit, known.len());
        let ((new, changed), states) = tokio::try_join!(
            self.missed(&known, asked.since.is_some(), limit),
            self.list_states(reader, rows),
        )?;
        let (mut new, mut changed) = (by_conversation(new), by_conversation(changed));
        let mut room = Room::new();
        let found = inside.into_iter().zip(known).zip(states);
        let conversations = found.filter_map(|(((id, _, change), known), state)| {
            let Own { cleared, members, .. } = own.remove(&id)?;
            let new = new.remove(&id).unwrap_or_default();
            let changed = changed.remove(&id).unwrap_or_default();
            let found = Found { known, change, cleared, members, new, changed, state };
            Some(Missed::new(found, reader, limit, &mut room))
        });
        Ok(Changes { conversations: conversations.collect(), refused, at })
    }

    async fn missed(
        &self,
        known: &[Known],
        with_changes: bool,
        limit: usize,
    ) -> Result<(Vec<Message>, Vec<Message>), Error> {
        if known.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        // One more than wanted tells whether there is more.
        let limit = i64::try_from(limit).unwrap_or(i64::MAX - 1).saturating_add(1);
        let messages = &self.store.messages;
        let changed = async {
            if with_changes { messages.changed_in(known, limit).await } else { Ok(Vec::new()) }
        };
        tokio::try_join!(messages.new_in(known, limit), changed)
    }

    /// Returns what the caller has of those conversations that he is a member of.
    async fn own_among(
        &self,
        caller: &Caller,
        ids: &[ConversationId],
    ) -> Result<HashMap<ConversationId, Own>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let memberships = self.memberships_in(caller, ids).await?.into_iter();
        let read = |membership: pb::Membership| {
            let members = membership.member_ids.iter();
            let own = Own {
                cleared: membership.cleared_seq,
                counted_after: membership.counted_after_seq,
                members: members
                    .map(|member| convert::id("member_ids", member))
                    .collect::<Result<_, _>>()?,
            };
            Ok((convert::conversation_id(&membership.conversation_id)?, own))
        };
        memberships.map(read).collect()
    }
}

fn limit(wanted: u32, conversations: usize) -> usize {
    let wanted = if wanted == 0 { MOST_OF_ONE } else { wanted.min(MOST_OF_ONE) };
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    wanted.min((MOST_OF_ALL / conversations.max(1)).max(1))
}

fn by_conversation(messages: Vec<Message>) -> HashMap<ConversationId, Vec<Message>> {
    let mut sorted: HashMap<_, Vec<Message>> = HashMap::new();
    for message in messages {
        sorted.entry(message.conversation_id).or_default().push(message);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_conversations_share_the_room_of_an_answer() {
        for (wanted, conversations, expected) in
            [(0, 1, 200), (10, 1, 10), (1000, 1, 200), (0, 100, 5), (3, 100, 3), (0, 0, 200)]
        {
            assert_eq!(limit(wanted, conversations), expected, "{wanted} of {conversations}");
        }
    }
}
