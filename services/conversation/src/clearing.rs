//! Looking at one conversation, and clearing it for oneself.

use bson::DateTime;
use chat_kit::id::{ConversationId, UserId};

use crate::{Service, error::Error, store::conversations::Conversation};

impl Service {
    /// Returns a conversation to one of its members.
    pub(crate) async fn get(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Conversation, Error> {
        let found = self.store.conversations().get(id).await?.ok_or(Error::NotFound)?;
        if found.member_ids.contains(&user) { Ok(found) } else { Err(Error::NotAMember) }
    }

    /// Hides a conversation from a member until its next message, and what was said in it for good; he alone
    /// hears of it. Returns how many messages he does not see any more. One guarded write: a message that is
    /// recorded at the same time is either hidden with the others or brings the conversation back.
    pub(crate) async fn clear(&self, user: UserId, id: ConversationId) -> Result<i64, Error> {
        let stored = self.store.conversations();
        if let Some(before) = stored.clear(id, user, DateTime::now()).await? {
            self.outbox.announce(id.0);
            return Ok((before.highest_seq() - before.cleared_seq(user)).max(0));
        }
        // Says why; a member who came in meanwhile has cleared nothing.
        self.get(user, id).await?;
        Err(Error::NotAMember)
    }

    /// Puts a conversation that a member has cleared into his list again.
    pub(crate) async fn show_again(
        &self,
        user: UserId,
        conversation: Conversation,
    ) -> Result<Conversation, Error> {
        if !conversation.hidden_for.contains(&user) {
            return Ok(conversation);
        }
        let (stored, id) = (self.store.conversations(), conversation.id);
        let Some(shown) = stored.show_again(id, user, DateTime::now()).await? else {
            return Ok(conversation);
        };
        self.outbox.announce(id.0);
        Ok(shown)
    }
}
