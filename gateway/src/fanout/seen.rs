//! The ids of events that were emitted a while ago: what is published or replayed again is known by its
//! id. Messages are not among them, whose numbers say as much.

use std::collections::{HashSet, VecDeque};

/// Ids that are remembered; the oldest go. More than come in the minutes that a replay reaches back.
const MOST: usize = 50_000;

/// Ids of events, in the order of their coming.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

impl Seen {
    /// Notes an id; says whether it is new.
    pub(super) fn note(&mut self, id: &str) -> bool {
        if self.known.contains(id) {
            return false;
        }
        if self.order.len() == MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(id.into());
        self.order.push_back(id.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_new_once_until_it_is_forgotten() {
        let mut seen = Seen::default();
        assert!(seen.note("a"));
        assert!(!seen.note("a"));
        for id in 0..MOST {
            assert!(seen.note(&id.to_string()));
        }
        assert!(seen.note("a"), "the oldest goes");
        assert_eq!((seen.known.len(), seen.order.len()), (MOST, MOST));
    }
}
