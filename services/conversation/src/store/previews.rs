//! Previews on their way into `conversations`: those that are due together are stored by one command.

use std::{num::NonZeroUsize, slice};

use bson::{Bson, DateTime, Document, RawArrayBuf, RawDocumentBuf, cstr, doc};
use chat_kit::{
    batch::{Batches, Bounds},
    id::{ConversationId, UserId},
    mongo::{MongoError, OPERATION_TIMEOUT, within},
};
use futures_util::future::join_all;
use mongodb::{
    Database,
    error::{ErrorKind, WriteConcernError, WriteError, WriteFailure},
};
use serde::Deserialize;

use super::conversations::{COLLECTION, Preview};
use crate::error::Error;

/// Two commands side by side: the second is put together while the first waits for the journals of a
/// majority. More would only make them smaller.
const BOUNDS: Bounds = Bounds {
    under_way: NonZeroUsize::new(2).expect("not zero"),
    // At most a MiB of the longest previews.
    at_once: NonZeroUsize::new(64).expect("not zero"),
    waiting: 4096,
    // A command before it, and its own.
    patience: OPERATION_TIMEOUT.saturating_mul(2),
};

/// Whether each statement found its conversation.
type Found = Result<bool, MongoError>;

/// The way of previews into the collection. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Previews {
    batches: Batches<RawDocumentBuf, Found>,
}

/// A preview of a conversation's message that is to be stored.
#[derive(Debug)]
pub(crate) struct NewPreview {
    pub(crate) conversation: ConversationId,
    /// Who must be a member, if anybody must.
    pub(crate) member: Option<UserId>,
    pub(crate) preview: Preview,
}

impl Previews {
    pub(crate) fn new(database: &Database) -> Self {
        let database = database.clone();
        let work = move |statements| store(database.clone(), statements);
        Self { batches: Batches::new(BOUNDS, work) }
    }

    /// Stores each preview unless one of the same or a higher number is stored in its conversation, and
    /// raises the time when its sender last wrote in any case but one: where that message, or a later one of
    /// his, is deleted. Says of each whether there is such a
    /// conversation, with `member` in it if one is given.
    pub(crate) async fn record(
        &self,
        previews: &[NewPreview],
        now: DateTime,
    ) -> Vec<Result<bool, Error>> {
        let statements = previews.iter().map(|new| statement(new, now));
        let statements = match statements.collect::<Result<Vec<_>, _>>() {
            Ok(statements) => statements,
            Err(error) => {
                let error = MongoError::Driver(error.into());
                return previews.iter().map(|_| Err(error.clone().into())).collect();
            }
        };
        let outcomes = self.batches.submit_all(statements).await;
        outcomes.into_iter().map(|outcome| Ok(outcome??)).collect()
    }
}

/// What MongoDB answers to a command of several updates.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    /// How many statements found a document.
    n: i64,
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

/// Stores previews with one command. MongoDB counts the statements that found a document and does not
/// name them: where one did not, each is made again alone, which changes nothing more.
async fn store(database: Database, statements: Vec<RawDocumentBuf>) -> Vec<Found> {
    let outcomes = run(&database, &statements).await;
    let known = statements.iter().zip(outcomes).map(async |(statement, outcome)| {
        if let Some(outcome) = outcome {
            return outcome;
        }
        let alone = run(&database, slice::from_ref(statement)).await;
        alone.into_iter().flatten().next().expect("what a single statement did is known")
    });
    join_all(known).await
}

/// Runs one command; what is not told of a statement is none.
async fn run(database: &Database, statements: &[RawDocumentBuf]) -> Vec<Option<Found>> {
    let count = statements.len();
    let all = |error: &MongoError| vec![Some(Err(error.clone())); count];
    let updated = match update(database, statements).await {
        Ok(updated) => updated,
        Err(error) => return all(&error),
    };
    if let Some(error) = updated.write_concern_error {
        return all(&driver(WriteFailure::WriteConcernError(error)));
    }
    let found = usize::try_from(updated.n).unwrap_or_default();
    let told = match found + updated.write_errors.len() {
        answered if answered == count => Some(Ok(true)),
        _ if count == 1 => Some(Ok(false)),
        _ => None,
    };
    let mut outcomes = vec![told; count];
    for refused in updated.write_errors {
        if let Some(outcome) = outcomes.get_mut(refused.index) {
            *outcome = Some(Err(driver(WriteFailure::WriteError(refused.error))));
        }
    }
    outcomes
}

fn driver(failure: WriteFailure) -> MongoError {
    MongoError::Driver(ErrorKind::Write(failure).into())
}

