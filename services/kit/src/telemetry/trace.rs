//! Spans, and the W3C trace context that joins those of several processes to one trace: taken out of
//! HTTP, gRPC and NATS headers, and put into them. Without a collector only the request's id is kept.

use std::{fmt, sync::OnceLock, time::Duration};

use anyhow::Context as _;
use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceContextExt as _, TraceState, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingDecision, SdkTracer,
        SdkTracerProvider, ShouldSample as _,
    },
};
use tonic::transport::Endpoint;
use tracing::{Span, Subscriber, field::Empty};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use crate::config::Otlp;

/// Headers of the trace context, spelled the same in HTTP, gRPC and NATS.
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// Longest `tracestate` that is handed on; the recommendation asks for no less.
const LONGEST_TRACESTATE: usize = 512;

/// How long the collector may take to be reached, and to take one batch.
const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last batch.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// Spans that wait for the collector; further ones are dropped.
const MOST_WAITING: usize = 4096;
/// Spans in one batch, and how long they are collected.
const BATCH: usize = 512;
const COLLECTING: Duration = Duration::from_secs(2);

/// Says which traces of clients are kept. Set once in a process, when it begins to export.
static EXPORTING: OnceLock<Sampler> = OnceLock::new();

/// The way to the collector. Dropped, it sends what is left, within a deadline.
pub struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    sampler: Sampler,
}

impl Exporter {
    /// Prepares to export, where there is a collector; it is connected when there is something to send.
    pub fn connect(name: &str, config: &Otlp) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = config.endpoint.clone() else { return Ok(None) };
        let channel = Endpoint::from(endpoint)
            .connect_timeout(COLLECTOR_TIMEOUT)
            .timeout(COLLECTOR_TIMEOUT)
            .connect_lazy();
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_channel(channel)
            .build()
            .context("telemetry.otlp")?;
        // All that the library would else read from the environment is said.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MOST_WAITING)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(COLLECTING)
            .build();
        let sampler = Sampler::TraceIdRatioBased(config.sampling_ratio);
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(sampler.clone())))
            .with_resource(resource(name))
            .with_span_processor(
                BatchSpanProcessor::builder(exporter).with_batch_config(batches).build(),
            )
            .build();
        let tracer = provider.tracer("chat");
        Ok(Some(Self { provider, tracer, sampler }))
    }

    /// Returns the layer that turns the spans of this module, and no others, into exported ones.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        EXPORTING.get_or_init(|| self.sampler.clone());
        OpenTelemetryLayer::new(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(|meta| meta.is_span() && meta.target() == module_path!()))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

/// Says whose spans they are.
fn resource(name: &str) -> Resource {
    let instance = uuid::Uuid::new_v4().to_string();
    Resource::builder_empty()
        .with_service_name(name.to_owned())
        .with_attributes([
            KeyValue::new("service.namespace", "chat"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
        ])
        .build()
}

/// On whose behalf somebody acts.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Of a caller who waits for an answer.
    Server,
    /// Of somebody who published an event.
    Consumer,
    /// On its own.
    Internal,
}

/// The span of a client or of another process that what follows belongs to, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Origin(Option<SpanContext>);

impl Origin {
    /// Reads the headers of a client's request. The trace goes on; whether it is kept is decided here,
    /// else anybody could have everything kept.
    #[must_use]
    pub fn of_client(headers: &HeaderMap) -> Self {
        Self::of_request(headers).decided_here()
    }

    /// Reads what a client wrote beside an event of its socket: `traceparent` gives its text, and is
    /// asked only where there is a collector. Whether the trace is kept is decided here, too.
    #[must_use]
    pub fn of_socket(traceparent: impl FnOnce() -> Option<String>) -> Self {
        let given = EXPORTING.get().and_then(|_| parse(&traceparent()?, None));
        Self(given).decided_here()
    }

    fn decided_here(self) -> Self {
        let (Some(sampler), Some(given)) = (EXPORTING.get(), self.0) else {
            return Self::default();
        };
        let id = given.trace_id();
        let result = sampler.should_sample(None, id, "", &SpanKind::Server, &[], &[]);
        let is_kept = result.decision == SamplingDecision::RecordAndSample;
        let flags = if is_kept { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let state = given.trace_state().clone();
        Self(Some(SpanContext::new(id, given.span_id(), flags, true, state)))
    }

    /// Reads the headers of a call inside the suite.
    #[must_use]
    pub fn of_request(headers: &HeaderMap) -> Self {
        Self::read(|name| headers.get(name)?.to_str().ok())
    }

    /// Reads the headers of an event.
    #[must_use]
    pub fn of_event(headers: Option<&async_nats::HeaderMap>) -> Self {
        Self::read(|name| Some(headers?.get(name)?.as_str()))
    }

    fn read<'a>(text: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        Self(EXPORTING.get().and_then(|_| parse(text(TRACEPARENT)?, text(TRACESTATE))))
    }
}

