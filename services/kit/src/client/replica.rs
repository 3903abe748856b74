//! One address of a service: its connection, how it has done lately, and one call to it.

use std::{
    error::Error,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{
    Code, ConnectError, Status, TimeoutExpired,
    body::Body,
    transport::{Channel, Endpoint, Uri},
};
use tower::ServiceExt as _;

use super::out_of_time;
use crate::error::chain;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an idle connection is tried.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long a replica that failed is left out; doubles while it goes on failing.
const FIRST_EXILE: Duration = Duration::from_millis(200);
/// Longest time for which it is left out: one that is back again is used again after that.
const LONGEST_EXILE: Duration = Duration::from_secs(5);
/// Shortest wait without an answer that says something about a replica.
const SHORTEST_SILENCE: Duration = Duration::from_millis(250);
/// Header or trailer with the code of an answer; every whole answer has one.
const GRPC_STATUS: &str = "grpc-status";
/// Longest answer, in bytes: more than the clients of the gateway accept.
const LONGEST_ANSWER: usize = 64 << 20;

/// One address of a service.
#[derive(Debug)]
pub(super) struct Replica {
    /// The address.
    pub(super) address: SocketAddr,
    channel: Channel,
    open_calls: AtomicUsize,
    record: Mutex<Record>,
}

/// How a replica has done lately.
#[derive(Debug, Default)]
struct Record {
    /// Failures since it last answered; those during an exile count as one.
    failures: u32,
    exiled_until: Option<Instant>,
    answered_at: Option<Instant>,
}

/// Why a try brought no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection could be made or the call was not sent on it: it has reached nobody.
    Unreached(String),
    /// The connection broke.
    Broken(String),
    /// Nothing came in time.
    Silent,
    /// The service answered that it cannot now.
    Unavailable(Response<Body>),
}

impl Failure {
    pub(super) fn is_unreached(&self) -> bool {
        matches!(self, Self::Unreached(_))
    }

    /// Returns what the caller gets when this was the last try.
    pub(super) fn into_answer(self) -> Result<Response<Body>, Status> {
        match self {
            Self::Unreached(cause) => {
                Err(Status::unavailable(format!("the service cannot be reached: {cause}")))
            }
            Self::Broken(cause) => {
                Err(Status::unavailable(format!("the connection to the service broke: {cause}")))
            }
            Self::Silent => Err(out_of_time()),
            Self::Unavailable(response) => Ok(response),
        }
    }
}

/// A call under way; counted until it is dropped, however it ends.
struct OpenCall<'a>(&'a AtomicUsize);

impl<'a> OpenCall<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Replica {
    /// Describes the replica at an address; `url` is the name that it was found by.
    pub(super) fn new(address: SocketAddr, url: &Uri) -> Self {
        let own = format!("http://{address}").parse::<Uri>().expect("an address makes a URL");
        let channel = Endpoint::from(own)
            .origin(url.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(CONNECT_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy();
        Self { address, channel, open_calls: AtomicUsize::new(0), record: Mutex::default() }
    }

    /// Returns how many calls are under way.
    pub(super) fn open_calls(&self) -> usize {
        self.open_calls.load(Ordering::Relaxed)
    }

    /// Says whether it should be left out: it failed a moment ago, or somebody is trying already
    /// whether it is well again.
    pub(super) fn is_out(&self, now: Instant) -> bool {
        let record = self.record.lock();
        record.exiled_until.is_some_and(|until| now < until)
            || (record.failures > 0 && self.open_calls() > 0)
    }

    /// Waits until it has answered nobody for so long, counted from now, and leaves it out.
    pub(super) async fn silent(&self, patience: Duration) {
        let begun = Instant::now();
        loop {
            let heard_at = self.record.lock().answered_at.map_or(begun, |at| at.max(begun));
            if Instant::now() >= heard_at + patience {
                return self.leave_out(&Failure::Silent);
            }
            sleep_until(heard_at + patience).await;
        }
    }

    /// Makes a call, which gets `limit` for the whole answer.
    pub(super) async fn call(
        &self,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Body>, Failure> {
        let _open = OpenCall::new(&self.open_calls);
        let begun = Instant::now();
        let answer = async {
            let response = self.channel.clone().oneshot(request).await;
            let (head, body) = response.map_err(|error| classify(&error))?.into_parts();
            // Until its end, so that a connection that breaks in between is noticed here.
            let body = Limited::new(body, LONGEST_ANSWER).collect().await;
            let body = body.map_err(|error| Failure::Broken(chain(error.as_ref())))?;
            // A stream that was reset without a reason looks like an answer that has ended.
            let has_status = |headers: &HeaderMap| headers.contains_key(GRPC_STATUS);
            if head.status.is_success()
                && !has_status(&head.headers)
                && !body.trailers().is_some_and(has_status)
            {
                return Err(Failure::Broken("the answer has no end".to_owned()));
            }
            Ok(Response::from_parts(head, Body::new(body)))
        };
        let answer = timeout(limit, answer).await.unwrap_or(Err(Failure::Silent));
        self.note(begun, &answer);
        match status(answer?) {
            (Some(Code::Unavailable), response) => Err(Failure::Unavailable(response)),
            (Some(Code::Cancelled), response) if is_server_timeout(&response) => {
                Err(Failure::Silent)
            }
            (_, response) => Ok(response),
        }
    }

    fn note(&self, begun: Instant, answer: &Result<Response<Body>, Failure>) {
        let now = Instant::now();
        match answer {
            Ok(_) => {
                let mut record = self.record.lock();
                if record.failures > 0 {
                    tracing::info!(address = %self.address, "a replica answers again");
                }
                *record = Record { answered_at: Some(now), ..Record::default() };
            }
            Err(Failure::Silent) => {
                // Where it has answered others meanwhile, the call is slow, not the replica.
                let is_alive = self.record.lock().answered_at.is_some_and(|at| begun < at);
                if !is_alive && now - begun >= SHORTEST_SILENCE {
                    self.leave_out(&Failure::Silent);
                }
            }
            Err(failure) => self.leave_out(failure),
        }
    }

    fn leave_out(&self, failure: &Failure) {
        let now = Instant::now();
        let mut record = self.record.lock();
        if record.exiled_until.is_some_and(|until| now < until) {
            return;
        }
        if record.failures == 0 {
            tracing::warn!(address = %self.address, ?failure, "a replica is left out");
        }
        let exile = FIRST_EXILE.saturating_mul(1 << record.failures.min(16));
        record.exiled_until = Some(now + exile.min(LONGEST_EXILE));
        record.failures = record.failures.saturating_add(1);
    }
}

/// Returns the status of an answer that is nothing else.
fn status(response: Response<Body>) -> (Option<Code>, Response<Body>) {
    let code = response.headers().get(GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    (code, response)
}

/// tonic's server reports its own timeout as `Cancelled`.
fn is_server_timeout(response: &Response<Body>) -> bool {
    Status::from_header_map(response.headers())
        .is_some_and(|status| status.message() == "Timeout expired")
}

/// Says how far a call came that failed before its answer.
fn classify(error: &tonic::transport::Error) -> Failure {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = source {
        // hyper cancels what it has not sent when a connection closes.
        let is_unsent = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        if is_unsent || cause.is::<ConnectError>() {
            return Failure::Unreached(chain(error));
        }
        if cause.is::<TimeoutExpired>() {
            return Failure::Silent;
        }
        source = cause.source();
    }
    Failure::Broken(chain(error))
}
