//! The newest change that was heard of each user: what comes too late is known by its number, and who is
//! told how it is was perhaps answered before it.

use std::collections::{HashMap, VecDeque};

use chat_proto::v1 as pb;

/// Users that are remembered; those heard of first go.
const MOST: usize = 50_000;

/// The newest changes.
#[derive(Debug, Default)]
pub(super) struct Known {
    changes: HashMap<Box<str>, pb::PresenceChanged>,
    order: VecDeque<Box<str>>,
}

impl Known {
    /// Notes a change; says whether it is later than what is known.
    pub(super) fn note(&mut self, changed: &pb::PresenceChanged) -> bool {
        if let Some(known) = self.changes.get_mut(changed.user_id.as_str()) {
            let is_later = changed.number > known.number;
            if is_later {
                known.clone_from(changed);
            }
            return is_later;
        }
        if self.order.len() == MOST
            && let Some(first) = self.order.pop_front()
        {
            self.changes.remove(&first);
        }
        self.order.push_back(changed.user_id.as_str().into());
        self.changes.insert(changed.user_id.as_str().into(), changed.clone());
        true
    }

    /// Puts what is known in the place of what was answered before it. What is hidden stays so.
    pub(super) fn correct(&self, answered: &mut pb::Presence) {
        let Some(known) = self.changes.get(answered.user_id.as_str()) else { return };
        if answered.number >= 0 && known.number > answered.number {
            answered.number = known.number;
            answered.is_online = known.is_online;
            answered.last_seen_at = known.at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(user_id: &str, is_online: bool, number: i64) -> pb::PresenceChanged {
        pb::PresenceChanged { user_id: user_id.to_owned(), is_online, at: None, number }
    }

    #[test]
    fn change_that_comes_after_a_later_one_is_not_told() {
        let mut known = Known::default();
        assert!(known.note(&changed("a", true, 1)));
        assert!(!known.note(&changed("a", true, 1)), "heard again");
        assert!(known.note(&changed("a", true, 3)));
        assert!(!known.note(&changed("a", false, 2)), "too late");
        assert!(known.note(&changed("b", false, 2)), "of somebody else");
    }

    #[test]
    fn answer_gives_way_to_what_was_heard_after_it() {
        let mut known = Known::default();
        known.note(&changed("a", false, 4));
        for (number, is_online) in [(3, false), (4, true), (5, true), (-1, true)] {
            let mut answered = pb::Presence {
                user_id: "a".to_owned(),
                is_online: true,
                last_seen_at: None,
                number,
            };
            known.correct(&mut answered);
            assert_eq!(answered.is_online, is_online, "{number}");
        }
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let mut known = Known::default();
        for user in 0..=MOST {
            assert!(known.note(&changed(&user.to_string(), true, 1)));
        }
        assert_eq!((known.changes.len(), known.order.len()), (MOST, MOST));
        assert!(known.note(&changed("0", true, 1)));
    }
}
