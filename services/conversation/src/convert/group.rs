//! Groups and invite links: requests to validated input, documents to protobuf. Pure.

use bson::DateTime;
use chat_kit::{
    id::{ConversationId, UserId},
    picture,
    time::{from_timestamp, to_timestamp},
};
use chat_proto::v1 as pb;

use super::{conversation, conversation_id, user_id};
use crate::{
    config::Limits,
    cursor::{read_place, write_place},
    error::Error,
    group::{
        GroupError, NewGroup,
        list::{ListedGroups, ListedPublic, WantedGroups, WantedPublic},
    },
    invite::{Issued, Links, Terms},
    store::{
        conversations::Conversation,
        groups::{Edit, Group, PublicGroup},
    },
};

/// Hex characters of an id.
const ID: usize = 24;
/// Longest address of a picture, in characters.
const LONGEST_URL: usize = 2048;
/// Longest text that is searched for, in characters.
const LONGEST_SEARCH: usize = 200;

/// Reads who is to be in which group, and what it is called.
pub(crate) fn new_group(
    request: pb::CreateGroupRequest,
    limits: &Limits,
) -> Result<NewGroup, Error> {
    let ids = request.member_ids.iter();
    let member_ids: Result<_, _> = ids.map(|id| user_id("member_ids", id)).collect();
    let shown = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(NewGroup {
        id: conversation_id(&request.conversation_id)?,
        member_ids: member_ids?,
        name: request.name.map(|name| group_name(&name, limits)).transpose()?,
        description: shown(description(request.description, limits)?),
        avatar_url: shown(avatar_url(request.avatar_url)?),
    })
}

/// Reads the id of a group.
pub(crate) fn group_id(text: &str) -> Result<ConversationId, Error> {
    conversation_id(text)
}

/// Reads the ids of a group and of somebody in it, or not in it.
pub(crate) fn group_and_user(group: &str, user: &str) -> Result<(ConversationId, UserId), Error> {
    Ok((conversation_id(group)?, user_id("user_id", user)?))
}

/// Reads what is to change.
pub(crate) fn edit(
    request: pb::UpdateGroupRequest,
    limits: &Limits,
) -> Result<(ConversationId, Edit), Error> {
    let edit = Edit {
        name: request.name.map(|name| group_name(&name, limits)).transpose()?,
        description: description(request.description, limits)?,
        avatar_url: avatar_url(request.avatar_url)?,
        only_admins_can_send: request.only_admins_can_send,
        only_admins_can_add: request.only_admins_can_add,
        is_public: request.is_public,
    };
    Ok((conversation_id(&request.conversation_id)?, edit))
}

fn group_name(text: &str, limits: &Limits) -> Result<String, Error> {
    let name = text.trim();
    if name.is_empty() {
        return Err(Error::Missing("name"));
    }
    limited("name", name, limits.group_name.get())
}

fn description(text: Option<String>, limits: &Limits) -> Result<Option<String>, Error> {
    let most = limits.group_description.get();
    text.map(|text| limited("description", text.trim(), most)).transpose()
}

fn avatar_url(text: Option<String>) -> Result<Option<String>, Error> {
    let Some(text) = text else { return Ok(None) };
    let url = limited("avatar_url", text.trim(), LONGEST_URL)?;
    if picture::is_url(&url) { Ok(Some(url)) } else { Err(Error::Invalid("avatar_url")) }
}

fn limited(field: &'static str, text: &str, most: usize) -> Result<String, Error> {
    if text.chars().count() > most {
        return Err(GroupError::TooLong { field, most }.into());
    }
    Ok(text.to_owned())
}

/// Reads which page of the own groups is wanted.
pub(crate) fn own_groups(
    request: &pb::ListGroupsRequest,
    limits: &Limits,
) -> Result<WantedGroups, Error> {
    let search = limited("search", request.search.trim(), LONGEST_SEARCH)?.to_lowercase();
    let after = match request.cursor.as_str() {
        "" => None,
        cursor => Some(read_place(cursor).ok_or(Error::Invalid("cursor"))?),
    };
    let limit = page_limit(request.limit, limits);
    Ok(WantedGroups { page: request.page.max(1), limit, search, after })
}

/// Reads which page of the public groups is wanted.
pub(crate) fn public_groups(
    request: pb::ListPublicGroupsRequest,
    limits: &Limits,
) -> Result<WantedPublic, Error> {
    let prefix = limited("query", request.query.trim(), LONGEST_SEARCH)?.to_lowercase();
    let page = request.page.unwrap_or_default();
    let after = match page.cursor.as_str() {
        "" => None,
        cursor => Some(read_cursor(cursor).ok_or(Error::Invalid("page.cursor"))?),
    };
    Ok(WantedPublic { prefix, limit: page_limit(page.limit, limits), after })
}

fn page_limit(asked: u32, limits: &Limits) -> u32 {
    let limit = if asked == 0 { limits.page.get() } else { asked };
    limit.min(limits.largest_page.get())
}

/// Writes where a page of public groups ends: the id of its last group, then the bytes of its name in hex.
fn cursor(last: &PublicGroup) -> String {
    let name = last.group.name_key.bytes().map(|byte| format!("{byte:02x}"));
    name.fold(last.id.to_string(), |text, byte| text + &byte)
}

