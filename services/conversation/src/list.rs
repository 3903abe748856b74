//! The list of a user's conversations, page by page.

use chat_kit::id::UserId;

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

    /// Returns the newest conversations of a user, whatever their status.
    pub(crate) async fn memberships(&self, user: UserId) -> Result<Vec<Membership>, Error> {
        self.store.conversations().memberships(user, MOST_MEMBERSHIPS).await
    }
}
