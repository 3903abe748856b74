//! Where a page of the list of users ended, as a text that callers hand back unread.

use std::fmt;

use bson::oid::ObjectId;
use chat_kit::id::UserId;

use crate::error::Error;

/// Hex characters of an id.
const ID: usize = 24;

/// The keys of the last user on a page, in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) id: UserId,
    pub(crate) name_key: String,
}

impl Cursor {
    /// Reads the text of a cursor.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or(Error::InvalidCursor)
    }

    fn read(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) || !text.len().is_multiple_of(2) {
            return None;
        }
        let (id, name_key) = text.split_at_checked(ID)?;
        let digits = name_key.as_bytes().chunks(2);
        let bytes = digits.map(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        Some(Self {
            id: UserId(ObjectId::parse_str(id).ok()?),
            name_key: String::from_utf8(bytes.collect::<Option<_>>()?).ok()?,
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.id)?;
        self.name_key.bytes().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_survives_the_way_out_and_back() {
        for name_key in ["", "ada", "zoë \u{1f44b}", "\u{10ffff}"] {
            let cursor = Cursor { id: UserId::new(), name_key: name_key.to_owned() };
            assert_eq!(Cursor::parse(&cursor.to_string()).expect("a cursor"), cursor);
        }
    }

    #[test]
    fn any_other_text_is_not_a_cursor() {
        let id = "0".repeat(24);
        for text in ["0", &"+".repeat(24), &"é".repeat(12), &format!("{id}0"), &format!("{id}ff")]
        {
            Cursor::parse(text).expect_err("not a cursor");
        }
    }
}
