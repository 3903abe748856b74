//! Requests to chat, and starting a chat without one.

use axum::{extract::State, response::Response};
use chat_proto::v1 as pb;

use super::{Body, InPath, Query, users::profiles};
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{
        Declared, Dialect,
        conversation::{Users, View},
        request::{self, Answer},
    },
};

/// Asks somebody to chat.
#[utoipa::path(
    post,
    operation_id = "request_chat",
    path = "/api/conversations/chat-requests",
    tag = "conversations",
    request_body = request::Ask,
    responses((status = 200, description = "The conversation that is asked for", body = ref("#/components/schemas/ChatAnswer"))),
    extensions(("x-reasons" = json!(["400 missing_fields", "400 invalid_id", "403 forbidden", "404 user_not_found", "409 conflict"]))),
)]
pub async fn create(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<request::Ask>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(body.into_request(identity.user_id)?);
    let asked = state.clients.conversation.clone().request_chat(request).await?.into_inner();
    request::one(dialect, asked.conversation)
}

/// Accepts a request.
#[utoipa::path(
    post,
    operation_id = "accept_request",
    path = "/api/conversations/chat-requests/{id}/accept",
    tag = "conversations",
    request_body = request::Reply,
    responses((status = 200, description = "The conversation", body = ref("#/components/schemas/ChatAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 not_pending", "409 conflict"]))),
)]
pub async fn accept(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
    Body(body): Body<request::Reply>,
) -> Result<Response, ApiError> {
    let conversation_id = body.into_id(&id, identity.user_id)?;
    let request = identity.caller.request(pb::AcceptChatRequest { conversation_id });
    let accepted = state.clients.conversation.clone().accept_chat(request).await?.into_inner();
    request::one(dialect, accepted.conversation)
}

/// Declines a request, or takes the caller's own back.
#[utoipa::path(
    post,
    operation_id = "decline_request",
    path = "/api/conversations/chat-requests/{id}/decline",
    tag = "conversations",
    request_body = request::Reply,
    responses((status = 200, description = "The conversation", body = ref("#/components/schemas/ChatAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 not_pending", "409 conflict"]))),
)]
pub async fn decline(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
    Body(body): Body<request::Reply>,
) -> Result<Response, ApiError> {
    let conversation_id = body.into_id(&id, identity.user_id)?;
    let request = identity.caller.request(pb::DeclineChatRequest { conversation_id });
    let declined = state.clients.conversation.clone().decline_chat(request).await?.into_inner();
    request::one(dialect, declined.conversation)
}

/// Starts to chat with somebody.
#[utoipa::path(
    post,
    path = "/api/conversations/contacts/start-chat",
    tag = "conversations",
    request_body = request::Ask,
    responses((status = 200, description = "The conversation", body = ref("#/components/schemas/StartedChatAnswer"))),
    extensions(("x-reasons" = json!(["400 missing_fields", "400 invalid_id", "403 forbidden", "404 user_not_found", "409 conflict"]))),
)]
pub async fn start_chat(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<request::Ask>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(body.into_start(identity.user_id)?);
    let started = state.clients.conversation.clone().start_chat(request).await?.into_inner();
    request::started(dialect, started.conversation)
}

/// Lists the requests that the caller has sent and received.
#[utoipa::path(
    get,
    operation_id = "list_requests",
    path = "/api/conversations/chat-requests",
    tag = "conversations",
    params(request::Query),
    responses((status = 200, description = "The requests to the caller and by him", body = ref("#/components/schemas/ChatRequestsAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "403 forbidden"]))),
)]
pub async fn list(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<request::Query>,
) -> Result<Response, ApiError> {
    page(&state, dialect, &identity, query, View::ByQuery).await
}

/// Lists the caller's requests, for the path without prefix.
#[utoipa::path(
    get,
    operation_id = "list_requests_bare",
    path = "/chat-requests",
    tag = "conversations",
    params(request::Query),
    responses((status = 200, description = "The requests to the caller and by him", body = ref("#/components/schemas/BareChatRequestsAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "403 forbidden"]))),
)]
pub async fn list_bare(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<request::Query>,
) -> Result<Response, ApiError> {
    page(&state, dialect, &identity, query, View::Bare).await
}

async fn page(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    query: request::Query,
    view: View,
) -> Result<Response, ApiError> {
    let answer = Answer::new(view, dialect);
    let request = identity.caller.request(query.into_request(answer, identity.user_id)?);
    let listed = state.clients.conversation.clone().list_chat_requests(request).await?;
    let listed = listed.into_inner();
    let wanted = answer.users_of(&listed.conversations);
    let mut users = profiles(state, identity, wanted).await?;
    request::conceal(&mut users, identity.user_id, &listed.conversations);
    Ok(answer.write(&listed, &Users::from(users)))
}
