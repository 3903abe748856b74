//! The sockets of this gateway by user. One is here from before its client is told that it is connected
//! until its transport has ended.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bson::oid::ObjectId;
use chat_kit::{id::UserId, session::SessionHash};
use parking_lot::RwLock;
use tokio::task::JoinSet;

use super::{Peer, presence::Presence};
use crate::{
    error::ApiError,
    metrics::{Cut, SOCKETS},
};

/// In how many steps many sockets are cut, so that they do not all come back at once.
const CUT_BATCHES: usize = 20;
/// Sockets that are cut at once however few there are.
const SMALLEST_CUT_BATCH: usize = 50;
/// Pause between two steps.
const CUT_PAUSE: Duration = Duration::from_millis(100);

/// All sockets of this gateway.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    registry: Arc<RwLock<Registry>>,
    presence: Presence,
}

#[derive(Debug, Default)]
struct Registry {
    users: HashMap<UserId, Vec<Peer>>,
    /// By the end of its token or session, the next one first.
    ends: BTreeMap<(SystemTime, ObjectId), Peer>,
    /// Whether who comes is cut at once.
    is_closed: bool,
}

/// The place of a socket among the others; it ends with this value, and with the socket, whichever
/// ends first.
#[derive(Debug)]
pub struct Registration {
    sockets: Sockets,
    peer: Peer,
}

impl Sockets {
    /// Takes a socket in.
    #[must_use]
    pub fn register(&self, peer: Peer) -> Registration {
        let mut registry = self.registry.write();
        let is_closed = registry.is_closed;
        registry.users.entry(peer.identity().user_id).or_default().push(peer.clone());
        registry.ends.insert(end_of(&peer), peer.clone());
        drop(registry);
        SOCKETS.connected.increment(1.0);
        if is_closed {
            peer.cut(Cut::Draining);
        }
        Registration { sockets: self.clone(), peer }
    }

    /// Returns what is known of presence.
    #[must_use]
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Says whether one of several users has a socket here.
    #[must_use]
    pub fn has_any(&self, users: &[UserId]) -> bool {
        let registry = self.registry.read();
        users.iter().any(|user| registry.users.contains_key(user))
    }

    /// Returns the sockets of several users.
    #[must_use]
    pub fn of(&self, users: &[UserId]) -> Vec<Peer> {
        let registry = self.registry.read();
        users.iter().filter_map(|user| registry.users.get(user)).flatten().cloned().collect()
    }

    /// Returns all sockets.
    #[must_use]
    pub fn all(&self) -> Vec<Peer> {
        self.registry.read().users.values().flatten().cloned().collect()
    }

    /// Returns the sockets whose time is over, each once.
    #[must_use]
    pub fn take_expired(&self, now: SystemTime) -> Vec<Peer> {
        let mut registry = self.registry.write();
        let mut expired = Vec::new();
        while registry.ends.first_key_value().is_some_and(|((end, _), _)| *end <= now) {
            expired.extend(registry.ends.pop_first().map(|(_, peer)| peer));
        }
        expired
    }

    /// Ends the sockets of a session, or those of a user's tokens without one.
    pub fn end_session(&self, user_id: UserId, session: Option<SessionHash>, reason: &ApiError) {
        for peer in self.of(&[user_id]) {
            if peer.identity().session() == session {
                peer.revoke(reason);
            }
        }
    }

    /// Cuts the transports of all sockets, spread over about two seconds where they are many.
    pub async fn cut_all(&self, reason: Cut) {
        for batch in self.batches() {
            for peer in &batch {
                peer.cut(reason);
            }
            tokio::time::sleep(CUT_PAUSE).await;
        }
    }

    /// Ends all sockets, spread like that, each once what its client sent has been answered; whoever
    /// still comes is cut.
    pub async fn end_all(&self) {
        self.registry.write().is_closed = true;
        let mut ending = JoinSet::new();
        for batch in self.batches() {
            for peer in batch {
                ending.spawn(async move { peer.end().await });
            }
            tokio::time::sleep(CUT_PAUSE).await;
        }
        ending.join_all().await;
    }

    fn batches(&self) -> Vec<Vec<Peer>> {
        let peers = self.all();
        let size = (peers.len() / CUT_BATCHES).max(SMALLEST_CUT_BATCH);
        peers.chunks(size).map(<[Peer]>::to_vec).collect()
    }

    /// Forgets a socket, if it is known.
    fn forget(&self, peer: &Peer) {
        let mut registry = self.registry.write();
        registry.ends.remove(&end_of(peer));
        if let Entry::Occupied(mut user) = registry.users.entry(peer.identity().user_id) {
            let before = user.get().len();
            user.get_mut().retain(|other| other != peer);
            if user.get().len() < before {
                SOCKETS.connected.decrement(1.0);
            }
            if user.get().is_empty() {
                user.remove();
            }
        }
    }
}

fn end_of(peer: &Peer) -> (SystemTime, ObjectId) {
    (peer.identity().expires_at, peer.origin_id())
}

impl Registration {
    /// Ends it; a second time changes nothing.
    pub fn end(&self) {
        self.sockets.forget(&self.peer);
        self.peer.forget();
        self.sockets.presence.leave(&self.peer);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_is_found_until_its_registration_ends() {
        let (sockets, user, other) = (Sockets::default(), UserId::new(), UserId::new());
        let first = sockets.register(Peer::test(user, SystemTime::UNIX_EPOCH));
        let second = sockets.register(Peer::test(user, SystemTime::UNIX_EPOCH));
        assert!(sockets.has_any(&[other, user]));
        assert_eq!(sockets.of(&[other, user]).len(), 2);
        first.end();
        drop(first);
        assert!(sockets.of(&[user]).iter().eq([&second.peer]));
        // Of a socket that never got through, nobody says that it is gone.
        drop(second);
        assert!(!sockets.has_any(&[user]));
        assert!(
            sockets.registry.read().users.is_empty(),
            "nothing is left of a user without sockets"
        );
    }

    #[test]
    fn socket_whose_time_is_over_is_taken_once() {
        let (sockets, user) = (Sockets::default(), UserId::new());
        let second = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let last = sockets.register(Peer::test(user, second(3)));
        let first = sockets.register(Peer::test(user, second(1)));
        drop(sockets.register(Peer::test(user, second(1))));
        assert!(sockets.take_expired(second(0)).is_empty());
        assert_eq!(sockets.take_expired(second(2)), std::slice::from_ref(&first.peer));
        assert!(sockets.take_expired(second(2)).is_empty());
        assert_eq!(sockets.take_expired(second(3)), std::slice::from_ref(&last.peer));
        assert!(sockets.registry.read().ends.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn socket_that_comes_while_all_end_is_cut() {
        let sockets = Sockets::default();
        sockets.end_all().await;
        let late = sockets.register(Peer::test(UserId::new(), SystemTime::UNIX_EPOCH));
        assert!(late.peer.is_closed());
    }
}
