//! Who is online, as far as this gateway has to do with it: its sockets are registered with the user
//! service, which decides; new sockets are told how it is; and what is heard of changes reaches them in
//! order. None of it is waited for by anybody's messages.

mod book;
mod known;
mod lease;

use std::{sync::Arc, time::Duration};

use bson::DateTime;
use chat_kit::{id::UserId, time::to_timestamp};
use chat_proto::v1 as pb;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use self::{book::Book, known::Known};
use super::{Peer, Sockets};
use crate::{
    state::AppState,
    wire::event::{PresenceChanged, at_first, is_told_at_first},
};

pub use lease::keep;

/// New sockets whose partners are asked after at once; further ones have their turn.
const MOST_ASKED: usize = 64;
/// Pause before the partners of a socket are asked after again; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What this gateway knows of presence; cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    book: Mutex<Book>,
    /// Told when there is something in the book to be done.
    work: Notify,
    /// Held while sockets are told of what is known, so that no two of them cross.
    known: Mutex<Known>,
    asking: Semaphore,
}

impl Default for Presence {
    fn default() -> Self {
        Self(Arc::new(Parts {
            book: Mutex::default(),
            work: Notify::new(),
            known: Mutex::default(),
            asking: Semaphore::new(MOST_ASKED),
        }))
    }
}

impl Presence {
    /// Has a socket registered that was greeted just now, and told who of its user's partners is online,
    /// both beside the caller.
    pub fn greet(&self, state: &AppState, peer: &Peer) {
        {
            let mut book = self.0.book.lock();
            // Whoever is gone closed the socket before he looks into the book.
            if peer.is_closed() {
                return;
            }
            book.come(peer.origin_id(), peer.identity().user_id);
        }
        self.0.work.notify_one();
        if is_told_at_first(peer.dialect()) {
            tokio::spawn(self.clone().tell_at_first(state.clone(), peer.clone()));
        }
    }

    /// Notes that a socket is gone.
    pub fn leave(&self, peer: &Peer) {
        self.0.book.lock().go(peer.origin_id());
        self.0.work.notify_one();
    }

    /// Tells a new socket how it is, as soon as the user service says it.
    async fn tell_at_first(self, state: AppState, peer: Peer) {
        let mut pause = FIRST_PAUSE;
        while !peer.is_closed() {
            let mark = self.0.known.lock().mark();
            let asked = {
                // The semaphore is never closed.
                let _place = self.0.asking.acquire().await;
                let request = pb::ListPartnerPresencesRequest { limit: 0 };
                let request = peer.identity().caller.request(request);
                state.clients.user.clone().list_partner_presences(request).await
            };
            match asked {
                Ok(partners) => return self.tell(&peer, partners.into_inner().presences, mark),
                Err(status) => {
                    tracing::debug!(code = ?status.code(), "partners of a socket not known yet");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Tells a socket what was answered to it, and once more what its user was told alone since a mark: the
    /// answer may be of before.
    fn tell(&self, peer: &Peer, mut partners: Vec<pb::Presence>, mark: u64) {
        let known = self.0.known.lock();
        for partner in &mut partners {
            known.correct(partner);
        }
        let (user_id, now) = (peer.identity().user_id.to_string(), to_timestamp(DateTime::now()));
        for (name, body) in at_first(peer.dialect(), &user_id, &partners, &now) {
            peer.emit(name, &body);
        }
        for changed in known.told_since(mark, peer.identity().user_id) {
            emit(peer, &PresenceChanged::new(changed));
        }
    }

    /// Notes a change that partners here are to hear of, and emits it to those of them who know of no later
    /// one.
    pub fn hear(&self, sockets: &Sockets, changed: &pb::PresenceChanged, recipients: &[UserId]) {
        let mut known = self.0.known.lock();
        let news = known.note(changed, recipients);
        if news.recipients.is_empty() {
            return;
        }
        let event = PresenceChanged::new(&news.event);
        sockets.of(&news.recipients).iter().for_each(|peer| emit(peer, &event));
    }
}

fn emit(peer: &Peer, event: &PresenceChanged<'_>) {
    match event.frames(peer.dialect()) {
        Ok(frames) => frames.iter().for_each(|(name, body)| peer.emit(name, *body)),
        Err(error) => tracing::error!(%error, "a presence cannot be encoded"),
    }
}
