//! What is new in conversations, and what has changed in them, for clients that come back.

use bson::{DateTime, Document, doc};
use chat_kit::{
    id::ConversationId,
    mongo::{MongoError, WHOLE, within},
};
use futures_util::TryStreamExt as _;

use super::{COLLECTION, Message, Messages, parse};
use crate::error::Error;

/// What a client knows of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The last number that it has.
    pub after: i64,
    /// The change that it has heard of last: its time, and the number of the message.
    pub change: (DateTime, i64),
}

impl Messages {
    /// Returns the first messages of several conversations behind what is known of them, at most `limit` of
    /// each, in the order of their numbers. One command, however many there are.
    pub async fn new_in(&self, known: &[Known], limit: i64) -> Result<Vec<Message>, Error> {
        let rows = known.iter().map(|known| {
            doc! { "conversation_id": known.conversation_id, "after": known.after }
        });
        let of_row = doc! { "$expr": { "$and": [
            { "$eq": ["$conversation_id", "$$conversation"] },
            { "$gt": ["$seq", "$$after"] },
        ] } };
        let variables = doc! { "conversation": "$conversation_id", "after": "$after" };
        self.rows(rows.collect(), variables, of_row, doc! { "seq": 1 }, limit).await
    }

    /// Returns the messages of several conversations that have changed since what is known of them, at most
    /// `limit` of each, in the order of their changes. One command, however many there are.
    pub async fn changed_in(&self, known: &[Known], limit: i64) -> Result<Vec<Message>, Error> {
        let Some(earliest) = known.iter().map(|known| known.change.0).min() else {
            return Ok(Vec::new());
        };
        let rows = known.iter().map(|known| {
            let (at, seq) = known.change;
            doc! { "conversation_id": known.conversation_id, "at": at, "seq": seq }
        });
        let is_later = doc! { "$or": [
            { "$gt": ["$changed_at", "$$at"] },
            { "$and": [{ "$eq": ["$changed_at", "$$at"] }, { "$gt": ["$seq", "$$seq"] }] },
        ] };
        let of_row = doc! {
            // The index holds what has changed alone: only a constant shows that no more is wanted.
            "changed_at": { "$gte": earliest },
            "$expr": { "$and": [
                { "$eq": ["$conversation_id", "$$conversation"] },
                { "$gte": ["$changed_at", "$$at"] },
                is_later,
            ] },
        };
        let variables = doc! { "conversation": "$conversation_id", "at": "$at", "seq": "$seq" };
        let order = doc! { "changed_at": 1, "seq": 1 };
        self.rows(rows.collect(), variables, of_row, order, limit).await
    }

    /// Looks rows up in the collection.
    async fn rows(
        &self,
        rows: Vec<Document>,
        variables: Document,
        of_row: Document,
        order: Document,
        limit: i64,
    ) -> Result<Vec<Message>, Error> {
        let found = self.database.aggregate([
            doc! { "$documents": rows },
            doc! { "$lookup": {
                "from": COLLECTION,
                "let": variables,
                "pipeline": [
                    { "$match": of_row },
                    { "$sort": order },
                    { "$limit": limit },
                    { "$project": super::unread_parts() },
                ],
                "as": "found",
            } },
            doc! { "$unwind": "$found" },
            doc! { "$replaceRoot": { "newRoot": "$found" } },
        ]);
        let found: Result<Vec<Document>, MongoError> =
            within(async { found.batch_size(WHOLE).await?.try_collect().await }).await;
        found?.into_iter().map(parse).collect()
    }
}
