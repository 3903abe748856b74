//! A group with a name, and what is asked of it at one replica.

use chat_kit::{
    client::Channel,
    id::{ConversationId, UserId},
};
use chat_proto::v1::{
    Act, AddMemberRequest, Conversation, CreateGroupRequest, DemoteAdminRequest,
    GetAudienceRequest, GetGroupRequest, GetInviteRequest, Invite, JoinByInviteRequest,
    JoinPublicGroupRequest, LeaveGroupRequest, PromoteAdminRequest, RemoveMemberRequest,
    RevokeInviteRequest, RotateInviteRequest, UpdateGroupRequest,
    conversation_service_client::ConversationServiceClient,
};
use tonic::Status;

use crate::support::{Suite, as_user};

/// A group, asked of at one replica.
#[derive(Clone)]
pub struct Club {
    pub id: String,
    client: ConversationServiceClient<Channel>,
}

impl Suite {
    /// Makes a group with a name.
    pub async fn club(&self, maker: UserId, name: &str, others: &[UserId]) -> Club {
        let request = CreateGroupRequest {
            conversation_id: ConversationId::new().to_string(),
            member_ids: others.iter().map(UserId::to_string).collect(),
            name: Some(name.to_owned()),
            ..Default::default()
        };
        let mut client = self.conversations.clone();
        let made = client.create_group(as_user(maker, request)).await.expect("a group");
        Club { id: made.into_inner().conversation.expect("a group").id, client }
    }
}

fn group(conversation: Option<Conversation>) -> Conversation {
    conversation.expect("a conversation")
}

impl Club {
    /// The same group at another replica.
    pub fn at(&self, client: ConversationServiceClient<Channel>) -> Self {
        Self { id: self.id.clone(), client }
    }

    fn ids(&self, user: UserId) -> (String, String) {
        (self.id.clone(), user.to_string())
    }

    pub async fn get(&self, by: UserId) -> Result<Conversation, Status> {
        let request = GetGroupRequest { conversation_id: self.id.clone() };
        let found = self.client.clone().get_group(as_user(by, request)).await?;
        Ok(group(found.into_inner().conversation))
    }

    pub async fn add(&self, by: UserId, user: UserId) -> Result<Conversation, Status> {
        let (conversation_id, user_id) = self.ids(user);
        let request = AddMemberRequest { conversation_id, user_id };
        let changed = self.client.clone().add_member(as_user(by, request)).await?;
        Ok(group(changed.into_inner().conversation))
    }

    pub async fn remove(&self, by: UserId, user: UserId) -> Result<Conversation, Status> {
        let (conversation_id, user_id) = self.ids(user);
        let request = RemoveMemberRequest { conversation_id, user_id };
        let changed = self.client.clone().remove_member(as_user(by, request)).await?;
        Ok(group(changed.into_inner().conversation))
    }

    pub async fn promote(&self, by: UserId, user: UserId) -> Result<Conversation, Status> {
        let (conversation_id, user_id) = self.ids(user);
        let request = PromoteAdminRequest { conversation_id, user_id };
        let changed = self.client.clone().promote_admin(as_user(by, request)).await?;
        Ok(group(changed.into_inner().conversation))
    }

    pub async fn demote(&self, by: UserId, user: UserId) -> Result<Conversation, Status> {
        let (conversation_id, user_id) = self.ids(user);
        let request = DemoteAdminRequest { conversation_id, user_id };
        let changed = self.client.clone().demote_admin(as_user(by, request)).await?;
        Ok(group(changed.into_inner().conversation))
    }

    pub async fn leave(&self, user: UserId) -> Result<(), Status> {
        let request = LeaveGroupRequest { conversation_id: self.id.clone() };
        self.client.clone().leave_group(as_user(user, request)).await?;
        Ok(())
    }

    pub async fn update(
        &self,
        by: UserId,
        change: impl FnOnce(&mut UpdateGroupRequest),
    ) -> Result<Conversation, Status> {
        let conversation_id = self.id.clone();
        let mut request = UpdateGroupRequest { conversation_id, ..Default::default() };
        change(&mut request);
        let changed = self.client.clone().update_group(as_user(by, request)).await?;
        Ok(group(changed.into_inner().conversation))
    }

    pub async fn invite(&self, by: UserId) -> Result<Invite, Status> {
        let request = GetInviteRequest { conversation_id: self.id.clone() };
        let found = self.client.clone().get_invite(as_user(by, request)).await?;
        Ok(found.into_inner().invite.expect("a link"))
    }

    pub async fn rotate(
        &self,
        by: UserId,
        change: impl FnOnce(&mut RotateInviteRequest),
    ) -> Result<Invite, Status> {
        let conversation_id = self.id.clone();
        let mut request = RotateInviteRequest { conversation_id, ..Default::default() };
        change(&mut request);
        let made = self.client.clone().rotate_invite(as_user(by, request)).await?;
        Ok(made.into_inner().invite.expect("a link"))
    }

    pub async fn revoke(&self, by: UserId) -> Result<(), Status> {
        let request = RevokeInviteRequest { conversation_id: self.id.clone() };
        self.client.clone().revoke_invite(as_user(by, request)).await?;
        Ok(())
    }

    /// Joins by a link, which may be of any group.
    pub async fn join(&self, user: UserId, link: &str) -> Result<Conversation, Status> {
        let request = JoinByInviteRequest { link: link.to_owned() };
        let joined = self.client.clone().join_by_invite(as_user(user, request)).await?;
        Ok(group(joined.into_inner().conversation))
    }

    pub async fn join_public(&self, user: UserId) -> Result<Conversation, Status> {
        let request = JoinPublicGroupRequest { conversation_id: self.id.clone() };
        let joined = self.client.clone().join_public_group(as_user(user, request)).await?;
        Ok(group(joined.into_inner().conversation))
    }

    /// Asks whether a user may do something here.
    pub async fn may(&self, user: UserId, act: Act) -> Result<Vec<String>, Status> {
        let request = GetAudienceRequest { conversation_id: self.id.clone(), act: act.into() };
        let audience = self.client.clone().get_audience(as_user(user, request)).await?;
        Ok(audience.into_inner().member_ids)
    }
}

/// Returns the administrators of a group, the main one first.
pub fn admins(group: &Conversation) -> (String, Vec<String>) {
    let group = group.group.as_ref().expect("a group");
    (group.admin_id.clone(), group.admin_ids.clone())
}

/// Returns the ids as texts.
pub fn texts<const N: usize>(users: [UserId; N]) -> Vec<String> {
    users.iter().map(UserId::to_string).collect()
}
