//! Groups: what clients ask for, and how a group looks to each family.

mod render;

use axum::{http::StatusCode, response::Response};
use bson::DateTime;
use chat_kit::{
    id::ConversationId,
    time::{after, to_timestamp},
};
use chat_proto::v1 as pb;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use self::render::Shape;
use utoipa::{IntoParams, ToSchema};

pub(super) use self::render::{Card, UnifiedRights};
use super::{
    Dialect,
    conversation::{self, Users},
    envelope, fields,
};
use crate::{
    error::ApiError,
    openapi::{Form, Schemas},
};

/// Groups on a page whose request does not say.
const PAGE: u32 = 20;
/// A shorter text is not searched for.
const SHORTEST_QUERY: usize = 2;
/// Most profiles that one answer shows; the user service answers for as many by default.
const MOST_PROFILES: usize = 1000;
/// Longest life of a link that is told as seconds: ten years.
const LONGEST_LIFE: u32 = 3650 * 24 * 3600;

/// A group to be made, in every spelling.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = CreateGroupRequest)]
pub struct Create {
    #[serde(deserialize_with = "fields::text")]
    name: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    description: Option<String>,
    #[serde(deserialize_with = "conversation::ids")]
    participants: Option<Vec<String>>,
    #[serde(deserialize_with = "conversation::ids")]
    members: Option<Vec<String>>,
    #[serde(deserialize_with = "conversation::ids")]
    member_ids: Option<Vec<String>>,
    #[serde(deserialize_with = "fields::text")]
    avatar: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    avatar_url: Option<String>,
}

impl Create {
    /// Folds the spellings into the canonical request, with a new id.
    pub fn into_request(self) -> Result<pb::CreateGroupRequest, ApiError> {
        let name = fields::first([self.name]).filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| ApiError::validation("name is needed"))?;
        let lists = [self.participants, self.members, self.member_ids];
        let named = lists.into_iter().flatten().find(|list| !list.is_empty()).unwrap_or_default();
        let ids = named.iter().map(|id| fields::user_id("participants", id));
        let ids = ids.map(|id| id.map(|id| id.to_string()));
        Ok(pb::CreateGroupRequest {
            conversation_id: ConversationId::new().to_string(),
            member_ids: ids.collect::<Result<_, _>>()?,
            name: Some(name),
            description: self.description,
            avatar_url: fields::first([self.avatar, self.avatar_url]),
        })
    }
}

/// Changes of a group, in every spelling.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = UpdateGroupRequest)]
pub struct Update {
    #[serde(deserialize_with = "fields::text")]
    name: Option<String>,
    #[serde(deserialize_with = "removable")]
    description: Option<String>,
    #[serde(deserialize_with = "removable")]
    avatar: Option<String>,
    #[serde(deserialize_with = "removable")]
    avatar_url: Option<String>,
    #[serde(deserialize_with = "fields::named")]
    settings: Option<Settings>,
}

/// Changes of settings, in every spelling. The invite link among them is read alone.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = GroupSettingsRequest)]
struct Settings {
    #[serde(deserialize_with = "fields::flag")]
    only_admins_can_send_messages: Option<bool>,
    #[serde(deserialize_with = "fields::flag")]
    only_admins_can_send: Option<bool>,
    #[serde(deserialize_with = "fields::flag")]
    only_admins_can_add_members: Option<bool>,
    #[serde(deserialize_with = "fields::flag")]
    only_admins_can_add: Option<bool>,
    #[serde(deserialize_with = "fields::flag")]
    is_public: Option<bool>,
}

/// Reads a text that null takes away, as an empty one does.
fn removable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    fields::text(deserializer).map(|text| Some(text.unwrap_or_default()))
}