/// The driver has no call for several updates of one collection. It repeats no command that it is handed
/// like this; whoever recorded the preview does.
async fn update(database: &Database, statements: &[RawDocumentBuf]) -> Result<Updated, MongoError> {
    within(async {
        let mut updates = RawArrayBuf::new();
        for statement in statements {
            updates.push(statement.clone());
        }
        let mut command = RawDocumentBuf::new();
        command.append(cstr!("update"), COLLECTION);
        command.append(cstr!("updates"), updates);
        command.append(cstr!("ordered"), false);
        if let Some(concern) = database.write_concern() {
            let concern = bson::serialize_to_raw_document_buf(concern)?;
            command.append(cstr!("writeConcern"), concern);
        }
        let answer = database.run_raw_command(command).await?;
        Ok(bson::deserialize_from_document(answer)?)
    })
    .await
}

/// Returns the statement that stores a preview.
fn statement(new: &NewPreview, now: DateTime) -> bson::error::Result<RawDocumentBuf> {
    let mut filter = doc! { "_id": new.conversation };
    if let Some(member) = new.member {
        filter.insert("member_ids", member);
    }
    let changes = recorded(&new.preview, now)?;
    bson::serialize_to_raw_document_buf(&doc! { "q": filter, "u": changes })
}

/// Returns the highest number that was ever shown or replaced: a deleted message is shown no more, whether
/// an earlier one is now or none.
pub(super) fn highest_seq() -> Document {
    doc! { "$max": ["$last_message.seq", "$replaced_seq", 0_i64] }
}

/// Returns the update that a preview makes. It is a pipeline, because one command must
/// do two things of which only one depends on the stored number.
fn recorded(preview: &Preview, now: DateTime) -> bson::error::Result<Vec<Document>> {
    let is_newer = doc! { "$lt": [highest_seq(), preview.seq] };
    let when_newer = |new, field| doc! { "$cond": [&is_newer, new, format!("${field}")] };
    let own_time = format!("last_sent.{}", preview.sender_id);
    // What was deleted meanwhile, or comes before that, is taken into account already.
    let unsent = format!("$last_unsent.{}", preview.sender_id);
    let is_left = doc! { "$lt": [unsent, preview.created_at] };
    let raised = doc! { "$max": [format!("${own_time}"), preview.created_at] };
    let last_sent = doc! { "$cond": [is_left, raised, format!("${own_time}")] };
    // A literal, lest a text beginning with `$` be read as a field.
    let stored = bson::serialize_to_bson(preview)?;
    let stored = Bson::from(doc! { "$literal": stored });
    Ok(vec![doc! { "$set": {
        "last_message": when_newer(stored, "last_message"),
        "last_message_at": when_newer(preview.created_at.into(), "last_message_at"),
        "updated_at": when_newer(now.into(), "updated_at"),
        // Whoever has cleared the conversation sees it again.
        "hidden_for": when_newer(Bson::Array(Vec::new()), "hidden_for"),
        own_time: last_sent,
    } }])
}

#[cfg(test)]
mod tests {
    use chat_kit::id::MessageId;

    use super::*;

    #[test]
    fn field_name_of_a_sender_holds_nothing_but_his_id() {
        let preview = Preview {
            message_id: MessageId::new(),
            seq: 1,
            sender_id: UserId::new(),
            content: "$last_message".to_owned(),
            r#type: "text".to_owned(),
            created_at: DateTime::now(),
            attachment: None,
            change: 0,
            edited_at: None,
            is_call: false,
            is_video: false,
        };
        let update = recorded(&preview, DateTime::now()).expect("an update");
        let set = update[0].get_document("$set").expect("a stage");
        assert!(set.contains_key(format!("last_sent.{}", preview.sender_id)));
    }

    #[test]
    fn answer_names_the_statements_that_failed() {
        let answer = doc! {
            "ok": 1.0,
            "n": 1,
            "nModified": 1,
            "writeErrors": [{ "index": 1, "code": 50, "errmsg": "took too long" }],
            "writeConcernError": { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "alone" },
        };
        let updated: Updated = bson::deserialize_from_document(answer).expect("an answer");
        assert_eq!(updated.n, 1);
        let [refused] = &updated.write_errors[..] else { panic!("one failed") };
        assert_eq!((refused.index, refused.error.code), (1, 50));
        let error = updated.write_concern_error.expect("a failure of all");
        assert!(driver(WriteFailure::WriteConcernError(error)).is_transient());
        let answer = doc! { "ok": 1.0, "n": 2, "nModified": 0 };
        let updated: Updated = bson::deserialize_from_document(answer).expect("an answer");
        assert!(updated.write_errors.is_empty() && updated.write_concern_error.is_none());
    }
}
