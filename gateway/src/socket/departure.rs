//! What is done when a socket is gone, whoever notices it: its transport has ended, or was cut so that
//! nothing comes of it any more.

use std::{sync::Arc, time::Duration};

use socketioxide::socket::DisconnectReason;

use super::{PING_TIMEOUT, Peer, calls, sockets::Registration, typing};
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
        self.give_up(unheard(reason)).await;
    }

    /// Gives everything up; a second time changes nothing.
    pub async fn finish(&self) {
        self.give_up(Duration::ZERO).await;
    }

    async fn give_up(&self, unheard: Duration) {
        self.registration.end();
        calls::leave(&self.state, &self.peer, unheard);
        typing::left(&self.state, &self.peer).await;
    }
}

/// Returns for how long a socket has most probably heard nothing that has ended for this reason. One that has
/// not answered a ping has hardly heard what was written after it either.
fn unheard(reason: DisconnectReason) -> Duration {
    match reason {
        DisconnectReason::HeartbeatTimeout => PING_TIMEOUT,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_that_has_not_answered_a_ping_has_heard_nothing_since() {
        let reasons = [
            (DisconnectReason::HeartbeatTimeout, 20),
            (DisconnectReason::TransportClose, 0),
            (DisconnectReason::TransportError, 0),
            (DisconnectReason::ClientNSDisconnect, 0),
        ];
        for (reason, seconds) in reasons {
            assert_eq!(unheard(reason), Duration::from_secs(seconds), "{reason}");
        }
    }
}
