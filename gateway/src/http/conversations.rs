//! The caller's conversations.

use axum::{extract::State, response::Response};
use chat_proto::v1::GetUsersRequest;

use super::{Body, Query};
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{
        Declared, Dialect,
        conversation::{self, Users, View},
    },
};

/// Finds or makes a conversation.
pub async fn open(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<conversation::Open>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(body.into_request(identity.user_id)?);
    let mut client = state.clients.conversation.clone();
    let opened = client.open_direct_conversation(request).await?.into_inner();
    let found = opened.conversation.ok_or_else(|| ApiError::incomplete("conversation"))?;
    let wanted = conversation::members(std::slice::from_ref(&found));
    let users = users(&state, &identity, wanted).await?;
    Ok(conversation::opened(dialect, opened.created, &found, &users))
}

/// Lists the caller's conversations.
pub async fn list(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<conversation::Query>,
) -> Result<Response, ApiError> {
    page(&state, dialect, &identity, query, View::ByQuery).await
}

/// Lists the caller's conversations, for the path without prefix.
pub async fn list_bare(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<conversation::Query>,
) -> Result<Response, ApiError> {
    page(&state, dialect, &identity, query, View::Bare).await
}

async fn page(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    query: conversation::Query,
    view: View,
) -> Result<Response, ApiError> {
    let (request, answer) = query.into_request(view, dialect, identity.user_id)?;
    let request = identity.caller.request(request);
    let mut client = state.clients.conversation.clone();
    let listed = client.list_conversations(request).await?.into_inner();
    let users = users(state, identity, answer.users_of(&listed.conversations)).await?;
    Ok(answer.write(&listed, &users))
}

/// Fetches the profiles that an answer shows, all in one call.
async fn users(
    state: &AppState,
    identity: &Identity,
    wanted: Option<GetUsersRequest>,
) -> Result<Users, ApiError> {
    let Some(wanted) = wanted else { return Ok(Users::default()) };
    let found = state.clients.user.clone().get_users(identity.caller.request(wanted)).await?;
    Ok(found.into_inner().users.into())
}
