//! Users: how a profile looks in each object of the old families, and to new clients.

mod edit;
mod list;
mod presence;
mod privacy;

use std::collections::{BTreeMap, BTreeSet};

use axum::{http::StatusCode, response::Response};
use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{
    edit::Edit,
    list::{Find, Listing, Shape, listed},
    presence::{AskedPresence, online_count},
    privacy::{conceal, doubtful, others, partners_in},
};
use utoipa::{IntoParams, ToSchema};

use super::{Dialect, envelope, fields::iso};
use crate::{
    error::ApiError,
    openapi::{BOTH, Events, Form, NEW, OLD, Schemas, UNIFIED},
};

/// Most ids of one request.
const MOST_IDS: usize = 1400;

/// The parameters of a look-up by ids.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct ByIds {
    ids: Option<String>,
}

impl ByIds {
    /// Returns the ids, each once. Old clients put more than the id into an item.
    #[must_use]
    pub fn into_request(self) -> pb::GetUsersRequest {
        let ids = self.ids.unwrap_or_default();
        let user_ids: BTreeSet<String> = ids.split(',').filter_map(tolerant_id).collect();
        let user_ids = user_ids.into_iter().take(MOST_IDS).collect();
        pb::GetUsersRequest { user_ids }
    }
}

/// Takes the digits behind `id:` where there are such, else all hex digits; there must be 24.
fn tolerant_id(item: &str) -> Option<String> {
    let item = item.to_ascii_lowercase();
    let behind = item.split_once("id:").map_or("", |(_, behind)| behind);
    let labelled = behind.trim_start_matches([' ', '"', '\'']).get(..24);
    let is_id = |text: &str| text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(id) = labelled.filter(|text| is_id(text)) {
        return Some(id.to_owned());
    }
    let id: String = item.chars().filter(char::is_ascii_hexdigit).collect();
    is_id(&id).then_some(id)
}

/// The profile of the caller himself, as both old families read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuthUser)]
pub(super) struct AuthUser<'a> {
    id: &'a str,
    uid: &'a str,
    user_id: &'a str,
    name: &'a str,
    phone: Option<&'a str>,
    avatar: Option<&'a str>,
    avatar_url: Option<&'a str>,
    bio: Option<&'a str>,
    is_online: bool,
    last_seen: Option<String>,
}

impl<'a> From<&'a pb::User> for AuthUser<'a> {
    fn from(user: &'a pb::User) -> Self {
        Self {
            id: &user.id,
            uid: &user.id,
            user_id: &user.id,
            name: &user.name,
            phone: user.phone.as_deref(),
            avatar: user.avatar_url.as_deref(),
            avatar_url: user.avatar_url.as_deref(),
            bio: user.bio.as_deref(),
            is_online: user.is_online,
            last_seen: iso(user.last_seen_at.as_ref()),
        }
    }
}

/// The profile of the caller himself with all that is known of him.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OwnProfile<'a> {
    #[serde(rename = "_id")]
    underscore_id: &'a str,
    #[serde(flatten)]
    user: AuthUser<'a>,
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_privacy: Option<&'static str>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// The profile of anybody, as both old families look it up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LookedUpUser)]
struct LookedUp<'a> {
    #[serde(rename = "_id")]
    underscore_id: &'a str,
    id: &'a str,
    name: &'a str,
    phone: Option<&'a str>,
    email: Option<&'a str>,
    avatar: Option<&'a str>,
    avatar_url: Option<&'a str>,
    last_seen: Option<String>,
    is_online: bool,
    online: bool,
}

impl<'a> From<&'a pb::User> for LookedUp<'a> {
    fn from(user: &'a pb::User) -> Self {
        Self {
            underscore_id: &user.id,
            id: &user.id,
            name: &user.name,
            phone: user.phone.as_deref(),
            email: user.email.as_deref(),
            avatar: user.avatar_url.as_deref(),
            avatar_url: user.avatar_url.as_deref(),
            last_seen: iso(user.last_seen_at.as_ref()),
            is_online: user.is_online,
            online: user.is_online,
        }
    }
}

