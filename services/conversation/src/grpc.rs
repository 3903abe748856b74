//! The gRPC surface of the conversation service: open the caller, parse, call the use case, wrap.

use bson::DateTime;
use chat_kit::caller::Caller;
use chat_proto::v1::{
    self as pb, CreateGroupRequest, CreateGroupResponse, FindDirectConversationRequest,
    FindDirectConversationResponse, GetAudienceRequest, GetAudienceResponse,
    ListConversationsRequest, ListConversationsResponse, OpenDirectConversationRequest,
    OpenDirectConversationResponse, RecordActivitiesRequest, RecordActivitiesResponse,
    RecordActivityRequest, RecordActivityResponse, ReplacePreviewRequest, ReplacePreviewResponse,
    conversation_service_server::ConversationService,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    convert::{self, group as groups, marks, request as requests},
    store::groups::Way,
};

#[tonic::async_trait]
impl ConversationService for Service {
    async fn open_direct_conversation(
        &self,
        request: Request<OpenDirectConversationRequest>,
    ) -> Result<Response<OpenDirectConversationResponse>, Status> {
        let caller = Caller::open(&request)?;
        let user = caller.user_id()?;
        let peer = convert::peer(request.into_inner())?;
        let opened = self.open_direct(&caller, user, peer).await?;
        Ok(Response::new(convert::opened(opened, user)))
    }

    async fn create_group(
        &self,
        request: Request<CreateGroupRequest>,
    ) -> Result<Response<CreateGroupResponse>, Status> {
        let caller = Caller::open(&request)?;
        let user = caller.user_id()?;
        let new = groups::new_group(request.into_inner(), &self.limits)?;
        let group = self.create_group(&caller, user, new).await?;
        let conversation = Some(groups::group(group, user, &self.links));
        Ok(Response::new(CreateGroupResponse { conversation }))
    }

