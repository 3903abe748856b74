//! Log lines, as JSON or for people; the spans that put a request's ids on all of them; traces to a
//! collector and metrics for Prometheus where they are configured. No metrics of the domain.

pub mod grpc;
pub mod metrics;
mod process;
pub mod trace;

use std::net::SocketAddr;

use anyhow::Context as _;
use tracing::{Span, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, layer::SubscriberExt as _, registry, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::config::{LogFormat, Telemetry};

/// What runs for as long as the process tells about itself. Dropped, it sends what is left of traces and
/// stops serving metrics.
#[must_use = "telemetry ends when this is dropped"]
pub struct Reporting {
    _exporter: Option<trace::Exporter>,
    metrics: Option<metrics::Served>,
}

impl Reporting {
    /// Returns where metrics are served, if they are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|served| served.address)
    }
}

/// Begins to write log lines to standard error, and to trace and to measure where the configuration asks
/// for it. Called once in a process, before anything else is started; `name` is the process's.
pub async fn start(name: &str, config: &Telemetry) -> anyhow::Result<Reporting> {
    let exporter = trace::Exporter::connect(name, &config.otlp)?;
    init(config, exporter.as_ref())?;
    let metrics = match config.metrics.listen {
        Some(address) => {
            Some(metrics::serve(name, address).await.context("telemetry.metrics.listen")?)
        }
        None => None,
    };
    Ok(Reporting { _exporter: exporter, metrics })
}

/// Opens a span that puts a request's id on every line logged in it, and that belongs to no trace.
#[must_use]
pub fn request_span(request_id: &str) -> Span {
    tracing::info_span!("request", request_id)
}

fn init(config: &Telemetry, exporter: Option<&trace::Exporter>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| anyhow::anyhow!("telemetry.filter `{}`: {error}", config.filter))?;
    let started = match exporter {
        None => registry().with(filter).with(lines(config.format)).try_init(),
        // What is traced does not depend on what is logged.
        Some(exporter) => registry()
            .with(lines(config.format).with_filter(filter))
            .with(exporter.layer())
            .try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("telemetry: {error}"))
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Pretty => lines.boxed(),
    }
}
