//! Reading groups: one, the own ones by page, and the public ones by name.

use bson::DateTime;
use chat_kit::id::{ConversationId, UserId};

use super::GroupError;
use crate::{
    Service,
    error::Error,
    store::{conversations::Conversation, groups::PublicGroup},
};

/// Which page of the own groups is wanted.
pub(crate) struct WantedGroups {
    /// From 1.
    pub(crate) page: u32,
    /// At least one.
    pub(crate) limit: u32,
    /// What the name has in it, in small letters.
    pub(crate) search: String,
    /// When the last group of the page before changed, and its id; in place of the number of the page.
    pub(crate) after: Option<(DateTime, ConversationId)>,
}

/// A page of the own groups.
pub(crate) struct ListedGroups {
    pub(crate) groups: Vec<Conversation>,
    /// How many there are on all pages.
    pub(crate) total: u64,
    pub(crate) limit: u32,
    /// Whether there is another page.
    pub(crate) goes_on: bool,
}

/// Which page of the public groups is wanted.
pub(crate) struct WantedPublic {
    /// What the name begins with, in small letters.
    pub(crate) prefix: String,
    /// At least one.
    pub(crate) limit: u32,
    /// Where the page before ended.
    pub(crate) after: Option<(String, ConversationId)>,
}

/// A page of the public groups.
pub(crate) struct ListedPublic {
    pub(crate) groups: Vec<PublicGroup>,
    /// Whether there is another page.
    pub(crate) goes_on: bool,
}

impl Service {
    /// Returns a group to one of its members.
    pub(crate) async fn get_group(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Conversation, Error> {
        let found = self.store.groups().get(id).await?.ok_or(GroupError::NotFound)?;
        if found.member_ids.contains(&user) { Ok(found) } else { Err(Error::NotAMember) }
    }

    /// Returns a page of the own groups.
    pub(crate) async fn list_groups(
        &self,
        user: UserId,
        wanted: &WantedGroups,
    ) -> Result<ListedGroups, Error> {
        let stored = self.store.groups();
        let skip = match wanted.after {
            Some(_) => 0,
            None => u64::from(wanted.page.saturating_sub(1)) * u64::from(wanted.limit),
        };
        // One more than wanted tells whether the list goes on.
        let limit = wanted.limit.saturating_add(1);
        let (mut groups, total) = tokio::try_join!(
            stored.page(user, &wanted.search, wanted.after, skip, limit),
            stored.count(user, &wanted.search),
        )?;
        let size = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let goes_on = groups.len() > size;
        groups.truncate(size);
        Ok(ListedGroups { groups, total, limit: wanted.limit, goes_on })
    }

    /// Returns a page of the public groups.
    pub(crate) async fn list_public(&self, wanted: WantedPublic) -> Result<ListedPublic, Error> {
        // One more than wanted tells whether the list goes on.
        let limit = wanted.limit.saturating_add(1);
        let stored = self.store.groups();
        let mut groups = stored.public_page(&wanted.prefix, wanted.after, limit).await?;
        let size = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let goes_on = groups.len() > size;
        groups.truncate(size);
        Ok(ListedPublic { groups, goes_on })
    }
}
