//! The newest change of each message that was emitted here, of each kind: what is published again, or
//! comes too late, is known by its number.

use std::collections::{HashMap, VecDeque};

use crate::wire::event::Change;

/// Messages that are remembered; the longest unchanged go.
const MOST: usize = 50_000;

/// The newest changes of messages.
#[derive(Debug, Default)]
pub(super) struct Latest {
    changes: HashMap<Box<str>, Changes>,
    order: VecDeque<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    edited: i64,
    reacted: i64,
    is_gone: bool,
}

impl Latest {
    /// Notes a change; says whether it is newer than those of its kind. Behind a deletion nothing comes.
    pub(super) fn note(&mut self, message_id: &str, change: Change, number: i64) -> bool {
        if !self.changes.contains_key(message_id) {
            if self.order.len() == MOST
                && let Some(oldest) = self.order.pop_front()
            {
                self.changes.remove(&oldest);
            }
            self.order.push_back(message_id.into());
        }
        let known = self.changes.entry(message_id.into()).or_default();
        if known.is_gone {
            return false;
        }
        let newest = match change {
            Change::Deleted => {
                known.is_gone = true;
                return true;
            }
            Change::Edited => &mut known.edited,
            Change::Reacted => &mut known.reacted,
        };
        let is_newer = number > *newest;
        *newest = number.max(*newest);
        is_newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_is_new_once_and_never_after_a_later_one() {
        let mut latest = Latest::default();
        assert!(latest.note("a", Change::Edited, 1));
        assert!(!latest.note("a", Change::Edited, 1), "heard again");
        assert!(latest.note("a", Change::Reacted, 3));
        assert!(latest.note("a", Change::Edited, 2), "of another kind than the later one");
        assert!(!latest.note("a", Change::Reacted, 2), "too late");
        assert!(latest.note("b", Change::Edited, 1), "of another message");
        assert!(latest.note("a", Change::Deleted, 4));
        for change in [Change::Deleted, Change::Edited, Change::Reacted] {
            assert!(!latest.note("a", change, 5), "nothing comes behind a deletion");
        }
    }

    #[test]
    fn longest_known_message_goes() {
        let mut latest = Latest::default();
        for id in 0..=MOST {
            assert!(latest.note(&id.to_string(), Change::Edited, 1));
        }
        assert_eq!((latest.changes.len(), latest.order.len()), (MOST, MOST));
        assert!(latest.note("0", Change::Edited, 1));
    }
}
