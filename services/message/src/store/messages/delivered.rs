//! What deliveries ask of `messages`: where messages stand, and the newest of each sender in a stretch.

use std::time::Duration;

use bson::{DateTime, doc};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    mongo::{MongoError, WHOLE, within},
    time::before,
};
use futures_util::TryStreamExt as _;
use mongodb::options::Hint;
use serde::Deserialize;

use super::{COLLECTION, Messages, Place};

/// Most senders of a stretch who are told: the others in a large group.
const MOST_SENDERS: usize = 1000;
/// Most senders of a stretch where there are many stretches.
const MOST_SENDERS_OF_MANY: usize = 100;
/// Senders of all stretches together, as far as those of each allow.
const MOST_SENDERS_IN_ALL: usize = 50_000;
/// How long after it was stored a message may be under way to its conversation's list.
const UNDER_WAY_FOR: Duration = Duration::from_secs(30);
/// Messages of all conversations that are looked at for those under way.
const MOST_UNDER_WAY: i64 = 500;
/// Newest messages of a stretch whose senders are told.
const MOST_EXAMINED: usize = 10_000;
/// Messages that are examined of all stretches together, at least one of each.
const MOST_EXAMINED_IN_ALL: usize = 100_000;

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

/// The newest message of a conversation that is not announced yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct UnderWay {
    /// The conversation.
    #[serde(rename = "_id")]
    pub conversation_id: ConversationId,
    /// Its number.
    pub seq: i64,
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
    /// The newest message of each other sender that is not deleted, the newest first: of the newest
    /// [`MOST_EXAMINED`], or of its share of [`MOST_EXAMINED_IN_ALL`] where there are many stretches, and of
    /// those who wrote last where there are very many.
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

    /// Returns the greatest numbers that were given in conversations a moment ago, as far as those messages are
    /// not announced yet. What others are under way is looked at up to a bound.
    pub async fn under_way(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<UnderWay>, MongoError> {
        let recent = before(DateTime::now(), UNDER_WAY_FOR);
        let found = self
            .collection
            .aggregate([
                doc! { "$match": { "outbox.at": { "$gte": recent } } },
                doc! { "$limit": MOST_UNDER_WAY },
                doc! { "$match": { "conversation_id": { "$in": conversations } } },
                doc! { "$group": { "_id": "$conversation_id", "seq": { "$max": "$seq" } } },
            ])
            .hint(Hint::Keys(doc! { "outbox.at": 1 }))
            .batch_size(WHOLE)
            .with_type::<UnderWay>();
        within(async { found.await?.try_collect().await }).await
    }

    /// Returns what stretches hold for `reader`, in any order. One command, however many there are, and
    /// however much they hold: what lies before the newest that are examined is passed over.
    pub async fn held(
        &self,
        reader: UserId,
        stretches: &[Stretch],
    ) -> Result<Vec<Held>, MongoError> {
        let most_examined = most_examined(stretches.len());
        let rows = stretches.iter().map(|stretch| {
            let after = stretch.after.max(stretch.to.saturating_sub(most_examined));
            let &Stretch { conversation_id, to, .. } = stretch;
            doc! { "conversation_id": conversation_id, "after": after, "to": to }
        });
        let within_row = doc! { "$expr": { "$and": [
            { "$eq": ["$conversation_id", "$$conversation"] },
            { "$gt": ["$seq", "$$after"] },
            { "$lte": ["$seq", "$$to"] },
        ] } };
        let newest_first =
            doc! { "$sortArray": { "input": "$of_others", "sortBy": { "seq": -1 } } };
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
                        { "$group": { "_id": "$sender_id", "newest": { "$first": place } } },
                        { "$replaceRoot": { "newRoot": "$newest" } },
                    ],
                    "as": "of_others",
                } },
                doc! { "$project": {
                    "conversation_id": 1,
                    "to": 1,
                    "of_others": { "$slice": [newest_first, most_senders(stretches.len())] },
                } },
            ])
            .batch_size(WHOLE)
            .with_type::<Held>();
        within(async { found.await?.try_collect().await }).await
    }
}

/// Returns how many messages of each stretch are examined where there are so many.
fn most_examined(stretches: usize) -> i64 {
    let most = (MOST_EXAMINED_IN_ALL / stretches.max(1)).clamp(1, MOST_EXAMINED);
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// Returns how many senders of each stretch are told where there are so many.
fn most_senders(stretches: usize) -> i64 {
    let most = (MOST_SENDERS_IN_ALL / stretches.max(1)).clamp(MOST_SENDERS_OF_MANY, MOST_SENDERS);
    i64::try_from(most).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_stretches_share_the_messages_that_are_examined() {
        for (stretches, most) in [(0, 10_000), (10, 10_000), (11, 9090), (500, 200), (200_000, 1)] {
            assert_eq!(most_examined(stretches), most, "{stretches}");
        }
    }

    #[test]
    fn many_stretches_share_the_senders_who_are_told() {
        for (stretches, most) in [(0, 1000), (1, 1000), (50, 1000), (100, 500), (500, 100)] {
            assert_eq!(most_senders(stretches), most, "{stretches}");
        }
    }
}
