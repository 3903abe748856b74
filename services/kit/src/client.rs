//! Channels to the other services: connected when first used, so that the order of starts does not
//! matter, over all replicas of a service, and with one deadline for a call and its repetitions.
//!
//! All calls of the suite are unary. A call that has certainly reached nobody is made again on another
//! replica. One that may have reached somebody is made again only where the contract says that it may
//! be (`idempotency_level`): when it failed, or beside the first where a replica seems to stand still.
//! Both end after a few tries, and repetitions have a budget, so that a service in trouble does not get
//! more calls for it.

mod lookup;
mod methods;
mod replica;
mod replicas;

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::{HeaderValue, Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Status, body::Body};
use tower::{
    Service,
    retry::budget::{Budget as _, TpsBudget},
};

use self::{
    replica::{Failure, Replica},
    replicas::Replicas,
};
use crate::{config::Upstream, telemetry};

/// Most tries of one call.
const MOST_TRIES: usize = 4;
/// A replica that answers nobody for this part of what is left of the deadline seems to stand still:
/// another one is called beside it.
const PATIENCE_PART: u32 = 3;
/// Pause before a call is made again on a replica that it was made on; doubles with every try.
const PAUSE: Duration = Duration::from_millis(25);
/// Repetitions of calls that may have reached a service, as a part of all calls.
const BUDGET_PART: f32 = 0.2;
/// Such repetitions per second that are allowed in any case.
const BUDGET_RATE: u32 = 5;
/// How long a call counts for the budget.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);

/// A channel to the replicas of a service, whose calls end at their deadline. Clones share everything
/// but the deadline.
#[derive(Clone, Debug)]
pub struct Channel {
    replicas: Replicas,
    budget: Arc<TpsBudget>,
    timeout: Duration,
}

/// Describes a service; nothing is connected yet. Its names are looked up again and again for as long
/// as the channel or a clone of it lives.
#[must_use]
pub fn channel(upstream: &Upstream) -> Channel {
    Channel::over(Replicas::new(lookup::follow(&upstream.urls)), upstream.timeout)
}

impl Channel {
    fn over(replicas: Replicas, timeout: Duration) -> Self {
        let budget = TpsBudget::new(BUDGET_WINDOW, BUDGET_RATE, BUDGET_PART);
        Self { replicas, budget: Arc::new(budget), timeout }
    }

    /// Returns the same channel with another deadline.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Makes a call, again where it may be, until it is answered, fails for good or is out of time.
    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let deadline = Instant::now() + self.timeout;
        let (head, body) = request.into_parts();
        let body = timeout_at(deadline, body.collect()).await.map_err(|_| out_of_time())??;
        let body = Full::new(body.to_bytes());
        let is_repeatable = methods::is_repeatable(head.uri.path());
        self.budget.deposit();
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut open = FuturesUnordered::new();
        loop {
            let replica = self.next_replica(&tried, deadline).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            let has_other = is_repeatable
                && tried.len() + 1 < MOST_TRIES
                && self.replicas.has_other(&replica, &tried);
            tried.push(replica.address);
            let again = again(&head, body.clone(), left);
            open.push(call(Arc::clone(&replica), again, left));
            let outcome = tokio::select! {
                outcome = first_answer(&mut open) => outcome,
                () = replica.silent(left / PATIENCE_PART), if has_other => {
                    if self.budget.withdraw() {
                        tracing::debug!(method = head.uri.path(), "calling another replica, too");
                        continue;
                    }
                    first_answer(&mut open).await
                }
            };
            let failure = match outcome {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let may_try = Instant::now() < deadline && tried.len() < MOST_TRIES;
            // What has reached nobody costs nobody anything and needs no budget.
            if !may_try || !(failure.is_unreached() || (is_repeatable && self.budget.withdraw())) {
                return failure.into_answer();
            }
            tracing::debug!(method = head.uri.path(), ?failure, "calling again");
        }
    }

