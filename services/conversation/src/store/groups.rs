//! What a group has beside its members, inside its document of `conversations`: every query on it, and
//! the indexes of those.

mod change;

use bson::{Binary, DateTime, Document, RawDocumentBuf, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{self, within},
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{Hint, IndexOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize};

pub(crate) use self::change::{Change, Edit, Expected, Way};
use super::{
    conversations::{COLLECTION, Conversation},
    read,
};
use crate::error::Error;

/// A group as stored, under `group` in its conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Empty where it was made without one.
    pub(crate) name: String,
    /// The name in small letters, by which it is found.
    pub(crate) name_key: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) avatar_url: Option<String>,
    /// The main administrator: one of `admin_ids` while there is any member.
    pub(crate) admin_id: UserId,
    /// In the order in which they became it. All are members.
    pub(crate) admin_ids: Vec<UserId>,
    #[serde(default)]
    pub(crate) only_admins_can_send: bool,
    #[serde(default)]
    pub(crate) only_admins_can_add: bool,
    #[serde(default)]
    pub(crate) is_public: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) invite: Option<Invite>,
}

/// An invite link as stored: enough to make it again with the secret, and to know it without.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Invite {
    /// SHA-256 of the link.
    pub(crate) token_hash: Binary,
    /// What the link is made from.
    pub(crate) nonce: Binary,
    pub(crate) created_by: UserId,
    pub(crate) created_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) expires_at: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) max_uses: Option<i64>,
    pub(crate) use_count: i64,
}

impl Invite {
    pub(crate) fn is_expired(&self, now: DateTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.max_uses.is_some_and(|most| self.use_count >= most)
    }
}

/// What anybody sees of a public group.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PublicGroup {
    #[serde(rename = "_id")]
    pub(crate) id: ConversationId,
    pub(crate) group: Group,
    pub(crate) member_count: u32,
    pub(crate) created_at: DateTime,
    pub(crate) updated_at: DateTime,
}

/// The way to the groups in the collection.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    documents: Collection<RawDocumentBuf>,
}

