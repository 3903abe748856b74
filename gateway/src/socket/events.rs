//! The table of what sockets may send: the queue that each event joins, and how its payload is read.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use serde_json::json;
use socketioxide::extract::{AckSender, Extension, SocketRef, State};
use tokio::sync::Semaphore;

use super::{
    Peer,
    calls::{self, Arrival},
    messages,
    queue::{self, Queue},
    receipts, sync, typing,
};
use crate::{
    error::ApiError,
    metrics::SOCKETS,
    state::AppState,
    wire::{self, call, event},
};

/// Receipts that a socket sends within this time are handled together.
const BURST: Duration = Duration::from_millis(50);
/// Stands for the names of all events that do not exist.
const UNKNOWN: &str = "";

/// Attaches the handlers of a new socket; returns the permits that its events hold until they have been
/// answered.
pub fn attach(socket: &SocketRef, arrival: &Arrival) -> Arc<Semaphore> {
    let unanswered = queue::unanswered();
    // One queue for both names: what a socket sends keeps its order.
    let sending = Queue::new(&unanswered, messages::on_send);
    for name in [event::SEND_MESSAGE, event::MESSAGE_SEND] {
        socket.on(name, sending.handler(name, wire::socket::send));
    }
    let hearing = Queue::gathering(&unanswered, BURST, receipts::on_receipts);
    for name in [event::DELIVERED, event::RECEIPT_DELIVERED] {
        socket.on(name, hearing.handler(name, wire::receipt::delivered));
    }
    for name in [event::READ_UP_TO, event::MARK_READ, event::RECEIPT_READ] {
        socket.on(name, hearing.handler(name, wire::receipt::read));
    }
    let typing = Queue::new(&unanswered, typing::on_typing);
    for name in [event::TYPING, event::TYPING_STOPPED] {
        socket.on(name, typing.handler(name, wire::typing::read));
    }
    let syncing = Queue::new(&unanswered, sync::on_sync);
    socket.on(event::SYNC, syncing.handler(event::SYNC, wire::message::known));
    let arrival = arrival.clone();
    let calling = Queue::new(&unanswered, move |job| calls::on_event(job, arrival.clone()));
    for name in call::INBOUND {
        socket.on(name, calling.handler(name, call::read));
    }
    for name in [event::JOIN_CONVERSATION, event::LEAVE_CONVERSATION] {
        socket.on(name, pass_over(name));
    }
    socket.on_fallback(refuse_unknown);
    unanswered
}

/// Answers whoever asks for an answer to an event that does not exist.
fn refuse_unknown(
    ack: AckSender,
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
) -> Ready<()> {
    let begun = Instant::now();
    let charged = state.limits.charge_event(UNKNOWN, peer.identity().user_id);
    let error = charged.err().unwrap_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no event of this name")
    });
    peer.acknowledge(ack, &wire::socket::refused(&error));
    SOCKETS.event(UNKNOWN, Some(&error), begun);
    ready(())
}

/// Returns the handler of an event that old clients send and that has no effect: who hears of a
/// conversation are its members.
fn pass_over(
    name: &'static str,
) -> impl Fn(AckSender, State<AppState>, Extension<Peer>) -> Ready<()> + Clone + Send + Sync + 'static
{
    move |ack, State(state): State<AppState>, Extension(peer): Extension<Peer>| {
        let begun = Instant::now();
        let refused = state.limits.charge_event(name, peer.identity().user_id).err();
        match &refused {
            None => peer.acknowledge(ack, &wire::socket::accepted(json!({}))),
            Some(error) => peer.acknowledge(ack, &wire::socket::refused(error)),
        }
        SOCKETS.event(name, refused.as_ref(), begun);
        ready(())
    }
}
