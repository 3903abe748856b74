//! Messages on sockets: what an event's payload asks for, and how its sender is answered.

use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{event, fields, message};
use crate::{error::ApiError, socket::Identity};

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
    if name == event::MESSAGE_SEND {
        let send = fields::read::<message::UnifiedSend>(data)?;
        return send.into_request(message::Source::Socket, origin_id);
    }
    let caller = identity.user_id;
    fields::read::<message::Send>(data)?.into_request(caller, message::Source::Socket, origin_id)
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

/// Returns a stored message as the old families' senders hear of it: with their client's id.
#[must_use]
pub fn sent(message: &pb::Message) -> Value {
    with_client_id(message::live(message), message)
}

/// Returns a message as new clients hear of it that did not send it.
#[must_use]
pub fn received(message: &pb::Message) -> Value {
    let mut body = message::unified(message);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("clientId");
    }
    body
}

fn with_client_id(mut body: Value, message: &pb::Message) -> Value {
    if let (Some(fields), Some(id)) = (body.as_object_mut(), message::client_id(message)) {
        fields.insert("clientId".to_owned(), id);
    }
    body
}

/// Returns the event by which old clients, which ask for no acknowledgement, learn that an event of
/// theirs failed.
#[must_use]
pub fn error_event(name: &str) -> Option<&'static str> {
    (name == event::SEND_MESSAGE).then_some(event::ERROR)
}

/// Returns the body of [`error_event`], and of the event that a socket's session is over.
#[must_use]
pub fn error_body(error: &ApiError) -> Value {
    json!({ "error": error.error, "message": error.message })
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
