//! What a member sets of a conversation for himself: mute, pin and archive. Here are the fields of the
//! document, their indexes and the queries by them.
//!
//! A pin has a number of its member's, of which each is his once: the index says so. So the database holds
//! the limit, whatever the number of replicas, and a pin that goes with its member frees its number.

use bson::{DateTime, Document, RawDocumentBuf, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{self, within},
};
use futures_util::TryStreamExt as _;
use mongodb::{
    IndexModel,
    options::{Hint, IndexOptions, ReadConcern, ReturnDocument},
};
use serde::Deserialize;

use super::{
    changed::note_own,
    clearing::{by_id, of, parsed},
    conversations::{COLLECTION, Conversation, Conversations, list_keys},
    read,
};
use crate::error::Error;

/// That a member wants no notifications.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Mute {
    /// Without one, for as long as he does not change it.
    pub(crate) until: Option<DateTime>,
}

/// That a conversation stands above the others of a member.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Pin {
    pub(crate) user_id: UserId,
    /// The number of the pin among his.
    pub(crate) slot: u32,
}

/// A conversation that a member has pinned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pinned {
    pub(crate) conversation: ConversationId,
    pub(crate) slot: u32,
}

/// What a member sets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    Muted { until: Option<DateTime> },
    Unmuted,
    Pinned { slot: u32 },
    Unpinned,
    Archived,
    Unarchived,
}

/// Which conversations a list shows, by what their member has set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Only those that are archived, or only the others.
    pub(crate) archived: Option<bool>,
    /// Only those that are pinned, or only the others.
    pub(crate) pinned: Option<bool>,
}

impl Shown {
    /// Returns the keys of the index in whose order the list is. What is left out of a list is passed over in
    /// it.
    pub(super) fn keys(self) -> Document {
        match self {
            Self { pinned: Some(true), .. } => ordered("pinned_by.user_id"),
            Self { archived: Some(true), .. } => ordered("archived_by"),
            Self { .. } => list_keys(),
        }
    }

    /// Returns what must hold of a conversation.
    pub(super) fn filter(self, member: UserId) -> Document {
        let mut filter = Document::new();
        let fields = [("archived_by", self.archived), ("pinned_by.user_id", self.pinned)];
        for (field, wanted) in fields {
            match wanted {
                None => {}
                Some(true) => drop(filter.insert(field, member)),
                Some(false) => drop(filter.insert(field, doc! { "$ne": member })),
            }
        }
        filter
    }
}

impl Conversations {
    pub(crate) async fn create_mark_indexes(&self) -> anyhow::Result<()> {
        mongo::create_indexes(&self.documents(), indexes()).await
    }

    /// Sets a mark of a member, and announces it to him. Returns the conversation as it is then, if he is one.
    /// Fails with a duplicate key where another conversation of his has the slot.
    pub(crate) async fn set_mark(
        &self,
        id: ConversationId,
        member: UserId,
        mark: Mark,
        now: DateTime,
    ) -> Result<Option<Conversation>, Error> {
        let mut fields = mark.fields(member);
        note_own(&mut fields, member, now);
        let documents = self.documents();
        let update = documents
            .find_one_and_update(of(id, member), vec![doc! { "$set": fields }])
            .hint(by_id())
            .return_document(ReturnDocument::After);
        parsed(within(update).await?)
    }

    /// Returns the pins of a member. Those that no majority has yet are among them: a pin that was refused
    /// for one must find it.
    pub(crate) async fn pins(&self, member: UserId) -> Result<Vec<Pinned>, Error> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(rename = "_id")]
            id: ConversationId,
            pinned_by: Vec<Pin>,
        }
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents()
                .find(doc! { "pinned_by.user_id": member })
                .projection(doc! { "pinned_by": { "$elemMatch": { "user_id": member } } })
                .hint(Hint::Keys(slot_keys()))
                .read_concern(ReadConcern::local())
                .await?
                .try_collect()
                .await
        })
        .await?;
        let mut pins = Vec::with_capacity(raw.len());
        for raw in raw {
            let Found { id, pinned_by } = read(COLLECTION, &raw)?;
            pins.extend(pinned_by.iter().map(|pin| Pinned { conversation: id, slot: pin.slot }));
        }
        Ok(pins)
    }
}

impl Mark {
    /// Returns the fields that it changes. None of them is the time by which lists are ordered.
    fn fields(self, member: UserId) -> Document {
        let muted = format!("muted.{member}");
        match self {
            // As a literal it takes the place of the whole field.
            Self::Muted { until } => doc! { muted: { "$literal": { "until": until } } },
            Self::Unmuted => doc! { muted: "$$REMOVE" },
            Self::Pinned { slot } => doc! {
                "pinned_by": pinned(member, slot),
                "archived_by": without("archived_by", member),
                "hidden_for": without("hidden_for", member),
            },
            Self::Unpinned => doc! { "pinned_by": without_entry("pinned_by", member) },
            Self::Archived => doc! {
                "archived_by": { "$concatArrays": [without("archived_by", member), [member]] },
                "pinned_by": without_entry("pinned_by", member),
            },
            Self::Unarchived => doc! { "archived_by": without("archived_by", member) },
        }
    }
}

/// Returns the pins with that of a member. One that is there keeps its number.
fn pinned(member: UserId, slot: u32) -> Document {
    let pins = doc! { "$ifNull": ["$pinned_by", []] };
    let users = doc! { "$ifNull": ["$pinned_by.user_id", []] };
    let new = doc! { "$literal": [{ "user_id": member, "slot": i64::from(slot) }] };
    let with_new = doc! { "$concatArrays": [&pins, new] };
    doc! { "$cond": [{ "$in": [member, users] }, pins, with_new] }
}

/// Returns an array of what is somebody's each, without that of one user.
pub(super) fn without_entry(field: &str, user: UserId) -> Document {
    let entries = doc! { "$ifNull": [format!("${field}"), []] };
    doc! { "$filter": { "input": entries, "cond": { "$ne": ["$$this.user_id", user] } } }
}

/// Returns an array of users without one of them.
pub(super) fn without(field: &str, user: UserId) -> Document {
    let users = doc! { "$ifNull": [format!("${field}"), []] };
    doc! { "$filter": { "input": users, "cond": { "$ne": ["$$this", user] } } }
}

fn indexes() -> [IndexModel; 3] {
    let of_those_with = |field: &str| doc! { field: { "$exists": true } };
    let partial = |field| IndexOptions::builder().partial_filter_expression(of_those_with(field));
    let one_per_slot = partial("pinned_by.user_id").unique(true).build();
    let index = |keys, options| IndexModel::builder().keys(keys).options(options).build();
    [
        index(slot_keys(), one_per_slot),
        index(ordered("pinned_by.user_id"), partial("pinned_by.user_id").build()),
        index(ordered("archived_by"), partial("archived_by").build()),
    ]
}

/// Returns the keys of the pins of a member.
fn slot_keys() -> Document {
    doc! { "pinned_by.user_id": 1, "pinned_by.slot": 1 }
}

/// Returns the keys of a list of those whom a field names, in the order of all lists.
fn ordered(field: &str) -> Document {
    doc! { field: 1, "status": 1, "last_message_at": -1, "updated_at": -1, "_id": -1 }
}
