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

#[async_trait]
impl ConversationService for SlowList {
    async fn open_direct_conversation(
        &self,
        request: Request<pb::OpenDirectConversationRequest>,
    ) -> Result<Response<pb::OpenDirectConversationResponse>, Status> {
        self.real.clone().open_direct_conversation(request).await
    }

    async fn create_group(
        &self,
        request: Request<pb::CreateGroupRequest>,
    ) -> Result<Response<pb::CreateGroupResponse>, Status> {
        self.real.clone().create_group(request).await
    }

    async fn find_direct_conversation(
        &self,
        request: Request<pb::FindDirectConversationRequest>,
    ) -> Result<Response<pb::FindDirectConversationResponse>, Status> {
        self.real.clone().find_direct_conversation(request).await
    }

    async fn list_conversations(
        &self,
        request: Request<pb::ListConversationsRequest>,
    ) -> Result<Response<pb::ListConversationsResponse>, Status> {
        self.real.clone().list_conversations(request).await
    }

    async fn get_audience(
        &self,
        request: Request<pb::GetAudienceRequest>,
    ) -> Result<Response<pb::GetAudienceResponse>, Status> {
        self.real.clone().get_audience(request).await
    }

    async fn record_activity(
        &self,
        request: Request<pb::RecordActivityRequest>,
    ) -> Result<Response<pb::RecordActivityResponse>, Status> {
        self.real.clone().record_activity(request).await
    }

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
