//! Calls on the wire: what events about them ask for, and how a refusal is told. Session descriptions and
//! candidates are handed on as they were written.

mod said;
mod shown;
#[cfg(test)]
mod tests;

use chat_proto::v1 as pb;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{Dialect, fields, socket};
use crate::{error::ApiError, socket::Identity};

pub use self::shown::{Listing, ice_servers, kind, listed, unified};
pub(super) use self::{said::events, shown::answers};

/// Name of the event that rings somebody.
pub const INVITE: &str = "call:invite";
/// Name of the event that takes or declines a call.
pub const ANSWER: &str = "call:answer";
/// Name of the event that adds a candidate.
pub const CANDIDATE: &str = "call:candidate";
/// Name of the event that hangs up.
pub const HANGUP: &str = "call:hangup";
/// The older name of [`INVITE`], always for sound alone.
pub const OFFER: &str = "call_offer";
/// The older name of [`ANSWER`], which always takes the call.
pub const OLD_ANSWER: &str = "call_answer";
/// The older name of [`CANDIDATE`].
pub const ICE_CANDIDATE: &str = "ice_candidate";
/// The older name of [`HANGUP`].
pub const END: &str = "call_end";

/// Names of all events about calls that sockets may send. The older ones are never emitted.
pub const INBOUND: [&str; 8] =
    [INVITE, ANSWER, CANDIDATE, HANGUP, OFFER, OLD_ANSWER, ICE_CANDIDATE, END];

/// Name of the answer to [`INVITE`] where one of the two is in a call.
const BUSY: &str = "call:busy";
/// Name of the answer to a refused event.
const ERROR: &str = "call:error";
/// Name of the answer to a refused [`OFFER`].
const OFFER_ERROR: &str = "call_error";

/// The reason for which a callee or caller who is in a call cannot be rung.
const BUSY_REASON: &str = "busy";

/// Longest session description, in bytes of JSON.
const LONGEST_SDP: usize = 64 << 10;
/// Longest candidate, in bytes of JSON.
const LONGEST_CANDIDATE: usize = 4 << 10;
/// Longest id of a call.
const LONGEST_ID: usize = 64;

/// What an event about a call asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// To ring somebody.
    Place(pb::PlaceCallRequest),
    /// To take a call.
    Answer(pb::AnswerCallRequest),
    /// To decline one.
    Decline(pb::DeclineCallRequest),
    /// To tell the other side of a candidate.
    AddCandidate(pb::AddCandidateRequest),
    /// To hang up.
    End(pb::EndCallRequest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given<'a> {
    #[serde(default, deserialize_with = "fields::text")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    to: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    call_id: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    kind: Option<String>,
    #[serde(default)]
    accept: Value,
    #[serde(borrow, default)]
    sdp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    candidate: Option<&'a RawValue>,
}

/// Folds the payload of an event about a call into the canonical request.
pub fn read(name: &str, data: &str, identity: &Identity) -> Result<Request, ApiError> {
    if !data.trim_ascii_start().starts_with('{') {
        return Err(ApiError::validation("the payload of this event is an object"));
    }
    let given: Given<'_> = fields::borrowed(data)?;
    let socket_id = identity.origin_id.to_hex();
    match name {
        INVITE | OFFER => place(name, given, identity, socket_id),
        OLD_ANSWER => answer(name, given, socket_id),
        ANSWER if is_true(&given.accept) => answer(name, given, socket_id),
        ANSWER => {
            let call_id = call_id(given.call_id)?;
            Ok(Request::Decline(pb::DeclineCallRequest { call_id }))
        }
        CANDIDATE | ICE_CANDIDATE => {
            let call_id = call_id(given.call_id)?;
            let candidate = opaque("candidate", given.candidate, LONGEST_CANDIDATE)?;
            let candidate = candidate.taken(name == ICE_CANDIDATE)?;
            Ok(Request::AddCandidate(pb::AddCandidateRequest { call_id, candidate, socket_id }))
        }
        // Only the mobile client forgets screens that hang up by themselves.
        _ => Ok(Request::End(pb::EndCallRequest {
            call_id: call_id(given.call_id)?,
            socket_id,
            may_be_held: name == HANGUP && identity.dialect != Dialect::Unified,
        })),
    }
}

