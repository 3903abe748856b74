//! Sending messages, and reading them again.

use axum::{extract::State, response::Response};
use chat_proto::v1 as pb;
use serde_json::Value;

use super::{Body, InPath, Query};
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{
        Declared, Dialect,
        message::{self, View},
    },
};

/// Sends a message.
#[utoipa::path(
    post,
    path = "/api/messages",
    tag = "messages",
    request_body = ref("#/components/schemas/SendMessageBody"),
    responses((status = 200, description = "The message as it is stored", body = ref("#/components/schemas/SentMessageAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 invalid_conversation_id", "403 forbidden", "404 conversation_not_found", "404 user_not_found", "404 not_found", "409 message_id_in_use", "413 too_long",
        "429 too_many_messages"]))),
)]
pub async fn send(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<Value>,
) -> Result<Response, ApiError> {
    let request = message::posted(dialect, body, identity.user_id)?;
    let named = message::NobodyThere::of(&request);
    let request = identity.caller.request(request);
    let sent = state.clients.message.clone().send_message(request).await;
    let sent = sent.map_err(|status| match named {
        Some(named) => named.told_with(status.into()),
        None => status.into(),
    })?;
    message::answer(dialect, sent.get_ref())
}

/// Reads the history that the parameters name.
#[utoipa::path(
    get,
    path = "/api/messages",
    tag = "messages",
    params(message::Query),
    responses((status = 200, description = "A part of the history, oldest first", body = ref("#/components/schemas/HistoryAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 invalid_conversation_id", "403 forbidden", "404 not_found", "404 conversation_not_found"]))),
)]
pub async fn history(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<message::Query>,
) -> Result<Response, ApiError> {
    page(&state, dialect, &identity, query, View::ByQuery).await
}

/// Reads the history that the parameters name, for the path without prefix.
#[utoipa::path(
    get,
    path = "/messages",
    tag = "messages",
    params(message::Query),
    responses((status = 200, description = "A part of the history, oldest first", body = ref("#/components/schemas/BareHistoryAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 invalid_conversation_id", "403 forbidden", "404 not_found", "404 conversation_not_found"]))),
)]
pub async fn history_bare(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<message::Query>,
) -> Result<Response, ApiError> {
    page(&state, dialect, &identity, query, View::Bare).await
}

/// Reads the history of the conversation in the path.
#[utoipa::path(
    get,
    path = "/api/messages/conversation/{id}",
    tag = "messages",
    params(message::Query),
    responses((status = 200, description = "A page of the history, oldest first", body = ref("#/components/schemas/HistoryPageAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 invalid_conversation_id", "403 forbidden", "404 not_found", "404 conversation_not_found"]))),
)]
pub async fn history_of(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(conversation): InPath,
    Query(query): Query<message::Query>,
) -> Result<Response, ApiError> {
    page(&state, dialect, &identity, query, View::Of(conversation)).await
}

/// Finds the caller's messages by their words.
#[utoipa::path(
    get,
    path = "/api/messages/search",
    tag = "messages",
    params(message::Search),
    responses((status = 200, description = "Messages in which all words begin so, newest first; at most 20 to old clients", body = ref("#/components/schemas/FoundMessagesAnswer"))),
)]
pub async fn search(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(search): Query<message::Search>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(search.into_request(dialect));
    let found = state.clients.message.clone().search_messages(request).await?;
    Ok(message::answer_found(dialect, found.get_ref(), &identity.user_id.to_string()))
}

/// Gives the caller's message in the path another text.
#[utoipa::path(
    patch,
    path = "/api/messages/{id}",
    tag = "messages",
    request_body = message::Edit,
    responses((status = 200, description = "The message as it is now", body = ref("#/components/schemas/EditedMessageAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 message_deleted", "413 too_long"]))),
)]
pub async fn edit(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
    Body(edit): Body<message::Edit>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(edit.into_request(&id)?);
    let edited = state.clients.message.clone().edit_message(request).await?.into_inner();
    message::answer_edited(dialect, edited.message.as_ref(), &identity.user_id.to_string())
}

/// Deletes the message in the path, for everybody or for the caller.
#[utoipa::path(
    delete,
    path = "/api/messages/{id}",
    tag = "messages",
    request_body = message::Delete,
    responses((status = 200, description = "What is left of the message", body = ref("#/components/schemas/DeletedMessageAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn delete(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
    Body(delete): Body<message::Delete>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(delete.into_request(&id)?);
    let deleted = state.clients.message.clone().delete_message(request).await?.into_inner();
    message::answer_deleted(dialect, deleted.message.as_ref())
}

/// Adds the reaction in the path to the message in the path.
#[utoipa::path(
    put,
    path = "/api/messages/{id}/reactions/{reaction}",
    tag = "messages",
    responses((status = 200, description = "What members think of the message", body = ref("#/components/schemas/ReactionAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 message_deleted", "400 validation_error", "409 too_many_reactions"]))),
)]
pub async fn react(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath((id, reaction)): InPath<(String, String)>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(message::reaction(&id, reaction)?);
    let reacted = state.clients.message.clone().add_reaction(request).await?.into_inner();
    message::answer_reacted(dialect, reacted.message.as_ref())
}

/// Takes the reaction in the path back from the message in the path.
#[utoipa::path(
    delete,
    path = "/api/messages/{id}/reactions/{reaction}",
    tag = "messages",
    responses((status = 200, description = "What members think of the message", body = ref("#/components/schemas/ReactionAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 message_deleted", "400 validation_error"]))),
)]
pub async fn take_back(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath((id, reaction)): InPath<(String, String)>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(message::taken_back(&id, reaction)?);
    let reacted = state.clients.message.clone().remove_reaction(request).await?.into_inner();
    message::answer_reacted(dialect, reacted.message.as_ref())
}

/// Says that the caller has read the conversation up to the message in the path.
#[utoipa::path(
    patch,
    path = "/api/messages/{id}/read",
    tag = "messages",
    responses((status = 200, description = "The conversation is read up to the message", body = ref("#/components/schemas/SaidAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn mark_read(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(message::read_up_to(&id)?);
    state.clients.message.clone().mark_read(request).await?;
    Ok(message::marked_read())
}

/// Reads what a client that comes back has missed of the conversation in the path: the messages behind a
/// number, and those before it that have changed since a time.
#[utoipa::path(
    get,
    path = "/api/conversations/{id}/messages",
    tag = "messages",
    params(message::MissedQuery),
    responses((status = 200, description = "What the client has missed; with `hasMore`, to be asked again behind the last of it", body = ref("#/components/schemas/MissedAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_conversation_id", "403 forbidden", "404 not_found"]))),
)]
pub async fn missed(
    State(state): State<AppState>,
    identity: Identity,
    InPath(conversation): InPath,
    Query(query): Query<message::MissedQuery>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(query.into_request(&conversation)?);
    let missed = state.clients.message.clone().list_changes(request).await?;
    if missed.get_ref().conversations.is_empty() {
        // Whether there is none, or it is not the caller's, the conversation itself tells.
        let request = pb::GetConversationRequest { conversation_id: conversation };
        let request = identity.caller.request(request);
        state.clients.conversation.clone().get_conversation(request).await?;
    }
    message::answer_missed(identity.user_id, missed.get_ref())
}

async fn page(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    query: message::Query,
    view: View,
) -> Result<Response, ApiError> {
    let (request, answer) = query.into_request(view, dialect, identity.user_id)?;
    let request = identity.caller.request(request);
    let listed = state.clients.message.clone().list_messages(request).await?;
    Ok(answer.write(listed.get_ref()))
}
