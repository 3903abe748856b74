//! The collection `blocks`, who keeps apart from whom: its document, its indexes and every query on it;
//! and what closes and opens the direct conversation of two users for it.
//!
//! A block that is lifted stays until the two have been told what they see of each other again, so that no
//! crash can keep it from them. It is then under its own id in the place of both users: no query for theirs
//! finds it, and the next block between them is another one.

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc, oid::ObjectId};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{self, within},
    outbox::{self, Entry},
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{Hint, IndexOptions, ReturnDocument},
};
use serde::Deserialize;

use super::{
    conversations::{ConversationStatus, Conversations},
    read,
};
use crate::{announce, block::Change, error::Error};

pub(crate) const COLLECTION: &str = "blocks";

/// How often an upsert is tried: a later one finds the document that a concurrent one inserted.
const UPSERT_ATTEMPTS: usize = 3;

/// A block as its maker sees it. Its id is never used again, so that what is done for it cannot be
/// mistaken for what is done for a later one between the same users.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Block {
    #[serde(rename = "_id")]
    pub(crate) id: ObjectId,
    pub(crate) blocked_id: UserId,
    pub(crate) created_at: DateTime,
}

/// The two sides of a block.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Pair {
    pub(crate) blocker_id: UserId,
    pub(crate) blocked_id: UserId,
}

/// A block, or one that was lifted.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Stored {
    #[serde(rename = "_id")]
    pub(crate) id: ObjectId,
    blocker_id: UserId,
    blocked_id: UserId,
    /// Between whom it was.
    lifted: Option<Pair>,
}

impl Stored {
    pub(crate) fn pair(&self) -> Pair {
        let Self { blocker_id, blocked_id, .. } = *self;
        self.lifted.unwrap_or(Pair { blocker_id, blocked_id })
    }
}

impl Pair {
    fn other_than(&self, user: UserId) -> UserId {
        if self.blocker_id == user { self.blocked_id } else { self.blocker_id }
    }
}

/// Where a page of blocks ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) created_at: DateTime,
    pub(crate) id: ObjectId,
}

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    documents: Collection<RawDocumentBuf>,
}

impl Blocks {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection(COLLECTION) }
    }

    /// Returns the raw documents, for the announcement of their changes.
    pub(crate) fn documents(&self) -> Collection<RawDocumentBuf> {
        self.documents.clone()
    }

    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        mongo::create_indexes(&self.documents, indexes()).await
    }

    /// Makes a block unless it is there, together with its announcement. Returns its id.
    pub(crate) async fn insert(
        &self,
        by: UserId,
        blocked: UserId,
        now: DateTime,
    ) -> Result<ObjectId, Error> {
        let filter = doc! { "blocker_id": by, "blocked_id": blocked };
        let made = Entry::new(Change::Made, now).document();
        let insert = doc! { "$setOnInsert": {
            "_id": ObjectId::new(), "created_at": now, "outbox": [made],
        } };
        let mut attempt = 1;
        loop {
            // The one who loses a race waits like the other for the majority.
            let upsert = self
                .documents
                .find_one_and_update(filter.clone(), insert.clone())
                .upsert(true)
                .return_document(ReturnDocument::After)
                .hint(Hint::Keys(pair_keys()));
            match within(upsert).await {
                Err(error) if error.duplicate_key().is_some() && attempt < UPSERT_ATTEMPTS => {
                    attempt += 1;
                }
                made => {
                    let made = made?.expect("an upsert returns the document it wrote");
                    return Ok(read::<Block>(COLLECTION, &made)?.id);
                }
            }
        }
    }

    /// Ends a block if it is there, and leaves its announcement. Returns its id.
    pub(crate) async fn lift(
        &self,
        by: UserId,
        blocked: UserId,
        now: DateTime,
    ) -> Result<Option<ObjectId>, Error> {
        let filter = doc! { "blocker_id": by, "blocked_id": blocked };
        let lift = vec![doc! { "$set": {
            "lifted": { "blocker_id": "$blocker_id", "blocked_id": "$blocked_id" },
            "blocker_id": "$_id",
            "blocked_id": "$_id",
            "outbox": Entry::new(Change::Lifted, now).appended(),
        } }];
        let lift = self.documents.find_one_and_update(filter, lift);
        let lifted = within(lift.hint(Hint::Keys(pair_keys()))).await?;
        lifted.map(|raw| Ok(read::<Block>(COLLECTION, &raw)?.id)).transpose()
    }

    /// Forgets a block that was lifted, of which nothing else is to be announced.
    pub(crate) async fn forget(&self, id: ObjectId) -> Result<(), Error> {
        let lifted = doc! { "_id": id, "lifted": { "$exists": true } };
        within(self.documents.delete_one(lifted)).await?;
        Ok(())
    }

    /// Returns one of some users whom a user has blocked or who has blocked him, if there is one.
    pub(crate) async fn between(
        &self,
        user: UserId,
        others: &[UserId],
    ) -> Result<Option<UserId>, Error> {
        let either = either_way(user, &doc! { "$in": others });
        let find = self.documents.find_one(either).hint(Hint::Keys(pair_keys()));
        let found = within(find).await?;
        found.map(|raw| Ok(read::<Pair>(COLLECTION, &raw)?.other_than(user))).transpose()
    }

    /// Returns those of some users whom a user has blocked or who have blocked him, some of them twice.
    pub(crate) async fn among(
        &self,
        user: UserId,
        others: &[UserId],
    ) -> Result<Vec<UserId>, Error> {
        let room = u32::try_from(others.len()).unwrap_or(u32::MAX).saturating_mul(2);
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(either_way(user, &doc! { "$in": others }))
                .projection(doc! { "blocker_id": 1, "blocked_id": 1 })
                .hint(Hint::Keys(pair_keys()))
                .batch_size(room.saturating_add(1))
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| Ok(read::<Pair>(COLLECTION, raw)?.other_than(user))).collect()
    }

    /// Returns the ids of the blocks between two users: none, one or two.
    pub(crate) async fn of_pair(&self, one: UserId, other: UserId) -> Result<Vec<ObjectId>, Error> {
        let find = self.documents.find(either_way(one, other)).hint(Hint::Keys(pair_keys()));
        let raw: Vec<RawDocumentBuf> =
            within(async { find.await?.try_collect::<Vec<_>>().await }).await?;
        let blocks = raw.iter().map(|raw| read::<Block>(COLLECTION, raw));
        blocks.map(|block| Ok(block?.id)).collect()
    }

    /// Returns the first `limit` blocks of a user behind a place, the newest first.
    pub(crate) async fn page(
        &self,
        blocker: UserId,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Vec<Block>, Error> {
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(listed(blocker, after))
                .sort(doc! { "created_at": -1, "_id": -1 })
                .hint(Hint::Keys(list_keys()))
                .limit(limit.into())
                .batch_size(limit.saturating_add(1))
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }
}

