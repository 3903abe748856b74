//! Channels to the other services: connected when first used, so that the order of starts does not
//! matter, and with a deadline on every call.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response};
use tonic::{Code, Status, body::Body, transport::Endpoint};
use tower::Service;

use crate::config::Upstream;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often an idle connection is tried, and how long the answer may take.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How much longer the caller waits than it tells the service, for the answer's way back.
const ANSWER_GRACE: Duration = Duration::from_millis(200);

/// A channel to a service whose calls end at their deadline.
#[derive(Clone, Debug)]
pub struct Channel {
    inner: tonic::transport::Channel,
    timeout: Duration,
}

/// Describes a service; nothing is connected yet.
#[must_use]
pub fn channel(upstream: &Upstream) -> Channel {
    let inner = Endpoint::from(upstream.url.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(CONNECT_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy();
    Channel { inner, timeout: upstream.timeout }
}

impl Channel {
    /// Returns the same channel with another deadline.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { inner: self.inner.clone(), timeout }
    }
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
        let mut channel = self.inner.clone();
        let timeout = self.timeout;
        request.headers_mut().entry("grpc-timeout").or_insert_with(|| grpc_timeout(timeout));
        Box::pin(async move {
            let answer = async {
                std::future::poll_fn(|context| channel.poll_ready(context)).await?;
                channel.call(request).await
            };
            match tokio::time::timeout(timeout + ANSWER_GRACE, answer).await {
                Ok(Ok(response)) if is_server_timeout(&response) => Err(deadline_exceeded().into()),
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(deadline_exceeded().into()),
            }
        })
    }
}

fn deadline_exceeded() -> Status {
    Status::deadline_exceeded("the service did not answer in time")
}

fn grpc_timeout(timeout: Duration) -> HeaderValue {
    // At most eight digits: milliseconds reach beyond a day.
    let millis = timeout.as_millis().min(99_999_999);
    HeaderValue::try_from(format!("{millis}m")).expect("digits and a letter")
}

/// tonic's server reports its own timeout as `Cancelled`.
fn is_server_timeout(response: &Response<Body>) -> bool {
    let headers = response.headers();
    headers.get("grpc-status").is_some_and(|code| code.as_bytes() == b"1")
        && Status::from_header_map(headers).is_some_and(|status| {
            status.code() == Code::Cancelled && status.message() == "Timeout expired"
        })
}
