//! The list of a user's conversations, page by page.

use std::{cmp::Reverse, collections::HashSet, time::Duration};

use bson::DateTime;
use chat_kit::{
    id::{ConversationId, UserId},
    time::before,
};

use crate::{
    Service,
    cursor::Cursor,
    error::Error,
    store::{
        conversations::{Conversation, ConversationStatus, List},
        marks::Shown,
        memberships::Membership,
    },
};

/// Most conversations in which a user's messages are looked for.
const MOST_MEMBERSHIPS: u32 = 500;

/// Changed conversations of an answer where the caller names no number, and most of them.
const DEFAULT_CHANGED: u32 = 100;
const MOST_CHANGED: u32 = 200;
/// A change may become visible this long after the time that it bears: longer than a write may take, and
/// than clocks may differ.
const OVERLAP: Duration = Duration::from_secs(10);

/// What has changed of a user's conversations.
pub(crate) struct Changed {
    /// Newest message first.
    pub(crate) conversations: Vec<Conversation>,
    /// Those that he has cleared, and that no list shows.
    pub(crate) hidden: Vec<ConversationId>,
    /// Those that he is no member of any more.
    pub(crate) left: Vec<ConversationId>,
    pub(crate) has_more: bool,
}

/// Which page is wanted.
pub(crate) struct Wanted {
    pub(crate) status: ConversationStatus,
    pub(crate) shown: Shown,
    /// At least one.
    pub(crate) limit: u32,
    /// Where the page before ended.
    pub(crate) after: Option<Cursor>,
}

/// One page.
pub(crate) struct Listed {
    pub(crate) conversations: Vec<Conversation>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<Cursor>,
}

impl Service {
    /// Returns one page: newest message first, those without a message last.
    pub(crate) async fn list(&self, user: UserId, wanted: &Wanted) -> Result<Listed, Error> {
        // One more than wanted tells whether the list goes on.
        let limit = wanted.limit.saturating_add(1);
        let stored = self.store.conversations();
        let wanted_list = List { member: user, status: wanted.status, shown: wanted.shown };
        let mut conversations = stored.page(wanted_list, wanted.after, limit).await?;
        let size = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let goes_on = conversations.len() > size;
        conversations.truncate(size);
        let last = conversations.last().filter(|_| goes_on);
        Ok(Listed { next: last.map(Conversation::cursor), conversations })
    }

    /// Returns the newest conversations of a user, whatever their status; of some, if any are named, those
    /// that he is a member of.
    pub(crate) async fn memberships(
        &self,
        user: UserId,
        among: Vec<ConversationId>,
    ) -> Result<Vec<Membership>, Error> {
        let stored = self.store.conversations();
        if among.is_empty() {
            return stored.memberships(user, MOST_MEMBERSHIPS).await;
        }
        stored.memberships_among(user, &among).await
    }

    /// Returns what has changed of a user's conversations since a time, for all or for himself alone.
    pub(crate) async fn list_changed(
        &self,
        user: UserId,
        since: DateTime,
        limit: u32,
    ) -> Result<Changed, Error> {
        let limit = match limit {
            0 => DEFAULT_CHANGED,
            limit => limit.min(MOST_CHANGED),
        };
        let since = before(since, OVERLAP);
        let stored = self.store.conversations();
        // One more than wanted tells whether there are more.
        let more = limit.saturating_add(1);
        let (for_all, for_himself, mut left) = tokio::try_join!(
            stored.changed_since(user, since, more),
            stored.own_changed_since(user, since, more),
            stored.left_since(user, since, more),
        )?;
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut changed = once(for_all, for_himself);
        let has_more = changed.len() > size || left.len() > size;
        changed.truncate(size);
        left.truncate(size);
        let is_hidden = |found: &Conversation| found.hidden_for.contains(&user);
        let (hidden, conversations): (Vec<_>, Vec<_>) = changed.into_iter().partition(is_hidden);
        let hidden = hidden.into_iter().map(|found| found.id).collect();
        Ok(Changed { conversations, hidden, left, has_more })
    }
}

/// Returns the conversations of two lists, each once, newest message first.
fn once(mut one: Vec<Conversation>, other: Vec<Conversation>) -> Vec<Conversation> {
    let known: HashSet<ConversationId> = one.iter().map(|found| found.id).collect();
    one.extend(other.into_iter().filter(|found| !known.contains(&found.id)));
    one.sort_unstable_by_key(|found| Reverse((found.last_message_at, found.updated_at, found.id)));
    one
}