fn read_cursor(text: &str) -> Option<(String, ConversationId)> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let (id, name) = text.split_at_checked(ID)?;
    let byte = |place| u8::from_str_radix(name.get(place..place + 2)?, 16).ok();
    let name: Option<Vec<u8>> = (0..name.len()).step_by(2).map(byte).collect();
    Some((String::from_utf8(name?).ok()?, id.parse().ok()?))
}

/// Reads what a new link is to be like.
pub(crate) fn terms(request: &pb::RotateInviteRequest) -> Result<(ConversationId, Terms), Error> {
    if request.max_uses == Some(0) {
        return Err(Error::Invalid("max_uses"));
    }
    let terms = Terms {
        expires_at: request.expires_at.as_ref().map(from_timestamp),
        max_uses: request.max_uses.map(i64::from),
    };
    Ok((conversation_id(&request.conversation_id)?, terms))
}

/// Writes a group as `user` sees it who asked for it: administrators see the link in force.
pub(crate) fn group(found: Conversation, user: UserId, links: &Links) -> pb::Conversation {
    let shown = found.group.as_ref().filter(|group| group.admin_ids.contains(&user));
    let link = shown.and_then(|group| links.in_force(found.id, group, DateTime::now()));
    let mut written = conversation(found, user);
    if let Some(group) = &mut written.group {
        group.invite_link = link;
    }
    written
}

/// Writes a page of the own groups.
pub(crate) fn own_listed(
    listed: ListedGroups,
    user: UserId,
    links: &Links,
) -> pb::ListGroupsResponse {
    let last = listed.groups.last().filter(|_| listed.goes_on);
    let next_cursor = last.map(|last| write_place(last.updated_at, last.id)).unwrap_or_default();
    let groups = listed.groups.into_iter();
    pb::ListGroupsResponse {
        next_cursor,
        groups: groups.map(|found| group(found, user, links)).collect(),
        total: listed.total,
        limit: listed.limit,
    }
}

/// Writes a page of the public groups.
pub(crate) fn public_listed(listed: ListedPublic) -> pb::ListPublicGroupsResponse {
    let last = listed.groups.last().filter(|_| listed.goes_on);
    let next_cursor = last.map(cursor).unwrap_or_default();
    pb::ListPublicGroupsResponse {
        groups: listed.groups.into_iter().map(Into::into).collect(),
        page: Some(pb::PageResponse { next_cursor }),
    }
}

impl From<Group> for pb::Group {
    fn from(group: Group) -> Self {
        Self {
            name: group.name,
            description: group.description,
            avatar_url: group.avatar_url,
            admin_id: group.admin_id.to_string(),
            admin_ids: group.admin_ids.iter().map(UserId::to_string).collect(),
            only_admins_can_send: group.only_admins_can_send,
            only_admins_can_add: group.only_admins_can_add,
            is_public: group.is_public,
            invite_link: None,
        }
    }
}

impl From<PublicGroup> for pb::PublicGroup {
    fn from(found: PublicGroup) -> Self {
        Self {
            id: found.id.to_string(),
            name: found.group.name,
            description: found.group.description,
            avatar_url: found.group.avatar_url,
            member_count: found.member_count,
            created_at: Some(to_timestamp(found.created_at)),
            updated_at: Some(to_timestamp(found.updated_at)),
        }
    }
}

impl From<Issued> for pb::Invite {
    fn from(issued: Issued) -> Self {
        let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            link: issued.link,
            created_by: issued.invite.created_by.to_string(),
            created_at: Some(to_timestamp(issued.invite.created_at)),
            expires_at: issued.invite.expires_at.map(to_timestamp),
            max_uses: issued.invite.max_uses.map(count),
            use_count: count(issued.invite.use_count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(name: &str) -> PublicGroup {
        let (user, now) = (UserId::new(), DateTime::now());
        let group = Group {
            name: name.to_owned(),
            name_key: name.to_lowercase(),
            description: None,
            avatar_url: None,
            admin_id: user,
            admin_ids: vec![user],
            only_admins_can_send: false,
            only_admins_can_add: false,
            is_public: true,
            invite: None,
        };
        let id = ConversationId::new();
        PublicGroup { id, group, member_count: 1, created_at: now, updated_at: now }
    }

    #[test]
    fn cursor_survives_the_way_out_and_back() {
        for name in ["", "Chess", "$é\u{10ffff}"] {
            let last = public(name);
            assert_eq!(read_cursor(&cursor(&last)), Some((name.to_lowercase(), last.id)));
        }
        for text in ["0", "+", &"0".repeat(25), &"é".repeat(12), &("0".repeat(24) + "ff")] {
            assert_eq!(read_cursor(text), None, "{text}");
        }
    }

    #[test]
    fn texts_are_trimmed_and_limited() {
        let limits = Limits::default();
        assert_eq!(group_name(" Chess ", &limits).expect("a name"), "Chess");
        assert_eq!(group_name(&"é".repeat(100), &limits).expect("a name"), "é".repeat(100));
        for (text, reason) in [("", "missing"), (" \n", "missing"), (&"é".repeat(101), "exceeds")]
        {
            let error = group_name(text, &limits).expect_err("no name").to_string();
            assert!(error.contains(reason), "{error}");
        }
        let long = Some("x".repeat(501));
        description(long, &limits).expect_err("too long");
        assert_eq!(description(Some(" ".to_owned()), &limits).expect("none"), Some(String::new()));
    }
}
