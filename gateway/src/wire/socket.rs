//! Messages on sockets: what an event's payload asks for, and how its sender is answered.

use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Dialect, call, event, fields, message};
use crate::{
    error::ApiError,
    openapi::{ALL, DESKTOP, Events, NEW, Nothing},
    socket::Identity,
};

/// Folds the payload of a sending event into the canonical request.
pub fn send(
    name: &str,
    data: &str,
    identity: &Identity,
) -> Result<pb::SendMessageRequest, ApiError> {
    let data = fields::value(data.as_bytes())?;
    if !data.is_object() {
        return Err(ApiError::validation("the payload of this event is an object"));
    }
    let origin_id = Some(identity.origin_id.to_hex());
    // The name of the event tells the vocabulary, whatever its client declares.
    let dialect = if name == event::MESSAGE_SEND { Dialect::Unified } else { Dialect::Undeclared };
    message::read(dialect, data, identity.user_id, message::Source::Socket, origin_id)
}

/// Returns the trace that an event belongs to, where its client says so beside the other fields.
#[must_use]
pub fn traceparent(data: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Traced {
        traceparent: String,
    }
    serde_json::from_str::<Traced>(data).ok().map(|traced| traced.traceparent)
}

/// Returns the event by which old clients, which ask for no acknowledgement, learn that an event of
/// theirs failed, and its body.
#[must_use]
pub fn failure(name: &str, error: &ApiError) -> Option<(&'static str, Value)> {
    if [event::SEND_MESSAGE, event::MARK_READ].contains(&name) {
        return Some((event::ERROR, error_body(error)));
    }
    call::failure(name, error)
}

/// Why an event failed, or a socket ends.
#[derive(Serialize, ToSchema)]
#[schema(as = SocketError)]
pub(super) struct Failure<'a> {
    error: &'a str,
    message: &'a str,
}

/// Returns the body of an event that tells of a failure, or that a socket's session is over.
#[must_use]
pub fn error_body(error: &ApiError) -> Value {
    json!(Failure { error: &error.error, message: &error.message })
}

/// Returns the acknowledgement of an event that succeeded, with the fields of its own.
#[must_use]
pub fn accepted(fields: Value) -> Value {
    let mut answer = json!({ "ok": true });
    if let (Value::Object(answer), Value::Object(fields)) = (&mut answer, fields) {
        answer.extend(fields);
    }
    answer
}

/// Returns the acknowledgement of an event that failed.
#[must_use]
pub fn refused(error: &ApiError) -> impl Serialize + use<> {
    json!({ "ok": false, "error": error.error, "message": error.message })
}

/// Names a conversation.
#[derive(ToSchema)]
#[schema(as = ConversationRequest, rename_all = "camelCase")]
struct Named {
    #[expect(dead_code, reason = "describes what is not read")]
    conversation_id: Option<String>,
}

/// Says which events are about sockets themselves, or have no effect.
pub(super) fn events(events: &mut Events) {
    let open = "A conversation is opened on the screen; without effect";
    events.said::<Named, Nothing>(DESKTOP, event::JOIN_CONVERSATION, open);
    let close = "A conversation is closed on the screen; without effect";
    events.said::<Named, Nothing>(DESKTOP, event::LEAVE_CONVERSATION, close);
    let failed = "The direct answer to an event of desktop clients that failed";
    events.heard::<Failure<'_>>(ALL, event::ERROR, failed);
    let over = "The session is over; the socket ends";
    events.heard::<Failure<'_>>(NEW, event::SESSION_REVOKED, over);
}