/// Reads a trace context. What is not well formed counts as absent.
fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let parts: Vec<&str> = traceparent.splitn(5, '-').collect();
    let [version, trace_id, span_id, flags, rest @ ..] = parts.as_slice() else { return None };
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    // A later version may say more behind what is known.
    let is_known = is_hex(version, 2) && *version != "ff" && (*version != "00" || rest.is_empty());
    if !is_known || !is_hex(trace_id, 32) || !is_hex(span_id, 16) || !is_hex(flags, 2) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let state = tracestate
        .filter(|text| text.len() <= LONGEST_TRACESTATE)
        .and_then(|text| text.parse::<TraceState>().ok())
        .unwrap_or_default();
    let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
    let context = SpanContext::new(trace_id, span_id, flags, true, state);
    context.is_valid().then_some(context)
}

/// Opens the span of something that came from outside of this process; every line logged in it carries
/// the request's id and, where there is a collector, that of the trace. `part` says which part of the
/// suite acts, since several may share a process; `name` is one of few, never with an id in it.
#[must_use]
pub fn begin(
    request_id: &str,
    kind: Kind,
    part: &str,
    name: fmt::Arguments<'_>,
    origin: &Origin,
) -> Span {
    if EXPORTING.get().is_none() {
        return tracing::info_span!(parent: None, "request", request_id);
    }
    let kind = match kind {
        Kind::Server => "server",
        Kind::Consumer => "consumer",
        Kind::Internal => "internal",
    };
    let span = tracing::info_span!(
        parent: None,
        "request",
        request_id,
        trace_id = Empty,
        otel.name = %name,
        otel.kind = kind,
    );
    let parent = match &origin.0 {
        Some(parent) => Context::new().with_remote_span_context(parent.clone()),
        None => Context::new(),
    };
    // Neither is so: the layer is there, and the span has not begun.
    if let Err(error) = span.set_parent(parent) {
        tracing::error!(%error, "span without its parent");
    }
    span.set_attribute("part", part.to_owned());
    let context = span.context();
    span.record("trace_id", tracing::field::display(context.span().span_context().trace_id()));
    span
}

/// Notes something about the current span: an id or a count, never what people write or keep secret.
pub fn note(key: &'static str, value: impl fmt::Display) {
    if EXPORTING.get().is_some() {
        Span::current().set_attribute(key, value.to_string());
    }
}

/// Marks the current span as failed for a reason that its caller cannot help.
pub fn note_failure(reason: &'static str) {
    if EXPORTING.get().is_some() {
        Span::current().set_status(Status::error(reason));
    }
}

/// Puts the current span into the headers of a call.
pub fn inject(headers: &mut HeaderMap) {
    write(|name, value| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    });
}

/// Puts the current span into the headers of an event.
pub fn inject_event(headers: &mut async_nats::HeaderMap) {
    write(|name, value| headers.insert(name, value));
}

fn write(mut insert: impl FnMut(&'static str, String)) {
    if EXPORTING.get().is_none() {
        return;
    }
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return;
    }
    let flags = span.trace_flags() & TraceFlags::SAMPLED;
    insert(TRACEPARENT, format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()));
    let state = span.trace_state().header();
    if !state.is_empty() {
        insert(TRACESTATE, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn well_formed_context_is_read() {
        for (traceparent, is_sampled) in [
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-00"), false),
            (format!("00-{TRACE}-{SPAN}-ff"), true),
            (format!("01-{TRACE}-{SPAN}-01-more-of-it"), true),
        ] {
            let context = parse(&traceparent, Some("a=1,b=2")).expect("a context");
            assert_eq!(context.trace_id().to_string(), TRACE);
            assert_eq!(context.span_id().to_string(), SPAN);
            assert_eq!(context.is_sampled(), is_sampled, "{traceparent}");
            assert!(context.is_remote());
            assert_eq!(context.trace_state().header(), "a=1,b=2");
        }
    }

    #[test]
    fn malformed_context_is_ignored() {
        let zeros = "0".repeat(32);
        for traceparent in [
            String::new(),
            "nonsense".to_owned(),
            "00-1-1-01".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert!(parse(&traceparent, None).is_none(), "{traceparent}");
        }
    }

    #[test]
    fn malformed_or_long_state_is_left_out() {
        let traceparent = format!("00-{TRACE}-{SPAN}-01");
        for state in ["nonsense".to_owned(), format!("a={}", "x".repeat(LONGEST_TRACESTATE))] {
            let context = parse(&traceparent, Some(&state)).expect("a context");
            assert_eq!(context.trace_state().header(), "");
        }
    }

    #[test]
    fn nothing_is_read_or_written_without_a_collector() {
        let mut headers = HeaderMap::new();
        inject(&mut headers);
        assert!(headers.is_empty());
        let traceparent = format!("00-{TRACE}-{SPAN}-01");
        headers.insert(TRACEPARENT, HeaderValue::try_from(traceparent).expect("text"));
        assert!(Origin::of_request(&headers).0.is_none());
        assert!(Origin::of_client(&headers).0.is_none());
    }
}
