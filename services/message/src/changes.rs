//! What clients that come back have missed: the messages behind the numbers that they know, and those of the
//! others that have changed since.

use std::{collections::HashMap, time::Duration};

use bson::DateTime;
use chat_kit::{caller::Caller, id::ConversationId, time::before};

use crate::{
    Service, convert,
    error::Error,
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
    /// The conversations, each with the last number that is known, and the last change of a page before.
    pub conversations: Vec<(ConversationId, i64, Option<Change>)>,
    /// When the client last asked; where it never did, changes do not matter.
    pub since: Option<DateTime>,
    /// Messages wanted of one conversation.
    pub limit: u32,
}

/// The time of a change, and the number of the message.
pub type Change = (DateTime, i64);

/// What a client has missed of one conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The messages behind the number that it knows, in order.
    pub messages: Vec<Message>,
    /// The earlier ones that have changed, in the order of their changes.
    pub changed: Vec<Message>,
    /// Whether there is more of either.
    pub has_more: bool,
    /// Where the changes go on, if there are more.
    pub next: Option<Change>,
}

/// What a client has missed.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// What it has missed, by conversation, in the order that it asked in.
    pub conversations: Vec<Missed>,
    /// Conversations that its user is no member of.
    pub refused: Vec<ConversationId>,
    /// When this was so.
    pub at: DateTime,
}

impl Service {
    /// Returns what a client of the caller has missed. Two queries, however many conversations.
    pub async fn list_changes(&self, caller: &Caller, asked: Asked) -> Result<Changes, Error> {
        // Before anything is read: what changes meanwhile is told the next time.
        let at = DateTime::now();
        let ids = asked.conversations.iter().map(|(id, ..)| *id).collect::<Vec<_>>();
        let cleared = self.cleared_in(caller, &ids).await?;
        let (inside, outside): (Vec<_>, Vec<_>) =
            asked.conversations.into_iter().partition(|(id, ..)| cleared.contains_key(id));
        let refused = outside.into_iter().map(|(id, ..)| id).collect();
        let since = asked.since.map(|since| before(since, OVERLAP));
        let known: Vec<Known> = inside
            .iter()
            .map(|(conversation_id, after, change)| Known {
                conversation_id: *conversation_id,
                after: (*after).max(cleared.get(conversation_id).copied().unwrap_or(0)),
                change: change.or(since.map(|since| (since, -1))).unwrap_or((at, i64::MAX)),
            })
            .collect();
        let limit = limit(asked.limit, known.len());
        let (new, changed) = self.missed(&known, asked.since.is_some(), limit).await?;
        let (mut new, mut changed) = (by_conversation(new), by_conversation(changed));
        let conversations = known.iter().map(|known| {
            let id = known.conversation_id;
            let cleared = cleared.get(&id).copied().unwrap_or(0);
            let new = new.remove(&id).unwrap_or_default();
            let changed = changed.remove(&id).unwrap_or_default();
            put_together(known, cleared, new, changed, limit)
        });
        let conversations = conversations.collect();
        Ok(Changes { conversations, refused, at })
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

    /// Returns up to which number the caller has cleared each of those conversations that he is a member of.
    async fn cleared_in(
        &self,
        caller: &Caller,
        ids: &[ConversationId],
    ) -> Result<HashMap<ConversationId, i64>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let memberships = self.memberships_in(caller, ids).await?.into_iter();
        let read = |membership: chat_proto::v1::Membership| {
            Ok((convert::conversation_id(&membership.conversation_id)?, membership.cleared_seq))
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

/// What is new is not said to have changed, and of what the reader has cleared nothing is told.
fn put_together(
    known: &Known,
    cleared: i64,
    mut messages: Vec<Message>,
    mut changed: Vec<Message>,
    limit: usize,
) -> Missed {
    let (has_more_new, has_more_changed) = (messages.len() > limit, changed.len() > limit);
    messages.truncate(limit);
    changed.truncate(limit);
    let last = changed.last().and_then(|last| Some((last.changed_at?, last.seq)));
    changed.retain(|message| message.seq > cleared && message.seq <= known.after);
    Missed {
        conversation_id: known.conversation_id,
        messages,
        changed,
        has_more: has_more_new || has_more_changed,
        next: last.filter(|_| has_more_changed),
    }
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
