//! What brought an event here: the request behind it, and its place in a trace.

use async_nats::HeaderMap;
use chat_kit::{
    nats::REQUEST_ID,
    telemetry::trace::{self, Kind, Origin},
};
use chat_proto::v1 as pb;
use tracing::Span;

/// What brought an event here.
pub struct Cause {
    request_id: String,
    origin: Origin,
}

impl Cause {
    /// Reads the headers of an event.
    pub fn of(headers: Option<&HeaderMap>) -> Self {
        let request_id = headers.and_then(|headers| headers.get(REQUEST_ID));
        let request_id = request_id.map_or("", |id| id.as_str()).to_owned();
        Self { request_id, origin: Origin::of_event(headers) }
    }

    /// Returns the id of the request.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Opens the span of an emission to the sockets of a gateway.
    pub fn emission(&self, part: &str, message: &pb::Message, sockets: usize) -> Span {
        let name = format_args!("emit");
        let span = trace::begin(&self.request_id, Kind::Consumer, part, name, &self.origin);
        span.in_scope(|| {
            trace::note("message_id", &message.id);
            trace::note("conversation_id", &message.conversation_id);
            trace::note("sockets", sockets);
        });
        span
    }

    /// Opens the span of a fetch of what is missing before a message.
    pub fn fetch(&self, request_id: &str, part: &str) -> Span {
        let name = format_args!("fetch a gap");
        trace::begin(request_id, Kind::Internal, part, name, &self.origin)
    }
}
