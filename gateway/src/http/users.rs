//! Profiles: one's own and those of others, and who is online.

use std::{collections::BTreeSet, time::SystemTime};

use axum::{extract::State, response::Response};
use chat_proto::v1 as pb;

use super::{Body, InPath, Query};
use crate::{
    auth::Identity,
    error::ApiError,
    state::AppState,
    wire::{Declared, Dialect, conversation::Users, fields, user},
};

/// Answers with the caller's own profile.
#[utoipa::path(
    get,
    path = "/api/users/profile",
    tag = "users",
    responses((status = 200, description = "The caller's own profile", body = ref("#/components/schemas/OwnProfileAnswer"))),
    extensions(("x-reasons" = json!(["404 not_found"]))),
)]
pub async fn own(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
) -> Result<Response, ApiError> {
    let found = get(&state, &identity, identity.user_id.to_string()).await?;
    Ok(user::own_profile(dialect, &found))
}

/// Answers with the profile of anybody.
#[utoipa::path(
    get,
    path = "/api/users/profile/{id}",
    tag = "users",
    responses((status = 200, description = "The profile", body = ref("#/components/schemas/ProfileAnswer"))),
    extensions(("x-reasons" = json!(["404 not_found"]))),
)]
pub async fn profile(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    InPath(id): InPath,
) -> Result<Response, ApiError> {
    let id = fields::user_id("userId", &id)?;
    let mut found = [get(&state, &identity, id.to_string()).await?];
    conceal(&state, &identity, &mut found).await?;
    Ok(user::profile(dialect, &found[0]))
}

/// Fetches the profiles that an answer shows, as they are stored, with one call at most.
pub(super) async fn profiles(
    state: &AppState,
    identity: &Identity,
    wanted: Option<pb::GetUsersRequest>,
) -> Result<Vec<pb::User>, ApiError> {
    let Some(wanted) = wanted else { return Ok(Vec::new()) };
    let found = state.clients.user.clone().get_users(identity.caller.request(wanted)).await?;
    Ok(found.into_inner().users)
}

/// Takes out of profiles what is for partners alone, by one question who is one.
async fn conceal(
    state: &AppState,
    identity: &Identity,
    users: &mut [pb::User],
) -> Result<(), ApiError> {
    let user_ids = user::others(users, identity.user_id);
    if user_ids.is_empty() {
        return Ok(());
    }
    let known = known(state, identity, user_ids).await?;
    let mut partners: BTreeSet<String> = known.user_ids.into_iter().collect();
    partners.retain(|partner| !known.blocked_user_ids.contains(partner));
    user::conceal(users, identity.user_id, &partners);
    Ok(())
}

/// Fetches the profiles that an answer with conversations shows, without what is for partners alone. Who
/// shares a conversation is known; a block between members of a group is asked for, by one question.
pub(super) async fn members(
    state: &AppState,
    identity: &Identity,
    wanted: Option<pb::GetUsersRequest>,
    conversations: &[pb::Conversation],
) -> Result<Users, ApiError> {
    let Some(wanted) = wanted else { return Ok(Users::default()) };
    let mut partners = user::partners_in(conversations, identity.user_id);
    let doubtful = user::doubtful(&wanted.user_ids, conversations, identity.user_id);
    let blocked = async {
        if doubtful.is_empty() {
            return Ok(Vec::new());
        }
        Ok(known(state, identity, doubtful).await?.blocked_user_ids)
    };
    let (mut users, blocked) = tokio::try_join!(profiles(state, identity, Some(wanted)), blocked)?;
    partners.retain(|partner| !blocked.contains(partner));
    user::conceal(&mut users, identity.user_id, &partners);
    Ok(users.into())
}

async fn known(
    state: &AppState,
    identity: &Identity,
    user_ids: Vec<String>,
) -> Result<pb::FilterPartnersResponse, ApiError> {
    let request = identity.caller.request(pb::FilterPartnersRequest { user_ids, user_id: None });
    let known = state.clients.conversation.clone().filter_partners(request).await?;
    Ok(known.into_inner())
}

async fn get(state: &AppState, identity: &Identity, user_id: String) -> Result<pb::User, ApiError> {
    let request = identity.caller.request(pb::GetUserRequest { user_id });
    let found = state.clients.user.clone().get_user(request).await;
    let found = found.map_err(|status| user::not_found(status.into()))?;
    found.into_inner().user.ok_or_else(|| ApiError::incomplete("user"))
}

/// Changes the caller's own profile.
#[utoipa::path(
    method(patch, put),
    path = "/api/users/me",
    tag = "users",
    request_body = user::Edit,
    responses((status = 200, description = "The caller's profile as it is now", body = ref("#/components/schemas/OwnProfileAnswer"))),
    extensions(("x-reasons" = json!(["404 not_found"]))),
)]
pub async fn edit(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Body(body): Body<user::Edit>,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(body.into_request()?);
    let changed = state.clients.user.clone().update_profile(request).await;
    let changed = changed.map_err(|status| user::not_found(status.into()))?;
    let changed = changed.into_inner().user.ok_or_else(|| ApiError::incomplete("user"))?;
    Ok(user::own_profile(dialect, &changed))
}

