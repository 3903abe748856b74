//! Previews whose message was edited or deleted.

use bson::{Bson, DateTime, doc};
use chat_kit::{
    id::ConversationId,
    mongo::{MongoError, within},
};

use super::conversations::{Conversations, Preview};
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
}

impl Conversations {
    /// Puts another preview in the place of a message, while that is shown as it was before the change. A
    /// deleted message is not shown again, however late its own preview comes: its number is kept.
    pub(crate) async fn replace_preview(
        &self,
        replacement: &Replacement,
        now: DateTime,
    ) -> Result<(), Error> {
        let Replacement { conversation, seq, change, preview } = replacement;
        let filter = doc! {
            "_id": conversation, "last_message.seq": seq,
            "last_message.change": { "$not": { "$gte": change } },
        };
        let shown_at = preview.as_ref().map_or(Bson::Null, |preview| preview.created_at.into());
        let mut set = doc! {
            "last_message_at": shown_at, "updated_at": now, "replaced_seq": seq,
        };
        let mut change = doc! {};
        if let Some(preview) = preview {
            let preview = bson::serialize_to_bson(preview);
            let preview = preview.map_err(|error| MongoError::Driver(error.into()))?;
            set.insert("last_message", preview);
        } else {
            change.insert("$unset", doc! { "last_message": "" });
        }
        change.insert("$set", set);
        within(self.documents().update_one(filter, change)).await?;
        Ok(())
    }
}
