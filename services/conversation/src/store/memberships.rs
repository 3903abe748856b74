//! Which conversations a user is in, and what he has cleared in each.

use bson::{Document, RawDocumentBuf, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::within,
};
use futures_util::TryStreamExt as _;
use mongodb::options::Hint;
use serde::Deserialize;

use super::{
    conversations::{COLLECTION, ConversationStatus, Conversations, list_keys},
    previews::highest_seq,
    read,
};
use crate::error::Error;

/// A conversation of a user.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Membership {
    #[serde(rename = "_id")]
    pub(crate) conversation: ConversationId,
    /// The last message that he does not see any more; 0 if he has cleared nothing.
    #[serde(default)]
    pub(crate) cleared_seq: i64,
    /// The highest number that was ever shown in its list.
    pub(crate) newest_seq: i64,
}

impl Conversations {
    /// Returns those of some conversations that a user is a member of, in any order.
    pub(crate) async fn memberships_among(
        &self,
        member: UserId,
        ids: &[ConversationId],
    ) -> Result<Vec<Membership>, Error> {
        let filter = doc! { "_id": { "$in": ids }, "member_ids": member };
        let room = u32::try_from(ids.len()).unwrap_or(u32::MAX).saturating_add(1);
        let documents = self.documents();
        let raw: Vec<RawDocumentBuf> = within(async {
            let found = documents.find(filter).projection(parts(member));
            let found = found.hint(Hint::Keys(doc! { "_id": 1 })).batch_size(room);
            found.await?.try_collect().await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Returns the newest `limit` conversations of a member. Each status is a range of the list's index,
    /// and MongoDB merges them in its order.
    pub(crate) async fn memberships(
        &self,
        member: UserId,
        limit: u32,
    ) -> Result<Vec<Membership>, Error> {
        let statuses = ConversationStatus::ALL.map(ConversationStatus::as_str);
        let filter = doc! { "member_ids": member, "status": { "$in": statuses.to_vec() } };
        let order = doc! { "last_message_at": -1, "updated_at": -1, "_id": -1 };
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents()
                .find(filter)
                .projection(parts(member))
                .sort(order)
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

fn parts(member: UserId) -> Document {
    let cleared = doc! { "$ifNull": [format!("$cleared.{member}.seq"), 0_i64] };
    doc! { "cleared_seq": cleared, "newest_seq": highest_seq() }
}
