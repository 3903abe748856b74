//! Clients that come back, and ask what they have missed.

use chat_proto::v1 as pb;
use serde_json::Value;

use super::queue::Job;
use crate::{error::ApiError, http::conversations, wire::message};

/// Answers what a client has missed, and what has changed of its user's conversations.
pub async fn on_sync(job: Job<pb::ListChangesRequest>) {
    match missed(&job).await {
        Ok(fields) => job.accept(fields),
        Err(error) => job.refuse(&error),
    }
}

async fn missed(job: &Job<pb::ListChangesRequest>) -> Result<Value, ApiError> {
    let (state, caller) = (&job.state, &job.caller);
    let mut messages = state.clients.message.clone();
    let missed = messages.list_changes(caller.request(job.request.clone()));
    let changed = async {
        if job.request.since.is_none() {
            // Who knows nothing yet reads the list.
            return Ok(pb::ListChangedConversationsResponse::default());
        }
        let request = pb::ListChangedConversationsRequest { since: job.request.since, limit: 0 };
        let mut client = state.clients.conversation.clone();
        let answer = client.list_changed_conversations(caller.request(request)).await?;
        Ok(answer.into_inner())
    };
    let (missed, mut changed) = tokio::try_join!(missed, changed)?;
    message::shorten(&mut changed);
    let mut states = conversations::states(state, caller, &changed.conversations).await?;
    states.settle(&mut changed.conversations);
    let caller = job.peer.identity().user_id;
    Ok(message::missed(caller, missed.get_ref(), &changed, &states))
}