impl Groups {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection(COLLECTION) }
    }

    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        mongo::create_indexes(&self.documents, indexes()).await
    }

    /// Returns a group.
    pub(crate) async fn get(&self, id: ConversationId) -> Result<Option<Conversation>, Error> {
        let found = within(self.documents.find_one(group(id))).await?;
        found.map(|raw| read(COLLECTION, &raw)).transpose()
    }

    /// Returns a group as no write has changed it since, once a majority has it. A plain read may still
    /// see it as it was before a write that has just refused another one.
    pub(crate) async fn settled(&self, id: ConversationId) -> Result<Option<Conversation>, Error> {
        // Changes nothing, as nothing is inserted.
        let nothing = doc! { "$setOnInsert": { "is_group": true } };
        let update = self.documents.find_one_and_update(group(id), nothing).hint(by_id());
        let found = within(update).await?;
        found.map(|raw| read(COLLECTION, &raw)).transpose()
    }

    /// Makes a change unless its guard refuses it; returns the group with it.
    pub(crate) async fn apply(
        &self,
        id: ConversationId,
        change: &Change,
        now: DateTime,
    ) -> Result<Option<Conversation>, Error> {
        let mut filter = group(id);
        filter.insert("$and", change.guard(now));
        let update = self
            .documents
            .find_one_and_update(filter, change.update(now)?)
            .hint(by_id())
            .return_document(ReturnDocument::After);
        let changed = within(update).await?;
        changed.map(|raw| read(COLLECTION, &raw)).transpose()
    }

    /// Returns the id of the group that a link is of.
    pub(crate) async fn by_invite(
        &self,
        token_hash: &Binary,
    ) -> Result<Option<ConversationId>, Error> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(rename = "_id")]
            id: ConversationId,
        }
        let filter = doc! { "group.invite.token_hash": token_hash.clone() };
        let find = self.documents.find_one(filter).projection(doc! { "_id": 1 });
        let found = within(find).await?;
        let found = found.map(|raw| read::<Found>(COLLECTION, &raw)).transpose()?;
        Ok(found.map(|found| found.id))
    }

    /// Returns a page of a member's groups behind the one that changed at a time and has an id, the one that
    /// changed last first.
    pub(crate) async fn page(
        &self,
        member: UserId,
        search: &str,
        after: Option<(DateTime, ConversationId)>,
        skip: u64,
        limit: u32,
    ) -> Result<Vec<Conversation>, Error> {
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(behind(own(member, search), after))
                .sort(doc! { "updated_at": -1, "_id": -1 })
                .hint(Hint::Keys(own_keys()))
                .skip(skip)
                .limit(limit.into())
                .batch_size(limit.saturating_add(1))
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Counts a member's groups.
    pub(crate) async fn count(&self, member: UserId, search: &str) -> Result<u64, Error> {
        let filter = own(member, search);
        let count = self.documents.count_documents(filter).hint(Hint::Keys(own_keys()));
        Ok(within(count).await?)
    }

    /// Returns the first `limit` public groups whose name begins with `prefix`, in small letters, behind
    /// the one with a name and an id.
    pub(crate) async fn public_page(
        &self,
        prefix: &str,
        after: Option<(String, ConversationId)>,
        limit: u32,
    ) -> Result<Vec<PublicGroup>, Error> {
        let shown = doc! {
            "group": 1, "created_at": 1, "updated_at": 1, "member_count": { "$size": "$member_ids" },
        };
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(public(prefix, after))
                .projection(shown)
                .sort(doc! { "group.name_key": 1, "_id": 1 })
                .hint(Hint::Keys(public_keys()))
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

fn indexes() -> [IndexModel; 3] {
    let is_public =
        IndexOptions::builder().partial_filter_expression(doc! { "group.is_public": true }).build();
    let one_per_link = IndexOptions::builder().unique(true).sparse(true).build();
    let by_link = doc! { "group.invite.token_hash": 1 };
    [
        IndexModel::builder().keys(own_keys()).build(),
        IndexModel::builder().keys(public_keys()).options(is_public).build(),
        IndexModel::builder().keys(by_link).options(one_per_link).build(),
    ]
}

/// Returns the keys of a member's groups, in the order of their list.
pub(super) fn own_keys() -> Document {
    doc! { "member_ids": 1, "is_group": 1, "updated_at": -1, "_id": -1 }
}

/// Returns the keys of public groups.
fn public_keys() -> Document {
    doc! { "group.is_public": 1, "group.name_key": 1, "_id": 1 }
}

/// The index of the ids, which decides alone where a filter says more than the id.
fn by_id() -> Hint {
    Hint::Keys(doc! { "_id": 1 })
}

fn group(id: ConversationId) -> Document {
    doc! { "_id": id, "is_group": true }
}

/// Returns the filter of a member's groups. The text is looked for as it is; who has many groups has them
/// all looked at, and nobody else's.
fn own(member: UserId, search: &str) -> Document {
    let mut filter = doc! { "member_ids": member, "is_group": true };
    if !search.is_empty() {
        let name = doc! { "$ifNull": ["$group.name_key", ""] };
        let place = doc! { "$indexOfCP": [name, { "$literal": search }] };
        filter.insert("$expr", doc! { "$gte": [place, 0] });
    }
    filter
}

/// Returns the filter of the own groups behind a place; it makes one branch per key that may differ.
fn behind(own: Document, after: Option<(DateTime, ConversationId)>) -> Document {
    let Some((at, id)) = after else { return own };
    let mut branches =
        [doc! { "updated_at": at, "_id": { "$lt": id } }, doc! { "updated_at": { "$lt": at } }];
    for branch in &mut branches {
        branch.extend(own.clone());
    }
    doc! { "$or": branches.to_vec() }
}

/// Returns the filter of [`Groups::public_page`]; a cursor makes one branch per key that may differ.
fn public(prefix: &str, after: Option<(String, ConversationId)>) -> Document {
    let mut named = doc! { "$gte": prefix };
    if !prefix.is_empty() {
        // Behind every text with this beginning: no letter has a higher number.
        named.insert("$lt", format!("{prefix}\u{10ffff}"));
    }
    let Some((name, id)) = after else {
        return doc! { "group.is_public": true, "group.name_key": named };
    };
    let mut behind = named;
    behind.insert("$gt", name.as_str());
    doc! { "$or": [
        { "group.is_public": true, "group.name_key": name, "_id": { "$gt": id } },
        { "group.is_public": true, "group.name_key": behind },
    ] }
}
