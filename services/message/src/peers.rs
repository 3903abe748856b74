//! What the message service asks of the conversation service.

use chat_kit::{caller::Caller, id::ConversationId};
use chat_proto::v1::{self as pb, open_direct_conversation_request::Peer};

use crate::{Service, convert, error::Error, store::messages::Message};

impl Service {
    /// Returns who hears of an act in a conversation, if the caller may do it.
    pub(crate) async fn get_audience(
        &self,
        caller: &Caller,
        conversation_id: ConversationId,
        act: pb::Act,
    ) -> Result<pb::GetAudienceResponse, Error> {
        let request = caller.request(pb::GetAudienceRequest {
            conversation_id: conversation_id.to_string(),
            act: act.into(),
        });
        let answer = self.conversation.clone().get_audience(request).await;
        Ok(answer.map_err(Error::Upstream)?.into_inner())
    }

    /// Finds or makes the caller's direct conversation with somebody.
    pub(crate) async fn open_direct(
        &self,
        caller: &Caller,
        peer: Peer,
    ) -> Result<ConversationId, Error> {
        let request = caller.request(pb::OpenDirectConversationRequest { peer: Some(peer) });
        let answer = self.conversation.clone().open_direct_conversation(request).await;
        let opened = answer.map_err(Error::Upstream)?.into_inner();
        convert::conversation_id(&opened.conversation.unwrap_or_default().id)
    }

    /// Finds the caller's direct conversation with somebody.
    pub(crate) async fn find_direct(
        &self,
        caller: &Caller,
        user_id: String,
    ) -> Result<Option<ConversationId>, Error> {
        let request = caller.request(pb::FindDirectConversationRequest { user_id });
        let answer = self.conversation.clone().find_direct_conversation(request).await;
        let found = answer.map_err(Error::Upstream)?.into_inner();
        found.conversation_id.map(|id| convert::conversation_id(&id)).transpose()
    }

    /// Returns those of some users who are members of the conversations beside which they stand.
    pub(crate) async fn filter_members(
        &self,
        caller: &Caller,
        conversations: Vec<pb::ConversationUsers>,
    ) -> Result<Vec<pb::ConversationUsers>, Error> {
        let service = Caller::service("message", &caller.request_id);
        let request = service.request(pb::FilterMembersRequest { conversations });
        let answer = self.conversation.clone().filter_members(request).await;
        Ok(answer.map_err(Error::Upstream)?.into_inner().conversations)
    }

    /// Returns the caller's newest conversations.
    pub(crate) async fn memberships(&self, caller: &Caller) -> Result<Vec<pb::Membership>, Error> {
        self.memberships_in(caller, &[]).await
    }

    /// Returns those of some conversations that the caller is a member of; of none named, the newest.
    pub(crate) async fn memberships_in(
        &self,
        caller: &Caller,
        ids: &[ConversationId],
    ) -> Result<Vec<pb::Membership>, Error> {
        let conversation_ids = ids.iter().map(ToString::to_string).collect();
        let request = caller.request(pb::ListMembershipsRequest { conversation_ids });
        let answer = self.conversation.clone().list_memberships(request).await;
        Ok(answer.map_err(Error::Upstream)?.into_inner().memberships)
    }

    /// Shows a message in the conversation's list.
    pub(crate) async fn record_activity(&self, message: &Message) -> Result<(), Error> {
        let activity = pb::RecordActivityRequest {
            conversation_id: message.conversation_id.to_string(),
            preview: Some(convert::preview(message)),
        };
        self.previews.submit(activity).await?.map_err(Error::Upstream)
    }
}
