//! Whom the caller has blocked.

use std::collections::BTreeSet;

use axum::{extract::State, response::Response};
use chat_proto::v1 as pb;

use super::{InPath, Query, users::profiles};
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{Declared, block, fields, user},
};

/// Blocks a user.
#[utoipa::path(
    put,
    path = "/api/users/{id}/block",
    tag = "blocks",
    responses((status = 200, description = "The user is blocked", body = ref("#/components/schemas/BlockAnswer"))),
    extensions(("x-reasons" = json!(["400 validation_error", "404 user_not_found", "409 conflict"]))),
)]
pub async fn block(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let user_id = fields::user_id("userId", &id)?.to_string();
    let request = identity.caller.request(pb::BlockUserRequest { user_id });
    state.clients.conversation.clone().block_user(request).await?;
    Ok(block::done(true))
}

/// Lifts the block of a user.
#[utoipa::path(
    delete,
    path = "/api/users/{id}/block",
    tag = "blocks",
    responses((status = 200, description = "The user is not blocked", body = ref("#/components/schemas/BlockAnswer"))),
    extensions(("x-reasons" = json!(["400 validation_error", "409 conflict"]))),
)]
pub async fn unblock(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let user_id = fields::user_id("userId", &id)?.to_string();
    let request = identity.caller.request(pb::UnblockUserRequest { user_id });
    state.clients.conversation.clone().unblock_user(request).await?;
    Ok(block::done(false))
}

/// Lists the blocked users.
#[utoipa::path(
    get,
    path = "/api/users/blocked",
    tag = "blocks",
    params(block::Listing),
    responses((status = 200, description = "A page of those whom the caller has blocked", body = ref("#/components/schemas/BlockedUsersAnswer"))),
)]
pub async fn list(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<block::Listing>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(query.into_request());
    let listed = state.clients.conversation.clone().list_blocked(request).await?.into_inner();
    let user_ids = listed.user_ids.clone();
    let wanted = (!user_ids.is_empty()).then_some(pb::GetUsersRequest { user_ids });
    let mut users = profiles(&state, &identity, wanted).await?;
    // Whoever is blocked is nobody's partner.
    user::conceal(&mut users, identity.user_id, &BTreeSet::new());
    Ok(block::listed(dialect, &listed, users))
}