impl Conversations {
    /// Adds some blocks to those that close a direct conversation and takes others out. The first one closes
    /// it, and the last one leaves it as it was before. One command, so that any number of them in any order
    /// end the same. `notice` says since when it is so.
    pub(crate) async fn exchange_blocks(
        &self,
        id: ConversationId,
        added: &[ObjectId],
        removed: &[ObjectId],
        notice: &Entry<announce::Change>,
    ) -> Result<(), Error> {
        let before = doc! { "$ifNull": ["$block_ids", []] };
        let with_added = doc! { "$setUnion": [before, added] };
        let blocks = doc! { "$set": { "block_ids": { "$setDifference": [with_added, removed] } } };
        let closed = ConversationStatus::Blocked.as_str();
        let has_blocks = doc! { "$ne": ["$block_ids", []] };
        let is_closed = doc! { "$eq": ["$status", closed] };
        let choose = |condition: &Document, one: Bson, other: Bson| {
            Bson::from(doc! { "$cond": [condition, one, other] })
        };
        let open = ConversationStatus::Active.as_str();
        let reopened = doc! { "$ifNull": ["$status_before_block", open] };
        let kept = choose(&is_closed, "$status_before_block".into(), "$status".into());
        let status = doc! { "$set": {
            "status": choose(
                &has_blocks,
                closed.into(),
                choose(&is_closed, reopened.into(), "$status".into()),
            ),
            "status_before_block": choose(&has_blocks, kept, "$$REMOVE".into()),
            // Clocks of two replicas differ; the order of lists goes by what is stored.
            "updated_at": { "$max": ["$updated_at", notice.at] },
            "outbox": notice.appended(),
        } };
        within(self.documents().update_one(doc! { "_id": id }, vec![blocks, status])).await?;
        Ok(())
    }
}

fn indexes() -> [IndexModel; 3] {
    let one_per_pair = IndexOptions::builder().unique(true).build();
    [
        IndexModel::builder().keys(pair_keys()).options(one_per_pair).build(),
        IndexModel::builder().keys(list_keys()).build(),
        outbox::index(),
    ]
}

/// Returns the keys by which a block between two users is found.
fn pair_keys() -> Document {
    doc! { "blocker_id": 1, "blocked_id": 1 }
}

/// Returns the keys of a user's blocks, in the order of their list.
fn list_keys() -> Document {
    doc! { "blocker_id": 1, "created_at": -1, "_id": -1 }
}

/// Returns the filter of the blocks between a user and another, or others.
fn either_way(user: UserId, other: impl Into<Bson>) -> Document {
    let other = other.into();
    doc! { "$or": [
        { "blocker_id": user, "blocked_id": &other },
        { "blocker_id": other, "blocked_id": user },
    ] }
}

/// Returns the filter of [`Blocks::page`]; a place makes one branch per key that may differ.
fn listed(blocker: UserId, after: Option<Place>) -> Document {
    let Some(Place { created_at, id }) = after else {
        return doc! { "blocker_id": blocker };
    };
    doc! { "$or": [
        { "blocker_id": blocker, "created_at": created_at, "_id": { "$lt": id } },
        { "blocker_id": blocker, "created_at": { "$lt": created_at } },
    ] }
}