impl Update {
    /// Folds the spellings into the canonical request. Of the picture's, one that is not empty counts; an
    /// empty one and null take the picture away.
    pub fn into_request(self, group: &str) -> Result<pb::UpdateGroupRequest, ApiError> {
        let settings = self.settings.unwrap_or_default();
        let is_given = self.avatar.is_some() || self.avatar_url.is_some();
        let avatar_url = fields::first([self.avatar, self.avatar_url]);
        Ok(pb::UpdateGroupRequest {
            conversation_id: group_id(group)?,
            name: self.name,
            description: self.description,
            avatar_url: avatar_url.or_else(|| is_given.then(String::new)),
            only_admins_can_send: settings
                .only_admins_can_send_messages
                .or(settings.only_admins_can_send),
            only_admins_can_add: settings
                .only_admins_can_add_members
                .or(settings.only_admins_can_add),
            is_public: settings.is_public,
        })
    }
}

/// Reads the id of a group.
pub fn group_id(text: &str) -> Result<String, ApiError> {
    let id: Result<ConversationId, _> = text.parse();
    id.map(|id| id.to_string()).map_err(|_| ApiError::invalid_id("groupId"))
}

/// A group and somebody, in every spelling.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
#[schema(as = MembershipRequest)]
pub struct Membership {
    group_id: Option<String>,
    conversation_id: Option<String>,
    user_id: Option<String>,
    member_id: Option<String>,
}

impl Membership {
    /// Returns both ids, that of the group first.
    pub fn ids(mut self) -> Result<(String, String), ApiError> {
        let group = fields::first([self.group_id.take(), self.conversation_id.take()]);
        let group = group.ok_or_else(|| ApiError::validation("groupId is needed"))?;
        self.ids_in(&group)
    }

    /// Returns both ids where the group is named elsewhere.
    pub fn ids_in(self, group: &str) -> Result<(String, String), ApiError> {
        let user = fields::first([self.user_id, self.member_id]);
        let user = user.ok_or_else(|| ApiError::validation("userId is needed"))?;
        member(group, &user)
    }
}

/// Reads the ids of a group and of somebody in it, or not in it.
pub fn member(group: &str, user: &str) -> Result<(String, String), ApiError> {
    Ok((group_id(group)?, fields::user_id("userId", user)?.to_string()))
}

/// Returns a failure of a request that names a group beside a user: to the old families, a group that
/// does not exist is a wrong value there.
#[must_use]
pub fn refused(dialect: Dialect, error: ApiError) -> ApiError {
    if dialect != Dialect::Unified && error.error == "not_found" {
        return ApiError::validation("groupId: there is no such group");
    }
    error
}

/// What a new invite link is to be like.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = RotateInviteRequest)]
pub struct Rotate {
    expires_at: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    expires_in: Option<i64>,
    #[serde(deserialize_with = "fields::whole")]
    max_uses: Option<i64>,
}

impl Rotate {
    /// Folds the two ways to tell the end into the canonical request.
    pub fn into_request(
        self,
        group: &str,
        now: DateTime,
    ) -> Result<pb::RotateInviteRequest, ApiError> {
        let expires_at = match (fields::first([self.expires_at]), self.expires_in) {
            (Some(at), _) => Some(fields::instant("expiresAt", &at)?),
            (None, Some(seconds)) => {
                let wrong = || {
                    let message = "expiresIn is a number of seconds from 1 to ten years";
                    ApiError::validation(message)
                };
                let seconds = u32::try_from(seconds).map_err(|_| wrong())?;
                if !(1..=LONGEST_LIFE).contains(&seconds) {
                    return Err(wrong());
                }
                Some(to_timestamp(after(now, std::time::Duration::from_secs(seconds.into()))))
            }
            (None, None) => None,
        };
        let wrong = |_| ApiError::validation("maxUses is a number from 1 to 4294967295");
        let max_uses = self.max_uses.map(|most| u32::try_from(most).map_err(wrong)).transpose()?;
        Ok(pb::RotateInviteRequest { conversation_id: group_id(group)?, expires_at, max_uses })
    }
}

/// An invite link that somebody has.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = JoinRequest)]
pub struct Join {
    #[serde(deserialize_with = "fields::text")]
    invite_link: Option<String>,
}

