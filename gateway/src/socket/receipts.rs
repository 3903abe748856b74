//! What clients say of having heard and read: together where they say it in a burst, as one opened chat does.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use chat_proto::v1 as pb;
use serde_json::json;

use super::{Peer, queue::Job};
use crate::{
    error::ApiError,
    state::AppState,
    wire::{
        Dialect, event,
        receipt::{self, MOST_DELIVERED, Reading, Receipt},
    },
};

/// Pauses before it is said again that all has arrived.
const CATCH_UP_PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];
/// The pause after those; at most so late is it said once the service is back.
const CATCH_UP_PAUSE: Duration = Duration::from_secs(30);

/// Says what a burst of events says: what has arrived first, then how far has been read. The members hear
/// of it through the fan-out, like those of other gateways.
pub async fn on_receipts(jobs: VecDeque<Job<Receipt>>) {
    let (mut delivered, mut read) = (Vec::new(), Vec::new());
    for job in jobs {
        match job.request.clone() {
            Receipt::Delivered(ids) => delivered.push((job, ids)),
            Receipt::Read(reading) => read.push((job, reading)),
        }
    }
    mark_delivered(delivered).await;
    for (reading, jobs) in merged(read) {
        mark_read(&reading, jobs).await;
    }
}

async fn mark_delivered(jobs: Vec<(Job<Receipt>, Vec<String>)>) {
    let Some((first, _)) = jobs.first() else { return };
    let ids: HashSet<&String> = jobs.iter().flat_map(|(_, ids)| ids).collect();
    let ids: Vec<String> = ids.into_iter().cloned().collect();
    let (mut client, mut arrived) = (first.state.clients.message.clone(), HashSet::new());
    for message_ids in ids.chunks(MOST_DELIVERED) {
        let request = pb::MarkDeliveredRequest { message_ids: message_ids.to_vec() };
        match client.mark_delivered(first.caller.request(request)).await {
            Ok(response) => arrived.extend(response.into_inner().message_ids),
            Err(status) => {
                let error = ApiError::from(status);
                return jobs.into_iter().for_each(|(job, _)| job.refuse(&error));
            }
        }
    }
    for (job, ids) in jobs {
        if ids.iter().any(|id| arrived.contains(id)) {
            job.accept(json!({}));
        } else {
            job.refuse(&ApiError::no_message());
        }
    }
}

/// A reading, and the events that say so.
type Merged = (Reading, Vec<Job<Receipt>>);

/// Puts together what one call can say, in the order in which it was said first.
fn merged(jobs: Vec<(Job<Receipt>, Reading)>) -> Vec<Merged> {
    let mut merged: Vec<Merged> = Vec::new();
    for (job, reading) in jobs {
        match merged.iter_mut().find_map(|(own, jobs)| own.merge(&reading).then_some(jobs)) {
            Some(jobs) => jobs.push(job),
            None => merged.push((reading, vec![job])),
        }
    }
    merged
}

async fn mark_read(reading: &Reading, jobs: Vec<Job<Receipt>>) {
    let Some(first) = jobs.first() else { return };
    let mut client = first.state.clients.message.clone();
    let read = match client.mark_read(first.caller.request(reading.request())).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            let error = ApiError::from(status);
            return jobs.into_iter().for_each(|job| job.refuse(&error));
        }
    };
    let is_desktop = matches!(first.peer.dialect(), Dialect::Electron | Dialect::Undeclared);
    let asks = jobs.iter().any(|job| job.name == event::MARK_READ);
    if asks && is_desktop && !read.has_advanced {
        // Where something has moved, all sockets of the reader hear it.
        let body = receipt::own_reading(&reading.conversation_id);
        first.peer.emit(event::MESSAGES_READ, &body);
    }
    for job in jobs {
        job.accept(receipt::has_read(&reading.conversation_id, &read));
    }
}

/// Says that everything that came while its user was away has arrived at a new socket; again and again until
/// that is known, it fails for good, or the socket is gone.
pub async fn catch_up(state: AppState, peer: Peer) {
    let identity = peer.identity();
    let mut pauses = CATCH_UP_PAUSES.into_iter();
    loop {
        // Closed never.
        let Ok(place) = state.catch_ups.acquire().await else { return };
        if peer.is_closed() {
            return;
        }
        let request = identity.caller.request(pb::CatchUpDeliveredRequest {});
        let caught_up = state.clients.message.clone().catch_up_delivered(request).await;
        drop(place);
        let Err(status) = caught_up else { return };
        let (code, message, user_id) = (status.code(), status.message(), identity.user_id);
        tracing::warn!(?code, message, %user_id, "what came meanwhile does not count as delivered yet");
        if !ApiError::from(status).may_pass() {
            return;
        }
        tokio::time::sleep(pauses.next().unwrap_or(CATCH_UP_PAUSE)).await;
    }
}
