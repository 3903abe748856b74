//! Who shares conversations with whom: the queries on `conversations` that answer it. Their number is the
//! same whatever the number of users and conversations.

use bson::{Bson, Document, RawDocumentBuf, doc};
use chat_kit::{id::UserId, mongo::within};
use futures_util::TryStreamExt as _;
use mongodb::{Collection, Database, options::Hint};
use serde::Deserialize;

use super::{
    conversations::{COLLECTION, ConversationStatus, list_keys, participant_key},
    groups::own_keys,
    read,
};
use crate::error::Error;

/// Members of the largest group that makes its members partners.
const LARGEST_GROUP: usize = 100;

/// The way to the members of conversations in the collection.
#[derive(Clone, Debug)]
pub(crate) struct Partners {
    documents: Collection<RawDocumentBuf>,
}

/// A conversation, as far as this module reads it.
#[derive(Deserialize)]
struct Members {
    member_ids: Vec<UserId>,
}

impl Partners {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection(COLLECTION) }
    }

    /// Returns the members of the active direct conversations of a user with some others.
    pub(crate) async fn in_direct(
        &self,
        user: UserId,
        others: &[UserId],
    ) -> Result<Vec<UserId>, Error> {
        let keys: Vec<String> = others.iter().map(|other| participant_key(user, *other)).collect();
        let filter = doc! {
            "participant_key": { "$in": keys }, "status": ConversationStatus::Active.as_str(),
        };
        let room = u32::try_from(others.len()).unwrap_or(u32::MAX).saturating_add(1);
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(filter)
                .projection(doc! { "member_ids": 1 })
                .hint(Hint::Keys(doc! { "participant_key": 1 }))
                .batch_size(room)
                .await?
                .try_collect()
                .await
        })
        .await?;
        members(&raw)
    }

    /// Says whether two users are partners, or would be without the blocks between them.
    pub(crate) async fn are_but_for_blocks(
        &self,
        one: UserId,
        other: UserId,
    ) -> Result<bool, Error> {
        let active = ConversationStatus::Active.as_str();
        let closed = doc! {
            "status": ConversationStatus::Blocked.as_str(),
            "status_before_block": { "$in": [active, Bson::Null] },
        };
        let direct = doc! {
            "participant_key": participant_key(one, other),
            "$or": [{ "status": active }, closed],
        };
        let direct = self.documents.find_one(direct).projection(doc! { "_id": 1 });
        let direct = direct.hint(Hint::Keys(doc! { "participant_key": 1 }));
        if within(direct).await?.is_some() {
            return Ok(true);
        }
        Ok(!self.in_groups(one, &[other]).await?.is_empty())
    }

    /// Returns those of some users who share a group with a user, unless it is large.
    pub(crate) async fn in_groups(
        &self,
        user: UserId,
        others: &[UserId],
    ) -> Result<Vec<UserId>, Error> {
        let shared = doc! { "$setIntersection": ["$member_ids", others] };
        let mut own = doc! { "member_ids": user, "is_group": true };
        own.extend(is_not_large());
        let pipeline = [
            doc! { "$match": own },
            doc! { "$project": { "member_ids": shared } },
            doc! { "$unwind": "$member_ids" },
            doc! { "$group": { "_id": null, "member_ids": { "$addToSet": "$member_ids" } } },
        ];
        let found: Vec<Document> = within(async {
            let groups = self.documents.aggregate(pipeline).hint(Hint::Keys(own_keys()));
            groups.await?.try_collect().await
        })
        .await?;
        let raw = found.iter().map(RawDocumentBuf::try_from).collect::<Result<Vec<_>, _>>();
        members(
            &raw.map_err(mongodb::error::Error::from).map_err(chat_kit::mongo::MongoError::from)?,
        )
    }

    /// Returns the members of the conversations of a user in the order of their list, some of them more than
    /// once and the user among them. Looks at `limit` conversations that are active and not large.
    pub(crate) async fn newest(&self, user: UserId, limit: u32) -> Result<Vec<UserId>, Error> {
        let status = ConversationStatus::Active.as_str();
        let mut filter = doc! { "member_ids": user, "status": status };
        filter.extend(is_not_large());
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(filter)
                .projection(doc! { "member_ids": 1 })
                .sort(doc! { "last_message_at": -1, "updated_at": -1, "_id": -1 })
                .hint(Hint::Keys(list_keys()))
                .limit(limit.into())
                .batch_size(limit.saturating_add(1))
                .await?
                .try_collect()
                .await
        })
        .await?;
        members(&raw)
    }
}

fn members(raw: &[RawDocumentBuf]) -> Result<Vec<UserId>, Error> {
    let mut members = Vec::new();
    for raw in raw {
        members.append(&mut read::<Members>(COLLECTION, raw)?.member_ids);
    }
    Ok(members)
}

/// Of more members than the largest group may have, there is one behind its last.
fn is_not_large() -> Document {
    doc! { format!("member_ids.{LARGEST_GROUP}"): { "$exists": false } }
}
