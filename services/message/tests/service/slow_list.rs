//! A conversation service that shows messages in its list late, and does everything else as the real one
//! behind it does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_kit::{
    client::{Channel, channel},
    config::Upstream,
};
use chat_proto::v1::{
    self as pb, conversation_service_client::ConversationServiceClient,
    conversation_service_server::ConversationService,
};
use tonic::{Request, Response, Status, async_trait};

/// How long a preview takes: longer than an answer waits for it.
const DELAY: Duration = Duration::from_millis(400);

/// The way to the real service.
pub struct SlowList {
    real: ConversationServiceClient<Channel>,
    /// Previews that were handed on; those of calls that were given up are not.
    handed_on: Arc<AtomicUsize>,
}

impl SlowList {
    /// Stands in front of the service at an address.
    pub fn new(real: &Upstream, handed_on: Arc<AtomicUsize>) -> Self {
        Self { real: ConversationServiceClient::new(channel(real)), handed_on }
    }
}

/// Implements the service: everything but the previews goes to the real one as it is.
macro_rules! handing_on {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        #[async_trait]
        impl ConversationService for SlowList {
            $(
                async fn $name(
                    &self,
                    request: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    self.real.clone().$name(request).await
                }
            )*

            async fn record_activities(
                &self,
                request: Request<pb::RecordActivitiesRequest>,
            ) -> Result<Response<pb::RecordActivitiesResponse>, Status> {
                let count = request.get_ref().activities.len();
                tokio::time::sleep(DELAY).await;
                self.handed_on.fetch_add(count, Ordering::Relaxed);
                self.real.clone().record_activities(request).await
            }
        }
    };
}

handing_on! {
    open_direct_conversation(OpenDirectConversationRequest) -> OpenDirectConversationResponse;
    create_group(CreateGroupRequest) -> CreateGroupResponse;
    find_direct_conversation(FindDirectConversationRequest) -> FindDirectConversationResponse;
    list_conversations(ListConversationsRequest) -> ListConversationsResponse;
    get_conversation(GetConversationRequest) -> GetConversationResponse;
    clear_conversation(ClearConversationRequest) -> ClearConversationResponse;
    set_mark(SetMarkRequest) -> SetMarkResponse;
    list_memberships(ListMembershipsRequest) -> ListMembershipsResponse;
    list_changed_conversations(ListChangedConversationsRequest) -> ListChangedConversationsResponse;
    get_audience(GetAudienceRequest) -> GetAudienceResponse;
    filter_members(FilterMembersRequest) -> FilterMembersResponse;
    record_activity(RecordActivityRequest) -> RecordActivityResponse;
    replace_preview(ReplacePreviewRequest) -> ReplacePreviewResponse;
    get_group(GetGroupRequest) -> GetGroupResponse;
    list_groups(ListGroupsRequest) -> ListGroupsResponse;
    list_public_groups(ListPublicGroupsRequest) -> ListPublicGroupsResponse;
    update_group(UpdateGroupRequest) -> UpdateGroupResponse;
    add_member(AddMemberRequest) -> AddMemberResponse;
    remove_member(RemoveMemberRequest) -> RemoveMemberResponse;
    leave_group(LeaveGroupRequest) -> LeaveGroupResponse;
    promote_admin(PromoteAdminRequest) -> PromoteAdminResponse;
    demote_admin(DemoteAdminRequest) -> DemoteAdminResponse;
    get_invite(GetInviteRequest) -> GetInviteResponse;
    rotate_invite(RotateInviteRequest) -> RotateInviteResponse;
    revoke_invite(RevokeInviteRequest) -> RevokeInviteResponse;
    join_by_invite(JoinByInviteRequest) -> JoinByInviteResponse;
    join_public_group(JoinPublicGroupRequest) -> JoinPublicGroupResponse;
    filter_partners(FilterPartnersRequest) -> FilterPartnersResponse;
    request_chat(RequestChatRequest) -> RequestChatResponse;
    accept_chat(AcceptChatRequest) -> AcceptChatResponse;
    decline_chat(DeclineChatRequest) -> DeclineChatResponse;
    start_chat(StartChatRequest) -> StartChatResponse;
    list_chat_requests(ListChatRequestsRequest) -> ListChatRequestsResponse;
    list_partners(ListPartnersRequest) -> ListPartnersResponse;
    block_user(BlockUserRequest) -> BlockUserResponse;
    unblock_user(UnblockUserRequest) -> UnblockUserResponse;
    list_blocked(ListBlockedRequest) -> ListBlockedResponse;
}
