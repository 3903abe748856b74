//! The caller's conversations.

use axum::{extract::State, response::Response};
use chat_kit::caller::Caller;
use chat_proto::v1 as pb;

use super::{Body, InPath, Query, users::members};
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{
        Declared, Dialect,
        conversation::{self, Opening, States, View},
    },
};

/// Finds or makes a direct conversation, or makes a group.
#[utoipa::path(
    post,
    path = "/api/conversations",
    tag = "conversations",
    request_body = conversation::Open,
    responses(
        (status = 200, description = "The conversation that was there", body = ref("#/components/schemas/ConversationAnswer")),
        (status = 201, description = "The conversation that was made", body = ref("#/components/schemas/ConversationAnswer")),
    ),
    extensions(("x-reasons" = json!(["400 invalid_id", "403 forbidden", "404 user_not_found", "409 conflict"]))),
)]
pub async fn open(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<conversation::Open>,
) -> Result<Response, ApiError> {
    let opening = body.into_request(identity.user_id)?;
    let (mut found, created) = opened(&state, &identity, opening).await?;
    // Of one that was made just now there is nothing to say.
    let asked = if created { &[] } else { std::slice::from_ref(&found) };
    let (mut states, users) = tokio::try_join!(
        states(&state, &identity.caller, asked),
        members(
            &state,
            &identity,
            conversation::users_of(dialect, &found),
            std::slice::from_ref(&found),
        ),
    )?;
    states.settle(std::slice::from_mut(&mut found));
    Ok(conversation::opened(dialect, created, &found, &states, &users))
}

/// Returns a conversation.
#[utoipa::path(
    get,
    path = "/api/conversations/{id}",
    tag = "conversations",
    responses((status = 200, description = "The conversation", body = ref("#/components/schemas/DetailsAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn get(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let request = pb::GetConversationRequest { conversation_id: conversation::id(&id)? };
    let request = identity.caller.request(request);
    let found = state.clients.conversation.clone().get_conversation(request).await?.into_inner();
    let found = found.conversation.ok_or_else(|| ApiError::incomplete("conversation"))?;
    let mut found = [found];
    let (mut states, users) = tokio::try_join!(
        states(&state, &identity.caller, &found),
        members(&state, &identity, conversation::users_of(dialect, &found[0]), &found),
    )?;
    states.settle(&mut found);
    Ok(conversation::details(dialect, &found[0], &states, &users))
}

/// Hides a conversation and its history from the caller.
#[utoipa::path(
    delete,
    path = "/api/conversations/{id}",
    tag = "conversations",
    responses((status = 200, description = "The conversation is cleared for the caller", body = ref("#/components/schemas/ClearedAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn clear(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let request = pb::ClearConversationRequest { conversation_id: conversation::id(&id)? };
    let request = identity.caller.request(request);
    let cleared = state.clients.conversation.clone().clear_conversation(request).await?;
    Ok(conversation::cleared(dialect, cleared.get_ref()))
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
#[utoipa::path(
    get,
    path = "/api/conversations",
    tag = "conversations",
    params(conversation::Query),
    responses((status = 200, description = "The caller's conversations, the one with the newest message first", body = ref("#/components/schemas/ConversationListAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "403 forbidden"]))),
)]
pub async fn list(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<conversation::Query>,
) -> Result<Response, ApiError> {
    page(&state, dialect, &identity, query, View::ByQuery).await
}

/// Lists the caller's conversations, for the path without prefix.
#[utoipa::path(
    get,
    path = "/conversations",
    tag = "conversations",
    params(conversation::Query),
    responses((status = 200, description = "The caller's conversations, the one with the newest message first", body = ref("#/components/schemas/BareConversationListAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "403 forbidden"]))),
)]
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
    let mut listed = client.list_conversations(request).await?.into_inner();
    let (mut states, users) = tokio::try_join!(
        states(state, &identity.caller, &listed.conversations),
        members(state, identity, answer.users_of(&listed.conversations), &listed.conversations),
    )?;
    states.settle(&mut listed.conversations);
    Ok(answer.write(&listed, &states, &users))
}

/// Fetches what conversations show beside themselves, all with one call.
pub(crate) async fn states(
    state: &AppState,
    caller: &Caller,
    conversations: &[pb::Conversation],
) -> Result<States, ApiError> {
    let Some(wanted) = conversation::states_of(conversations) else {
        return Ok(States::default());
    };
    let wanted = caller.request(wanted);
    let found = state.clients.message.clone().get_list_states(wanted).await?;
    Ok(found.into_inner().into())
}
