//! Groups: making and changing them, who is in them, and the links by which one comes in.

use axum::{extract::State, response::Response};
use bson::DateTime;
use chat_proto::v1 as pb;

use super::{Body, InPath, Query, users::members};
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{
        Declared, Dialect,
        conversation::Users,
        group::{self, Shape},
    },
};

/// Makes a group.
#[utoipa::path(
    post,
    path = "/api/groups",
    tag = "groups",
    request_body = group::Create,
    responses((status = 201, description = "The group and its conversation", body = ref("#/components/schemas/MadeGroupAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "403 forbidden", "404 user_not_found"]))),
)]
pub async fn create(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<group::Create>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(body.into_request()?);
    let made = state.clients.conversation.clone().create_group(request).await?.into_inner();
    let made = complete(made.conversation)?;
    let users = users(&state, dialect, &identity, std::slice::from_ref(&made)).await?;
    Ok(group::made(dialect, &made, &users))
}

/// Returns a group.
#[utoipa::path(
    get,
    path = "/api/groups/{id}",
    tag = "groups",
    responses((status = 200, description = "The group", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found"]))),
)]
pub async fn get(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let request = pb::GetGroupRequest { conversation_id: group::group_id(&id)? };
    let request = identity.caller.request(request);
    let found = state.clients.conversation.clone().get_group(request).await?.into_inner();
    show(&state, dialect, &identity, Shape::WHOLE, found.conversation).await
}

/// Lists the caller's groups.
#[utoipa::path(
    get,
    path = "/api/groups",
    tag = "groups",
    params(group::Query),
    responses((status = 200, description = "A page of the caller's groups", body = ref("#/components/schemas/GroupListAnswer"))),
)]
pub async fn list(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<group::Query>,
) -> Result<Response, ApiError> {
    let request = query.into_request()?;
    let page = request.page;
    let request = identity.caller.request(request);
    let listed = state.clients.conversation.clone().list_groups(request).await?.into_inner();
    let users = users(&state, dialect, &identity, &listed.groups).await?;
    Ok(group::listed(dialect, page, &listed, &users))
}

/// Searches the caller's groups by name.
#[utoipa::path(
    get,
    path = "/api/groups/search",
    tag = "groups",
    params(group::Search),
    responses((status = 200, description = "Those of the caller's groups that are called so", body = ref("#/components/schemas/FoundGroupsAnswer"))),
)]
pub async fn search(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<group::Search>,
) -> Result<Response, ApiError> {
    let Some(request) = query.into_own() else {
        let none = pb::ListGroupsResponse::default();
        return Ok(group::found(dialect, &none, &Users::default()));
    };
    let request = identity.caller.request(request);
    let found = state.clients.conversation.clone().list_groups(request).await?.into_inner();
    let users = users(&state, dialect, &identity, &found.groups).await?;
    Ok(group::found(dialect, &found, &users))
}

/// Lists the groups that anybody may join.
#[utoipa::path(
    get,
    path = "/api/groups/public",
    tag = "groups",
    params(group::Search),
    responses((status = 200, description = "A page of the public groups", body = ref("#/components/schemas/PublicGroupsAnswer"))),
)]
pub async fn public(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<group::Search>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(query.into_public());
    let listed = state.clients.conversation.clone().list_public_groups(request).await?;
    Ok(group::public(dialect, listed.get_ref()))
}

/// Changes texts and settings of a group.
#[utoipa::path(
    method(put, patch),
    path = "/api/groups/{id}",
    tag = "groups",
    request_body = group::Update,
    responses((status = 200, description = "The group as it is now", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 conflict"]))),
)]
pub async fn update(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
    Body(body): Body<group::Update>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(body.into_request(&id)?);
    let changed = state.clients.conversation.clone().update_group(request).await?.into_inner();
    show(&state, dialect, &identity, Shape::CHANGED, changed.conversation).await
}

/// Adds a member whom the body names beside the group.
#[utoipa::path(
    post,
    path = "/api/groups/add-participant",
    tag = "groups",
    request_body = group::Membership,
    responses((status = 200, description = "The group as it is now", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 validation_error", "403 forbidden", "404 not_found", "404 user_not_found", "409 conflict", "409 already_member", "409 group_full"]))),
)]
pub async fn add_participant(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<group::Membership>,
) -> Result<Response, ApiError> {
    let added = add(&state, dialect, &identity, body.ids()?).await;
    added.map_err(|error| group::refused(dialect, error))
}

