//! Moving what has been delivered to somebody in several conversations, with one command.

use bson::{DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{MongoError, within},
};
use mongodb::error::{ErrorKind, WriteConcernError, WriteError, WriteFailure};
use serde::Deserialize;

use super::{COLLECTION, Receipts};

/// Code of a write that a unique index refused.
const DUPLICATE_KEY: i32 = 11000;

/// How far a delivery goes, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Number up to which everything had been delivered, as it was read.
    pub from: i64,
    /// Number of the message that has been delivered, and when it was stored; none where all that was looked
    /// at is his own or deleted.
    pub to: Option<(i64, DateTime)>,
    /// Number of the last message that was looked at.
    pub examined: i64,
}

/// What MongoDB answers to a command of several updates.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    #[serde(default)]
    write_errors: Vec<Refused>,
    write_concern_error: Option<WriteConcernError>,
}

/// A statement that failed.
#[derive(Deserialize)]
struct Refused {
    index: usize,
    #[serde(flatten)]
    error: WriteError,
}

impl Receipts {
    /// Moves each delivery that is still where it was read; says of each whether it has moved. Where another
    /// call has moved it meanwhile, the statement finds nothing, and inserts what a unique index refuses.
    pub async fn move_delivered(
        &self,
        user: UserId,
        moves: &[Move],
    ) -> Result<Vec<bool>, MongoError> {
        let statements: Vec<Document> = moves.iter().map(|one| statement(user, one)).collect();
        let updated = self.update(statements).await?;
        if let Some(error) = updated.write_concern_error {
            return Err(driver(WriteFailure::WriteConcernError(error)));
        }
        let mut outcomes = vec![true; moves.len()];
        for Refused { index, error } in updated.write_errors {
            if error.code != DUPLICATE_KEY {
                return Err(driver(WriteFailure::WriteError(error)));
            }
            if let Some(has_moved) = outcomes.get_mut(index) {
                *has_moved = false;
            }
        }
        Ok(outcomes)
    }

    /// The driver has no call for several updates of one collection. It repeats no command that it is handed
    /// like this; whoever delivers does.
    async fn update(&self, statements: Vec<Document>) -> Result<Updated, MongoError> {
        let mut command = doc! { "update": COLLECTION, "updates": statements, "ordered": false };
        within(async {
            if let Some(concern) = self.database.write_concern() {
                command.insert("writeConcern", bson::serialize_to_document(concern)?);
            }
            let answer = self.database.run_command(command).await?;
            Ok(bson::deserialize_from_document(answer)?)
        })
        .await
    }
}

fn statement(user: UserId, one: &Move) -> Document {
    // Where nothing is written, nothing has been delivered.
    let from = if one.from == 0 {
        doc! { "$in": [0_i64, null] }
    } else {
        doc! { "$eq": one.from }
    };
    let mut higher = doc! { "examined_seq": one.examined };
    if let Some((seq, at)) = one.to {
        higher.extend(doc! { "delivered_seq": seq, "delivered_at": at });
    }
    doc! {
        "q": {
            "conversation_id": one.conversation_id, "user_id": user, "delivered_seq": from,
        },
        "u": { "$max": higher },
        "upsert": true,
    }
}

fn driver(failure: WriteFailure) -> MongoError {
    MongoError::Driver(ErrorKind::Write(failure).into())
}
