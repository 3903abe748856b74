//! Which messages hold a word.

use bson::{DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, MessageId},
    mongo::within,
};
use futures_util::TryStreamExt as _;
use mongodb::options::Hint;

use super::{Message, Messages, TOKENS_INDEX, parse};
use crate::error::Error;

/// Most messages that one query finds.
pub const MOST_FOUND: usize = 300;

impl Messages {
    /// Returns the newest messages of some conversations that hold a word of this token, newest first, from
    /// behind a position on. Every conversation is a range of the index in that order; MongoDB merges them.
    pub async fn holding(
        &self,
        token: &str,
        conversations: &[ConversationId],
        before: Option<(DateTime, MessageId)>,
    ) -> Result<Vec<Message>, Error> {
        let mut filter = doc! { "tokens": token, "conversation_id": { "$in": conversations } };
        if let Some((at, id)) = before {
            filter.insert("created_at", doc! { "$lte": at });
            let behind = vec![doc! { "created_at": { "$lt": at } }, doc! { "_id": { "$lt": id } }];
            filter.insert("$or", behind);
        }
        let most = i64::try_from(MOST_FOUND).unwrap_or(i64::MAX);
        let raw = self.collection.clone_with_type::<Document>();
        let found = raw
            .find(filter)
            .sort(doc! { "created_at": -1, "_id": -1 })
            .limit(most)
            .batch_size(u32::try_from(MOST_FOUND + 1).unwrap_or(u32::MAX))
            .projection(doc! { "tokens": 0, "versions": 0, "outbox": 0 })
            .hint(Hint::Name(TOKENS_INDEX.to_owned()));
        let found: Vec<Document> = within(async { found.await?.try_collect().await }).await?;
        found.into_iter().map(parse).collect()
    }
}
