//! Events about calls, in the order in which a socket sent them, and the sockets that calls are bound to:
//! while one is there this gateway says so again and again, when it goes it says that, and a new one is
//! offered in its place.

mod arrival;
mod bound;
mod hang_up;
mod line;

use std::{collections::BTreeSet, time::Duration};

use bson::oid::ObjectId;
use chat_kit::caller::{self, Caller};
use chat_proto::v1 as pb;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub use self::{
    arrival::Arrival,
    bound::Bound,
    line::{Line, came_after_answer},
};
use super::{Peer, queue::Job};
use crate::{
    error::ApiError,
    state::AppState,
    wire::{
        Dialect,
        call::{self, Request},
    },
};

/// Sockets that are renewed with one call; as many as the service takes.
const BATCH: usize = 1000;
/// How long a renewal may take: short, so that there is time for another before the service gives up.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Sessions that are named with one call; as many as the service takes.
const MOST_SESSIONS: usize = 100;

/// Handles an event about a call. Both sides hear of it through the fan-out, like those of other gateways.
pub async fn on_event(job: Job<Request>, arrival: Arrival) {
    arrival.offer(&job.state, &job.peer).await;
    match act(&job).await {
        Ok(fields) => job.accept(fields),
        Err(status) => {
            let error = ApiError::from(status);
            let dialect = job.peer.dialect();
            if let Request::End(request) = &job.request {
                hang_up::repeat(&job.state, &job.peer, request, &error);
            }
            if let Some((name, body)) = call::busy(job.name, &job.request, &error, dialect) {
                job.peer.emit(name, &body);
            }
            job.refuse(&error);
        }
    }
}

/// Does what was asked for; returns the fields of the acknowledgement.
async fn act(job: &Job<Request>) -> Result<Value, Status> {
    let (mut client, caller) = (job.state.clients.call.clone(), &job.caller);
    let call = match job.request.clone() {
        Request::Place(request) => {
            let call = client.place_call(caller.request(request)).await?.into_inner().call;
            held(job, call)
        }
        Request::Answer(request) => {
            let call = client.answer_call(caller.request(request)).await?.into_inner().call;
            held(job, call)
        }
        Request::Decline(request) => {
            client.decline_call(caller.request(request)).await?.into_inner().call
        }
        Request::End(request) => client.end_call(caller.request(request)).await?.into_inner().call,
        Request::AddCandidate(request) => {
            client.add_candidate(caller.request(request)).await?;
            return Ok(json!({}));
        }
    };
    Ok(call.map_or_else(|| json!({}), |call| json!({ "call": call::unified(&call) })))
}

fn held(job: &Job<Request>, call: Option<pb::Call>) -> Option<pb::Call> {
    if let Some(call) = &call {
        hold(&job.state, &job.peer, &call.id);
    }
    call
}

/// Notes that a call needs a socket, or says that it is gone where it went meanwhile.
fn hold(state: &AppState, peer: &Peer, call_id: &str) {
    state.calls.hold(peer.origin_id(), call_id);
    leave_if_gone(state, peer);
}

/// Notes the same where an event says so, which may be old: no newer call is forgotten for it.
pub fn hold_if_free(state: &AppState, peer: &Peer, call_id: &str) {
    state.calls.hold_if_free(peer.origin_id(), call_id);
    leave_if_gone(state, peer);
}

fn leave_if_gone(state: &AppState, peer: &Peer) {
    // Its end either finds it noted, or has closed it before.
    if peer.is_closed() {
        leave(state, peer, Duration::ZERO);
    }
}

/// Says that a socket is gone, if a call needs it, and for how long it has most probably heard nothing.
pub fn leave(state: &AppState, peer: &Peer, unheard: Duration) {
    if !state.calls.forget(peer.origin_id()) {
        return;
    }
    let (mut client, caller) = (state.clients.call.clone(), own_caller(peer));
    let unheard_millis = u32::try_from(unheard.as_millis()).unwrap_or(u32::MAX);
    let request = pb::DetachSocketRequest { socket_id: peer.origin_id().to_hex(), unheard_millis };
    tokio::spawn(async move {
        if let Err(status) = client.detach_socket(caller.request(request)).await {
            // It is not renewed any more, which says the same a little later.
            let (code, message) = (status.code(), status.message());
            tracing::warn!(?code, message, "the end of a call's socket is not told");
        }
    });
}

