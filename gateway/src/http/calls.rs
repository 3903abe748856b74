//! The caller's calls, and the servers that help them to come about.

use axum::{extract::State, response::Response};
use chat_proto::v1 as pb;

use super::Query;
use crate::{auth::Identity, error::ApiError, state::AppState, wire::call};

/// Lists the caller's calls, the newest first.
#[utoipa::path(
    get,
    path = "/api/calls",
    tag = "calls",
    params(call::Listing),
    responses((status = 200, description = "A page of the calls that the caller placed or got", body = ref("#/components/schemas/CallsAnswer"))),
    extensions(("x-reasons" = json!(["400 validation_error"]))),
)]
pub async fn list(
    State(state): State<AppState>,
    identity: Identity,
    Query(query): Query<call::Listing>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(query.into_request());
    let listed = state.clients.call.clone().list_calls(request).await?.into_inner();
    Ok(call::listed(&listed))
}

/// Returns STUN and TURN servers, with credentials for the caller.
#[utoipa::path(
    get,
    path = "/api/calls/ice-servers",
    tag = "calls",
    responses((status = 200, description = "The servers, as `RTCPeerConnection` takes them; none where none are configured", body = ref("#/components/schemas/IceServersAnswer"))),
)]
pub async fn ice_servers(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(pb::GetIceServersRequest {});
    let servers = state.clients.call.clone().get_ice_servers(request).await?.into_inner();
    Ok(call::ice_servers(&servers))
}
