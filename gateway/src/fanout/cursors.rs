//! How far the sockets of this gateway have been told that somebody has heard and read: what is heard late, in
//! a replay or from another replica, takes nothing of that back.

use std::collections::{HashMap, VecDeque};

use chat_kit::id::{ConversationId, UserId};

/// Cursors that are remembered; the longest known go. More than move in the minutes that a replay reaches
/// back.
const MOST: usize = 100_000;

/// A cursor, as somebody is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cursor {
    /// How far somebody has read, which all members hear.
    Read(ConversationId, UserId),
    /// How much has reached somebody, which each sender hears of his own.
    Delivered(ConversationId, UserId, UserId),
}

/// The greatest numbers that were told.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    told: HashMap<Cursor, i64>,
    order: VecDeque<Cursor>,
}

impl Cursors {
    /// Notes where a cursor stands; says whether that is further than was told.
    pub(super) fn note(&mut self, cursor: Cursor, seq: i64) -> bool {
        if let Some(told) = self.told.get_mut(&cursor) {
            let is_further = seq > *told;
            *told = seq.max(*told);
            return is_further;
        }
        if self.order.len() == MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
        self.order.push_back(cursor);
        self.told.insert(cursor, seq);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_told_forward_alone() {
        let (conversation, [ada, grace]) = (ConversationId::new(), [UserId::new(), UserId::new()]);
        let mut cursors = Cursors::default();
        let read = Cursor::Read(conversation, grace);
        let delivered = Cursor::Delivered(conversation, grace, ada);
        for (cursor, seq, is_further) in [
            (read, 5, true),
            (read, 9, true),
            (read, 7, false),
            (read, 9, false),
            (delivered, 7, true),
            (Cursor::Read(conversation, ada), 7, true),
            (Cursor::Read(ConversationId::new(), grace), 7, true),
            (Cursor::Delivered(conversation, grace, grace), 5, true),
            (delivered, 5, false),
            (read, 10, true),
        ] {
            assert_eq!(cursors.note(cursor, seq), is_further, "{cursor:?} {seq}");
        }
    }

    #[test]
    fn longest_known_cursor_goes() {
        let mut cursors = Cursors::default();
        let reader = UserId::new();
        let first = Cursor::Read(ConversationId::new(), reader);
        assert!(cursors.note(first, 5));
        for _ in 0..MOST {
            assert!(cursors.note(Cursor::Read(ConversationId::new(), reader), 1));
        }
        assert_eq!((cursors.told.len(), cursors.order.len()), (MOST, MOST));
        assert!(cursors.note(first, 1));
    }
}