/// Lists all users.
#[utoipa::path(
    get,
    path = "/api/users",
    tag = "users",
    params(user::Listing),
    responses((status = 200, description = "A page of the users", body = ref("#/components/schemas/UserListAnswer"))),
)]
pub async fn list(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<user::Listing>,
) -> Result<Response, ApiError> {
    let (request, shape) = query.into_request(dialect, true)?;
    answer(&state, dialect, &identity, Some(request), shape).await
}

/// Lists all users, for the path without prefix.
#[utoipa::path(
    get,
    path = "/users",
    tag = "users",
    params(user::Listing),
    responses((status = 200, description = "A page of the users", body = ref("#/components/schemas/BareUserListAnswer"))),
)]
pub async fn list_bare(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<user::Listing>,
) -> Result<Response, ApiError> {
    let (request, shape) = query.into_request(dialect, false)?;
    answer(&state, dialect, &identity, Some(request), shape).await
}

/// Finds users by what their names begin with, or by a phone.
#[utoipa::path(
    get,
    path = "/api/users/search",
    tag = "users",
    params(user::Find),
    responses((status = 200, description = "A page of those who were found, by name; at most 20 to old clients", body = ref("#/components/schemas/FoundUsersAnswer"))),
)]
pub async fn search(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<user::Find>,
) -> Result<Response, ApiError> {
    let (request, shape) = query.into_request(dialect, true);
    answer(&state, dialect, &identity, request, shape).await
}

/// Finds users, for the path without prefix.
#[utoipa::path(
    get,
    path = "/users/search",
    tag = "users",
    params(user::Find),
    responses((status = 200, description = "A page of those who were found, by name; at most 20 to old clients", body = ref("#/components/schemas/BareFoundUsersAnswer"))),
)]
pub async fn search_bare(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<user::Find>,
) -> Result<Response, ApiError> {
    let (request, shape) = query.into_request(dialect, false);
    answer(&state, dialect, &identity, request, shape).await
}

async fn answer(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    request: Option<pb::ListUsersRequest>,
    shape: user::Shape,
) -> Result<Response, ApiError> {
    let Some(request) = request else {
        return Ok(user::listed(dialect, shape, &pb::ListUsersResponse::default()));
    };
    let found = state.clients.user.clone().list_users(identity.caller.request(request)).await?;
    let mut found = found.into_inner();
    conceal(state, identity, &mut found.users).await?;
    Ok(user::listed(dialect, shape, &found))
}

/// Says who of many users is online, or who of the caller's partners.
#[utoipa::path(
    get,
    path = "/api/users/presence",
    tag = "users",
    params(user::AskedPresence),
    responses((status = 200, description = "Who is online", body = ref("#/components/schemas/PresenceAnswer"))),
)]
pub async fn presence(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<user::AskedPresence>,
) -> Result<Response, ApiError> {
    look_at(&state, dialect, &identity, query, true).await
}

/// Says who is online, for the path without prefix.
#[utoipa::path(
    get,
    path = "/presence",
    tag = "users",
    params(user::AskedPresence),
    responses((status = 200, description = "Who is online", body = ref("#/components/schemas/BarePresenceAnswer"))),
)]
pub async fn presence_bare(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<user::AskedPresence>,
) -> Result<Response, ApiError> {
    look_at(&state, dialect, &identity, query, false).await
}

async fn look_at(
    state: &AppState,
    dialect: Dialect,
    identity: &Identity,
    query: user::AskedPresence,
    is_prefixed: bool,
) -> Result<Response, ApiError> {
    let mut client = state.clients.user.clone();
    let Some(request) = query.request() else {
        let request = identity.caller.request(pb::ListPartnerPresencesRequest { limit: 0 });
        let partners = client.list_partner_presences(request).await?;
        return Ok(query.write_all(dialect, &partners.get_ref().presences));
    };
    let found = client.get_presence(identity.caller.request(request)).await?;
    Ok(query.write(dialect, is_prefixed, &found.get_ref().presences, SystemTime::now()))
}

/// Says how many users are online.
#[utoipa::path(
    get,
    path = "/api/users/online/count",
    tag = "users",
    responses((status = 200, description = "How many are online", body = ref("#/components/schemas/OnlineCountAnswer"))),
)]
pub async fn online_count(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(pb::CountOnlineRequest {});
    let counted = state.clients.user.clone().count_online(request).await?;
    Ok(user::online_count(counted.get_ref().count))
}

/// Looks profiles up by their ids.
#[utoipa::path(
    get,
    path = "/api/users/by-ids",
    tag = "users",
    params(user::ByIds),
    responses((status = 200, description = "The profiles that exist, by id", body = ref("#/components/schemas/UsersByIdAnswer"))),
)]
pub async fn by_ids(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
    Query(query): Query<user::ByIds>,
) -> Result<Response, ApiError> {
    look_up(&state, dialect, &identity, query, true).await
}

/// Looks profiles up by their ids, for the path without prefix.
#[utoipa::path(
    get,
    path = "/users/by-ids",
    tag = "users",
    params(user::ByIds),
    responses((status = 200, description = "The profiles that exist, by id", body = ref("#/components/schemas/BareUsersByIdAnswer"))),
)]
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
    let mut users = profiles(state, identity, Some(request)).await?;
    conceal(state, identity, &mut users).await?;
    Ok(user::looked_up(dialect, is_prefixed, &users))
}
