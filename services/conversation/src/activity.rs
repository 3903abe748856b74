//! What the list shows of a conversation's newest message.

use bson::DateTime;
use chat_kit::{caller::Actor, id::ConversationId};

use crate::{Service, error::Error, store::conversations::Preview};

impl Service {
    /// Stores a preview unless a newer one is stored. One guarded write, so that repetitions and any
    /// order of several previews end the same.
    pub(crate) async fn record(
        &self,
        actor: &Actor,
        id: ConversationId,
        preview: &Preview,
    ) -> Result<(), Error> {
        let member = match actor {
            Actor::User { id, .. } if *id == preview.sender_id => Some(*id),
            Actor::User { .. } => return Err(Error::NotTheSender),
            // A service repeats what was posted while its sender was a member.
            Actor::Service(_) => None,
        };
        let conversations = self.store.conversations();
        let is_found = conversations.record_activity(id, member, preview, DateTime::now()).await?;
        if is_found {
            return Ok(());
        }
        match conversations.audience(id).await? {
            Some(_) => Err(Error::NotAMember),
            None => Err(Error::ConversationNotFound),
        }
    }
}