    /// Chooses the replica for the next try. One that was tried already gets a pause first.
    async fn next_replica(
        &self,
        tried: &[SocketAddr],
        deadline: Instant,
    ) -> Result<Arc<Replica>, Status> {
        let choosing = self.replicas.choose(tried);
        let replica = timeout_at(deadline, choosing).await.map_err(|_| no_address())?;
        if tried.contains(&replica.address) {
            let pause_end = Instant::now() + PAUSE * (1 << tried.len());
            sleep_until(pause_end.min(deadline)).await;
        }
        Ok(replica)
    }
}

type Outcome = Result<Response<Body>, Failure>;

async fn call(replica: Arc<Replica>, request: Request<Body>, limit: Duration) -> Outcome {
    replica.call(request, limit).await
}

/// Returns the first answer to one of the tries, or the last failure when all have failed.
async fn first_answer(open: &mut FuturesUnordered<impl Future<Output = Outcome>>) -> Outcome {
    let mut failure = Failure::Silent;
    while let Some(outcome) = open.next().await {
        match outcome {
            Ok(response) => return Ok(response),
            Err(failed) => failure = failed,
        }
    }
    Err(failure)
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Readiness is awaited inside the call, so that the deadline covers it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        telemetry::trace::inject(request.headers_mut());
        let channel = self.clone();
        Box::pin(async move { channel.answer(request).await.map_err(Into::into) })
    }
}

/// Returns the request of one try; `limit` is what its server gets of the deadline.
fn again(head: &Parts, body: Full<bytes::Bytes>, limit: Duration) -> Request<Body> {
    let mut request = Request::from_parts(head.clone(), Body::new(body));
    // At most eight digits: milliseconds reach beyond a day.
    let millis = limit.as_millis().min(99_999_999);
    let value = HeaderValue::try_from(format!("{millis}m")).expect("digits and a letter");
    request.headers_mut().insert("grpc-timeout", value);
    request
}

fn out_of_time() -> Status {
    Status::deadline_exceeded("the service did not answer in time")
}

fn no_address() -> Status {
    Status::unavailable("the service's name has no address")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{net::TcpListener, sync::watch};
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::{Server, Uri};
    use tonic_health::{
        ServingStatus,
        pb::{HealthCheckRequest, health_client::HealthClient},
    };

    use super::*;

    /// Serves a health check that answers with one status.
    async fn serve(status: ServingStatus) -> Arc<Replica> {
        let (health, service) = tonic_health::server::health_reporter();
        health.set_service_status("", status).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Arc::new(Replica::new(address, &Uri::from_static("http://name")))
    }

    #[tokio::test]
    async fn calls_follow_the_addresses_of_a_name() {
        let one = serve(ServingStatus::Serving).await;
        let other = serve(ServingStatus::NotServing).await;
        let (set, known) = watch::channel(Arc::default());
        let channel = Channel::over(Replicas::new(known), Duration::from_secs(5));
        let check = async || {
            let mut client = HealthClient::new(channel.clone());
            client.check(HealthCheckRequest::default()).await.map(|answer| answer.get_ref().status)
        };
        let (waiting, ()) = tokio::join!(check(), async {
            set.send_replace([one].into());
        });
        let (up, down) = (ServingStatus::Serving as i32, ServingStatus::NotServing as i32);
        assert_eq!(waiting.expect("the first address is waited for"), up);
        set.send_replace([other].into());
        for _ in 0..10 {
            assert_eq!(check().await.expect("an answer"), down);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn name_without_address_fails_at_the_deadline() {
        let (_set, known) = watch::channel(Arc::default());
        let channel = Channel::over(Replicas::new(known), Duration::from_secs(5));
        let begun = Instant::now();
        let failed = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        assert_eq!(failed.expect_err("no address").code(), tonic::Code::Unavailable);
        assert!(begun.elapsed() < Duration::from_secs(6));
    }
}
