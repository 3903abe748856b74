//! Finding messages by their words, in the caller's own conversations alone.

use std::{cmp::Reverse, collections::HashMap};

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, MessageId, UserId},
};
use chat_proto::v1 as pb;

use crate::{
    Service, convert,
    error::Error,
    store::messages::{MOST_FOUND, Message},
    words::Wanted,
};

/// Messages of a page where the caller names no number.
const DEFAULT_LIMIT: usize = 20;
/// Most messages of a page.
const MOST_MESSAGES: usize = 100;

/// Where a page begins: behind this message.
pub type Position = (DateTime, MessageId);

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The messages, newest first.
    pub messages: Vec<Message>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Position>,
}

impl Service {
    /// Finds messages that `reader`, who calls, sees. One query, however many conversations he has and
    /// whatever they hold.
    pub async fn search(
        &self,
        caller: &Caller,
        reader: UserId,
        request: pb::SearchMessagesRequest,
    ) -> Result<Found, Error> {
        let page = request.page.unwrap_or_default();
        let before = convert::position(&page.cursor)?;
        let Some(wanted) = Wanted::parse(&request.query) else { return Ok(Found::default()) };
        let limit = match usize::try_from(page.limit).unwrap_or(MOST_MESSAGES) {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MOST_MESSAGES),
        };
        let cleared = self.cleared(caller).await?;
        let conversations: Vec<_> = cleared.keys().copied().collect();
        let found = self.store.messages.holding(wanted.token(), &conversations, before).await?;
        // Where a part ended early, nothing is known of what lies behind its last message.
        let ended = found.iter().filter(|found| found.len() >= MOST_FOUND);
        let horizon = ended.filter_map(|found| found.last().map(position)).max();
        let mut seen: Vec<Message> = found
            .into_iter()
            .flatten()
            .filter(|message| horizon.is_none_or(|horizon| position(message) >= horizon))
            .filter(|message| {
                let cleared = cleared.get(&message.conversation_id).copied();
                cleared.is_some_and(|cleared| message.seq > cleared)
                    && message.deleted_at.is_none()
                    && !message.deleted_for.contains(&reader)
                    && wanted.is_in(&message.content)
            })
            .collect();
        seen.sort_by_key(|message| Reverse(position(message)));
        if seen.len() <= limit {
            return Ok(Found { messages: seen, next: horizon });
        }
        seen.truncate(limit);
        Ok(Found { next: seen.last().map(position), messages: seen })
    }

    /// Returns the caller's conversations, and up to which number he has cleared each.
    async fn cleared(&self, caller: &Caller) -> Result<HashMap<ConversationId, i64>, Error> {
        let read = |membership: pb::Membership| {
            let id = convert::conversation_id(&membership.conversation_id)?;
            Ok((id, membership.cleared_seq))
        };
        self.memberships(caller).await?.into_iter().map(read).collect()
    }
}

fn position(message: &Message) -> Position {
    (message.created_at, message.id)
}
