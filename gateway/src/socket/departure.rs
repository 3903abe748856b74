//! What is done when a socket is gone, whoever notices it: its transport has ended, or was cut so that
//! nothing comes of it any more.

use std::sync::Arc;

use socketioxide::socket::DisconnectReason;

use super::{Peer, calls, sockets::Registration, typing};
use crate::state::AppState;

/// The place of a socket in all that this gateway keeps; given up once, and with this value.
#[derive(Debug)]
pub struct Departure {
    state: AppState,
    peer: Peer,
    registration: Registration,
}

impl Departure {
    /// Keeps what a socket has to give up.
    #[must_use]
    pub fn new(state: AppState, peer: Peer, registration: Registration) -> Arc<Self> {
        let departure = Arc::new(Self { state, peer, registration });
        departure.peer.depart_by(&departure);
        departure
    }

    /// Notes that the socket library knows the socket no more.
    pub async fn disconnected(&self, reason: DisconnectReason) {
        if reason == DisconnectReason::ClientNSDisconnect {
            // Its transport lives on, and would soon be out of reach: another socket on it could not be cut.
            self.peer.end_transport();
        }
        self.finish().await;
    }

    /// Gives everything up; a second time changes nothing.
    pub async fn finish(&self) {
        self.registration.end();
        calls::leave(&self.state, &self.peer);
        typing::left(&self.state, &self.peer).await;
    }
}
