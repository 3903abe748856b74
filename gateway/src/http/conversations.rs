//! The caller's conversations.

use axum::{extract::State, response::Response};
use chat_proto::v1::{self as pb, GetUsersRequest};

use super::{Body, Query};
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{
        Declared, Dialect,
        conversation::{self, Opening, Users, View},
    },
};

/// Finds or makes a direct conversation, or makes a group.
pub async fn open(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<conversation::Open>,
) -> Result<Response, ApiError> {
    let opening = body.into_request(identity.user_id)?;
    let (found, created) = opened(&state, &identity, opening).await?;
    let wanted = conversation::members(std::slice::from_ref(&found));
    let users = users(&state, &identity, wanted).await?;
    Ok(conversation::opened(dialect, created, &found, &users))
}

/// Returns the conversation that was asked for, and whether it was made just now.
async fn opened(
    state: &AppState,
    identity: &Identity,
    opening: Opening,
) -> Result<(pb::Conversation, bool), ApiError> {
    let mut client = state.clients.conversation.clone();
    let (conversation, created) = match opening {
        Opening::Direct(request) => {
            let request = identity.caller.request(request);
            let opened = client.open_direct_conversation(request).await?.into_inner();
            (opened.conversation, opened.created)
        }
        Opening::Group(request) => {
            let created = client.create_group(identity.caller.request(request)).await?;
            (created.into_inner().conversation, true)
        }
    };
    Ok((conversation.ok_or_else(|| ApiError::incomplete("conversation"))?, created))
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

/// Fetches the profiles that an answer shows.
async fn users(
    state: &AppState,
    identity: &Identity,
    wanted: Vec<GetUsersRequest>,
) -> Result<Users, ApiError> {
    let mut users = Vec::new();
    for wanted in wanted {
        let found = state.clients.user.clone().get_users(identity.caller.request(wanted)).await?;
        users.append(&mut found.into_inner().users);
    }
    Ok(users.into())
}
