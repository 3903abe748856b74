//! The sessions behind connected sockets: asked after in batches, and ended when their time is over.
//! Revocations come sooner, through the fan-out.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::http::StatusCode;
use chat_kit::{
    caller::{self, Caller},
    id::UserId,
    session::SessionHash,
    shutdown::Lifecycle,
};
use chat_proto::v1 as pb;
use parking_lot::Mutex;
use socketioxide::{extract::SocketRef, socket::Sid};
use tonic::Status;

use super::Sockets;
use crate::{
    error::{ApiError, LOGIN_REASONS},
    state::AppState,
};

/// How often it is looked whether the time of a socket is over.
const TICK: Duration = Duration::from_millis(500);
/// Sessions that are asked after with one call; as many as the auth service takes.
const BATCH: usize = 500;

/// When the tokens of connected sockets end, the next one first. Holds connected sockets alone.
#[derive(Clone, Debug, Default)]
pub struct Ends(Arc<Mutex<BTreeSet<(SystemTime, Sid)>>>);

impl Ends {
    /// Remembers when a connected socket ends.
    pub fn remember(&self, expires_at: SystemTime, socket: &SocketRef) {
        self.0.lock().insert((expires_at, socket.id));
        // One that left meanwhile was forgotten before it was remembered.
        if !socket.connected() {
            self.forget(expires_at, socket.id);
        }
    }

    /// Forgets a socket that is gone.
    pub fn forget(&self, expires_at: SystemTime, id: Sid) {
        self.0.lock().remove(&(expires_at, id));
    }

    /// Takes out the sockets whose time is over.
    fn take_due(&self, now: SystemTime) -> Vec<Sid> {
        let mut ends = self.0.lock();
        let mut due = Vec::new();
        while ends.first().is_some_and(|(expires_at, _)| *expires_at <= now) {
            due.extend(ends.pop_first().map(|(_, id)| id));
        }
        due
    }
}

/// A session as a token names it.
type Session = (UserId, Option<String>);

/// Ends the sockets whose token or session is over, until the soft stop.
pub async fn watch(state: AppState, sockets: Sockets, life: Lifecycle) -> anyhow::Result<()> {
    tokio::select! {
        () = end_expired(&sockets) => {}
        () = check_all(&state, &sockets) => {}
        () = life.stopping() => {}
    }
    Ok(())
}

async fn end_expired(sockets: &Sockets) {
    let reason = ApiError::login("invalid_token", "the token has expired");
    loop {
        tokio::time::sleep(TICK).await;
        for id in sockets.ends.take_due(SystemTime::now()) {
            if let Some(peer) = sockets.get(id) {
                peer.end(&reason);
            }
        }
    }
}

async fn check_all(state: &AppState, sockets: &Sockets) {
    loop {
        tokio::time::sleep(state.config.sessions.check_interval).await;
        let sessions: HashSet<Session> = sockets
            .all()
            .iter()
            .map(|peer| (peer.identity().user_id, peer.identity().session_id.clone()))
            .collect();
        let sessions: Vec<Session> = sessions.into_iter().collect();
        for batch in sessions.chunks(BATCH) {
            // Who cannot be asked after now stays, and is asked after the next time.
            match dead_of(state, batch).await {
                Ok(dead) => dead.iter().for_each(|dead| end(state, sockets, batch, dead)),
                Err(status) => {
                    let (code, message) = (status.code(), status.message());
                    tracing::warn!(?code, message, "sessions of sockets not checked");
                }
            }
        }
    }
}

async fn dead_of(state: &AppState, batch: &[Session]) -> Result<Vec<pb::DeadSession>, Status> {
    let held = |(user_id, session_id): &Session| pb::HeldSession {
        user_id: user_id.to_string(),
        session_id: session_id.clone(),
    };
    let request = pb::CheckSessionsRequest { sessions: batch.iter().map(held).collect() };
    let request = Caller::service("gateway", &caller::new_request_id()).request(request);
    Ok(state.clients.auth.clone().check_sessions(request).await?.into_inner().dead)
}

fn end(state: &AppState, sockets: &Sockets, batch: &[Session], dead: &pb::DeadSession) {
    let session = usize::try_from(dead.index).ok().and_then(|index| batch.get(index));
    // A reason of a newer version may mean something else than that the session is over.
    let is_over = LOGIN_REASONS.contains(&dead.reason.as_str());
    let Some((user_id, session_id)) = session.filter(|_| is_over) else {
        tracing::error!(index = dead.index, reason = dead.reason, "unknown verdict on a session");
        return;
    };
    let session = session_id.as_deref().map(SessionHash::of);
    if let Some(session) = session {
        state.sessions.revoke(session);
    }
    let (reason, message) = (dead.reason.clone(), dead.message.clone());
    let reason = ApiError::new(StatusCode::UNAUTHORIZED, reason, message);
    sockets.end_session(*user_id, session, &reason);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_whose_time_is_over_are_taken_out_once() {
        let ends = Ends::default();
        let second = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let (first, last, gone) = (Sid::new(), Sid::new(), Sid::new());
        ends.0.lock().extend([(second(3), last), (second(1), first), (second(1), gone)]);
        ends.forget(second(1), gone);
        assert!(ends.take_due(second(0)).is_empty());
        assert_eq!(ends.take_due(second(2)), [first]);
        assert!(ends.take_due(second(2)).is_empty());
        assert_eq!(ends.take_due(second(3)), [last]);
        assert!(ends.0.lock().is_empty());
    }
}
