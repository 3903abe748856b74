//! The list of a user's chat requests, page by page, and where a page of it ended.

use std::fmt;

use bson::{DateTime, oid::ObjectId};
use chat_kit::id::{ConversationId, UserId};

use crate::{
    Service,
    cursor::{INSTANT, instant},
    error::Error,
    store::conversations::{Conversation, ConversationStatus},
};

/// Which page is wanted.
pub(crate) struct Wanted {
    pub(crate) status: ConversationStatus,
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

/// The keys of the last conversation on a page, in the order of the list; as a text that callers hand back
/// unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) created_at: DateTime,
    pub(crate) id: ConversationId,
}

impl Service {
    /// Returns one page of what was sent and received, the newest first.
    pub(crate) async fn list_requests(
        &self,
        user: UserId,
        wanted: &Wanted,
    ) -> Result<Listed, Error> {
        // One more than wanted tells whether the list goes on.
        let limit = wanted.limit.saturating_add(1);
        let stored = self.store.requests();
        let mut conversations = stored.page(user, wanted.status, wanted.after, limit).await?;
        let size = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let goes_on = conversations.len() > size;
        conversations.truncate(size);
        let last = conversations.last().filter(|_| goes_on);
        let next = last.map(|last| Cursor { created_at: last.created_at, id: last.id });
        Ok(Listed { conversations, next })
    }
}

impl Cursor {
    /// Reads the text of a cursor.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or(Error::Invalid("page.cursor"))
    }

    fn read(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (created_at, id) = text.split_at_checked(INSTANT)?;
        let id = ConversationId(ObjectId::parse_str(id).ok()?);
        Some(Self { created_at: instant(created_at)?, id })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{}", self.created_at.timestamp_millis(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_survives_the_way_out_and_back() {
        for created_at in [DateTime::from_millis(-1), DateTime::from_millis(1_769_847_330_123)] {
            let cursor = Cursor { created_at, id: ConversationId::new() };
            assert_eq!(Cursor::parse(&cursor.to_string()).expect("a cursor"), cursor);
        }
    }

    #[test]
    fn any_other_text_is_not_a_cursor() {
        for text in ["0", &"+".repeat(40), &"é".repeat(20), &"0".repeat(41), &"0".repeat(56)] {
            Cursor::parse(text).expect_err("not a cursor");
        }
    }
}
