//! What has changed of a user's conversations, and which he has left.

use bson::{DateTime, Document, RawDocumentBuf, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{MongoError, within},
    outbox::Entry,
};
use futures_util::TryStreamExt as _;
use mongodb::{
    IndexModel,
    action::Find,
    options::{Hint, IndexOptions},
};
use serde::Deserialize;

use super::{
    conversations::{COLLECTION, Conversation, ConversationStatus, Conversations, list_keys},
    marks::without_entry,
    read,
};
use crate::{
    announce::{Change, ChangeKind},
    error::Error,
};

/// Most former members that a conversation remembers.
pub(crate) const MOST_FORMER: i32 = 1000;
/// Where it stands when each member last set or cleared something for himself.
pub(super) const OWN_CHANGES: &str = "own_changes";

impl Conversations {
    /// Returns the first `limit` conversations of a member that have changed for all since a time, newest
    /// message first. The list's index tells when each has changed: of the others no more than that is read.
    pub(crate) async fn changed_since(
        &self,
        member: UserId,
        since: DateTime,
        limit: u32,
    ) -> Result<Vec<Conversation>, Error> {
        let statuses = ConversationStatus::ALL.map(ConversationStatus::as_str).to_vec();
        let filter = doc! {
            "member_ids": member, "status": { "$in": statuses }, "updated_at": { "$gte": since },
        };
        let order = doc! { "last_message_at": -1, "updated_at": -1, "_id": -1 };
        let documents = self.documents();
        let query = documents.find(filter).sort(order).hint(Hint::Keys(list_keys()));
        let raw = some(query, limit).await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Returns the first `limit` conversations of which a member has set or cleared something for himself since
    /// a time.
    pub(crate) async fn own_changed_since(
        &self,
        member: UserId,
        since: DateTime,
        limit: u32,
    ) -> Result<Vec<Conversation>, Error> {
        let changed = doc! { "$elemMatch": { "user_id": member, "at": { "$gte": since } } };
        let filter = doc! { OWN_CHANGES: changed, "member_ids": member };
        let documents = self.documents();
        let raw = some(documents.find(filter).hint(Hint::Keys(own_keys())), limit).await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Returns the first `limit` conversations that a user has left since a time, or was removed from.
    pub(crate) async fn left_since(
        &self,
        user: UserId,
        since: DateTime,
        limit: u32,
    ) -> Result<Vec<ConversationId>, Error> {
        #[derive(Deserialize)]
        struct Left {
            #[serde(rename = "_id")]
            id: ConversationId,
        }
        let left = doc! { "$elemMatch": { "user_id": user, "at": { "$gte": since } } };
        let documents = self.documents();
        let query = documents.find(doc! { "former": left }).projection(doc! { "_id": 1 });
        let raw = some(query.hint(Hint::Keys(former_keys())), limit).await?;
        let left = raw.iter().map(|raw| read::<Left>(COLLECTION, raw));
        left.map(|left| Ok(left?.id)).collect()
    }
}

async fn some(
    query: Find<'_, RawDocumentBuf>,
    limit: u32,
) -> Result<Vec<RawDocumentBuf>, MongoError> {
    let query = query.limit(limit.into()).batch_size(limit.saturating_add(1));
    within(async { query.await?.try_collect().await }).await
}

/// Notes that a member sets or clears something for himself: adds to the fields of an update that is a
/// pipeline when he did, and that he alone is to hear of it.
pub(super) fn note_own(fields: &mut Document, member: UserId, now: DateTime) {
    let entry = Entry::new(Change::new(ChangeKind::Marked, member), now);
    let others = without_entry(OWN_CHANGES, member);
    fields.insert(
        OWN_CHANGES,
        doc! { "$concatArrays": [others, [{ "user_id": member, "at": now }]] },
    );
    fields.insert("outbox", entry.appended());
}

fn own_keys() -> Document {
    doc! { "own_changes.user_id": 1, "own_changes.at": 1 }
}

fn former_keys() -> Document {
    doc! { "former.user_id": 1, "former.at": 1 }
}

/// Returns the indexes of who has left, and of who has changed something for himself.
pub(super) fn indexes() -> [IndexModel; 2] {
    [("former", former_keys()), (OWN_CHANGES, own_keys())].map(|(field, keys)| {
        let of_those_with = doc! { field: { "$exists": true } };
        let partial = IndexOptions::builder().partial_filter_expression(of_those_with).build();
        IndexModel::builder().keys(keys).options(partial).build()
    })
}
