//! The sessions behind connected sockets: asked after in batches, and ended when their time is over.
//! Revocations come sooner, through the fan-out.

use std::{
    collections::HashSet,
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
        for peer in sockets.take_expired(SystemTime::now()) {
            peer.revoke(&reason);
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
