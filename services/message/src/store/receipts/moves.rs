//! Moving what has been delivered to somebody in several conversations, with one command.

use bson::{Document, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{MongoError, within},
};
use mongodb::error::{ErrorKind, WriteConcernError, WriteError, WriteFailure};
use serde::Deserialize;

use super::{COLLECTION, Receipts, outbox::Step};

/// How far a delivery goes, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Number up to which everything had been delivered, as it was read.
    pub from: i64,
    /// The step to the message that has been delivered; none where all that was looked at is his own or
    /// deleted.
    pub to: Option<Step>,
    /// Number of the last message that was looked at.
    pub examined: i64,
}

/// What MongoDB answers to a command of several updates.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    write_errors: Vec<Failure>,
    write_concern_error: Option<WriteConcernError>,
}

/// A statement that failed.
#[derive(Deserialize)]
struct Failure {
    index: usize,
    #[serde(flatten)]
    error: WriteError,
}

/// What became of several updates.
pub(super) struct Updated {
    /// The places of those that MongoDB refused, and why; the others are made.
    pub refused: Vec<(usize, MongoError)>,
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
        let mut outcomes = vec![true; moves.len()];
        for (place, error) in updated.refused {
            if error.duplicate_key().is_none() {
                return Err(error);
            }
            if let Some(has_moved) = outcomes.get_mut(place) {
                *has_moved = false;
            }
        }
        Ok(outcomes)
    }

    /// The driver has no call for several updates of one collection. It repeats no command that it is handed
    /// like this; whoever delivers does.
    pub(super) async fn update(&self, statements: Vec<Document>) -> Result<Updated, MongoError> {
        let mut command = doc! { "update": COLLECTION, "updates": statements, "ordered": false };
        let answer: Answer = within(async {
            if let Some(concern) = self.database.write_concern() {
                command.insert("writeConcern", bson::serialize_to_document(concern)?);
            }
            let answer = self.database.run_command(command).await?;
            Ok(bson::deserialize_from_document(answer)?)
        })
        .await?;
        if let Some(error) = answer.write_concern_error {
            return Err(driver(WriteFailure::WriteConcernError(error)));
        }
        let failures = answer.write_errors.into_iter();
        let refused = failures.map(|Failure { index, error }| {
            let error = driver(WriteFailure::WriteError(error));
            (index, error)
        });
        Ok(Updated { refused: refused.collect() })
    }
}

fn statement(user: UserId, one: &Move) -> Document {
    // Where nothing is written, nothing has been delivered.
    let from = if one.from == 0 {
        doc! { "$in": [0_i64, null] }
    } else {
        doc! { "$eq": one.from }
    };
    let mut changed = doc! { "examined_seq": { "$max": ["$examined_seq", one.examined] } };
    if let Some(step) = one.to {
        let (seq, at) = step.target();
        changed.extend(doc! {
            "delivered_seq": seq, "delivered_at": at, "outbox": step.noted(),
        });
    }
    doc! {
        "q": {
            "conversation_id": one.conversation_id, "user_id": user, "delivered_seq": from,
        },
        "u": [{ "$set": changed }],
        "upsert": true,
    }
}

fn driver(failure: WriteFailure) -> MongoError {
    MongoError::Driver(ErrorKind::Write(failure).into())
}
