//! Log lines, as JSON or for people, and the span that puts the request's id on all of them.

use tracing::Span;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Telemetry};

/// Begins to write log lines to standard error. Called once in a process.
pub fn init(config: &Telemetry) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| anyhow::anyhow!("telemetry.filter `{}`: {error}", config.filter))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Pretty => lines.try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("telemetry: {error}"))
}

/// Opens the span of a request; every line logged in it carries the request's id.
#[must_use]
pub fn request_span(request_id: &str) -> Span {
    tracing::info_span!("request", request_id)
}
