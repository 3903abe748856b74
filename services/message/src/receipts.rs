//! How far members have read: they say so, and the others hear of it.

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, MessageId, UserId},
};
use chat_proto::v1::{self as pb, mark_read_request::Target};

use crate::{
    Service, convert,
    error::Error,
    event::{self, Reading},
    history::not_found,
    store::messages::Place,
};

impl Service {
    /// Raises what `reader`, who calls, has read to a message or to the end of a conversation. Returns
    /// the number up to which he has read.
    pub async fn mark_read(
        &self,
        caller: Caller,
        reader: UserId,
        target: Option<Target>,
    ) -> Result<i64, Error> {
        match target {
            Some(Target::ConversationId(id)) => {
                let conversation = convert::conversation_id(&id)?;
                let member_ids = self.readers(&caller, conversation).await?;
                match self.store.messages.newest_place(conversation).await? {
                    Some(newest) => {
                        self.advance(caller, reader, conversation, newest, member_ids).await
                    }
                    None => Ok(0),
                }
            }
            Some(Target::MessageId(id)) => {
                let id: MessageId = convert::id("message_id", &id)?;
                let message = self.store.messages.by_id(id).await?;
                let message = message.ok_or(Error::MessageNotFound)?;
                let conversation = message.conversation_id;
                let member_ids = self.readers(&caller, conversation).await?;
                if message.sender_id == reader {
                    return self.store.receipts.read_seq(conversation, reader).await;
                }
                self.advance(caller, reader, conversation, Place::of(&message), member_ids).await
            }
            None => {
                let message = "name a conversation or a message".to_owned();
                Err(Error::Invalid { field: "target", message })
            }
        }
    }

    async fn readers(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<Vec<String>, Error> {
        let audience = self.get_audience(caller, conversation, pb::Act::Read).await;
        Ok(audience.map_err(not_found)?.member_ids)
    }

    /// Raises the cursor, and lets the members hear of it once it has moved. Of two calls at once each
    /// announces its own part. What a crash leaves unannounced is told on the next connect.
    async fn advance(
        &self,
        caller: Caller,
        user_id: UserId,
        conversation_id: ConversationId,
        to: Place,
        member_ids: Vec<String>,
    ) -> Result<i64, Error> {
        let receipts = &self.store.receipts;
        let previous_seq =
            receipts.advance_read(conversation_id, user_id, to.seq, to.created_at).await?;
        if previous_seq >= to.seq {
            return Ok(previous_seq);
        }
        let messages = &self.store.messages;
        let covered = messages.covered(conversation_id, user_id, previous_seq, to.seq).await?;
        let advanced_at = DateTime::now();
        let reading = Reading { conversation_id, user_id, to, previous_seq, covered, advanced_at };
        let event = event::read_advanced(&reading, member_ids);
        if let Err(error) = self.publisher.publish(&event, &caller.request_id).await {
            tracing::warn!(%conversation_id, %user_id, %error, "nobody hears of a receipt");
        }
        Ok(to.seq)
    }
}
