//! Blocks: requests to validated input, documents to protobuf. Pure.

use bson::{DateTime, oid::ObjectId};
use chat_proto::v1 as pb;

use crate::{
    block::ListedBlocks,
    config::Limits,
    error::Error,
    store::blocks::{Block, Place},
};

/// Blocks on any page: as many profiles as are shown at once.
const LARGEST_PAGE: u32 = 100;
/// Hex characters of an instant, which come before those of an id.
const INSTANT: usize = 16;

/// Reads which page of the blocks is wanted: where it begins, and how long it may be.
pub(crate) fn blocked_page(
    request: pb::ListBlockedRequest,
    limits: &Limits,
) -> Result<(Option<Place>, u32), Error> {
    let page = request.page.unwrap_or_default();
    let limit = if page.limit == 0 { limits.page.get() } else { page.limit };
    let after = match page.cursor.as_str() {
        "" => None,
        cursor => Some(read_cursor(cursor).ok_or(Error::Invalid("page.cursor"))?),
    };
    Ok((after, limit.min(LARGEST_PAGE)))
}

/// Writes a page of the blocks.
pub(crate) fn blocked(listed: &ListedBlocks) -> pb::ListBlockedResponse {
    let last = listed.blocks.last().filter(|_| listed.goes_on);
    pb::ListBlockedResponse {
        user_ids: listed.blocks.iter().map(|block| block.blocked_id.to_string()).collect(),
        page: Some(pb::PageResponse { next_cursor: last.map(cursor).unwrap_or_default() }),
    }
}

fn cursor(last: &Block) -> String {
    format!("{:016x}{}", last.created_at.timestamp_millis(), last.id)
}

fn read_cursor(text: &str) -> Option<Place> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let (instant, id) = text.split_at_checked(INSTANT)?;
    let millis = u64::from_str_radix(instant, 16).ok()?.cast_signed();
    let id = ObjectId::parse_str(id).ok()?;
    Some(Place { created_at: DateTime::from_millis(millis), id })
}

#[cfg(test)]
mod tests {
    use chat_kit::id::UserId;

    use super::*;

    #[test]
    fn cursor_survives_the_way_out_and_back() {
        for millis in [-1, 0, 1_769_847_330_123] {
            let created_at = DateTime::from_millis(millis);
            let last = Block { id: ObjectId::new(), blocked_id: UserId::new(), created_at };
            let place = Place { created_at, id: last.id };
            assert_eq!(read_cursor(&cursor(&last)), Some(place));
        }
        for text in ["0", &"0".repeat(39), &"0".repeat(41), &"é".repeat(20), &"+".repeat(40)] {
            assert_eq!(read_cursor(text), None, "{text}");
        }
    }

    #[test]
    fn page_has_a_default_and_a_cap() {
        for (asked, expected) in [(0, 50), (7, 7), (101, 100), (u32::MAX, 100)] {
            let page = Some(pb::PageRequest { limit: asked, cursor: String::new() });
            let request = pb::ListBlockedRequest { page };
            let (after, limit) = blocked_page(request, &Limits::default()).expect("a page");
            assert_eq!((after, limit), (None, expected));
        }
    }
}