    async fn find_direct_conversation(
        &self,
        request: Request<FindDirectConversationRequest>,
    ) -> Result<Response<FindDirectConversationResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let peer = convert::user_id("user_id", &request.into_inner().user_id)?;
        let found = self.find_direct(user, peer).await?;
        Ok(Response::new(found.map(Into::into).unwrap_or_default()))
    }

    async fn request_chat(
        &self,
        request: Request<pb::RequestChatRequest>,
    ) -> Result<Response<pb::RequestChatResponse>, Status> {
        let caller = Caller::open(&request)?;
        let user = caller.user_id()?;
        let peer = requests::requested(request.into_inner())?;
        let found = self.request_chat(&caller, user, peer).await?;
        let conversation = Some(convert::conversation(found, user));
        Ok(Response::new(pb::RequestChatResponse { conversation }))
    }

    async fn accept_chat(
        &self,
        request: Request<pb::AcceptChatRequest>,
    ) -> Result<Response<pb::AcceptChatResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let id = convert::conversation_id(&request.into_inner().conversation_id)?;
        let conversation = Some(convert::conversation(self.accept_chat(user, id).await?, user));
        Ok(Response::new(pb::AcceptChatResponse { conversation }))
    }

    async fn decline_chat(
        &self,
        request: Request<pb::DeclineChatRequest>,
    ) -> Result<Response<pb::DeclineChatResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let id = convert::conversation_id(&request.into_inner().conversation_id)?;
        let conversation = Some(convert::conversation(self.decline_chat(user, id).await?, user));
        Ok(Response::new(pb::DeclineChatResponse { conversation }))
    }

    async fn start_chat(
        &self,
        request: Request<pb::StartChatRequest>,
    ) -> Result<Response<pb::StartChatResponse>, Status> {
        let caller = Caller::open(&request)?;
        let user = caller.user_id()?;
        let peer = requests::started(request.into_inner())?;
        let found = self.start_chat(&caller, user, peer).await?;
        let conversation = Some(convert::conversation(found, user));
        Ok(Response::new(pb::StartChatResponse { conversation }))
    }

    async fn list_chat_requests(
        &self,
        request: Request<pb::ListChatRequestsRequest>,
    ) -> Result<Response<pb::ListChatRequestsResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let wanted = requests::page(request.into_inner(), &self.limits)?;
        let listed = self.list_requests(user, &wanted).await?;
        Ok(Response::new(requests::listed(listed, user)))
    }

    async fn list_conversations(
        &self,
        request: Request<ListConversationsRequest>,
    ) -> Result<Response<ListConversationsResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let wanted = convert::page(request.into_inner(), &self.limits)?;
        let page = self.list(user, &wanted).await?;
        Ok(Response::new(convert::listed(page, user)))
    }

    async fn get_conversation(
        &self,
        request: Request<pb::GetConversationRequest>,
    ) -> Result<Response<pb::GetConversationResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let id = convert::one(&request.into_inner().conversation_id)?;
        Ok(Response::new(convert::found(self.get(user, id).await?, user)))
    }

    async fn clear_conversation(
        &self,
        request: Request<pb::ClearConversationRequest>,
    ) -> Result<Response<pb::ClearConversationResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let id = convert::one(&request.into_inner().conversation_id)?;
        let hidden_count = self.clear(user, id).await?;
        Ok(Response::new(pb::ClearConversationResponse { hidden_count }))
    }

    async fn set_mark(
        &self,
        request: Request<pb::SetMarkRequest>,
    ) -> Result<Response<pb::SetMarkResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let (id, wanted) = marks::wanted(request.get_ref())?;
        let marked = self.set_mark(user, id, wanted, DateTime::now()).await?;
        let marks = convert::conversation(marked, user).marks;
        Ok(Response::new(pb::SetMarkResponse { marks }))
    }

    async fn list_memberships(
        &self,
        request: Request<pb::ListMembershipsRequest>,
    ) -> Result<Response<pb::ListMembershipsResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let among = convert::conversations(&request.into_inner().conversation_ids)?;
        Ok(Response::new(convert::memberships(self.memberships(user, among).await?)))
    }

    async fn list_changed_conversations(
        &self,
        request: Request<pb::ListChangedConversationsRequest>,
    ) -> Result<Response<pb::ListChangedConversationsResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let request = request.into_inner();
        let since = convert::since(&request)?;
        let changed = self.list_changed(user, since, request.limit).await?;
        Ok(Response::new(convert::changed(changed, user)))
    }

    async fn get_audience(
        &self,
        request: Request<GetAudienceRequest>,
    ) -> Result<Response<GetAudienceResponse>, Status> {
        let caller = Caller::open(&request)?;
        let (id, act) = convert::act(&request.into_inner())?;
        let audience = self.audience(&caller.actor, id, act).await?;
        Ok(Response::new(convert::audience(&audience, &caller.actor)))
    }

    async fn filter_members(
        &self,
        request: Request<pb::FilterMembersRequest>,
    ) -> Result<Response<pb::FilterMembersResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let asked = convert::conversation_users(request.into_inner())?;
        let members = self.filter_members(asked).await?;
        Ok(Response::new(convert::members(members)))
    }

    async fn record_activity(
        &self,
        request: Request<RecordActivityRequest>,
    ) -> Result<Response<RecordActivityResponse>, Status> {
        let caller = Caller::open(&request)?;
        let (id, preview) = convert::activity(request.into_inner(), &self.limits)?;
        self.record(&caller.actor, id, preview).await?;
        Ok(Response::new(RecordActivityResponse {}))
    }

    async fn record_activities(
        &self,
        request: Request<RecordActivitiesRequest>,
    ) -> Result<Response<RecordActivitiesResponse>, Status> {
        let caller = Caller::open(&request)?;
        caller.require_service()?;
        let activities = convert::activities(request.into_inner(), &self.limits)?;
        let outcomes = self.record_all(&caller.actor, activities).await;
        Ok(Response::new(convert::recorded(outcomes)))
    }

    async fn block_user(
        &self,
        request: Request<pb::BlockUserRequest>,
    ) -> Result<Response<pb::BlockUserResponse>, Status> {
        let caller = Caller::open(&request)?;
        let user = caller.user_id()?;
        let blocked = convert::user_id("user_id", &request.into_inner().user_id)?;
        self.block(&caller, user, blocked).await?;
        Ok(Response::new(pb::BlockUserResponse {}))
    }

    async fn unblock_user(
        &self,
        request: Request<pb::UnblockUserRequest>,
    ) -> Result<Response<pb::UnblockUserResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let blocked = convert::user_id("user_id", &request.into_inner().user_id)?;
        self.unblock(user, blocked).await?;
        Ok(Response::new(pb::UnblockUserResponse {}))
    }

    async fn list_blocked(
        &self,
        request: Request<pb::ListBlockedRequest>,
    ) -> Result<Response<pb::ListBlockedResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let (after, limit) = convert::blocked_page(request.into_inner(), &self.limits)?;
        let listed = self.list_blocked(user, after, limit).await?;
        Ok(Response::new(convert::blocked(&listed)))
    }

    async fn get_group(
        &self,
        request: Request<pb::GetGroupRequest>,
    ) -> Result<Response<pb::GetGroupResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let id = groups::group_id(&request.into_inner().conversation_id)?;
        let found = self.get_group(user, id).await?;
        let conversation = Some(groups::group(found, user, &self.links));
        Ok(Response::new(pb::GetGroupResponse { conversation }))
    }

    async fn list_groups(
        &self,
        request: Request<pb::ListGroupsRequest>,
    ) -> Result<Response<pb::ListGroupsResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let wanted = groups::own_groups(request.get_ref(), &self.limits)?;
        let listed = self.list_groups(user, &wanted).await?;
        Ok(Response::new(groups::own_listed(listed, user, &self.links)))
    }

    async fn list_public_groups(
        &self,
        request: Request<pb::ListPublicGroupsRequest>,
    ) -> Result<Response<pb::ListPublicGroupsResponse>, Status> {
        Caller::open(&request)?.user_id()?;
        let wanted = groups::public_groups(request.into_inner(), &self.limits)?;
        Ok(Response::new(groups::public_listed(self.list_public(wanted).await?)))
    }

    async fn update_group(
        &self,
        request: Request<pb::UpdateGroupRequest>,
    ) -> Result<Response<pb::UpdateGroupResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let (id, edit) = groups::edit(request.into_inner(), &self.limits)?;
        let changed = self.update_group(user, id, edit).await?;
        let conversation = Some(groups::group(changed, user, &self.links));
        Ok(Response::new(pb::UpdateGroupResponse { conversation }))
    }

    async fn add_member(
        &self,
        request: Request<pb::AddMemberRequest>,
    ) -> Result<Response<pb::AddMemberResponse>, Status> {
        let caller = Caller::open(&request)?;
        let (by, request) = (caller.user_id()?, request.into_inner());
        let (id, user) = groups::group_and_user(&request.conversation_id, &request.user_id)?;
        let changed = self.add_member(&caller, by, id, user).await?;
        let conversation = Some(groups::group(changed, by, &self.links));
        Ok(Response::new(pb::AddMemberResponse { conversation }))
    }

    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Result<Response<pb::RemoveMemberResponse>, Status> {
        let (by, request) = (Caller::open(&request)?.user_id()?, request.into_inner());
        let (id, user) = groups::group_and_user(&request.conversation_id, &request.user_id)?;
        let changed = self.remove_member(by, id, user).await?;
        let conversation = Some(groups::group(changed, by, &self.links));
        Ok(Response::new(pb::RemoveMemberResponse { conversation }))
    }

    async fn promote_admin(
        &self,
        request: Request<pb::PromoteAdminRequest>,
    ) -> Result<Response<pb::PromoteAdminResponse>, Status> {
        let (by, request) = (Caller::open(&request)?.user_id()?, request.into_inner());
        let (id, user) = groups::group_and_user(&request.conversation_id, &request.user_id)?;
        let changed = self.promote(by, id, user).await?;
        let conversation = Some(groups::group(changed, by, &self.links));
        Ok(Response::new(pb::PromoteAdminResponse { conversation }))
    }

    async fn demote_admin(
        &self,
        request: Request<pb::DemoteAdminRequest>,
    ) -> Result<Response<pb::DemoteAdminResponse>, Status> {
        let (by, request) = (Caller::open(&request)?.user_id()?, request.into_inner());
        let (id, user) = groups::group_and_user(&request.conversation_id, &request.user_id)?;
        let changed = self.demote(by, id, user).await?;
        let conversation = Some(groups::group(changed, by, &self.links));
        Ok(Response::new(pb::DemoteAdminResponse { conversation }))
    }

    async fn leave_group(
        &self,
        request: Request<pb::LeaveGroupRequest>,
    ) -> Result<Response<pb::LeaveGroupResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let id = groups::group_id(&request.into_inner().conversation_id)?;
        self.leave_group(user, id).await?;
        Ok(Response::new(pb::LeaveGroupResponse {}))
    }

    async fn get_invite(
        &self,
        request: Request<pb::GetInviteRequest>,
    ) -> Result<Response<pb::GetInviteResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let id = groups::group_id(&request.into_inner().conversation_id)?;
        let invite = Some(self.get_invite(user, id).await?.into());
        Ok(Response::new(pb::GetInviteResponse { invite }))
    }

    async fn rotate_invite(
        &self,
        request: Request<pb::RotateInviteRequest>,
    ) -> Result<Response<pb::RotateInviteResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let (id, terms) = groups::terms(request.get_ref())?;
        let invite = Some(self.rotate_invite(user, id, terms).await?.into());
        Ok(Response::new(pb::RotateInviteResponse { invite }))
    }

    async fn revoke_invite(
        &self,
        request: Request<pb::RevokeInviteRequest>,
    ) -> Result<Response<pb::RevokeInviteResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let id = groups::group_id(&request.into_inner().conversation_id)?;
        self.revoke_invite(user, id).await?;
        Ok(Response::new(pb::RevokeInviteResponse {}))
    }

    async fn join_by_invite(
        &self,
        request: Request<pb::JoinByInviteRequest>,
    ) -> Result<Response<pb::JoinByInviteResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let joined = self.join_by_invite(user, &request.into_inner().link).await?;
        let conversation = Some(groups::group(joined, user, &self.links));
        Ok(Response::new(pb::JoinByInviteResponse { conversation }))
    }

    async fn join_public_group(
        &self,
        request: Request<pb::JoinPublicGroupRequest>,
    ) -> Result<Response<pb::JoinPublicGroupResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let id = groups::group_id(&request.into_inner().conversation_id)?;
        let joined = self.join(user, id, Way::Public).await?;
        let conversation = Some(groups::group(joined, user, &self.links));
        Ok(Response::new(pb::JoinPublicGroupResponse { conversation }))
    }

    async fn replace_preview(
        &self,
        request: Request<ReplacePreviewRequest>,
    ) -> Result<Response<ReplacePreviewResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let replacement = convert::replacement(request.into_inner(), &self.limits)?;
        self.replace(replacement).await?;
        Ok(Response::new(ReplacePreviewResponse {}))
    }

    async fn filter_partners(
        &self,
        request: Request<pb::FilterPartnersRequest>,
    ) -> Result<Response<pb::FilterPartnersResponse>, Status> {
        let caller = Caller::open(&request)?;
        let asked = request.into_inner();
        let user = convert::subject(&caller.actor, asked.user_id.as_deref())?;
        let others = convert::users("user_ids", &asked.user_ids)?;
        let known = self.filter_partners(user, others).await?;
        Ok(Response::new(pb::FilterPartnersResponse {
            user_ids: convert::texts(&known.partners),
            blocked_user_ids: convert::texts(&known.blocked),
        }))
    }

    async fn list_partners(
        &self,
        request: Request<pb::ListPartnersRequest>,
    ) -> Result<Response<pb::ListPartnersResponse>, Status> {
        let caller = Caller::open(&request)?;
        let asked = request.into_inner();
        let user = convert::subject(&caller.actor, asked.user_id.as_deref())?;
        let known = self.list_partners(user, asked.limit).await?;
        Ok(Response::new(pb::ListPartnersResponse {
            user_ids: convert::texts(&known.partners),
            blocked_user_ids: convert::texts(&known.blocked),
        }))
    }
}
