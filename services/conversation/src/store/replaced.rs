//! Previews whose message was edited or deleted.

use bson::{Bson, DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{MongoError, within},
};

use super::{
    conversations::{Conversations, Preview},
    previews::highest_seq,
};
use crate::error::Error;

/// What is to be shown in the place of a message.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    pub(crate) conversation: ConversationId,
    /// Number of the message that changed.
    pub(crate) seq: i64,
    /// Number of its change.
    pub(crate) change: i64,
    /// The same message as it is now, or the one before it.
    pub(crate) preview: Option<Preview>,
    /// What its sender has written, where it is deleted.
    pub(crate) deleted: Option<DeletedMessage>,
}

/// A deleted message, and the newest one before it that its sender has left.
#[derive(Clone, Debug)]
pub(crate) struct DeletedMessage {
    pub(crate) sender_id: UserId,
    pub(crate) created_at: DateTime,
    pub(crate) previous_created_at: Option<DateTime>,
}

impl Conversations {
    /// Puts another preview in the place of a message, while that is shown as it was before the change, or
    /// while no message with its number or a higher one has been. The highest number is kept, so that a
    /// deleted message is not shown again, however late its own preview comes. Says whether there is such
    /// a conversation.
    pub(crate) async fn replace_preview(
        &self,
        replacement: &Replacement,
        now: DateTime,
    ) -> Result<bool, Error> {
        let filter = doc! { "_id": replacement.conversation };
        let update = replaced(replacement, now).map_err(mongodb::error::Error::from);
        let update = update.map_err(MongoError::from)?;
        let updated = within(self.documents().update_one(filter, update)).await?;
        Ok(updated.matched_count > 0)
    }
}

/// Returns the update of a replacement: a pipeline, as everything depends on what is stored.
fn replaced(replacement: &Replacement, now: DateTime) -> bson::error::Result<Vec<Document>> {
    let Replacement { seq, change, preview, .. } = replacement;
    // Another message in its place means that it is deleted, and that is final: a preview of it that came
    // late may have been made after that change.
    let is_gone = preview.as_ref().is_none_or(|preview| preview.seq < *seq);
    let is_shown = doc! { "$and": [
        { "$eq": ["$last_message.seq", seq] },
        { "$or": [is_gone, { "$lt": [{ "$ifNull": ["$last_message.change", 0] }, change] }] },
    ] };
    // Whoever has cleared the conversation sees it again.
    let comes_back = preview.as_ref().is_some_and(|preview| preview.seq == *seq);
    let is_unheard_of = doc! { "$lt": [highest_seq(), seq] };
    let shows_it_again = doc! { "$and": [comes_back, &is_unheard_of] };
    let takes_effect = doc! { "$or": [is_shown, is_unheard_of] };
    let then = |new, field| doc! { "$cond": [&takes_effect, new, format!("${field}")] };
    let shown = match preview {
        // A literal, lest a text beginning with `$` be read as a field.
        Some(preview) => doc! { "$literal": bson::serialize_to_bson(preview)? }.into(),
        None => Bson::from("$$REMOVE"),
    };
    let shown_at = preview.as_ref().map_or(Bson::Null, |preview| preview.created_at.into());
    let mut set = doc! {
        "last_message": then(shown, "last_message"),
        "last_message_at": then(shown_at, "last_message_at"),
        "updated_at": then(now.into(), "updated_at"),
        "hidden_for": { "$cond": [shows_it_again, [], "$hidden_for"] },
        "replaced_seq": { "$max": ["$last_message.seq", "$replaced_seq", seq] },
    };
    if let Some(deleted) = &replacement.deleted {
        set.extend(unsent(deleted));
    }
    Ok(vec![doc! { "$set": set }])
}

/// Returns the fields that say when the sender of a deleted message last wrote: before it, unless he has
/// written since. When it was written is kept, so that its own preview, however late, does not bring it back.
fn unsent(deleted: &DeletedMessage) -> Document {
    let DeletedMessage { sender_id, created_at, previous_created_at } = deleted;
    let (sent, unsent) = (format!("last_sent.{sender_id}"), format!("last_unsent.{sender_id}"));
    let stored = format!("${sent}");
    let has_written_since = doc! { "$gt": [&stored, created_at] };
    let before = previous_created_at.map_or(Bson::from("$$REMOVE"), Into::into);
    let last = doc! { "$cond": [has_written_since, stored, before] };
    let newest = doc! { "$max": [format!("${unsent}"), created_at] };
    doc! { sent: last, unsent: newest }
}