impl Join {
    /// Returns the canonical request.
    pub fn into_request(self) -> Result<pb::JoinByInviteRequest, ApiError> {
        let link = fields::first([self.invite_link]);
        let link = link.ok_or_else(|| ApiError::validation("inviteLink is needed"))?;
        Ok(pb::JoinByInviteRequest { link })
    }
}

/// The parameters of the list of the own groups.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Query {
    #[serde(deserialize_with = "fields::whole")]
    page: Option<i64>,
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
    search: Option<String>,
    cursor: Option<String>,
}

impl Query {
    /// Returns the canonical request.
    pub fn into_request(self) -> Result<pb::ListGroupsRequest, ApiError> {
        let page = self.page.unwrap_or(1).max(1);
        let cursor = self.cursor.unwrap_or_default();
        if !cursor.is_empty() && page > 1 {
            return Err(ApiError::validation("page and cursor exclude each other"));
        }
        Ok(pb::ListGroupsRequest {
            page: u32::try_from(page).unwrap_or(u32::MAX),
            limit: fields::page_limit(self.limit, PAGE),
            search: self.search.unwrap_or_default(),
            cursor,
        })
    }
}

/// The parameters of a search.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Search {
    query: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
    cursor: Option<String>,
}

impl Search {
    /// Returns the request for those of the own groups that are called so; none if the text is too short.
    #[must_use]
    pub fn into_own(self) -> Option<pb::ListGroupsRequest> {
        let search = self.query.unwrap_or_default();
        let is_long = search.trim().chars().count() >= SHORTEST_QUERY;
        let limit = fields::page_limit(self.limit, PAGE);
        let cursor = self.cursor.unwrap_or_default();
        is_long.then_some(pb::ListGroupsRequest { page: 1, limit, search, cursor })
    }

    /// Returns the request for the public groups that are called so.
    #[must_use]
    pub fn into_public(self) -> pb::ListPublicGroupsRequest {
        let limit = fields::page_limit(self.limit, PAGE);
        let page = pb::PageRequest { limit, cursor: self.cursor.unwrap_or_default() };
        pb::ListPublicGroupsRequest { query: self.query.unwrap_or_default(), page: Some(page) }
    }
}

/// Returns the request for the profiles that an answer shows, if it shows any. It is one, however large
/// the groups are: administrators first, then members, and whoever does not fit is shown by his id.
#[must_use]
pub fn profiles(dialect: Dialect, groups: &[pb::Conversation]) -> Option<pb::GetUsersRequest> {
    if dialect == Dialect::Unified || groups.is_empty() {
        return None;
    }
    let admins = groups.iter().filter_map(|found| found.group.as_ref());
    let admins = admins.flat_map(|group| std::iter::once(&group.admin_id).chain(&group.admin_ids));
    let members = groups.iter().flat_map(|group| &group.member_ids);
    let mut seen = std::collections::HashSet::new();
    let user_ids = admins.chain(members).filter(|id| seen.insert(id.as_str()));
    Some(pb::GetUsersRequest { user_ids: user_ids.take(MOST_PROFILES).cloned().collect() })
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneGroup)]
struct One<T> {
    #[schema(inline)]
    group: T,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MadeGroup)]
struct Made<T, C> {
    #[schema(inline)]
    group: T,
    #[schema(inline)]
    conversation: C,
}

/// Answers with a group.
#[must_use]
pub fn one(dialect: Dialect, shape: Shape, group: &pb::Conversation, users: &Users) -> Response {
    envelope::ok(One { group: render::group(dialect, shape, group, users) })
}

/// Answers with a group that was made just now, and with its conversation.
#[must_use]
pub fn made(dialect: Dialect, group: &pb::Conversation, users: &Users) -> Response {
    let conversation = match dialect {
        Dialect::Unified => conversation::unified(group),
        _ => conversation::made_group(group),
    };
    let group = render::group(dialect, Shape::MADE, group, users);
    envelope::with_status(StatusCode::CREATED, Made { group, conversation })
}

/// How many pages there are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GroupPagination)]
struct Pagination {
    total_pages: u64,
    current_page: u32,
    total: u64,
    limit: u32,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ManyGroups)]
