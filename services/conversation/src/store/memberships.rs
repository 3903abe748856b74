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

/// Most members of a conversation whose members are named; of one with more, who asks alone. Lists show how far
/// others have read in conversations of as many.
const MOST_NAMED: i32 = 100;

/// A conversation of a user.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Membership {
    #[serde(rename = "_id")]
    pub(crate) conversation: ConversationId,
    /// The last message that he does not see any more; 0 if he has cleared nothing.
    #[serde(default)]
    pub(crate) cleared_seq: i64,
    /// The highest number that was ever shown in its list.
    pub(crate) newest_seq: i64,
    /// Only messages behind this number can be unread.
    pub(crate) counted_after_seq: i64,
    /// Its members, where they are wanted.
    #[serde(default)]
    pub(crate) member_ids: Vec<UserId>,
}

impl Conversations {
    /// Returns those of some conversations that a user is a member of, with their members, in any order.
    pub(crate) async fn memberships_among(
        &self,
        member: UserId,
        ids: &[ConversationId],
    ) -> Result<Vec<Membership>, Error> {
        let filter = doc! { "_id": { "$in": ids }, "member_ids": member };
        let room = u32::try_from(ids.len()).unwrap_or(u32::MAX).saturating_add(1);
        let documents = self.documents();
        let mut wanted = parts(member);
        wanted.insert("member_ids", members(member));
        let raw: Vec<RawDocumentBuf> = within(async {
            let found = documents.find(filter).projection(wanted);
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
    let counted_after = doc! { "$max": [&cleared, format!("$joined.{member}")] };
    doc! {
        "cleared_seq": cleared, "newest_seq": highest_seq(), "counted_after_seq": counted_after,
    }
}

fn members(member: UserId) -> Document {
    let are_few = doc! { "$lte": [{ "$size": "$member_ids" }, MOST_NAMED] };
    doc! { "$cond": [are_few, "$member_ids", [member]] }
}
