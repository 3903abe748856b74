//! How calls and ICE servers look to those who ask for them: the same to all clients.

use axum::response::Response;
use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::{envelope, fields, fields::iso};
use crate::openapi::{Form, Schemas};

/// Length of a page that its client does not say.
const DEFAULT_LIMIT: u32 = 50;

/// The parameters of the list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
    cursor: Option<String>,
}

impl Listing {
    /// Makes the canonical request.
    #[must_use]
    pub fn into_request(self) -> pb::ListCallsRequest {
        let limit = fields::page_limit(self.limit, DEFAULT_LIMIT);
        let cursor = self.cursor.unwrap_or_default();
        pb::ListCallsRequest { page: Some(pb::PageRequest { limit, cursor }) }
    }
}

/// A call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallItem)]
pub(super) struct Call<'a> {
    /// The id of the call, opaque
    #[schema(pattern = "^.+$")]
    id: &'a str,
    caller_id: &'a str,
    callee_id: &'a str,
    /// `audio` or `video`
    kind: &'static str,
    /// `ringing`, `answered` or `ended`
    state: &'static str,
    placed_at: Option<String>,
    answered_at: Option<String>,
    ended_at: Option<String>,
    end_reason: Option<&'static str>,
}

impl<'a> From<&'a pb::Call> for Call<'a> {
    fn from(call: &'a pb::Call) -> Self {
        Self {
            id: &call.id,
            caller_id: &call.caller_id,
            callee_id: &call.callee_id,
            kind: kind(call),
            state: match call.state() {
                pb::CallState::Answered => "answered",
                pb::CallState::Ended => "ended",
                pb::CallState::Ringing | pb::CallState::Unspecified => "ringing",
            },
            placed_at: iso(call.placed_at.as_ref()),
            answered_at: iso(call.answered_at.as_ref()),
            ended_at: iso(call.ended_at.as_ref()),
            end_reason: match call.end_reason() {
                pb::CallEndReason::Unspecified => None,
                pb::CallEndReason::HungUp => Some("hung_up"),
                pb::CallEndReason::Cancelled => Some("cancelled"),
                pb::CallEndReason::Declined => Some("declined"),
                pb::CallEndReason::Timeout => Some("timeout"),
                pb::CallEndReason::Disconnect => Some("disconnect"),
            },
        }
    }
}

/// Returns what both sides send each other.
#[must_use]
pub fn kind(call: &pb::Call) -> &'static str {
    match call.kind() {
        pb::CallKind::Video => "video",
        pb::CallKind::Audio | pb::CallKind::Unspecified => "audio",
    }
}

/// Returns a call as acknowledgements have it.
#[must_use]
pub fn unified(call: &pb::Call) -> impl Serialize + use<'_> {
    Call::from(call)
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallPage)]
struct Page<'a> {
    #[schema(inline)]
    calls: Vec<Call<'a>>,
    next_cursor: Option<&'a str>,
}

/// Answers with a page of calls.
#[must_use]
pub fn listed(listed: &pb::ListCallsResponse) -> Response {
    let next = listed.page.as_ref().map(|page| page.next_cursor.as_str());
    envelope::ok(Page {
        calls: listed.calls.iter().map(Call::from).collect(),
        next_cursor: next.filter(|cursor| !cursor.is_empty()),
    })
}

#[derive(Serialize, ToSchema)]
struct IceServer<'a> {
    urls: &'a [String],
    /// The name to give; absent where none is asked for
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct IceServers<'a> {
    #[schema(inline)]
    ice_servers: Vec<IceServer<'a>>,
    /// When the credentials end; absent where there are none
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// Answers with the servers that help two devices reach each other.
#[must_use]
pub fn ice_servers(servers: &pb::GetIceServersResponse) -> Response {
    let ice_servers = servers.ice_servers.iter().map(IceServer::from).collect();
    envelope::ok(IceServers { ice_servers, expires_at: iso(servers.expires_at.as_ref()) })
}

impl<'a> From<&'a pb::IceServer> for IceServer<'a> {
    fn from(server: &'a pb::IceServer) -> Self {
        Self {
            urls: &server.urls,
            username: server.username.as_deref(),
            credential: server.credential.as_deref(),
        }
    }
}

/// Adds the answers about calls.
pub(in crate::wire) fn answers(schemas: &mut Schemas) {
    schemas.answer("CallsAnswer", [Form::same::<Page<'_>>()]);
    schemas.answer("IceServersAnswer", [Form::same::<IceServers<'_>>()]);
}
