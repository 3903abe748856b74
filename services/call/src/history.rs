//! The list of a user's calls, page by page, and where a page of it ended.

use std::fmt;

use bson::DateTime;
use chat_kit::id::UserId;

use crate::{
    Service,
    error::Error,
    state::{Call, CallId},
};

/// Hex characters of an instant.
const INSTANT: usize = 16;

/// Which page is wanted.
pub(crate) struct Wanted {
    /// At least one.
    pub(crate) limit: u32,
    /// Where the page before ended.
    pub(crate) after: Option<Cursor>,
}

/// One page.
pub(crate) struct Listed {
    pub(crate) calls: Vec<Call>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<Cursor>,
}

/// The keys of the last call on a page, in the order of the list; as a text that callers hand back unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) placed_at: DateTime,
    pub(crate) id: CallId,
}

impl Service {
    /// Returns one page of a user's calls, the newest first.
    pub(crate) async fn list(&self, user: UserId, wanted: &Wanted) -> Result<Listed, Error> {
        // One more than wanted tells whether the list goes on.
        let limit = wanted.limit.saturating_add(1);
        let mut calls = self.store.calls().page(user, wanted.after.as_ref(), limit).await?;
        let size = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let goes_on = calls.len() > size;
        calls.truncate(size);
        let last = calls.last().filter(|_| goes_on);
        let next = last.map(|last| Cursor { placed_at: last.placed_at, id: last.id.clone() });
        Ok(Listed { calls, next })
    }
}

impl Cursor {
    /// Reads the text of a cursor.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or(Error::Invalid("page.cursor"))
    }

    fn read(text: &str) -> Option<Self> {
        let (placed_at, id) = text.split_at_checked(INSTANT)?;
        if !placed_at.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let millis = u64::from_str_radix(placed_at, 16).ok()?.cast_signed();
        Some(Self { placed_at: DateTime::from_millis(millis), id: id.parse().ok()? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{}", self.placed_at.timestamp_millis(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_survives_the_way_out_and_back() {
        for placed_at in [DateTime::from_millis(-1), DateTime::from_millis(1_769_847_330_123)] {
            let cursor = Cursor { placed_at, id: CallId::random().expect("random") };
            assert_eq!(Cursor::parse(&cursor.to_string()).expect("a cursor"), cursor);
        }
    }

    #[test]
    fn any_other_text_is_not_a_cursor() {
        for text in ["0", &"+".repeat(48), &"é".repeat(24), &"0".repeat(49), &"0".repeat(40)] {
            Cursor::parse(text).expect_err("not a cursor");
        }
    }
}
