//! Which messages hold a word.

use std::collections::HashMap;

use bson::{DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, MessageId},
    mongo::{WHOLE, within},
};
use futures_util::TryStreamExt as _;
use mongodb::options::Hint;

use super::{COLLECTION, Message, Messages, TOKENS_INDEX, parse};
use crate::error::Error;

/// Most messages that one part of a query finds.
pub const MOST_FOUND: usize = 300;
/// Conversations of one part: MongoDB merges that many ranges of an index without sorting.
const CONVERSATIONS_AT_ONCE: usize = 200;

impl Messages {
    /// Returns messages of some conversations that hold a word of this token, from behind a position on. One
    /// command, in parts of [`CONVERSATIONS_AT_ONCE`]: of each part the newest [`MOST_FOUND`], newest first.
    pub async fn holding(
        &self,
        token: &str,
        conversations: &[ConversationId],
        before: Option<(DateTime, MessageId)>,
    ) -> Result<Vec<Vec<Message>>, Error> {
        let parts = conversations.chunks(CONVERSATIONS_AT_ONCE);
        let mut found: Vec<Vec<Message>> = parts.clone().map(|_| Vec::new()).collect();
        let mut pipelines = parts.clone().map(|part| holding(token, part, before));
        let Some(mut pipeline) = pipelines.next() else { return Ok(found) };
        pipeline.extend(pipelines.map(|of_part| {
            doc! { "$unionWith": { "coll": COLLECTION, "pipeline": of_part } }
        }));
        // Counts for the first part. The others have no other index that gives their order.
        let by_token = Hint::Name(TOKENS_INDEX.to_owned());
        let stored = self.collection.aggregate(pipeline).hint(by_token).batch_size(WHOLE);
        let stored: Vec<Document> = within(async { stored.await?.try_collect().await }).await?;
        let numbers = parts.enumerate().flat_map(|(number, part)| {
            part.iter().map(move |conversation| (*conversation, number))
        });
        let numbers: HashMap<ConversationId, usize> = numbers.collect();
        for document in stored {
            let message = parse(document)?;
            if let Some(number) = numbers.get(&message.conversation_id) {
                found[*number].push(message);
            }
        }
        Ok(found)
    }
}

/// Returns the pipeline of a part. Every conversation is a range of the index in the order of the result;
/// MongoDB merges them.
fn holding(
    token: &str,
    conversations: &[ConversationId],
    before: Option<(DateTime, MessageId)>,
) -> Vec<Document> {
    let mut filter = doc! { "tokens": token, "conversation_id": { "$in": conversations } };
    if let Some((at, id)) = before {
        filter.insert("created_at", doc! { "$lte": at });
        let behind = vec![doc! { "created_at": { "$lt": at } }, doc! { "_id": { "$lt": id } }];
        filter.insert("$or", behind);
    }
    vec![
        doc! { "$match": filter },
        doc! { "$sort": { "created_at": -1, "_id": -1 } },
        doc! { "$limit": i64::try_from(MOST_FOUND).unwrap_or(i64::MAX) },
        doc! { "$project": { "tokens": 0, "versions": 0, "outbox": 0 } },
    ]
}
