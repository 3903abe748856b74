//! Events of one socket that must be handled in the order in which they were sent: one queue for each
//! matter, one event after the other. The socket library itself starts a task for each.

use std::{
    collections::VecDeque,
    future::{Future, Ready, ready},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use chat_kit::{
    caller,
    telemetry::trace::{self, Kind, Origin},
};
use parking_lot::Mutex;
use serde_json::Value;
use socketioxide::extract::{AckSender, Extension, State};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument as _, Span};

use super::{Identity, Peer, payload::Payload};
use crate::{error::ApiError, metrics::SOCKETS, state::AppState, wire};

/// Events of one matter that wait for those before; one more is refused.
const MOST_WAITING: usize = 512;
/// Bytes of all events of a socket that wait; the largest that the transport lets through fits in.
const MOST_WAITING_BYTES: u32 = 1 << 20;

/// Permits of [`unanswered`] that are there while nothing waits.
pub const ALL_ANSWERED: u32 = MOST_WAITING_BYTES;

/// Returns the permits that the events of one socket hold until they have been answered.
#[must_use]
pub fn unanswered() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ALL_ANSWERED as usize))
}

/// Reads the payload of an event: what it asks for, or why it is refused.
pub type Read<T> = fn(&str, &str, &Identity) -> Result<T, ApiError>;

/// An event to be handled.
pub struct Job<T> {
    /// The socket it came from.
    pub peer: Peer,
    /// What handlers share.
    pub state: AppState,
    /// The caller, with a request id of this event's own.
    pub caller: caller::Caller,
    /// The name of the event.
    pub name: &'static str,
    /// What it asks for.
    pub request: T,
    ack: AckSender,
    arrived_at: Instant,
    origin: Origin,
    // Given back when the event has been handled.
    _bytes: OwnedSemaphorePermit,
}

type Handling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The events of one matter on one socket. Its worker lives while there is work.
pub struct Queue<T>(Arc<Parts<T>>);

struct Parts<T> {
    handle: Box<dyn Fn(VecDeque<Job<T>>) -> Handling + Send + Sync>,
    /// How long those are waited for that are handled together; nothing where each is handled for itself.
    gathering: Option<Duration>,
    bytes: Arc<Semaphore>,
    waiting: Mutex<Waiting<T>>,
}

struct Waiting<T> {
    jobs: VecDeque<Job<T>>,
    has_worker: bool,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + 'static> Queue<T> {
    /// Makes a queue whose events are handled one after the other; `bytes` are those of its socket.
    pub fn new<F>(
        bytes: &Arc<Semaphore>,
        handle: impl Fn(Job<T>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::make(bytes, None, move |jobs: VecDeque<Job<T>>| {
            let only = jobs.into_iter().next().map(&handle);
            async move {
                if let Some(handling) = only {
                    handling.await;
                }
            }
        })
    }

    /// Makes a queue whose events are handled together with those that come within a moment.
    pub fn gathering<F>(
        bytes: &Arc<Semaphore>,
        moment: Duration,
        handle: impl Fn(VecDeque<Job<T>>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::make(bytes, Some(moment), handle)
    }

    fn make<F>(
        bytes: &Arc<Semaphore>,
        gathering: Option<Duration>,
        handle: impl Fn(VecDeque<Job<T>>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(Parts {
            handle: Box::new(move |jobs| Box::pin(handle(jobs))),
            gathering,
            bytes: Arc::clone(bytes),
            waiting: Mutex::new(Waiting { jobs: VecDeque::new(), has_worker: false }),
        }))
    }

    /// Returns the handler of an event. It runs in the order of arrival, reads the payload and queues.
    pub fn handler(
        &self,
        name: &'static str,
        read: Read<T>,
    ) -> impl Fn(Payload, AckSender, State<AppState>, Extension<Peer>) -> Ready<()>
    + Clone
    + Send
    + Sync
    + 'static {
        let queue = self.clone();
        move |Payload(data),
              ack,
              State(state): State<AppState>,
              Extension(peer): Extension<Peer>| {
            match queue.admit(name, &data, read, &state, &peer) {
                Ok((request, bytes)) => {
                    let mut caller = peer.identity().caller.clone();
                    caller.request_id = caller::new_request_id();
                    queue.push(Job {
                        peer,
                        state,
                        caller,
                        name,
                        request,
                        ack,
                        arrived_at: Instant::now(),
                        origin: Origin::of_socket(|| wire::socket::traceparent(&data)),
                        _bytes: bytes,
                    });
                }
                Err(error) => refuse(&peer, name, ack, &error, Instant::now()),
            }
            ready(())
        }
    }

    /// Reads an event that may be handled, and takes its bytes.
    fn admit(
        &self,
        name: &'static str,
        data: &str,
        read: Read<T>,
        state: &AppState,
        peer: &Peer,
    ) -> Result<(T, OwnedSemaphorePermit), ApiError> {
        if peer.is_ending() {
            return Err(ended("this gateway ends, connect again"));
        }
        // What came before that is handled to its end.
        if peer.is_closed() {
            return Err(ended("this socket was ended, connect again"));
        }
        state.limits.charge_event(name, peer.identity().user_id)?;
        let request = read(name, data, peer.identity())?;
        // At least one, so that it counts as unanswered.
        let size = u32::try_from(data.len()).unwrap_or(u32::MAX).max(1);
        let bytes = Arc::clone(&self.0.bytes).try_acquire_many_owned(size);
        Ok((request, bytes.map_err(|_| ApiError::too_many_events())?))
    }

    fn push(&self, job: Job<T>) {
        let mut waiting = self.0.waiting.lock();
        if waiting.jobs.len() >= MOST_WAITING {
            drop(waiting);
            return job.refuse(&ApiError::too_many_events());
        }
        waiting.jobs.push_back(job);
        if !std::mem::replace(&mut waiting.has_worker, true) {
            tokio::spawn(self.clone().work());
        }
    }

    async fn work(self) {
        loop {
            if let Some(moment) = self.0.gathering {
                tokio::time::sleep(moment).await;
            }
            let jobs = self.next();
            let Some(first) = jobs.front() else { return };
            let span = first.span();
            (self.0.handle)(jobs).instrument(span).await;
        }
    }

    /// Takes what is handled next; where there is nothing, the worker ends.
    fn next(&self) -> VecDeque<Job<T>> {
        let mut waiting = self.0.waiting.lock();
        let jobs = match self.0.gathering {
            Some(_) => std::mem::take(&mut waiting.jobs),
            None => waiting.jobs.pop_front().into_iter().collect(),
        };
        waiting.has_worker = !jobs.is_empty();
        jobs
    }
}

impl<T> Job<T> {
    fn span(&self) -> Span {
        let (request_id, name) = (&self.caller.request_id, self.name);
        let name = format_args!("socket {name}");
        trace::begin(request_id, Kind::Server, &self.state.part, name, &self.origin)
    }

    /// Answers with success, and with `fields` where its client asked for an answer.
    pub fn accept(self, fields: Value) {
        self.peer.acknowledge(self.ack, &wire::socket::accepted(fields));
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
    if let Some((event, body)) = wire::socket::failure(name, error) {
        peer.emit(event, &body);
    }
    peer.acknowledge(ack, &wire::socket::refused(error));
    SOCKETS.event(name, Some(error), arrived_at);
}

fn ended(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
}