/// A profile inside a conversation of the old families; what is not set is left out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserCard)]
pub(super) struct Card<'a> {
    #[serde(rename = "_id")]
    pub(super) underscore_id: &'a str,
    pub(super) id: &'a str,
    name: &'a str,
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    is_online: bool,
    last_seen: Option<String>,
}

impl<'a> Card<'a> {
    /// Shows a member. Of one without a profile, the id is shown: a profile lost to a crash comes back
    /// with its owner's next login, and the member is a member all the while.
    pub(super) fn new(id: &'a str, user: Option<&'a pb::User>) -> Self {
        Self {
            underscore_id: id,
            id,
            name: user.map_or("", |user| user.name.as_str()),
            phone: user.and_then(|user| user.phone.as_deref()),
            avatar: user.and_then(|user| user.avatar_url.as_deref()),
            avatar_url: user.and_then(|user| user.avatar_url.as_deref()),
            is_online: user.is_some_and(|user| user.is_online),
            last_seen: user.and_then(|user| iso(user.last_seen_at.as_ref())),
        }
    }
}

/// A profile as new clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedUser)]
pub(super) struct Unified<'a> {
    id: &'a str,
    name: &'a str,
    phone: Option<&'a str>,
    email: Option<&'a str>,
    avatar_url: Option<&'a str>,
    bio: Option<&'a str>,
    is_online: bool,
    last_seen_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_privacy: Option<&'static str>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl<'a> From<&'a pb::User> for Unified<'a> {
    fn from(user: &'a pb::User) -> Self {
        Self {
            id: &user.id,
            name: &user.name,
            phone: user.phone.as_deref(),
            email: user.email.as_deref(),
            avatar_url: user.avatar_url.as_deref(),
            bio: user.bio.as_deref(),
            is_online: user.is_online,
            last_seen_at: iso(user.last_seen_at.as_ref()),
            last_seen_privacy: edit::privacy(user),
            created_at: iso(user.created_at.as_ref()),
            updated_at: iso(user.updated_at.as_ref()),
        }
    }
}

/// A profile that changed, as both old families replace what they know of its owner.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OldProfileChange)]
struct ProfileUpdated<'a> {
    user_id: &'a str,
    user: Changed<'a>,
}

/// A profile with what only its change shows.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangedProfile)]
struct Changed<'a> {
    #[serde(flatten)]
    user: LookedUp<'a>,
    bio: Option<&'a str>,
}

/// A profile that changed, as new clients read it.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfileChange)]
struct UnifiedChange<'a> {
    user: Option<Unified<'a>>,
}

/// Returns what new clients hear of a changed profile.
pub(super) fn unified_updated(user: Option<&pb::User>) -> Value {
    json!(UnifiedChange { user: user.map(Unified::from) })
}

/// Says which events changes of profiles bring.
pub(super) fn events(events: &mut Events) {
    let changed = "The profile of the user, or of a partner, changed";
    events.heard::<ProfileUpdated<'_>>(BOTH, "user_profile_updated", changed);
    events.heard::<UnifiedChange<'_>>(NEW, "profile:updated", changed);
}

/// Returns what the old families hear of a changed profile.
pub(super) fn profile_updated(user: &pb::User) -> Value {
    let changed = Changed { user: user.into(), bio: user.bio.as_deref() };
    json!(ProfileUpdated { user_id: &user.id, user: changed })
}

/// A profile in lists, searches and by itself, as both old families read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserItem)]
pub(super) struct Item<'a> {
    #[serde(rename = "_id")]
    underscore_id: &'a str,
    id: &'a str,
    name: &'a str,
    phone: Option<&'a str>,
    avatar: Option<&'a str>,
    avatar_url: Option<&'a str>,
    bio: Option<&'a str>,
    is_online: bool,
    last_seen: Option<String>,
}

impl<'a> From<&'a pb::User> for Item<'a> {
    fn from(user: &'a pb::User) -> Self {
        Self {
            underscore_id: &user.id,
            id: &user.id,
            name: &user.name,
            phone: user.phone.as_deref(),
            avatar: user.avatar_url.as_deref(),
            avatar_url: user.avatar_url.as_deref(),
            bio: user.bio.as_deref(),
            is_online: user.is_online,
            last_seen: iso(user.last_seen_at.as_ref()),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneUser)]
