//! Events of one socket that must be handled in the order in which they were sent: one worker, one
//! after the other. The socket library itself starts a task for each.

use std::future::{Future, Ready, ready};

use axum::http::StatusCode;
use chat_kit::caller;
use serde_json::Value;
use socketioxide::extract::{AckSender, Extension, SocketRef, State, TryData};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{Identity, Peer, Transports};
use crate::{error::ApiError, state::AppState, wire};

/// Events that wait for the one before; one more is refused.
const MOST_WAITING: usize = 128;

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
    /// The payload; null where there is none.
    pub data: Value,
    /// Answers the client, if it asked for an answer.
    pub ack: AckSender,
}

/// A worker of one socket. It ends when the socket's handlers are gone and its work is done.
#[derive(Clone)]
pub struct Queue {
    jobs: mpsc::Sender<Job>,
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
                let span = chat_kit::telemetry::request_span(&job.caller.request_id);
                handle(job).instrument(span).await;
            }
        });
        Self { jobs }
    }

    /// Returns the handler of an event. It runs in the order of arrival and only queues.
    #[expect(clippy::type_complexity, reason = "every parameter is an extractor of the library")]
    pub fn handler(
        &self,
        name: &'static str,
    ) -> impl Fn(
        SocketRef,
        TryData<Value>,
        AckSender,
        State<AppState>,
        State<Transports>,
        Extension<Identity>,
    ) -> Ready<()>
    + Clone
    + Send
    + Sync
    + 'static {
        let jobs = self.jobs.clone();
        move |socket, TryData(data), ack, State(state), State(transports), Extension(identity)| {
            let mut caller = identity.caller.clone();
            caller.request_id = caller::new_request_id();
            let peer = Peer::new(socket, identity, transports);
            let data = data.unwrap_or_default();
            let job = Job { peer, state, caller, name, data, ack };
            if let Err(refused) = jobs.try_send(job) {
                refused.into_inner().refuse(&too_many());
            }
            ready(())
        }
    }
}

impl Job {
    /// Answers with success.
    pub fn accept(self, message: &Value) {
        // A socket that is gone is past answering.
        self.ack.send(&wire::socket::accepted(message)).ok();
    }

    /// Answers with a failure: by acknowledgement, and to old clients, which never ask for one, by
    /// the event that they know.
    pub fn refuse(self, error: &ApiError) {
        if let Some(name) = wire::socket::error_event(self.name) {
            self.peer.emit(name, &wire::socket::error_body(error));
        }
        self.ack.send(&wire::socket::refused(error)).ok();
    }
}

fn too_many() -> ApiError {
    let message = "too many events wait for their turn, slow down";
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_events", message)
}
