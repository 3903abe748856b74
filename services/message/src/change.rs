//! Changing stored messages: editing, deleting, reacting. Who may is decided with the conversation; whether
//! a message still can be changed, by the guarded update alone.

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{MessageId, UserId},
};
use chat_proto::v1 as pb;

use crate::{Service, error::Error, history::not_found, store::messages::Message};

/// Who changes which message.
#[derive(Clone, Debug)]
pub struct Changer {
    /// How he calls.
    pub caller: Caller,
    /// Who he is.
    pub user: UserId,
    /// The message.
    pub message: MessageId,
}

impl Service {
    /// Gives the caller's message another text.
    pub async fn edit(&self, by: Changer, content: String) -> Result<Message, Error> {
        let (message, member_ids) = self.changeable(&by, pb::Act::Post).await?;
        own(&message, by.user)?;
        let now = DateTime::now();
        let messages = &self.store.messages;
        let edited = messages.edit(by.message, by.user, &content, now).await?;
        self.finish(by, edited, member_ids).await
    }

    /// Deletes the caller's message for everybody.
    pub async fn delete(&self, by: Changer) -> Result<Message, Error> {
        let (message, member_ids) = self.changeable(&by, pb::Act::Read).await?;
        own(&message, by.user)?;
        let now = DateTime::now();
        let messages = &self.store.messages;
        match messages.delete(by.message, by.user, now).await? {
            Some(deleted) => {
                self.announce_change(&by.caller, &deleted, member_ids).await;
                Ok(deleted)
            }
            // It was deleted before.
            None => messages.by_id(by.message).await?.ok_or(Error::MessageNotFound),
        }
    }

    /// Deletes a message for the caller alone; nobody hears of it.
    pub async fn delete_for_caller(&self, by: Changer) -> Result<Message, Error> {
        let (message, _) = self.changeable(&by, pb::Act::Read).await?;
        let now = DateTime::now();
        self.store.messages.delete_for(by.message, by.user, now).await?;
        Ok(message)
    }

    /// Adds the caller's reaction to a message.
    pub async fn react(&self, by: Changer, reaction: &str) -> Result<Message, Error> {
        let (_, member_ids) = self.changeable(&by, pb::Act::Post).await?;
        let (id, user, now) = (by.message, by.user, DateTime::now());
        let changed = self.store.messages.react(id, user, reaction, now).await?;
        if changed.is_some() {
            return self.finish(by, changed, member_ids).await;
        }
        let message = self.finish(by, None, member_ids).await?;
        let has_said = |said: &crate::store::messages::Reaction| {
            said.user_id == user && said.reaction == reaction
        };
        if message.reactions.iter().any(has_said) {
            Ok(message)
        } else {
            Err(Error::TooManyReactions)
        }
    }

    /// Takes the caller's reaction to a message back.
    pub async fn take_back(&self, by: Changer, reaction: &str) -> Result<Message, Error> {
        let (_, member_ids) = self.changeable(&by, pb::Act::Post).await?;
        let (id, user, now) = (by.message, by.user, DateTime::now());
        let changed = self.store.messages.take_back(id, user, reaction, now).await?;
        self.finish(by, changed, member_ids).await
    }

    /// Returns a message and who hears of its change, if the caller may act where it stands.
    async fn changeable(
        &self,
        by: &Changer,
        act: pb::Act,
    ) -> Result<(Message, Vec<String>), Error> {
        let message = self.store.messages.by_id(by.message).await?;
        let message = message.ok_or(Error::MessageNotFound)?;
        let audience = self.get_audience(&by.caller, message.conversation_id, act).await;
        Ok((message, audience.map_err(not_found)?.member_ids))
    }

    /// Announces a change. Where there was nothing to change, returns the message as it is, unless it is
    /// deleted.
    async fn finish(
        &self,
        by: Changer,
        changed: Option<Message>,
        member_ids: Vec<String>,
    ) -> Result<Message, Error> {
        if let Some(changed) = changed {
            self.announce_change(&by.caller, &changed, member_ids).await;
            return Ok(changed);
        }
        let message = self.store.messages.by_id(by.message).await?;
        let message = message.ok_or(Error::MessageNotFound)?;
        if message.deleted_at.is_some() { Err(Error::MessageDeleted) } else { Ok(message) }
    }
}

/// Refuses everybody but who wrote a message; what happened was written by nobody.
fn own(message: &Message, user: UserId) -> Result<(), Error> {
    let is_written = message.system.is_none();
    if is_written && message.sender_id == user { Ok(()) } else { Err(Error::NotTheSender) }
}
