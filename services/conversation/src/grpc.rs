//! The gRPC surface of the conversation service: open the caller, parse, call the use case, wrap.

use chat_kit::caller::Caller;
use chat_proto::v1::{
    CreateGroupRequest, CreateGroupResponse, FindDirectConversationRequest,
    FindDirectConversationResponse, GetAudienceRequest, GetAudienceResponse,
    ListConversationsRequest, ListConversationsResponse, OpenDirectConversationRequest,
    OpenDirectConversationResponse, RecordActivitiesRequest, RecordActivitiesResponse,
    RecordActivityRequest, RecordActivityResponse,
    conversation_service_server::ConversationService,
};
use tonic::{Request, Response, Status};

use crate::{Service, convert};

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
        let new = convert::new_group(&request.into_inner())?;
        let group = self.create_group(&caller, user, new).await?;
        Ok(Response::new(convert::group(group, user)))
    }

    async fn find_direct_conversation(
        &self,
        request: Request<FindDirectConversationRequest>,
    ) -> Result<Response<FindDirectConversationResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let peer = convert::user_id("user_id", &request.into_inner().user_id)?;
        let id = self.find_direct(user, peer).await?;
        let conversation_id = id.map(|id| id.to_string());
        Ok(Response::new(FindDirectConversationResponse { conversation_id }))
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

    async fn get_audience(
        &self,
        request: Request<GetAudienceRequest>,
    ) -> Result<Response<GetAudienceResponse>, Status> {
        let caller = Caller::open(&request)?;
        let (id, act) = convert::act(&request.into_inner())?;
        let audience = self.audience(&caller.actor, id, act).await?;
        Ok(Response::new(audience.into()))
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
}
