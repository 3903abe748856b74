//! The metrics listener, and the metrics that several processes share: events handed to NATS, and
//! whether MongoDB and NATS are there. What belongs to one process stands in a file of its own.

use std::{
    convert::Infallible,
    future::{pending, ready},
    net::SocketAddr,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use hyper::body::Incoming;
use metrics::{Counter, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, task::JoinHandle};

use super::process;
use crate::{nats::PublishError, server};

/// Bounds of every histogram, in seconds.
const BUCKETS: [f64; 13] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// How often what was measured is added up; until then each value takes memory.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Connections to the listener; further ones wait.
const MOST_CONNECTIONS: usize = 16;
/// The only path of the listener.
const PATH: &str = "/metrics";

/// Whether anybody can read what is measured.
static ARE_KEPT: AtomicBool = AtomicBool::new(false);

/// Says whether metrics are kept, for what is measured only to be read.
#[must_use]
pub fn are_kept() -> bool {
    ARE_KEPT.load(Ordering::Relaxed)
}

/// A metric and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, with its unit.
    pub name: &'static str,
    /// How its values come about.
    pub kind: Kind,
    /// What it means.
    pub help: &'static str,
}

/// How the values of a metric come about.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// How many values were how large.
    Histogram,
}

/// Gives metrics their meaning.
pub fn describe(metrics: &[Metric]) {
    for metric in metrics {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}

/// The listener of metrics and the work beside it. Dropped, both end.
pub struct Served {
    /// Where it is.
    pub address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Begins to keep metrics, and to serve them at an address.
pub async fn serve(name: &str, address: SocketAddr) -> anyhow::Result<Served> {
    let listener = server::bind(address).await?;
    let address = listener.local_addr()?;
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("metrics are kept already"))?;
    ARE_KEPT.store(true, Ordering::Relaxed);
    describe(&SHARED);
    gauge!(BUILD_INFO, "process" => name.to_owned(), "version" => env!("CARGO_PKG_VERSION"))
        .set(1.0);
    let upkeep = handle.clone();
    let tasks = [
        tokio::spawn(listen(listener, handle)),
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP_INTERVAL).await;
                upkeep.run_upkeep();
            }
        }),
    ];
    Ok(Served { address, tasks })
}

async fn listen(listener: TcpListener, handle: PrometheusHandle) {
    let app = tower::service_fn(move |request: Request<Incoming>| {
        ready(Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &handle)))
    });
    // Until the end of the process, so that its last work can be read, too.
    crate::http::accept(listener, app, MOST_CONNECTIONS, pending()).await;
}

fn answer(method: &Method, path: &str, handle: &PrometheusHandle) -> Response<String> {
    let mut response = Response::new(String::new());
    let headers = response.headers_mut();
    if path != PATH {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if method != Method::GET {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    } else {
        let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        *response.body_mut() = handle.render() + &process::text();
    }
    response
}

const BUILD_INFO: &str = "chat_build_info";
const MONGODB_UP: &str = "chat_mongodb_up";
const NATS_UP: &str = "chat_nats_up";
const NATS_INTERRUPTIONS: &str = "chat_nats_interruptions_total";
const PUBLISHES: &str = "chat_nats_publishes_total";

const SHARED: [Metric; 6] = [
    Metric {
        name: BUILD_INFO,
        kind: Kind::Gauge,
        help: "Always 1; the labels say which process it is and of which version.",
    },
    Metric {
        name: super::grpc::DURATION,
        kind: Kind::Histogram,
        help: "How long gRPC calls took to be answered.",
    },
    Metric {
        name: MONGODB_UP,
        kind: Kind::Gauge,
        help: "Whether MongoDB's primary answered a service's last question: 1 or 0.",
    },
    Metric {
        name: NATS_UP,
        kind: Kind::Gauge,
        help: "Whether there is a connection to NATS: 1 or 0.",
    },
    Metric {
        name: NATS_INTERRUPTIONS,
        kind: Kind::Counter,
        help: "Times that the connection to NATS was lost, or that NATS dropped events for want of room.",
    },
    Metric {
        name: PUBLISHES,
        kind: Kind::Counter,
        help: "Events handed to NATS, by what became of them.",
    },
];

/// Takes note of whether MongoDB answered a service.
pub fn mongodb(service: &'static str, is_up: bool) {
    gauge!(MONGODB_UP, "service" => service).set(f64::from(u8::from(is_up)));
}

/// Takes note of whether there is a connection to NATS, which has its client's name.
pub fn nats(client: &str, is_up: bool) {
    gauge!(NATS_UP, "client" => client.to_owned()).set(f64::from(u8::from(is_up)));
}

/// Makes the counter of a connection's interruptions.
pub fn nats_interruptions(client: &str) -> Counter {
    counter!(NATS_INTERRUPTIONS, "client" => client.to_owned())
}

/// What became of the events that were handed to NATS.
pub struct Publishes {
    stored: Counter,
    not_connected: Counter,
    busy: Counter,
    no_payload: Counter,
    refused: Counter,
    timeout: Counter,
}

/// The counters of published events.
pub static PUBLISHED: LazyLock<Publishes> = LazyLock::new(|| {
    let outcome = |outcome: &'static str| counter!(PUBLISHES, "outcome" => outcome);
    Publishes {
        stored: outcome("stored"),
        not_connected: outcome("not_connected"),
        busy: outcome("busy"),
        no_payload: outcome("no_payload"),
        refused: outcome("refused"),
        timeout: outcome("timeout"),
    }
});

impl Publishes {
    /// Counts an event.
    pub fn count<T>(&self, outcome: &Result<T, PublishError>) {
        let counter = match outcome {
            Ok(_) => &self.stored,
            Err(PublishError::NotConnected) => &self.not_connected,
            Err(PublishError::Busy) => &self.busy,
            Err(PublishError::NoPayload(_)) => &self.no_payload,
            Err(PublishError::Nats(_)) => &self.refused,
            Err(PublishError::Timeout) => &self.timeout,
        };
        counter.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_alone_are_served_and_to_readers_alone() {
        let handle = PrometheusBuilder::new().build_recorder().handle();
        let status = |method, path| answer(&method, path, &handle).status().as_u16();
        assert_eq!(status(Method::GET, "/metrics"), 200);
        assert_eq!(status(Method::POST, "/metrics"), 405);
        for path in ["/", "/metrics/", "/Metrics", "/health"] {
            assert_eq!(status(Method::GET, path), 404, "{path}");
        }
    }
}
