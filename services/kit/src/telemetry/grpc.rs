//! The metrics and spans of a gRPC server, by the methods in its descriptors: whatever else callers ask
//! for has one name.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use anyhow::Context as _;
use http::{Request, Response};
use metrics::{Histogram, histogram};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tower::Service;
use tracing::Span;

use super::trace::{self, Kind, Origin};

/// Name of the metric.
pub(super) const DURATION: &str = "chat_grpc_request_duration_seconds";
/// Stands for methods that do not exist.
const OTHER: &str = "other";

/// How the codes are written in metrics, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The methods of a server. Clones share everything.
#[derive(Clone)]
pub struct Methods {
    /// Full name of the service that the server is for.
    part: &'static str,
    by_path: Arc<HashMap<String, Arc<Method>>>,
    other: Arc<Method>,
}

struct Method {
    service: String,
    name: String,
    /// Whether its calls are worth a span: probes are not.
    is_traced: bool,
    /// By code, each made when it is first needed.
    durations: [OnceLock<Histogram>; CODES.len()],
}

impl Method {
    fn new(service: &str, name: &str, is_traced: bool) -> Self {
        let durations = [const { OnceLock::new() }; CODES.len()];
        Self { service: service.to_owned(), name: name.to_owned(), is_traced, durations }
    }

    fn record(&self, begun: Instant, code: Code) {
        // A code is its number, from 0 to 16.
        let index = code as usize;
        let duration = self.durations[index].get_or_init(|| {
            let (service, method) = (self.service.clone(), self.name.clone());
            histogram!(DURATION, "service" => service, "method" => method, "code" => CODES[index])
        });
        duration.record(begun.elapsed());
    }
}

impl Methods {
    /// Reads the methods of the service `name`, and of health checks, out of descriptors.
    pub fn of(name: &'static str) -> anyhow::Result<Self> {
        let health = tonic_health::pb::health_server::SERVICE_NAME;
        let mut by_path = HashMap::new();
        for (encoded, wanted) in [
            (chat_proto::FILE_DESCRIPTOR_SET, name),
            (tonic_health::pb::FILE_DESCRIPTOR_SET, health),
        ] {
            let descriptors = FileDescriptorSet::decode(encoded).context("descriptors")?;
            for file in descriptors.file {
                for service in &file.service {
                    let full_name = format!("{}.{}", file.package(), service.name());
                    for method in service.method.iter().filter(|_| full_name == wanted) {
                        let path = format!("/{full_name}/{}", method.name());
                        let is_traced = wanted != health;
                        let method = Method::new(&full_name, method.name(), is_traced);
                        by_path.insert(path, Arc::new(method));
                    }
                }
            }
        }
        let other = Arc::new(Method::new(OTHER, OTHER, false));
        Ok(Self { part: name, by_path: Arc::new(by_path), other })
    }

    /// Opens the span of a call.
    #[must_use]
    pub fn span(&self, request_id: &str, request: &Request<()>) -> Span {
        let method = self.method(request.uri().path());
        if !method.is_traced {
            return super::request_span(request_id);
        }
        let origin = Origin::of_request(request.headers());
        let name = format_args!("{}/{}", method.service, method.name);
        trace::begin(request_id, Kind::Server, self.part, name, &origin)
    }

    /// Measures the calls that reach a service.
    pub fn measure<S>(&self, inner: S) -> Measured<S> {
        Measured { inner, methods: self.clone() }
    }

    fn method(&self, path: &str) -> &Arc<Method> {
        self.by_path.get(path).unwrap_or(&self.other)
    }
}

/// A service whose calls are measured.
#[derive(Clone)]
pub struct Measured<S> {
    inner: S,
    methods: Methods,
}

/// Measures one call. One that is given up on counts as cancelled, as tonic answers it.
struct Timer {
    method: Arc<Method>,
    begun: Instant,
    code: Code,
}

impl Timer {
    fn answered(&mut self, code: Code) {
        self.code = code;
        if is_failure(code) {
            trace::note_failure(CODES[code as usize]);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.method.record(self.begun, self.code);
    }
}

impl<S, Sent, Answer> Service<Request<Sent>> for Measured<S>
where
    S: Service<Request<Sent>, Response = Response<Answer>, Future: Send + 'static>,
    Answer: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let mut timer = Timer {
            method: Arc::clone(self.methods.method(request.uri().path())),
            begun: Instant::now(),
            code: Code::Cancelled,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            timer.answered(answer.as_ref().map_or(Code::Unknown, code));
            answer
        })
    }
}

/// Returns the code of an answer. Methods that answer once say it in the headers unless all is well.
fn code<B>(answer: &Response<B>) -> Code {
    Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code())
}

/// Says whether a code means that the service, not its caller, is at fault.
fn is_failure(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Internal | Unavailable | DataLoss)
}

#[cfg(test)]
mod tests {
    use chat_proto::v1::message_service_server::SERVICE_NAME;

    use super::*;

    #[test]
    fn methods_of_one_service_and_of_health_are_known_by_name() {
        let methods = Methods::of(SERVICE_NAME).expect("descriptors");
        for (path, service, method) in [
            ("/chat.v1.MessageService/SendMessage", SERVICE_NAME, "SendMessage"),
            ("/grpc.health.v1.Health/Check", "grpc.health.v1.Health", "Check"),
            ("/chat.v1.UserService/GetUsers", OTHER, OTHER),
            ("/chat.v1.MessageService/Guess42", OTHER, OTHER),
            ("/", OTHER, OTHER),
        ] {
            let known = methods.method(path);
            assert_eq!((known.service.as_str(), known.name.as_str()), (service, method), "{path}");
        }
    }

    #[test]
    fn code_is_read_from_the_headers() {
        let mut answer = Response::new(());
        assert_eq!(code(&answer), Code::Ok);
        answer.headers_mut().insert("grpc-status", http::HeaderValue::from_static("14"));
        assert_eq!(code(&answer), Code::Unavailable);
        assert_eq!(CODES[Code::Unavailable as usize], "UNAVAILABLE");
        assert_eq!(CODES[Code::Unauthenticated as usize], "UNAUTHENTICATED");
    }
}
