//! Muting, pinning and archiving a conversation: what a member sets for himself alone.

use axum::{extract::State, response::Response};
use chat_proto::v1::{self as pb, set_mark_request::Mark};

use super::{Body, InPath};
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::conversation::{self, MuteBody},
};

/// Mutes a conversation for the caller, for ever or until a time.
#[utoipa::path(
    put,
    path = "/api/conversations/{id}/mute",
    tag = "conversations",
    request_body = MuteBody,
    responses((status = 200, description = "The conversation is muted", body = ref("#/components/schemas/MarksAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn mute(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
    Body(body): Body<MuteBody>,
) -> Result<Response, ApiError> {
    set(&state, &identity, &id, body.into_mark()?).await
}

/// Ends the caller's mute of a conversation.
#[utoipa::path(
    delete,
    path = "/api/conversations/{id}/mute",
    tag = "conversations",
    responses((status = 200, description = "The conversation is not muted", body = ref("#/components/schemas/MarksAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn unmute(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    set(&state, &identity, &id, Mark::Mute(pb::Mute::default())).await
}

/// Pins a conversation above the caller's others; one that he has archived comes out of the archive.
#[utoipa::path(
    put,
    path = "/api/conversations/{id}/pin",
    tag = "conversations",
    responses((status = 200, description = "The conversation is pinned", body = ref("#/components/schemas/MarksAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 too_many_pinned", "409 conflict"]))),
)]
pub async fn pin(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    set(&state, &identity, &id, Mark::IsPinned(true)).await
}

/// Takes the caller's pin of a conversation away.
#[utoipa::path(
    delete,
    path = "/api/conversations/{id}/pin",
    tag = "conversations",
    responses((status = 200, description = "The conversation is not pinned", body = ref("#/components/schemas/MarksAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn unpin(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    set(&state, &identity, &id, Mark::IsPinned(false)).await
}

/// Puts a conversation away from the caller's others; it is not pinned any more.
#[utoipa::path(
    put,
    path = "/api/conversations/{id}/archive",
    tag = "conversations",
    responses((status = 200, description = "The conversation is archived", body = ref("#/components/schemas/MarksAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn archive(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    set(&state, &identity, &id, Mark::IsArchived(true)).await
}

/// Takes a conversation out of the caller's archive.
#[utoipa::path(
    delete,
    path = "/api/conversations/{id}/archive",
    tag = "conversations",
    responses((status = 200, description = "The conversation is not archived", body = ref("#/components/schemas/MarksAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn unarchive(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    set(&state, &identity, &id, Mark::IsArchived(false)).await
}

async fn set(
    state: &AppState,
    identity: &Identity,
    id: &str,
    mark: Mark,
) -> Result<Response, ApiError> {
    let conversation_id = conversation::id(id)?;
    let request = pb::SetMarkRequest { conversation_id, mark: Some(mark) };
    let conversation_id = request.conversation_id.clone();
    let request = identity.caller.request(request);
    let answer = state.clients.conversation.clone().set_mark(request).await?.into_inner();
    let marks = answer.marks.ok_or_else(|| ApiError::incomplete("marks"))?;
    Ok(conversation::marked(&conversation_id, &marks))
}