/// Adds a member to the group in the path.
#[utoipa::path(
    post,
    path = "/api/groups/{id}/members",
    tag = "groups",
    request_body = group::Membership,
    responses((status = 200, description = "The group as it is now", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 validation_error", "403 forbidden", "404 not_found", "404 user_not_found", "409 conflict", "409 already_member", "409 group_full"]))),
)]
pub async fn add_member(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
    Body(body): Body<group::Membership>,
) -> Result<Response, ApiError> {
    add(&state, dialect, &identity, body.ids_in(&id)?).await
}

async fn add(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    (conversation_id, user_id): (String, String),
) -> Result<Response, ApiError> {
    let request = pb::AddMemberRequest { conversation_id, user_id };
    let request = identity.caller.request(request);
    let changed = state.clients.conversation.clone().add_member(request).await?.into_inner();
    show(state, dialect, identity, Shape::CHANGED, changed.conversation).await
}

/// Removes a member whom the body names beside the group.
#[utoipa::path(
    post,
    path = "/api/groups/remove-participant",
    tag = "groups",
    request_body = group::Membership,
    responses((status = 200, description = "The group as it is now", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 validation_error", "403 forbidden", "404 not_found", "404 user_not_found", "409 conflict"]))),
)]
pub async fn remove_participant(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<group::Membership>,
) -> Result<Response, ApiError> {
    let removed = remove(&state, dialect, &identity, body.ids()?).await;
    removed.map_err(|error| group::refused(dialect, error))
}

/// Removes the member in the path.
#[utoipa::path(
    delete,
    path = "/api/groups/{id}/members/{user}",
    tag = "groups",
    responses((status = 200, description = "The group as it is now", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 validation_error", "403 forbidden", "404 not_found", "404 user_not_found", "409 conflict"]))),
)]
pub async fn remove_member(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath((id, user)): InPath<(String, String)>,
) -> Result<Response, ApiError> {
    remove(&state, dialect, &identity, group::member(&id, &user)?).await
}

async fn remove(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    (conversation_id, user_id): (String, String),
) -> Result<Response, ApiError> {
    let request = pb::RemoveMemberRequest { conversation_id, user_id };
    let request = identity.caller.request(request);
    let changed = state.clients.conversation.clone().remove_member(request).await?.into_inner();
    show(state, dialect, identity, Shape::CHANGED, changed.conversation).await
}

/// Makes a member an administrator.
#[utoipa::path(
    post,
    path = "/api/groups/promote-admin",
    tag = "groups",
    request_body = group::Membership,
    responses((status = 200, description = "The group as it is now", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 validation_error", "403 forbidden", "404 not_found", "404 user_not_found", "409 conflict", "409 already_admin"]))),
)]
pub async fn promote(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<group::Membership>,
) -> Result<Response, ApiError> {
    let (conversation_id, user_id) = body.ids()?;
    let request = pb::PromoteAdminRequest { conversation_id, user_id };
    let request = identity.caller.request(request);
    let changed = state.clients.conversation.clone().promote_admin(request).await?.into_inner();
    show(&state, dialect, &identity, Shape::ADMINS_CHANGED, changed.conversation).await
}

/// Makes an administrator a plain member.
#[utoipa::path(
    post,
    path = "/api/groups/demote-admin",
    tag = "groups",
    request_body = group::Membership,
    responses((status = 200, description = "The group as it is now", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["400 invalid_id", "400 validation_error", "403 forbidden", "404 not_found", "404 user_not_found", "409 conflict"]))),
)]
pub async fn demote(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<group::Membership>,
) -> Result<Response, ApiError> {
    let (conversation_id, user_id) = body.ids()?;
    let request = pb::DemoteAdminRequest { conversation_id, user_id };
    let request = identity.caller.request(request);
    let changed = state.clients.conversation.clone().demote_admin(request).await?.into_inner();
    show(&state, dialect, &identity, Shape::ADMINS_CHANGED, changed.conversation).await
}

