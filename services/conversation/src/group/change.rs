//! Changing a group: texts and settings, members and administrators. Each change is one guarded write;
//! the group is read only to say why one was refused.

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, UserId},
};
use chat_proto::v1::GetUserRequest;

use super::{
    GroupError,
    rules::{Verdict, explain},
};
use crate::{
    Service,
    error::Error,
    store::{
        conversations::Conversation,
        groups::{Change, Edit, Way},
    },
};

/// How often a change is tried that others came before. Each of them has changed the group, so that
/// somebody gets on.
const ATTEMPTS: usize = 8;

impl Service {
    /// Changes texts and settings. What is so already is neither changed nor told.
    pub(crate) async fn update_group(
        &self,
        user: UserId,
        id: ConversationId,
        edit: Edit,
    ) -> Result<Conversation, Error> {
        let found = self.store.groups().settled(id).await?.ok_or(GroupError::NotFound)?;
        let group = found.group.as_ref().ok_or(GroupError::NotFound)?;
        let edit = edit.beside(group);
        if edit == Edit::default() {
            explain(&found, &Change::Edit { by: user, edit }, DateTime::now())?;
            return Ok(found);
        }
        self.change(id, Change::Edit { by: user, edit }).await
    }

    /// Adds a member, who must exist and must not have blocked the one who adds him, nor been blocked by him.
    pub(crate) async fn add_member(
        &self,
        caller: &Caller,
        by: UserId,
        id: ConversationId,
        user: UserId,
    ) -> Result<Conversation, Error> {
        let request =
            caller.for_service(crate::NAME).request(GetUserRequest { user_id: user.to_string() });
        self.users.clone().get_user(request).await.map_err(Error::User)?;
        self.check_blocks(by, &[user]).await?;
        self.change(id, Change::Add { by, user, most: self.limits.members.get() }).await
    }

    /// Refuses users whom `by` does not talk to, or who do not talk to him. A block that comes later than
    /// this is one of a member.
    pub(super) async fn check_blocks(&self, by: UserId, users: &[UserId]) -> Result<(), Error> {
        match self.store.blocks().between(by, users).await? {
            Some(user) => Err(GroupError::Blocked(user).into()),
            None => Ok(()),
        }
    }

    /// Removes a member.
    pub(crate) async fn remove_member(
        &self,
        by: UserId,
        id: ConversationId,
        user: UserId,
    ) -> Result<Conversation, Error> {
        self.change(id, Change::Remove { by, user }).await
    }

    /// Removes the one who asks, who hands over what he was.
    pub(crate) async fn leave_group(&self, user: UserId, id: ConversationId) -> Result<(), Error> {
        self.change(id, Change::Leave { user }).await?;
        Ok(())
    }

    /// Makes a member an administrator.
    pub(crate) async fn promote(
        &self,
        by: UserId,
        id: ConversationId,
        user: UserId,
    ) -> Result<Conversation, Error> {
        self.change(id, Change::Promote { by, user }).await
    }

    /// Makes an administrator a plain member.
    pub(crate) async fn demote(
        &self,
        by: UserId,
        id: ConversationId,
        user: UserId,
    ) -> Result<Conversation, Error> {
        self.change(id, Change::Demote { by, user }).await
    }

    /// Makes the one who asks a member.
    pub(crate) async fn join(
        &self,
        user: UserId,
        id: ConversationId,
        way: Way,
    ) -> Result<Conversation, Error> {
        self.change(id, Change::Join { user, way, most: self.limits.members.get() }).await
    }

    /// Makes a change. One that is refused, and that nothing is in the way of any more, is made again.
    pub(crate) async fn change(
        &self,
        id: ConversationId,
        change: Change,
    ) -> Result<Conversation, Error> {
        let groups = self.store.groups();
        for _ in 0..ATTEMPTS {
            let now = DateTime::now();
            if let Some(changed) = groups.apply(id, &change, now).await? {
                self.outbox.announce(id.0);
                return Ok(changed);
            }
            let found = groups.settled(id).await?.ok_or(GroupError::NotFound)?;
            match explain(&found, &change, now)? {
                Verdict::Unchanged => return Ok(found),
                Verdict::Again => {}
            }
        }
        Err(GroupError::Contended.into())
    }
}
