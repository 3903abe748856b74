//! Changes of a group: for each, what must hold for it, and what it does. Both go into one command, so
//! that whatever happens at the same time comes before it or after it.

use bson::{Binary, DateTime, Document, doc};
use chat_kit::{id::UserId, outbox::Entry};

use super::{Group, Invite};
use crate::{
    announce::{self, ChangeKind, note::Note},
    error::Error,
    store::{
        changed::{MOST_FORMER, OWN_CHANGES},
        marks::{without, without_entry},
    },
};

/// Fields that hold users of whom one who is no member any more is to be forgotten.
const OWN_MARKS: [&str; 2] = ["hidden_for", "archived_by"];
/// Fields that hold something of users, and nothing of one who is no member any more.
const OWN_ENTRIES: [&str; 2] = ["pinned_by", OWN_CHANGES];

/// A change of a group. `by` is who asks for it.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Other texts or settings.
    Edit { by: UserId, edit: Edit },
    /// Another member, unless there are `most` of them.
    Add { by: UserId, user: UserId, most: usize },
    /// A member less.
    Remove { by: UserId, user: UserId },
    /// A member less by his own will.
    Leave { user: UserId },
    /// Another administrator.
    Promote { by: UserId, user: UserId },
    /// An administrator less.
    Demote { by: UserId, user: UserId },
    /// Another member by his own will, unless there are `most` of them.
    Join { user: UserId, way: Way, most: usize },
    /// Another invite link, or none.
    Invite { by: UserId, expected: Expected, invite: Option<Invite> },
}

/// New texts and settings; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) name: Option<String>,
    /// Empty takes it away.
    pub(crate) description: Option<String>,
    /// Empty takes it away.
    pub(crate) avatar_url: Option<String>,
    pub(crate) only_admins_can_send: Option<bool>,
    pub(crate) only_admins_can_add: Option<bool>,
    pub(crate) is_public: Option<bool>,
}

/// How somebody joins.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// The group is public.
    Public,
    /// By the link of this hash.
    Invite(Binary),
}

/// Which invite link must be there for another one to take its place.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// Any or none.
    Any,
    /// The one of this hash, or none.
    Exactly(Option<Binary>),
}

impl Change {
    /// Returns what must hold: all of these.
    pub(super) fn guard(&self, now: DateTime) -> Vec<Document> {
        match self {
            Self::Edit { by, .. } => vec![is_admin(*by)],
            Self::Add { by, user, most } => vec![
                is_member(*by),
                doc! { "$or": [{ "group.only_admins_can_add": { "$ne": true } }, is_admin(*by)] },
                is_no_member(*user),
                has_room(*most),
            ],
            Self::Remove { by, user } => {
                let mut guard = vec![is_member(*user), is_no_admin(*user)];
                if by != user {
                    guard.push(is_admin(*by));
                }
                guard
            }
            Self::Leave { user } => vec![is_member(*user)],
            Self::Promote { by, user } => {
                vec![is_admin(*by), is_member(*user), is_no_admin(*user)]
            }
            Self::Demote { by, user } => {
                vec![is_admin(*by), is_admin(*user), doc! { "group.admin_id": { "$ne": user } }]
            }
            Self::Join { user, way, most } => {
                let mut guard = vec![is_no_member(*user), has_room(*most)];
                guard.extend(way.guard(now));
                guard
            }
            Self::Invite { by, expected, .. } => {
                let mut guard = vec![is_admin(*by)];
                if let Expected::Exactly(hash) = expected {
                    // Null finds what is absent.
                    guard.push(doc! { "group.invite.token_hash": hash.clone() });
                }
                guard
            }
        }
    }

