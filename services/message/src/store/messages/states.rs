//! What lists and receipts ask of `messages`: what is unread, what a member sees last, what he has read.

use std::collections::HashMap;

use bson::{DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    mongo::{MongoError, WHOLE, within},
};
use futures_util::TryStreamExt as _;
use mongodb::options::Hint;
use serde::Deserialize;

use super::{COLLECTION, Message, Messages, SEQ_INDEX, parse};
use crate::error::Error;

/// Most messages that are counted as unread.
pub const MOST_UNREAD: i64 = 999;
/// Most messages of a conversation that are looked at for them: somebody's own count as none.
const MOST_UNREAD_READ: i64 = 2000;
/// Most messages that receipts of one reading name.
const MOST_COVERED: i64 = 10_000;

/// The end of a conversation, or the place of a message in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// Id of the message.
    #[serde(rename = "_id")]
    pub id: MessageId,
    /// Its number.
    pub seq: i64,
    /// Who wrote it.
    pub sender_id: UserId,
    /// When it was stored.
    pub created_at: DateTime,
}

impl Place {
    /// Returns the place of a message.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let &Message { id, seq, sender_id, created_at, .. } = message;
        Self { id, seq, sender_id, created_at }
    }
}

#[derive(Deserialize)]
struct Counted {
    conversation_id: ConversationId,
    count: Option<u32>,
}

impl Messages {
    /// Returns the newest message of a conversation that a majority has.
    pub async fn newest_place(
        &self,
        conversation: ConversationId,
    ) -> Result<Option<Place>, MongoError> {
        let places = self.collection.clone_with_type::<Place>();
        let found = places
            .find_one(doc! { "conversation_id": conversation })
            .sort(doc! { "seq": -1 })
            .projection(place());
        within(found).await
    }

    /// Returns the messages with the numbers behind `after` up to `to`, in order: of the newest
    /// [`MOST_COVERED`] alone.
    pub async fn covered(
        &self,
        conversation: ConversationId,
        after: i64,
        to: i64,
    ) -> Result<Vec<Place>, MongoError> {
        let from = after.max(to.saturating_sub(MOST_COVERED)).saturating_add(1);
        let places = self.collection.clone_with_type::<Place>();
        let found = places
            .find(super::numbered(conversation, from, to))
            .sort(doc! { "seq": 1 })
            .projection(place())
            .batch_size(WHOLE)
            .hint(Hint::Name(SEQ_INDEX.to_owned()));
        within(async { found.await?.try_collect().await }).await
    }

    /// Counts what a user has not read: messages of others behind the given numbers that he can see.
    /// Conversations without any are left out. One command, however many there are.
    pub async fn unread(
        &self,
        user: UserId,
        read: &[(ConversationId, i64)],
    ) -> Result<HashMap<ConversationId, u32>, MongoError> {
        let rows = read.iter().map(|(conversation, after)| {
            doc! { "conversation_id": conversation, "after": after }
        });
        let counted = self
            .database
            .aggregate([
                doc! { "$documents": rows.collect::<Vec<_>>() },
                doc! { "$lookup": {
                    "from": COLLECTION,
                    "let": { "conversation": "$conversation_id", "after": "$after" },
                    "pipeline": [
                        { "$match": behind() },
                        { "$limit": MOST_UNREAD_READ },
                        { "$match": seen_by(user, Some(doc! { "$ne": user })) },
                        { "$limit": MOST_UNREAD },
                        { "$count": "count" },
                    ],
                    "as": "unread",
                } },
                doc! { "$project": {
                    "conversation_id": 1, "count": { "$first": "$unread.count" },
                } },
            ])
            .batch_size(WHOLE)
            .with_type::<Counted>();
        let counted: Vec<Counted> = within(async { counted.await?.try_collect().await }).await?;
        let counts = counted.into_iter();
        Ok(counts.filter_map(|row| Some((row.conversation_id, row.count?))).collect())
    }

    /// Returns those of the messages that a user has deleted for himself, with their numbers.
    pub async fn deleted_for(
        &self,
        user: UserId,
        messages: &[MessageId],
    ) -> Result<HashMap<MessageId, i64>, MongoError> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(rename = "_id")]
            id: MessageId,
            seq: i64,
        }
        let filter = doc! { "_id": { "$in": messages }, "deleted_for": user };
        let ids = self.collection.clone_with_type::<Found>();
        let found = ids.find(filter).batch_size(WHOLE);
        // The ids decide, whatever else an index may offer.
        let found = found.projection(doc! { "seq": 1 }).hint(Hint::Keys(doc! { "_id": 1 }));
        let found: Vec<Found> = within(async { found.await?.try_collect().await }).await?;
        Ok(found.into_iter().map(|found| (found.id, found.seq)).collect())
    }

    /// Returns, of each conversation, the newest message behind the given number that a user sees. One
    /// command, however many there are.
    pub async fn newest_seen(
        &self,
        user: UserId,
        conversations: &[(ConversationId, i64)],
    ) -> Result<Vec<Message>, Error> {
        let rows = conversations.iter().map(|(conversation, after)| {
            doc! { "conversation_id": conversation, "after": after }
        });
        let mut of_row = seen_by(user, None);
        of_row.extend(behind());
        let found = self.database.aggregate([
            doc! { "$documents": rows.collect::<Vec<_>>() },
            doc! { "$lookup": {
                "from": COLLECTION,
                "let": { "conversation": "$conversation_id", "after": "$after" },
                "pipeline": [
                    { "$match": of_row },
                    { "$sort": { "seq": -1 } },
                    { "$limit": 1 },
                    { "$project": super::unread_parts() },
                ],
                "as": "seen",
            } },
            doc! { "$match": { "seen.0": { "$exists": true } } },
            doc! { "$replaceRoot": { "newRoot": { "$first": "$seen" } } },
        ]);
        let found: Vec<Document> =
            within(async { found.batch_size(WHOLE).await?.try_collect().await }).await?;
        found.into_iter().map(parse).collect()
    }
}

/// Returns the filter of a row's messages behind its number.
fn behind() -> Document {
    doc! { "$expr": { "$and": [
        { "$eq": ["$conversation_id", "$$conversation"] },
        { "$gt": ["$seq", "$$after"] },
    ] } }
}

/// Returns the fields of a [`Place`].
pub(super) fn place() -> Document {
    doc! { "seq": 1, "sender_id": 1, "created_at": 1 }
}

/// Returns the filter of messages that a user sees, by senders if that matters.
fn seen_by(user: UserId, sender: Option<Document>) -> Document {
    let mut filter = doc! { "deleted_at": { "$exists": false }, "deleted_for": { "$ne": user } };
    if let Some(sender) = sender {
        filter.insert("sender_id", sender);
    }
    filter
}