struct Many<T> {
    #[schema(inline)]
    groups: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Returns where the list goes on.
fn next(listed: &pb::ListGroupsResponse) -> Option<String> {
    Some(listed.next_cursor.clone()).filter(|cursor| !cursor.is_empty())
}

fn rows(dialect: Dialect, listed: &[pb::Conversation], users: &Users) -> Vec<Value> {
    listed.iter().map(|group| render::group(dialect, Shape::LISTED, group, users)).collect()
}

/// Answers with a page of the own groups.
#[must_use]
pub fn listed(
    dialect: Dialect,
    page: u32,
    listed: &pb::ListGroupsResponse,
    users: &Users,
) -> Response {
    let limit = listed.limit.max(1);
    let pagination = Pagination {
        total_pages: listed.total.div_ceil(limit.into()),
        current_page: page,
        total: listed.total,
        limit,
    };
    let groups = rows(dialect, &listed.groups, users);
    let next_cursor = next(listed);
    envelope::ok(Many { groups, pagination: Some(pagination), next_cursor })
}

/// Answers with the own groups that were searched for.
#[must_use]
pub fn found(dialect: Dialect, found: &pb::ListGroupsResponse, users: &Users) -> Response {
    let groups = rows(dialect, &found.groups, users);
    envelope::ok(Many { groups, pagination: None, next_cursor: next(found) })
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GroupPage)]
struct Page<'a, T> {
    #[schema(inline)]
    groups: Vec<T>,
    next_cursor: Option<&'a str>,
}

/// Answers with a page of the public groups.
#[must_use]
pub fn public(dialect: Dialect, listed: &pb::ListPublicGroupsResponse) -> Response {
    let next = listed.page.as_ref().map(|page| page.next_cursor.as_str());
    envelope::ok(Page {
        groups: listed.groups.iter().map(|group| render::public(dialect, group)).collect(),
        next_cursor: next.filter(|cursor| !cursor.is_empty()),
    })
}

/// An invite link, as every family reads it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Invite<'a> {
    #[serde(rename = "inviteLink")]
    link: &'a str,
    created_by: &'a str,
    created_at: Option<String>,
    expires_at: Option<String>,
    max_uses: Option<u32>,
    use_count: u32,
}

/// Answers with an invite link, the same to every family.
#[must_use]
pub fn invite(invite: &pb::Invite) -> Response {
    envelope::ok(Invite {
        link: &invite.link,
        created_by: &invite.created_by,
        created_at: fields::iso(invite.created_at.as_ref()),
        expires_at: fields::iso(invite.expires_at.as_ref()),
        max_uses: invite.max_uses,
        use_count: invite.use_count,
    })
}

/// Answers that something is done that leaves nothing to show.
#[must_use]
pub fn done(message: &'static str) -> Response {
    envelope::ok(envelope::Said { message })
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    type Old<'a> = render::Document<'a>;
    type New<'a> = render::Unified<'a>;
    let forms = [Form::old::<One<Old<'_>>>(), Form::unified::<One<New<'_>>>()];
    schemas.answer("GroupAnswer", forms);
    let made = Form::old::<Made<Old<'_>, conversation::OfNewGroup<'_>>>();
    let unified = Form::unified::<Made<New<'_>, conversation::Unified<'_>>>();
    schemas.answer("MadeGroupAnswer", [made, unified]);
    let forms = || [Form::old::<Many<Old<'_>>>(), Form::unified::<Many<New<'_>>>()];
    schemas.answer("GroupListAnswer", forms());
    schemas.answer("FoundGroupsAnswer", forms());
    let old = Form::old::<Page<'_, render::OldPublic<'_>>>();
    let unified = Form::unified::<Page<'_, render::UnifiedPublic<'_>>>();
    schemas.answer("PublicGroupsAnswer", [old, unified]);
    schemas.answer("InviteAnswer", [Form::same::<Invite<'_>>()]);
}

#[cfg(test)]
mod tests;
