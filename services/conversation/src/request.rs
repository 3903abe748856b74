//! Requests to chat: asking, accepting and declining. A direct conversation is pending once one side has
//! asked, and active or declined once that is answered. Each step is one write that its starting point
//! guards, so that of two at once one wins and the other answers what is so then.

mod error;
pub(crate) mod list;
mod rules;

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, UserId},
};

pub(crate) use self::{error::RequestError, rules::Step};
use crate::{Service, direct::Peer, error::Error, store::conversations::Conversation};

/// How often a step is tried that others came before. Each of them has changed the conversation, so that
/// somebody gets on.
const ATTEMPTS: usize = 8;

/// What is to become of a conversation, by what it is: a step, or nothing.
type Rule = fn(&Conversation, UserId) -> Result<Option<Step>, Error>;

impl Service {
    /// Asks `peer` to chat for `user`.
    pub(crate) async fn request_chat(
        &self,
        caller: &Caller,
        user: UserId,
        peer: Peer,
    ) -> Result<Conversation, Error> {
        let peer = self.known_user(caller, user, peer).await?;
        if self.store.blocks().between(user, &[peer]).await?.is_some() {
            return Err(Error::Blocked);
        }
        let new = ConversationId::new();
        let found = self.store.requests().open(new, user, peer, DateTime::now()).await?;
        if found.id == new {
            self.close_if_blocked(user, peer).await?;
            self.outbox.announce(new.0);
            return Ok(found);
        }
        self.advance(found, user, rules::ask).await
    }

    /// Accepts a request for `user`.
    pub(crate) async fn accept_chat(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Conversation, Error> {
        self.answer(user, id, rules::accept).await
    }

    /// Declines a request for `user`, who may be the one who asked.
    pub(crate) async fn decline_chat(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Conversation, Error> {
        self.answer(user, id, rules::decline).await
    }

    /// Opens the direct conversation of `user` and `peer` and accepts the request that `peer` has made.
    pub(crate) async fn start_chat(
        &self,
        caller: &Caller,
        user: UserId,
        peer: Peer,
    ) -> Result<Conversation, Error> {
        let opened = self.open_direct(caller, user, peer).await?;
        self.advance(opened.conversation, user, rules::start).await
    }

    async fn answer(
        &self,
        user: UserId,
        id: ConversationId,
        rule: Rule,
    ) -> Result<Conversation, Error> {
        let found = self.store.requests().settled(id).await?.ok_or(RequestError::NotFound)?;
        self.advance(found, user, rule).await
    }

    /// Makes the step that the rule says, from whatever the conversation is by then.
    async fn advance(
        &self,
        mut found: Conversation,
        user: UserId,
        rule: Rule,
    ) -> Result<Conversation, Error> {
        let requests = self.store.requests();
        for _ in 0..ATTEMPTS {
            let Some(step) = rule(&found, user)? else {
                return Ok(found);
            };
            if let Some(changed) = requests.apply(&found, step, user, DateTime::now()).await? {
                self.outbox.announce(changed.id.0);
                return Ok(changed);
            }
            found = requests.settled(found.id).await?.ok_or(RequestError::NotFound)?;
        }
        Err(RequestError::Contended.into())
    }
}
