//! What deliveries ask of `messages`: where messages stand, and the newest of each sender in a stretch.

use std::cmp::Reverse;

use bson::{DateTime, doc};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    mongo::{MongoError, WHOLE, within},
};
use futures_util::TryStreamExt as _;
use mongodb::options::Hint;
use serde::Deserialize;

use super::{COLLECTION, Messages, Place};

/// Newest messages of others in a stretch whose senders are told.
pub const MOST_DELIVERED: i64 = 100;
/// Newest messages of a stretch among which those are looked for.
const MOST_EXAMINED: i64 = 10_000;

/// A message and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Located {
    /// Id of the message.
    #[serde(rename = "_id")]
    pub id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Its number.
    pub seq: i64,
    /// Who wrote it.
    pub sender_id: UserId,
    /// When it was stored.
    pub created_at: DateTime,
}

impl Located {
    /// Returns its place in its conversation.
    #[must_use]
    pub fn place(&self) -> Place {
        let &Self { id, seq, sender_id, created_at, .. } = self;
        Place { id, seq, sender_id, created_at }
    }
}

/// Numbers of a conversation: those behind the first, up to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number before the first.
    pub after: i64,
    /// The last number.
    pub to: i64,
}

/// What a stretch holds for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Held {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Its last number.
    pub to: i64,
    /// The newest message of each other sender that is not deleted, the newest first.
    pub of_others: Vec<Place>,
}

impl Messages {
    /// Returns those of the messages that there are.
    pub async fn located(&self, ids: &[MessageId]) -> Result<Vec<Located>, MongoError> {
        let located = self.collection.clone_with_type::<Located>();
        let found = located
            .find(doc! { "_id": { "$in": ids } })
            .projection(doc! { "conversation_id": 1, "seq": 1, "sender_id": 1, "created_at": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }));
        within(async { found.await?.try_collect().await }).await
    }

    /// Returns the newest message of a conversation that was stored at a time or before.
    pub async fn place_at(
        &self,
        conversation: ConversationId,
        at: DateTime,
    ) -> Result<Option<Place>, MongoError> {
        let places = self.collection.clone_with_type::<Place>();
        let found = places
            .find_one(doc! { "conversation_id": conversation, "created_at": { "$lte": at } })
            .sort(doc! { "created_at": -1 })
            .projection(super::states::place());
        within(found).await
    }

    /// Returns the message of a conversation with a number, or the last one before it.
    pub async fn place_numbered(
        &self,
        conversation: ConversationId,
        seq: i64,
    ) -> Result<Option<Place>, MongoError> {
        let places = self.collection.clone_with_type::<Place>();
        let found = places
            .find_one(doc! { "conversation_id": conversation, "seq": { "$lte": seq } })
            .sort(doc! { "seq": -1 })
            .projection(super::states::place());
        within(found).await
    }

    /// Returns what stretches hold for `reader`, in any order. One command, however many there are.
    pub async fn held(
        &self,
        reader: UserId,
        stretches: &[Stretch],
    ) -> Result<Vec<Held>, MongoError> {
        let rows = stretches.iter().map(|stretch| {
            let after = stretch.after.max(stretch.to.saturating_sub(MOST_EXAMINED));
            let &Stretch { conversation_id, to, .. } = stretch;
            doc! { "conversation_id": conversation_id, "after": after, "to": to }
        });
        let within_row = doc! { "$expr": { "$and": [
            { "$eq": ["$conversation_id", "$$conversation"] },
            { "$gt": ["$seq", "$$after"] },
            { "$lte": ["$seq", "$$to"] },
        ] } };
        let told = doc! { "sender_id": { "$ne": reader }, "deleted_at": { "$exists": false } };
        let place = doc! {
            "_id": "$_id", "seq": "$seq", "sender_id": "$sender_id", "created_at": "$created_at",
        };
        let found = self
            .database
            .aggregate([
                doc! { "$documents": rows.collect::<Vec<_>>() },
                doc! { "$lookup": {
                    "from": COLLECTION,
                    "let": { "conversation": "$conversation_id", "after": "$after", "to": "$to" },
                    "pipeline": [
                        { "$match": within_row },
                        { "$sort": { "seq": -1 } },
                        { "$match": told },
                        { "$limit": MOST_DELIVERED },
                        { "$group": { "_id": "$sender_id", "newest": { "$first": place } } },
                        { "$replaceRoot": { "newRoot": "$newest" } },
                    ],
                    "as": "of_others",
                } },
                doc! { "$project": { "conversation_id": 1, "to": 1, "of_others": 1 } },
            ])
            .batch_size(WHOLE)
            .with_type::<Held>();
        let mut held: Vec<Held> = within(async { found.await?.try_collect().await }).await?;
        for Held { of_others, .. } in &mut held {
            of_others.sort_unstable_by_key(|place| Reverse(place.seq));
        }
        Ok(held)
    }
}
