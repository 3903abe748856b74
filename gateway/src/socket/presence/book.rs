//! Which sockets the user service knows of, and which it is still to be told of. Pure: who makes the calls
//! says how they ended.

use std::collections::{BTreeSet, HashMap};

use bson::oid::ObjectId;
use chat_kit::id::UserId;

/// How far the registration of a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is still to be registered. After a call that failed it may be registered all the same.
    Waiting { is_tried: bool },
    /// A call with it is under way.
    UnderWay,
    /// It is registered.
    Held,
}

#[derive(Debug)]
struct Entry {
    user_id: UserId,
    state: State,
    is_gone: bool,
}

/// The sockets of this gateway, as far as the user service is to know of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<ObjectId, Entry>,
    /// Those still to be registered. Ids grow with time: the first that came is the first.
    coming: BTreeSet<ObjectId>,
    /// Those to be unregistered.
    going: BTreeSet<ObjectId>,
}

impl Book {
    /// Notes that a socket has come.
    pub(super) fn come(&mut self, id: ObjectId, user_id: UserId) {
        let state = State::Waiting { is_tried: false };
        self.entries.insert(id, Entry { user_id, state, is_gone: false });
        self.coming.insert(id);
    }

    /// Notes that a socket is gone; one that never came is not known.
    pub(super) fn go(&mut self, id: ObjectId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match entry.state {
            State::Waiting { is_tried: false } => {
                self.entries.remove(&id);
                self.coming.remove(&id);
            }
            State::UnderWay => entry.is_gone = true,
            State::Waiting { is_tried: true } | State::Held => {
                entry.is_gone = true;
                self.coming.remove(&id);
                self.going.insert(id);
            }
        }
    }

    /// Notes that all sockets are gone.
    pub(super) fn go_all(&mut self) {
        let all: Vec<ObjectId> = self.entries.keys().copied().collect();
        for id in all {
            self.go(id);
        }
    }

    /// Says whether nothing is registered and nothing is to be.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes sockets for a call that registers them, the longest waiting first.
    pub(super) fn take_coming(&mut self, most: usize) -> Vec<(ObjectId, UserId)> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(id) = self.coming.pop_first()
        {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.state = State::UnderWay;
                taken.push((id, entry.user_id));
            }
        }
        taken
    }

    /// Notes how such a call ended.
    pub(super) fn came(&mut self, taken: &[(ObjectId, UserId)], is_registered: bool) {
        for (id, _) in taken {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            if is_registered || entry.is_gone {
                entry.state = State::Held;
            } else {
                entry.state = State::Waiting { is_tried: true };
                self.coming.insert(*id);
            }
            if entry.is_gone {
                self.going.insert(*id);
            }
        }
    }

    /// Takes sockets for a call that unregisters them.
    pub(super) fn take_going(&mut self, most: usize) -> Vec<ObjectId> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(id) = self.going.pop_first()
        {
            taken.push(id);
        }
        taken
    }

    /// Notes how such a call ended.
    pub(super) fn went(&mut self, taken: &[ObjectId], is_unregistered: bool) {
        for id in taken {
            if is_unregistered {
                self.entries.remove(id);
            } else {
                self.going.insert(*id);
            }
        }
    }

    /// Notes that the lease is over: all sockets that are here are to be registered under another one. Those
    /// that are gone went with it.
    pub(super) fn begin_again(&mut self) {
        self.going.clear();
        self.entries.retain(|_, entry| !entry.is_gone);
        for (id, entry) in &mut self.entries {
            entry.state = State::Waiting { is_tried: true };
            self.coming.insert(*id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(taken: &[(ObjectId, UserId)]) -> Vec<ObjectId> {
        taken.iter().map(|(id, _)| *id).collect()
    }

    /// A book with sockets, and their ids.
    fn book<const COUNT: usize>() -> (Book, [ObjectId; COUNT]) {
        let mut book = Book::default();
        let ids = std::array::from_fn(|_| ObjectId::new());
        for id in ids {
            book.come(id, UserId::new());
        }
        (book, ids)
    }

    #[test]
    fn sockets_are_registered_and_unregistered_once() {
        let (mut book, [one, two, three]) = book();
        let taken = book.take_coming(2);
        assert_eq!(ids(&taken), [one, two]);
        book.came(&taken, true);
        let taken = book.take_coming(2);
        assert_eq!(ids(&taken), [three]);
        book.came(&taken, true);
        assert!(book.take_coming(2).is_empty());
        book.go(one);
        book.go(one);
        assert_eq!(book.take_going(2), [one]);
        book.went(&[one], true);
        book.go(one);
        assert!(book.take_going(2).is_empty());
        book.go_all();
        assert_eq!(book.take_going(3), [two, three]);
        book.went(&[two, three], true);
        assert!(book.is_empty());
    }

    #[test]
    fn socket_that_went_before_its_registration_was_never_there() {
        let (mut book, [one, two]) = book();
        book.go(one);
        assert_eq!(ids(&book.take_coming(5)), [two]);
        assert!(book.take_going(5).is_empty());
    }

    #[test]
    fn socket_that_goes_while_it_is_registered_is_unregistered_whatever_became_of_it() {
        for is_registered in [true, false] {
            let (mut book, [one]) = book();
            let taken = book.take_coming(5);
            book.go(one);
            assert!(book.take_going(5).is_empty(), "not while the call is under way");
            book.came(&taken, is_registered);
            assert!(book.take_coming(5).is_empty());
            assert_eq!(book.take_going(5), [one]);
        }
    }

    #[test]
    fn what_failed_is_done_again_and_may_have_been_done() {
        let (mut book, [one]) = book();
        let taken = book.take_coming(5);
        book.came(&taken, false);
        let taken = book.take_coming(5);
        assert_eq!(ids(&taken), [one]);
        book.came(&taken, false);
        book.go(one);
        assert!(book.take_coming(5).is_empty());
        assert_eq!(book.take_going(5), [one], "it may be registered");
        book.went(&[one], false);
        assert_eq!(book.take_going(5), [one]);
    }

    #[test]
    fn under_another_lease_all_that_are_here_are_registered_again() {
        let (mut book, [one, two, three]) = book();
        let taken = book.take_coming(2);
        book.came(&taken, true);
        book.go(one);
        book.begin_again();
        assert!(book.take_going(5).is_empty(), "the lease took it along");
        assert_eq!(ids(&book.take_coming(5)), [two, three]);
    }
}
