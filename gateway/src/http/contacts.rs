//! The caller's address book.

use axum::{extract::State, response::Response};

use super::LargeBody;
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{Declared, contact},
};

/// Says who of the caller's address book has an account.
#[utoipa::path(
    post,
    path = "/api/conversations/contacts/sync",
    tag = "contacts",
    request_body = contact::Sync,
    responses((status = 200, description = "Those who have an account", body = ref("#/components/schemas/MatchesAnswer"))),
    extensions(("x-reasons" = json!(["413 too_many_contacts"]))),
)]
pub async fn sync(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    LargeBody(body): LargeBody<contact::Sync>,
) -> Result<Response, ApiError> {
    let Some(request) = body.into_request()? else { return Ok(contact::matched(dialect, &[])) };
    let request = identity.caller.request(request);
    let found = state.clients.user.clone().find_users_by_phones(request).await?;
    Ok(contact::matched(dialect, &found.get_ref().users))
}