fn place(
    name: &str,
    given: Given<'_>,
    identity: &Identity,
    socket_id: String,
) -> Result<Request, ApiError> {
    let callee = fields::required("to", [given.user_id, given.to])?;
    let callee_id = fields::user_id("to", &callee)?.to_string();
    let kind = match given.kind.as_deref() {
        _ if name == OFFER => pb::CallKind::Audio,
        Some("video") => pb::CallKind::Video,
        None | Some("audio") => pb::CallKind::Audio,
        Some(_) if identity.dialect == Dialect::Unified => {
            return Err(ApiError::validation("kind is `audio` or `video`"));
        }
        // Old servers took any text for sound.
        Some(_) => pb::CallKind::Audio,
    };
    let sdp = description(name, given.sdp)?;
    Ok(Request::Place(pb::PlaceCallRequest { callee_id, sdp, kind: kind.into(), socket_id }))
}

fn answer(name: &str, given: Given<'_>, socket_id: String) -> Result<Request, ApiError> {
    let call_id = call_id(given.call_id)?;
    let sdp = description(name, given.sdp)?;
    Ok(Request::Answer(pb::AnswerCallRequest { call_id, sdp, socket_id }))
}

fn call_id(given: Option<String>) -> Result<String, ApiError> {
    let id = fields::required("callId", [given])?;
    if id.len() > LONGEST_ID {
        return Err(ApiError::validation(format!("callId exceeds {LONGEST_ID} bytes")));
    }
    Ok(id)
}

/// Returns a session description. The older events take what is opaque to us in any shape.
fn description(name: &str, given: Option<&RawValue>) -> Result<String, ApiError> {
    let sdp = opaque("sdp", given, LONGEST_SDP)?;
    let is_old = [OFFER, OLD_ANSWER].contains(&name);
    let has = |field: &str| sdp.value[field].as_str().is_some_and(|text| !text.is_empty());
    if !is_old && sdp.value.is_object() && !(has("type") && has("sdp")) {
        return Err(ApiError::validation("sdp needs a type and an sdp, both texts"));
    }
    sdp.taken(is_old)
}

/// What is handed on unread.
struct Opaque<'a> {
    field: &'static str,
    text: &'a str,
    value: Value,
}

impl Opaque<'_> {
    /// Returns its text. What is no object but a text, the older events may bring alone.
    fn taken(self, is_old: bool) -> Result<String, ApiError> {
        match &self.value {
            Value::Object(_) => Ok(self.text.to_owned()),
            Value::String(text) if is_old && !text.is_empty() => Ok(self.text.to_owned()),
            _ => Err(ApiError::validation(format!("{} is not an object", self.field))),
        }
    }
}

/// Reads what is handed on unread, so that it is known to be JSON that every client can read.
fn opaque<'a>(
    field: &'static str,
    given: Option<&'a RawValue>,
    longest: usize,
) -> Result<Opaque<'a>, ApiError> {
    let text = given.map(RawValue::get).ok_or_else(|| fields::missing(field))?;
    if text.len() > longest {
        return Err(ApiError::validation(format!("{field} exceeds {longest} bytes")));
    }
    let value = serde_json::from_str(text);
    let value = value.map_err(|error| ApiError::validation(format!("{field}: {error}")))?;
    Ok(Opaque { field, text, value })
}

/// Says whether a value counts as true in the language of the old server.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// Returns the event by which the sender of a refused event learns of it, beside the acknowledgement. Who
/// hangs up a call that is over, or adds to it, needs to hear nothing.
#[must_use]
pub fn failure(name: &str, error: &ApiError) -> Option<(&'static str, Value)> {
    let event = match name {
        OFFER => OFFER_ERROR,
        // It says who is busy: see `busy`.
        INVITE if error.error == BUSY_REASON => return None,
        INVITE | ANSWER | OLD_ANSWER => ERROR,
        CANDIDATE | ICE_CANDIDATE | HANGUP | END if error.status.is_server_error() => ERROR,
        _ => return None,
    };
    Some((event, socket::error_body(error)))
}

/// Returns the event that tells the sender of [`INVITE`] that one of the two is in a call.
#[must_use]
pub fn busy(
    name: &str,
    request: &Request,
    error: &ApiError,
    dialect: Dialect,
) -> Option<(&'static str, Value)> {
    let Request::Place(place) = request else { return None };
    if name != INVITE || error.error != BUSY_REASON {
        return None;
    }
    let whom = if dialect == Dialect::Unified { "userId" } else { "to" };
    Some((BUSY, json!({ whom: place.callee_id, "error": BUSY_REASON })))
}
