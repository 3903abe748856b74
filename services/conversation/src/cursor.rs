//! Where a page of the list of conversations ended, as a text that callers hand back unread.

use std::fmt;

use bson::{DateTime, oid::ObjectId};
use chat_kit::id::ConversationId;

use crate::error::Error;

/// Hex characters of an instant and of an id.
pub(crate) const INSTANT: usize = 16;
const ID: usize = 24;

/// The keys of the last conversation on a page, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Absent among the conversations without a message, which come last.
    pub(crate) last_message_at: Option<DateTime>,
    pub(crate) updated_at: DateTime,
    pub(crate) id: ConversationId,
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
        let has_message = match text.len() {
            length if length == INSTANT + ID => false,
            length if length == INSTANT + INSTANT + ID => true,
            _ => return None,
        };
        let (last_message_at, rest) = if has_message {
            let (text, rest) = text.split_at(INSTANT);
            (Some(instant(text)?), rest)
        } else {
            (None, text)
        };
        let (updated_at, id) = rest.split_at(INSTANT);
        Some(Self {
            last_message_at,
            updated_at: instant(updated_at)?,
            id: ConversationId(ObjectId::parse_str(id).ok()?),
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.last_message_at {
            write!(formatter, "{:016x}", time.timestamp_millis())?;
        }
        write!(formatter, "{:016x}{}", self.updated_at.timestamp_millis(), self.id)
    }
}

/// Reads an instant and an id, which [`write_place`] wrote.
pub(crate) fn read_place(text: &str) -> Option<(DateTime, ConversationId)> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let (at, id) = text.split_at_checked(INSTANT)?;
    Some((instant(at)?, ConversationId(ObjectId::parse_str(id).ok()?)))
}

/// Writes an instant and an id.
pub(crate) fn write_place(at: DateTime, id: ConversationId) -> String {
    format!("{:016x}{id}", at.timestamp_millis())
}

pub(crate) fn instant(text: &str) -> Option<DateTime> {
    let bits = u64::from_str_radix(text, 16).ok()?;
    Some(DateTime::from_millis(bits.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_survives_the_way_out_and_back() {
        for last_message_at in [None, Some(DateTime::from_millis(-1)), Some(DateTime::MAX)] {
            let cursor = Cursor {
                last_message_at,
                updated_at: DateTime::from_millis(1_769_847_330_123),
                id: ConversationId::new(),
            };
            assert_eq!(Cursor::parse(&cursor.to_string()).expect("a cursor"), cursor);
        }
    }

    #[test]
    fn place_survives_the_way_out_and_back() {
        for at in [DateTime::from_millis(-1), DateTime::from_millis(1_769_847_330_123)] {
            let id = ConversationId::new();
            assert_eq!(read_place(&write_place(at, id)), Some((at, id)));
        }
        for text in ["", "0", &"+".repeat(40), &"é".repeat(20), &"0".repeat(41), &"g".repeat(40)] {
            assert_eq!(read_place(text), None, "{text}");
        }
    }

    #[test]
    fn any_other_text_is_not_a_cursor() {
        for text in ["0", &"+".repeat(40), &"é".repeat(20), &"0".repeat(41), &"g".repeat(56)] {
            Cursor::parse(text).expect_err("not a cursor");
        }
    }
}
