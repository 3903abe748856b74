//! Which sockets of this gateway calls need: the service of calls is told that they are there.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use bson::oid::ObjectId;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Sockets that are offered again at the same time; further ones wait.
const MOST_OFFERS: usize = 64;

/// The sockets of this gateway that calls are bound to, or that stand by; cheap to clone.
#[derive(Clone, Debug)]
pub struct Bound {
    sockets: Arc<Mutex<HashMap<ObjectId, String>>>,
    offers: Arc<Semaphore>,
}

impl Default for Bound {
    fn default() -> Self {
        Self { sockets: Arc::default(), offers: Arc::new(Semaphore::new(MOST_OFFERS)) }
    }
}

impl Bound {
    /// Notes that a call needs a socket. Nobody is in two calls: the newest is the one.
    pub fn hold(&self, socket_id: ObjectId, call_id: &str) {
        self.sockets.lock().insert(socket_id, call_id.to_owned());
    }

    /// Notes that a call needs a socket that none is known to need. What says so may be old.
    pub fn hold_if_free(&self, socket_id: ObjectId, call_id: &str) {
        self.sockets.lock().entry(socket_id).or_insert_with(|| call_id.to_owned());
    }

    /// Returns the places of the sockets that are offered again.
    #[must_use]
    pub fn offers(&self) -> Arc<Semaphore> {
        Arc::clone(&self.offers)
    }

    /// Returns the sockets that a call needs, of either side.
    #[must_use]
    pub fn of(&self, call_id: &str) -> Vec<ObjectId> {
        let sockets = self.sockets.lock();
        sockets.iter().filter(|(_, own)| *own == call_id).map(|(socket, _)| *socket).collect()
    }

    /// Forgets a socket; says whether a call needed it.
    #[must_use]
    pub fn forget(&self, socket_id: ObjectId) -> bool {
        self.sockets.lock().remove(&socket_id).is_some()
    }

    /// Forgets the sockets of a call that is over.
    pub fn release(&self, call_id: &str) {
        self.sockets.lock().retain(|_, own| own != call_id);
    }

    /// Forgets a socket that a call does not need any more, unless another needs it by now.
    pub fn release_socket(&self, socket_id: ObjectId, call_id: &str) {
        if let Entry::Occupied(own) = self.sockets.lock().entry(socket_id)
            && own.get() == call_id
        {
            own.remove();
        }
    }

    /// Says whether a call needs a socket.
    #[must_use]
    pub fn holds(&self, socket_id: ObjectId, call_id: &str) -> bool {
        self.sockets.lock().get(&socket_id).is_some_and(|own| own == call_id)
    }

    /// Returns all sockets, each with its call.
    #[must_use]
    pub fn all(&self) -> Vec<(ObjectId, String)> {
        self.sockets.lock().iter().map(|(socket, call)| (*socket, call.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_is_held_until_it_or_its_call_goes() {
        let (bound, one, other) = (Bound::default(), ObjectId::new(), ObjectId::new());
        bound.hold(one, "a");
        bound.hold(other, "b");
        assert!(bound.holds(one, "a") && !bound.holds(one, "b"));
        bound.release("a");
        assert!(!bound.holds(one, "a") && bound.holds(other, "b"));
        assert!(bound.forget(other));
        assert!(!bound.forget(other), "once");
        assert!(bound.all().is_empty());
    }

    #[test]
    fn old_news_do_not_take_the_socket_of_a_newer_call() {
        let (bound, socket) = (Bound::default(), ObjectId::new());
        bound.hold(socket, "b");
        bound.hold_if_free(socket, "a");
        assert_eq!((bound.of("a"), bound.of("b")), (vec![], vec![socket]));
        bound.release("b");
        bound.hold_if_free(socket, "a");
        assert_eq!(bound.of("a"), [socket]);
    }

    #[test]
    fn end_of_an_older_call_does_not_take_the_socket_of_a_newer_one() {
        let (bound, socket) = (Bound::default(), ObjectId::new());
        bound.hold(socket, "a");
        bound.hold(socket, "b");
        bound.release("a");
        bound.release_socket(socket, "a");
        assert_eq!(bound.all(), [(socket, "b".to_owned())]);
        bound.release_socket(socket, "b");
        assert!(bound.all().is_empty());
    }
}