    /// Returns what the change does: the stages of a pipeline.
    pub(super) fn update(&self, now: DateTime) -> Result<Vec<Document>, Error> {
        let mut stages = match self {
            Self::Edit { edit, .. } => vec![doc! { "$set": edit.fields() }],
            Self::Add { user, .. } => vec![added(*user)],
            Self::Join { user, way, .. } => {
                let mut stages = vec![added(*user)];
                if let Way::Invite(_) = way {
                    let count = doc! { "$add": ["$group.invite.use_count", 1_i64] };
                    stages.push(doc! { "$set": { "group.invite.use_count": count } });
                }
                stages
            }
            Self::Remove { user, .. } => vec![removed(*user, now)],
            Self::Leave { user } => left(*user, now),
            Self::Promote { user, .. } => {
                let admins = doc! { "$concatArrays": ["$group.admin_ids", [user]] };
                vec![doc! { "$set": { "group.admin_ids": admins } }]
            }
            Self::Demote { user, .. } => {
                vec![doc! { "$set": { "group.admin_ids": without("group.admin_ids", *user) } }]
            }
            Self::Invite { invite, .. } => return Ok(vec![replaced(invite.as_ref())?]),
        };
        // Clocks of two replicas differ; the order of lists goes by what is stored.
        let mut fields = doc! { "updated_at": { "$max": ["$updated_at", now] } };
        if let Some(notice) = self.notice() {
            fields.insert("outbox", Entry::new(notice, now).appended());
        }
        stages.push(doc! { "$set": fields });
        Ok(stages)
    }

    /// Returns what is announced of the change.
    fn notice(&self) -> Option<announce::Change> {
        let (kind, actor_id, user, note) = match self {
            Self::Edit { by, edit } => (ChangeKind::Updated, *by, None, edit.note()),
            Self::Add { by, user, .. } => {
                (ChangeKind::MembersAdded, *by, Some(*user), Some(Note::MemberAdded))
            }
            Self::Join { user, .. } => {
                (ChangeKind::MembersAdded, *user, Some(*user), Some(Note::MemberJoined))
            }
            Self::Remove { by, user } if by != user => {
                (ChangeKind::MembersRemoved, *by, Some(*user), Some(Note::MemberRemoved))
            }
            Self::Remove { user, .. } | Self::Leave { user } => {
                (ChangeKind::MembersRemoved, *user, Some(*user), Some(Note::MemberLeft))
            }
            Self::Promote { by, user } => {
                (ChangeKind::Updated, *by, Some(*user), Some(Note::AdminAdded))
            }
            Self::Demote { by, user } => {
                (ChangeKind::Updated, *by, Some(*user), Some(Note::AdminRemoved))
            }
            Self::Invite { .. } => return None,
        };
        Some(announce::Change { kind, actor_id, user_ids: user.into_iter().collect(), note })
    }
}

impl Way {
    fn guard(&self, now: DateTime) -> Vec<Document> {
        match self {
            Self::Public => vec![doc! { "group.is_public": true }],
            Self::Invite(token_hash) => {
                let ends = "group.invite.expires_at";
                let most = doc! { "$ifNull": ["$group.invite.max_uses", i64::MAX] };
                vec![
                    doc! { "group.invite.token_hash": token_hash.clone() },
                    doc! { "$or": [{ ends: null }, { ends: { "$gt": now } }] },
                    doc! { "$expr": { "$lt": ["$group.invite.use_count", most] } },
                ]
            }
        }
    }
}

impl Edit {
    /// Returns what is not so in a group already.
    pub(crate) fn beside(self, group: &Group) -> Self {
        let text = |new: Option<String>, present: Option<&str>| {
            new.filter(|new| new.as_str() != present.unwrap_or_default())
        };
        let setting = |new: Option<bool>, present: bool| new.filter(|new| *new != present);
        Self {
            name: text(self.name, Some(&group.name)),
            description: text(self.description, group.description.as_deref()),
            avatar_url: text(self.avatar_url, group.avatar_url.as_deref()),
            only_admins_can_send: setting(self.only_admins_can_send, group.only_admins_can_send),
            only_admins_can_add: setting(self.only_admins_can_add, group.only_admins_can_add),
            is_public: setting(self.is_public, group.is_public),
        }
    }

    /// Returns what the history says of it: the name is told rather than the picture, and of the rest
    /// nothing.
    fn note(&self) -> Option<Note> {
        let renamed = self.name.clone().map(Note::GroupRenamed);
        renamed.or_else(|| self.avatar_url.as_ref().map(|_| Note::PictureChanged))
    }

