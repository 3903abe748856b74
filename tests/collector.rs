//! A collector of traces that keeps what it is sent.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use chat_e2e::harness::eventually;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value},
};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::Server};

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace_id: String,
    pub id: String,
    /// Empty for the first span of a trace.
    pub parent_id: String,
    pub name: String,
    pub trace_state: String,
    pub attributes: BTreeMap<String, String>,
    /// Of whose spans it is one.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// The part of the suite that made it.
    pub fn part(&self) -> &str {
        &self.attributes["part"]
    }
}

/// A running collector. Clones share what it keeps.
#[derive(Clone, Default)]
pub struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts a collector; it runs as long as the runtime.
    pub async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        (collector, address)
    }

    /// Returns all spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().clone()
    }

    /// Waits until there are spans of all these names in the trace of the first span that is `wanted`;
    /// returns the spans of that trace.
    pub async fn trace(&self, names: &[&str], wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        let mut found = Vec::new();
        eventually(&format!("a trace with {names:?}"), async || {
            let spans = self.spans();
            let Some(first) = spans.iter().find(|span| wanted(span)) else { return false };
            let id = first.trace_id.clone();
            found = spans.into_iter().filter(|span| span.trace_id == id).collect();
            names.iter().all(|name| found.iter().any(|span| span.name == *name))
        })
        .await;
        found
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource_spans in request.into_inner().resource_spans {
            let resource = resource_spans.resource.unwrap_or_default();
            let resource = attributes(resource.attributes);
            let spans = resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().extend(spans.map(|span| Span {
                trace_id: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent_id: hex(&span.parent_span_id),
                name: span.name,
                trace_state: span.trace_state,
                attributes: attributes(span.attributes),
                resource: resource.clone(),
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attributes(given: Vec<KeyValue>) -> BTreeMap<String, String> {
    given
        .into_iter()
        .map(|attribute| {
            let value = match attribute.value {
                Some(AnyValue { value: Some(any_value::Value::StringValue(text)) }) => text,
                other => format!("{other:?}"),
            };
            (attribute.key, value)
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
