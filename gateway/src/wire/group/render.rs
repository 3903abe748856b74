//! How a group looks: to the old families as a document with profiles, to new clients with ids.

use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::wire::{Dialect, conversation::Users, fields::iso};

/// What of a group the old families get as profiles beside its main administrator and its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Whether the administrators are profiles, or ids.
    admins: bool,
    /// Whether the members' profiles say who is online.
    presence: bool,
}

impl Shape {
    /// A group that was made just now.
    pub const MADE: Self = Self { admins: false, presence: true };
    /// A group that was asked for.
    pub const WHOLE: Self = Self { admins: true, presence: true };
    /// A row of a list.
    pub const LISTED: Self = Self { admins: false, presence: false };
    /// A group that was changed.
    pub const CHANGED: Self = Self { admins: false, presence: false };
    /// A group whose administrators were changed.
    pub const ADMINS_CHANGED: Self = Self { admins: true, presence: false };
}

/// A profile inside a group; what is not set is left out.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GroupCard)]
pub(in crate::wire) struct Card<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    #[serde(flatten)]
    presence: Option<Presence>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GroupCardPresence)]
struct Presence {
    is_online: bool,
    last_seen: Option<String>,
}

impl<'a> Card<'a> {
    /// Shows somebody by his id where his profile is not there.
    pub(in crate::wire) fn new(users: &'a Users, id: &'a str, with_presence: bool) -> Self {
        let user = users.get(id);
        let avatar = user.and_then(|user| user.avatar_url.as_deref());
        Self {
            id,
            name: user.map_or("", |user| user.name.as_str()),
            phone: user.and_then(|user| user.phone.as_deref()),
            avatar,
            avatar_url: avatar,
            presence: with_presence.then(|| Presence {
                is_online: user.is_some_and(|user| user.is_online),
                last_seen: user.and_then(|user| iso(user.last_seen_at.as_ref())),
            }),
        }
    }
}

/// Administrators as the shape has them.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = GroupAdmins)]
enum Admins<'a> {
    Ids(&'a [String]),
    Cards(Vec<Card<'a>>),
}

/// The settings in the spelling of the old families.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GroupSettings)]
struct OldSettings<'a> {
    only_admins_can_send_messages: bool,
    only_admins_can_add_members: bool,
    is_public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_link: Option<&'a str>,
}

/// A group as both old families read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GroupDocument)]
pub(super) struct Document<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    admin: Card<'a>,
    admins: Admins<'a>,
    participants: Vec<Card<'a>>,
    members: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    conversation: &'a str,
    conversation_id: &'a str,
    settings: OldSettings<'a>,
    member_count: usize,
    last_activity: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl<'a> Document<'a> {
    fn new(
        shape: Shape,
        found: &'a pb::Conversation,
        group: &'a pb::Group,
        users: &'a Users,
    ) -> Self {
        let members = found.member_ids.iter();
        let admins = group.admin_ids.iter();
        Self {
            id: &found.id,
            name: &group.name,
            description: group.description.as_deref(),
            admin: Card::new(users, &group.admin_id, false),
            admins: if shape.admins {
                Admins::Cards(admins.map(|id| Card::new(users, id, false)).collect())
            } else {
                Admins::Ids(&group.admin_ids)
            },
            participants: members.map(|id| Card::new(users, id, shape.presence)).collect(),
            members: &found.member_ids,
            avatar: group.avatar_url.as_deref(),
            avatar_url: group.avatar_url.as_deref(),
            conversation: &found.id,
            conversation_id: &found.id,
            settings: OldSettings {
                only_admins_can_send_messages: group.only_admins_can_send,
                only_admins_can_add_members: group.only_admins_can_add,
                is_public: group.is_public,
                invite_link: group.invite_link.as_deref(),
            },
            member_count: found.member_ids.len(),
            last_activity: iso(found.updated_at.as_ref()),
            created_at: iso(found.created_at.as_ref()),
            updated_at: iso(found.updated_at.as_ref()),
        }
    }
}

/// The settings as new clients read them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedGroupSettings)]
struct UnifiedSettings<'a> {
    only_admins_can_send: bool,
    only_admins_can_add: bool,
    is_public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_link: Option<&'a str>,
}

/// What a group has beside its members, as new clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedGroupRights)]
pub(in crate::wire) struct UnifiedRights<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    main_admin_id: &'a str,
    admin_ids: &'a [String],
    settings: UnifiedSettings<'a>,
}

impl<'a> From<&'a pb::Group> for UnifiedRights<'a> {
    fn from(group: &'a pb::Group) -> Self {
        Self {
            name: &group.name,
            description: group.description.as_deref(),
            avatar_url: group.avatar_url.as_deref(),
            main_admin_id: &group.admin_id,
            admin_ids: &group.admin_ids,
            settings: UnifiedSettings {
                only_admins_can_send: group.only_admins_can_send,
                only_admins_can_add: group.only_admins_can_add,
                is_public: group.is_public,
                invite_link: group.invite_link.as_deref(),
            },
        }
    }
}

/// A group as new clients read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedGroup)]
pub(super) struct Unified<'a> {
    id: &'a str,
    #[serde(flatten)]
    rights: UnifiedRights<'a>,
    member_ids: &'a [String],
    member_count: usize,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// Returns a group in a shape. A conversation of several that is no group cannot be one here.
pub(super) fn group(
    dialect: Dialect,
    shape: Shape,
    found: &pb::Conversation,
    users: &Users,
) -> Value {
    let none = pb::Group::default();
    let group = found.group.as_ref().unwrap_or(&none);
    match dialect {
        Dialect::Unified => json!(Unified {
            id: &found.id,
            rights: group.into(),
            member_ids: &found.member_ids,
            member_count: found.member_ids.len(),
            created_at: iso(found.created_at.as_ref()),
            updated_at: iso(found.updated_at.as_ref()),
        }),
        _ => json!(Document::new(shape, found, group, users)),
    }
}

/// A group that anybody may join, as both old families read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PublicGroup)]
pub(super) struct OldPublic<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    member_count: u32,
    last_activity: Option<String>,
    created_at: Option<String>,
}

/// A group that anybody may join, as new clients read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedPublicGroup)]
pub(super) struct UnifiedPublic<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    member_count: u32,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// Returns a group as somebody sees it who is no member.
pub(super) fn public(dialect: Dialect, group: &pb::PublicGroup) -> Value {
    let avatar_url = group.avatar_url.as_deref();
    match dialect {
        Dialect::Unified => json!(UnifiedPublic {
            id: &group.id,
            name: &group.name,
            description: group.description.as_deref(),
            avatar_url,
            member_count: group.member_count,
            created_at: iso(group.created_at.as_ref()),
            updated_at: iso(group.updated_at.as_ref()),
        }),
        _ => json!(OldPublic {
            id: &group.id,
            name: &group.name,
            description: group.description.as_deref(),
            avatar: avatar_url,
            avatar_url,
            member_count: group.member_count,
            last_activity: iso(group.updated_at.as_ref()),
            created_at: iso(group.created_at.as_ref()),
        }),
    }
}