    fn fields(&self) -> Document {
        let mut fields = Document::new();
        if let Some(name) = &self.name {
            fields.insert("group.name", literal(name));
            fields.insert("group.name_key", literal(&name.to_lowercase()));
        }
        let texts =
            [("group.description", &self.description), ("group.avatar_url", &self.avatar_url)];
        for (field, text) in texts {
            match text.as_deref() {
                None => {}
                Some("") => drop(fields.insert(field, "$$REMOVE")),
                Some(text) => drop(fields.insert(field, literal(text))),
            }
        }
        let settings = [
            ("group.only_admins_can_send", self.only_admins_can_send),
            ("group.only_admins_can_add", self.only_admins_can_add),
            ("group.is_public", self.is_public),
        ];
        for (field, setting) in settings {
            if let Some(setting) = setting {
                fields.insert(field, setting);
            }
        }
        // A stage that sets nothing is refused.
        fields.insert("is_group", true);
        fields
    }
}

/// Keeps a text that begins with `$` from being read as a field.
fn literal(text: &str) -> Document {
    doc! { "$literal": text }
}

fn is_member(user: UserId) -> Document {
    doc! { "member_ids": user }
}

fn is_no_member(user: UserId) -> Document {
    doc! { "member_ids": { "$ne": user } }
}

fn is_admin(user: UserId) -> Document {
    doc! { "group.admin_ids": user }
}

fn is_no_admin(user: UserId) -> Document {
    doc! { "group.admin_ids": { "$ne": user } }
}

/// Of fewer members than `most`, the last place of `most` is empty.
fn has_room(most: usize) -> Document {
    doc! { format!("member_ids.{}", most.saturating_sub(1)): { "$exists": false } }
}

/// What is unread counts from here on, and what the user hid when he was a member before is not hidden.
fn added(user: UserId) -> Document {
    doc! { "$set": {
        "member_ids": { "$concatArrays": ["$member_ids", [user]] },
        "hidden_for": without("hidden_for", user),
        "former": without_entry("former", user),
        format!("joined.{user}"): { "$ifNull": ["$last_message.seq", 0_i64] },
    } }
}

/// What he cleared stays cleared, should he come back.
fn removed(user: UserId, now: DateTime) -> Document {
    let others = without_entry("former", user);
    let former = doc! { "$concatArrays": [others, [{ "user_id": user, "at": now }]] };
    let mut fields = doc! {
        "member_ids": without("member_ids", user),
        "former": { "$slice": [former, -MOST_FORMER] },
        format!("joined.{user}"): "$$REMOVE",
        format!("muted.{user}"): "$$REMOVE",
    };
    for mark in OWN_MARKS {
        fields.insert(mark, without(mark, user));
    }
    for entries in OWN_ENTRIES {
        fields.insert(entries, without_entry(entries, user));
    }
    doc! { "$set": fields }
}

/// The main administrator hands over; nobody finds a group that nobody is in.
fn left(user: UserId, now: DateTime) -> Vec<Document> {
    let is_empty = |field: &str| doc! { "$eq": [format!("${field}"), []] };
    let first_admin = doc! { "$first": "$group.admin_ids" };
    vec![
        removed(user, now),
        doc! { "$set": { "group.admin_ids": without("group.admin_ids", user) } },
        doc! { "$set": { "group.admin_ids": { "$cond": [
            is_empty("group.admin_ids"), { "$slice": ["$member_ids", 1] }, "$group.admin_ids",
        ] } } },
        doc! { "$set": {
            "group.admin_id": { "$cond": [
                { "$in": ["$group.admin_id", "$group.admin_ids"] },
                "$group.admin_id",
                // The last member stays named.
                { "$ifNull": [first_admin, "$group.admin_id"] },
            ] },
            "group.is_public": { "$and": ["$group.is_public", { "$not": is_empty("member_ids") }] },
            "group.invite": { "$cond": [is_empty("member_ids"), "$$REMOVE", "$group.invite"] },
        } },
    ]
}

fn replaced(invite: Option<&Invite>) -> Result<Document, Error> {
    let Some(invite) = invite else {
        return Ok(doc! { "$unset": "group.invite" });
    };
    let stored = bson::serialize_to_bson(invite).map_err(mongodb::error::Error::from);
    let stored = stored.map_err(chat_kit::mongo::MongoError::from)?;
    // As a literal it takes the place of the whole field, with what the one before had more.
    Ok(doc! { "$set": { "group.invite": { "$literal": stored } } })
}
