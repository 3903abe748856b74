//! Events of one socket that must be handled in the order in which they were sent: one worker, one
//! after the other. The socket library itself starts a task for each.

use std::{
    future::{Future, Ready, ready},
    sync::Arc,
    time::Instant,
};

use axum::http::StatusCode;
use chat_kit::{
    caller,
    telemetry::trace::{self, Kind, Origin},
};
use chat_proto::v1 as pb;
use prost::Message as _;
use serde_json::Value;
use socketioxide::extract::{AckSender, Extension, State};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::Instrument as _;

use super::{Peer, payload::Payload};
use crate::{error::ApiError, metrics::SOCKETS, state::AppState, wire};

/// Events that wait for the one before; one more is refused.
const MOST_WAITING: usize = 128;
/// Bytes of the requests that wait; the largest event that the transport lets through fits in.
const MOST_WAITING_BYTES: u32 = 1 << 20;

/// Permits of [`Queue::unanswered`] that are there while nothing waits.
pub const ALL_ANSWERED: u32 = MOST_WAITING_BYTES;

/// An event to be handled.
pub struct Job {
    /// The socket it came from.
    pub peer: Peer,
    /// What handlers share.
    pub state: AppState,
    /// The caller, with a request id of this event's own.
    pub caller: caller::Caller,
    /// The name of the event.
    pub name: &'static str,
    /// What it asks for.
    pub request: pb::SendMessageRequest,
    ack: AckSender,
    arrived_at: Instant,
    origin: Origin,
    // Taken by the queue, and given back when the event has been handled.
    bytes: Option<OwnedSemaphorePermit>,
}

/// A worker of one socket. It ends when the socket's handlers are gone and its work is done.
#[derive(Clone)]
pub struct Queue {
    jobs: mpsc::Sender<Job>,
    bytes: Arc<Semaphore>,
}

impl Queue {
    /// Starts a worker that handles one event after the other.
    pub fn start<F>(handle: impl Fn(Job) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let (jobs, mut waiting) = mpsc::channel::<Job>(MOST_WAITING);
        tokio::spawn(async move {
            while let Some(job) = waiting.recv().await {
                let part = Arc::clone(&job.state.part);
                let (request_id, name) = (&job.caller.request_id, job.name);
                let span = trace::begin(
                    request_id,
                    Kind::Server,
                    &part,
                    format_args!("socket {name}"),
                    &job.origin,
                );
                handle(job).instrument(span).await;
            }
        });
        Self { jobs, bytes: Arc::new(Semaphore::new(MOST_WAITING_BYTES as usize)) }
    }

    /// Returns the permits that events hold until they have been answered.
    #[must_use]
    pub fn unanswered(&self) -> Arc<Semaphore> {
        Arc::clone(&self.bytes)
    }

    /// Returns the handler of an event. It runs in the order of arrival, reads the payload and queues.
    pub fn handler(
        &self,
        name: &'static str,
    ) -> impl Fn(Payload, AckSender, State<AppState>, Extension<Peer>) -> Ready<()>
    + Clone
    + Send
    + Sync
    + 'static {
        let queue = self.clone();
        move |Payload(data), ack, State(state), Extension(peer): Extension<Peer>| {
            let mut caller = peer.identity().caller.clone();
            caller.request_id = caller::new_request_id();
            // What is queued has its final size: nonsense beside the known fields is gone.
            match wire::socket::send(name, &data, peer.identity()) {
                Ok(request) => queue.push(Job {
                    peer,
                    state,
                    caller,
                    name,
                    request,
                    ack,
                    arrived_at: Instant::now(),
                    origin: Origin::of_socket(|| wire::socket::traceparent(&data)),
                    bytes: None,
                }),
                Err(error) => refuse(&peer, name, ack, &error, Instant::now()),
            }
            ready(())
        }
    }

    fn push(&self, mut job: Job) {
        if job.peer.is_ending() {
            return job.refuse(&ending());
        }
        // At least one, so that it counts as unanswered.
        let size = u32::try_from(job.request.encoded_len()).unwrap_or(u32::MAX).max(1);
        job.bytes = Arc::clone(&self.bytes).try_acquire_many_owned(size).ok();
        if job.bytes.is_none() {
            return job.refuse(&too_many());
        }
        if let Err(refused) = self.jobs.try_send(job) {
            refused.into_inner().refuse(&too_many());
        }
    }
}

impl Job {
    /// Answers with success.
    pub fn accept(self, message: &Value) {
        self.peer.acknowledge(self.ack, &wire::socket::accepted(message));
        SOCKETS.event(self.name, None, self.arrived_at);
    }

    /// Answers with a failure.
    pub fn refuse(self, error: &ApiError) {
        if error.status.is_server_error() {
            trace::note_failure("the answer says so");
        }
        refuse(&self.peer, self.name, self.ack, error, self.arrived_at);
    }
}

/// Answers with a failure: by acknowledgement, and to old clients, which never ask for one, by the event
/// that they know.
fn refuse(peer: &Peer, name: &str, ack: AckSender, error: &ApiError, arrived_at: Instant) {
    if let Some(event) = wire::socket::error_event(name) {
        peer.emit(event, &wire::socket::error_body(error));
    }
    peer.acknowledge(ack, &wire::socket::refused(error));
    SOCKETS.event(name, Some(error), arrived_at);
}

fn too_many() -> ApiError {
    let message = "too many events wait for their turn, slow down";
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_events", message)
}

fn ending() -> ApiError {
    let message = "this gateway ends, connect again";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
}
