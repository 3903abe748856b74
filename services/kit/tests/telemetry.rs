//! Tracing to a collector that is not there. A program of its own: what traces is one for a process.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use chat_kit::{
    config::{Otlp, Telemetry},
    telemetry::{
        self,
        trace::{self, Kind, Origin},
    },
};
use http::HeaderMap;

/// How long the end of a process may wait for a collector, with time to spare on a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);
/// More spans than wait for a collector.
const MANY: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn collector_that_never_answers_holds_nobody_up() {
    // Connections are made and stand still.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let config = Telemetry {
        filter: "off".to_owned(),
        otlp: Otlp {
            endpoint: Some(format!("http://{address}").parse().expect("an address")),
            ..Otlp::default()
        },
        ..Telemetry::default()
    };
    let reporting = telemetry::start("test", &config).await.expect("telemetry");
    let begun = Instant::now();
    for _ in 0..MANY {
        let name = format_args!("work");
        let span = trace::begin("r", Kind::Internal, "test", name, &Origin::default());
        span.in_scope(|| {
            let mut headers = HeaderMap::new();
            trace::inject(&mut headers);
            assert!(headers.contains_key("traceparent"), "traced whatever is logged");
        });
    }
    assert!(begun.elapsed() < PATIENCE, "work waits for nobody: {:?}", begun.elapsed());
    let ending = Instant::now();
    drop(reporting);
    assert!(ending.elapsed() < PATIENCE, "neither does the end: {:?}", ending.elapsed());
}
