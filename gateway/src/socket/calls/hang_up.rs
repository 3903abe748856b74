//! Hang-ups of old clients that meet a failure. Their screens are closed by then, and nobody would hang up
//! again: the gateway does, until it is answered.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bson::oid::ObjectId;
use chat_proto::v1 as pb;
use tonic::{Code, Status};

use super::{super::Peer, own_caller};
use crate::{error::ApiError, state::AppState, wire::Dialect};

/// Pauses before a hang-up is tried again; the last one goes on. All are longer than the service holds one
/// back for a second: one that it has taken without our knowing must not be dropped for its repetition.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(4), Duration::from_secs(8), Duration::from_secs(16)];
/// How often it is tried again: for about eight minutes.
const MOST_TRIES: usize = 32;

/// Whether the hang-up of a socket is being repeated.
#[derive(Debug, Default)]
pub struct Repeating(AtomicBool);

/// Hangs up again later, for an old client that was answered with a failure. Nobody is in two calls: one
/// hang-up of a socket at a time is enough.
pub fn repeat(state: &AppState, peer: &Peer, request: &pb::EndCallRequest, error: &ApiError) {
    // New clients read in the answer that it failed.
    if !error.status.is_server_error()
        || peer.dialect() == Dialect::Unified
        || peer.line().repeating().0.swap(true, Ordering::Relaxed)
    {
        return;
    }
    let (state, peer, request) = (state.clone(), peer.clone(), request.clone());
    tokio::spawn(async move {
        hang_up_later(&state, &peer, request).await;
        peer.line().repeating().0.store(false, Ordering::Relaxed);
    });
}

async fn hang_up_later(state: &AppState, peer: &Peer, request: pb::EndCallRequest) {
    let pauses = PAUSES.into_iter().chain(std::iter::repeat(PAUSES[2]));
    for pause in pauses.take(MOST_TRIES) {
        tokio::time::sleep(pause).await;
        let Err(status) = hang_up(state, peer, &request).await else { return };
        let (code, message, call_id) = (status.code(), status.message(), &request.call_id);
        tracing::warn!(?code, message, call_id, "a hang-up is repeated");
        if !ApiError::from(status.clone()).status.is_server_error() {
            return;
        }
    }
}

/// Hangs up from the socket that did, or from one that has come in its place.
async fn hang_up(
    state: &AppState,
    peer: &Peer,
    request: &pb::EndCallRequest,
) -> Result<(), Status> {
    let own = peer.origin_id();
    let later = state.calls.of(&request.call_id).into_iter().filter(|id| *id != own);
    let mut ended = end(state, peer, request, own).await;
    for socket_id in later {
        match &ended {
            // Also that of the other side, which is nobody's but his.
            Err(status) if status.code() == Code::PermissionDenied => {
                ended = end(state, peer, request, socket_id).await;
            }
            _ => break,
        }
    }
    ended
}

async fn end(
    state: &AppState,
    peer: &Peer,
    request: &pb::EndCallRequest,
    socket_id: ObjectId,
) -> Result<(), Status> {
    let request = pb::EndCallRequest { socket_id: socket_id.to_hex(), ..request.clone() };
    let request = own_caller(peer).request(request);
    state.clients.call.clone().end_call(request).await.map(drop)
}