struct One<T> {
    #[schema(inline)]
    user: T,
}

/// Answers with the profile of anybody.
#[must_use]
pub fn profile(dialect: Dialect, user: &pb::User) -> Response {
    match dialect {
        Dialect::Unified => envelope::ok(One { user: Unified::from(user) }),
        _ => envelope::ok(One { user: Item::from(user) }),
    }
}

/// Names the failure to find a profile as its clients know it.
#[must_use]
pub fn not_found(error: ApiError) -> ApiError {
    if error.status == StatusCode::NOT_FOUND {
        return ApiError { error: "not_found".into(), ..error };
    }
    error
}

/// Answers with the caller's own profile.
#[must_use]
pub fn own_profile(dialect: Dialect, user: &pb::User) -> Response {
    match dialect {
        Dialect::Unified => envelope::ok(One { user: Unified::from(user) }),
        _ => envelope::ok(One {
            user: OwnProfile {
                underscore_id: &user.id,
                user: user.into(),
                email: user.email.as_deref(),
                last_seen_privacy: edit::privacy(user),
                created_at: iso(user.created_at.as_ref()),
                updated_at: iso(user.updated_at.as_ref()),
            },
        }),
    }
}

type ById<'a, T> = BTreeMap<&'a str, T>;

#[derive(Serialize)]
struct Many<'a, T> {
    users: ById<'a, T>,
}

/// Half of the mobile client's screens read below `users`, the other half at the top.
#[derive(Serialize)]
struct Twice<'a> {
    users: &'a ById<'a, LookedUp<'a>>,
    #[serde(flatten)]
    top: &'a ById<'a, LookedUp<'a>>,
}

fn by_id<'a, T: From<&'a pb::User>>(users: &'a [pb::User]) -> ById<'a, T> {
    let by_id = users.iter().map(|user| (user.id.as_str(), user.into()));
    by_id.collect()
}

/// Answers a look-up by ids; without prefix the old clients read the bare map.
#[must_use]
pub fn looked_up(dialect: Dialect, is_prefixed: bool, users: &[pb::User]) -> Response {
    if dialect == Dialect::Unified {
        let users = by_id::<Unified<'_>>(users);
        return envelope::ok(Many { users });
    }
    let users = by_id::<LookedUp<'_>>(users);
    match (dialect, is_prefixed) {
        (Dialect::Electron, _) | (_, true) => envelope::ok(Twice { users: &users, top: &users }),
        (_, false) => envelope::json(StatusCode::OK, &users),
    }
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let unified = Form::unified::<One<Unified<'_>>>;
    schemas.answer("OwnProfileAnswer", [Form::old::<One<OwnProfile<'_>>>(), unified()]);
    schemas.answer("ProfileAnswer", [Form::old::<One<Item<'_>>>(), unified()]);
    let below = |user| {
        json!({ "type": "object", "required": ["success", "users"], "properties": {
            "success": { "type": "boolean", "const": true },
            "users": { "type": "object", "additionalProperties": user },
        }})
    };
    let twice = |user: Value| {
        let mut schema = below(user.clone());
        schema["additionalProperties"] = user;
        schema
    };
    let unified = || Form::made::<Unified<'_>>("Unified", UNIFIED, below);
    let both = |when| Form::made::<LookedUp<'_>>("Twice", when, twice);
    let bare = "Without prefix, for clients that declare `flutter` or nothing";
    let bare = Form::made::<LookedUp<'_>>(
        "Bare",
        bare,
        |user| json!({ "type": "object", "additionalProperties": user }),
    );
    schemas.answer("UsersByIdAnswer", [both(OLD), unified()]);
    let both = both("For clients that declare `electron`");
    schemas.answer("BareUsersByIdAnswer", [bare, both, unified()]);
    list::answers(schemas);
    presence::answers(schemas);
}

#[cfg(test)]
mod tests;
