//! Finding and opening the one direct conversation of two users.

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, UserId},
};
use chat_proto::v1::{FindUserRequest, GetUserRequest};

use crate::{Service, error::Error, store::conversations::Conversation};

/// The other side of a conversation that is to be opened.
pub(crate) enum Peer {
    /// By id.
    Id(UserId),
    /// By phone, e-mail address or id, which the user service tells apart.
    Contact(String),
}

/// A conversation that was opened.
pub(crate) struct Opened {
    pub(crate) conversation: Conversation,
    /// Whether it was made just now.
    pub(crate) is_new: bool,
}

impl Service {
    /// Finds or makes the direct conversation of `user` and `peer`, whatever its status, and shows it in
    /// his list. Any number of calls from both sides make one conversation. Across a block, none is made.
    pub(crate) async fn open_direct(
        &self,
        caller: &Caller,
        user: UserId,
        peer: Peer,
    ) -> Result<Opened, Error> {
        let conversations = self.store.conversations();
        if let Peer::Id(peer) = peer
            && peer != user
            && let Some(conversation) = conversations.direct(user, peer).await?
        {
            let conversation = self.show_again(user, conversation).await?;
            return Ok(Opened { conversation, is_new: false });
        }
        let peer = self.known_user(caller, user, peer).await?;
        if self.store.blocks().between(user, &[peer]).await?.is_some() {
            let found = conversations.direct(user, peer).await?;
            return Ok(Opened { conversation: found.ok_or(Error::Blocked)?, is_new: false });
        }
        let new = ConversationId::new();
        let conversation = conversations.open_direct(new, user, peer, DateTime::now()).await?;
        let is_new = conversation.id == new;
        if is_new {
            self.outbox.announce(new.0);
            self.close_if_blocked(user, peer).await?;
        }
        let conversation = self.show_again(user, conversation).await?;
        Ok(Opened { conversation, is_new })
    }

    /// Returns the direct conversation of two users.
    pub(crate) async fn find_direct(
        &self,
        user: UserId,
        peer: UserId,
    ) -> Result<Option<Conversation>, Error> {
        self.store.conversations().direct(user, peer).await
    }

    /// Returns the id of a user who exists and is not `user`.
    pub(crate) async fn known_user(
        &self,
        caller: &Caller,
        user: UserId,
        peer: Peer,
    ) -> Result<UserId, Error> {
        let mut users = self.users.clone();
        let found = match peer {
            Peer::Id(id) if id == user => return Err(Error::OwnConversation),
            Peer::Id(id) => {
                let user_id = id.to_string();
                let request = caller.for_service(crate::NAME).request(GetUserRequest { user_id });
                let answer = users.get_user(request).await.map_err(Error::User)?;
                answer.into_inner().user
            }
            Peer::Contact(contact) => {
                let request = caller.request(FindUserRequest { contact });
                let answer = users.find_user(request).await.map_err(Error::User)?;
                answer.into_inner().user
            }
        };
        let found = found.and_then(|found| found.id.parse().ok());
        let found = found.ok_or(Error::NoUserInAnswer)?;
        if found == user {
            return Err(Error::OwnConversation);
        }
        Ok(found)
    }
}
