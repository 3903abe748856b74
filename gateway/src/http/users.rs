//! Profiles of others.

use axum::{extract::State, response::Response};

use super::Query;
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{Declared, Dialect, user},
};

/// Looks profiles up by their ids.
pub async fn by_ids(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<user::ByIds>,
) -> Result<Response, ApiError> {
    look_up(&state, dialect, &identity, query, true).await
}

/// Looks profiles up by their ids, for the path without prefix.
pub async fn by_ids_bare(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<user::ByIds>,
) -> Result<Response, ApiError> {
    look_up(&state, dialect, &identity, query, false).await
}

async fn look_up(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    query: user::ByIds,
    is_prefixed: bool,
) -> Result<Response, ApiError> {
    let request = query.into_request();
    if request.user_ids.is_empty() {
        return Ok(user::looked_up(dialect, is_prefixed, &[]));
    }
    let found = state.clients.user.clone().get_users(identity.caller.request(request)).await?;
    Ok(user::looked_up(dialect, is_prefixed, &found.get_ref().users))
}