/// Returns the sessions of old clients that have heard what was told. A socket that waits for what it has missed
/// hears it later, or never if it goes before; its arrival says so.
fn sessions_told(peers: &[Peer]) -> BTreeSet<Vec<u8>> {
    let has_heard = |peer: &&Peer| {
        peer.dialect() != Dialect::Unified && !peer.line().is_waiting() && !peer.is_closed()
    };
    let hash =
        |peer: &Peer| peer.identity().session().map_or_else(Vec::new, |hash| hash.bytes().to_vec());
    peers.iter().filter(has_heard).map(hash).take(MOST_SESSIONS).collect()
}

/// Says on which devices of the callee a call has rung, so that those that come back do not take it for
/// another one.
pub fn note_rung(state: &AppState, call_id: &str, callee: &[Peer]) {
    let session_hashes = sessions_told(callee);
    if session_hashes.is_empty() {
        return;
    }
    let session_hashes = session_hashes.into_iter().collect();
    let request = pb::NoteRungRequest { call_id: call_id.to_owned(), session_hashes };
    let request = Caller::service("gateway", &caller::new_request_id()).request(request);
    let mut client = state.clients.call.clone();
    tokio::spawn(async move {
        if let Err(status) = client.note_rung(request).await {
            // A device that comes back within these seconds rings twice.
            let (code, message) = (status.code(), status.message());
            tracing::warn!(?code, message, "where a call has rung is not noted");
        }
    });
}

/// Returns the caller behind a socket, for a request of this gateway's own.
fn own_caller(peer: &Peer) -> Caller {
    Caller { request_id: caller::new_request_id(), ..peer.identity().caller.clone() }
}

/// Says again and again that the sockets are there that calls need, until `ended`.
pub async fn renew(state: AppState, ended: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = interval(state.config.calls.renew_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => renew_all(&state).await,
            () = ended.cancelled() => return Ok(()),
        }
    }
}

async fn renew_all(state: &AppState) {
    let sockets: Vec<pb::CallSocket> = state
        .calls
        .all()
        .into_iter()
        .map(|(socket_id, call_id)| pb::CallSocket { call_id, socket_id: socket_id.to_hex() })
        .collect();
    for batch in sockets.chunks(BATCH) {
        let gateway_id = state.part.to_string();
        let request = pb::RenewCallsRequest { gateway_id, sockets: batch.to_vec() };
        let request = Caller::service("gateway", &caller::new_request_id()).request(request);
        let mut client = state.clients.call.clone();
        match timeout(RENEWAL_TIMEOUT, client.renew_calls(request)).await {
            Ok(Ok(renewed)) => release(state, &renewed.into_inner().released),
            Ok(Err(status)) => {
                let (code, message) = (status.code(), status.message());
                tracing::warn!(?code, message, "sockets of calls not renewed");
            }
            Err(_) => tracing::warn!("sockets of calls not renewed in time"),
        }
    }
}

fn release(state: &AppState, released: &[pb::CallSocket]) {
    for pb::CallSocket { call_id, socket_id } in released {
        if let Ok(socket_id) = ObjectId::parse_str(socket_id) {
            state.calls.release_socket(socket_id, call_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use chat_kit::id::UserId;

    use super::*;

    #[test]
    fn call_has_rung_where_it_was_told_and_not_where_that_waits() {
        let peer = || Peer::test_as(Dialect::Flutter, UserId::new(), SystemTime::now());
        let (told, waiting, gone) = (peer(), peer(), peer());
        for peer in [&told, &gone] {
            assert!(peer.line().open(peer, &[], None).is_empty());
        }
        gone.forget();
        let unified = Peer::test(UserId::new(), SystemTime::now());
        unified.line().open(&unified, &[], None);
        for peer in [&waiting, &gone, &unified] {
            assert!(sessions_told(std::slice::from_ref(peer)).is_empty(), "{peer:?}");
        }
        // Old tokens have no session.
        assert_eq!(sessions_told(&[told, waiting]), BTreeSet::from([vec![]]));
    }
}
