//! The replicas of a service, and which of them gets the next call.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{sync::watch, time::Instant};

use super::replica::Replica;

/// The replicas at one moment.
pub(super) type Set = Arc<[Arc<Replica>]>;

/// The replicas of a service. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Replicas {
    known: watch::Receiver<Set>,
    turn: Arc<AtomicUsize>,
}

impl Replicas {
    pub(super) fn new(known: watch::Receiver<Set>) -> Self {
        Self { known, turn: Arc::default() }
    }

    /// Returns the replica for the next try of a call: one that is well, was not tried, and has the
    /// fewest calls under way; equals take turns. Where all are left out, one of them is tried all the
    /// same. Waits until there is a replica at all.
    pub(super) async fn choose(&self, tried: &[SocketAddr]) -> Arc<Replica> {
        let mut known = self.known.clone();
        let Ok(set) = known.wait_for(|set| !set.is_empty()).await else {
            // Nobody looks for replicas any more, which happens when the process ends.
            return std::future::pending().await;
        };
        let (now, turn) = (Instant::now(), self.turn.fetch_add(1, Ordering::Relaxed));
        let in_turn = (0..set.len()).map(|step| &set[turn.wrapping_add(step) % set.len()]);
        let best = in_turn.min_by_key(|replica| {
            (replica.is_out(now), tried.contains(&replica.address), replica.open_calls())
        });
        best.expect("the set is not empty").clone()
    }

    /// Says whether a call that fails on `chosen` could be made on another replica that is as well.
    pub(super) fn has_other(&self, chosen: &Replica, tried: &[SocketAddr]) -> bool {
        let now = Instant::now();
        let chosen_is_out = chosen.is_out(now);
        self.known.borrow().iter().any(|other| {
            other.address != chosen.address
                && !tried.contains(&other.address)
                && (chosen_is_out || !other.is_out(now))
        })
    }
}