/// Takes the caller out of a group.
#[utoipa::path(
    delete,
    path = "/api/groups/{id}/leave",
    tag = "groups",
    responses((status = 200, description = "The caller has left", body = ref("#/components/schemas/SaidAnswer"))),
    extensions(("x-reasons" = json!(["400 validation_error", "403 forbidden", "404 not_found", "409 conflict"]))),
)]
pub async fn leave(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let request = pb::LeaveGroupRequest { conversation_id: group::group_id(&id)? };
    let request = identity.caller.request(request);
    state.clients.conversation.clone().leave_group(request).await?;
    Ok(group::done("you have left the group"))
}

/// Returns the invite link in force.
#[utoipa::path(
    get,
    path = "/api/groups/{id}/invite-link",
    tag = "groups",
    responses((status = 200, description = "The link in force", body = ref("#/components/schemas/InviteAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 conflict"]))),
)]
pub async fn invite(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let request = pb::GetInviteRequest { conversation_id: group::group_id(&id)? };
    let request = identity.caller.request(request);
    let found = state.clients.conversation.clone().get_invite(request).await?.into_inner();
    let invite = found.invite.ok_or_else(|| ApiError::incomplete("invite"))?;
    Ok(group::invite(&invite))
}

/// Makes a new invite link.
#[utoipa::path(
    post,
    path = "/api/groups/{id}/invite-link",
    tag = "groups",
    request_body = group::Rotate,
    responses((status = 200, description = "The new link", body = ref("#/components/schemas/InviteAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 conflict"]))),
)]
pub async fn rotate_invite(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
    Body(body): Body<group::Rotate>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(body.into_request(&id, DateTime::now())?);
    let made = state.clients.conversation.clone().rotate_invite(request).await?.into_inner();
    let invite = made.invite.ok_or_else(|| ApiError::incomplete("invite"))?;
    Ok(group::invite(&invite))
}

/// Ends the invite link.
#[utoipa::path(
    delete,
    path = "/api/groups/{id}/invite-link",
    tag = "groups",
    responses((status = 200, description = "The link has ended", body = ref("#/components/schemas/SaidAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 conflict"]))),
)]
pub async fn revoke_invite(
    State(state): State<AppState>,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let request = pb::RevokeInviteRequest { conversation_id: group::group_id(&id)? };
    let request = identity.caller.request(request);
    state.clients.conversation.clone().revoke_invite(request).await?;
    Ok(group::done("the invite link has ended"))
}

/// Takes the caller into the group of an invite link.
#[utoipa::path(
    post,
    path = "/api/groups/join",
    tag = "groups",
    request_body = group::Join,
    responses((status = 200, description = "The group that the caller is in now", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["404 not_found", "409 group_full", "409 conflict"]))),
)]
pub async fn join(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<group::Join>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(body.into_request()?);
    let joined = state.clients.conversation.clone().join_by_invite(request).await?.into_inner();
    show(&state, dialect, &identity, Shape::CHANGED, joined.conversation).await
}

/// Takes the caller into a group that anybody may join.
#[utoipa::path(
    post,
    path = "/api/groups/{id}/join",
    tag = "groups",
    responses((status = 200, description = "The group that the caller is in now", body = ref("#/components/schemas/GroupAnswer"))),
    extensions(("x-reasons" = json!(["403 forbidden", "404 not_found", "409 group_full", "409 conflict"]))),
)]
pub async fn join_public(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let request = pb::JoinPublicGroupRequest { conversation_id: group::group_id(&id)? };
    let request = identity.caller.request(request);
    let joined = state.clients.conversation.clone().join_public_group(request).await?.into_inner();
    show(&state, dialect, &identity, Shape::CHANGED, joined.conversation).await
}

fn complete(conversation: Option<pb::Conversation>) -> Result<pb::Conversation, ApiError> {
    let complete = conversation.filter(|found| found.group.is_some());
    complete.ok_or_else(|| ApiError::incomplete("group"))
}

/// Answers with a group and the profiles that it shows.
async fn show(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    shape: Shape,
    conversation: Option<pb::Conversation>,
) -> Result<Response, ApiError> {
    let found = complete(conversation)?;
    let users = users(state, dialect, identity, std::slice::from_ref(&found)).await?;
    Ok(group::one(dialect, shape, &found, &users))
}

/// Fetches the profiles that an answer shows.
async fn users(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    groups: &[pb::Conversation],
) -> Result<Users, ApiError> {
    members(state, identity, group::profiles(dialect, groups), groups).await
}
