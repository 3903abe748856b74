//! Announces changes of profiles to those who know their owners, from what stands in their documents.

use anyhow::Context as _;
use bson::RawDocumentBuf;
use chat_kit::{
    caller::{Caller, new_request_id},
    client::Channel,
    nats::Publisher,
    outbox::{Entry, Outbox},
    shutdown::Lifecycle,
    time::to_timestamp,
};
use chat_proto::v1::{
    self as pb, conversation_service_client::ConversationServiceClient, event::Payload,
};
use mongodb::Collection;
use serde::{Deserialize, Serialize};

use crate::store::{
    self,
    users::{COLLECTION, User},
};

/// Name under which the service asks who is to hear.
const SERVICE: &str = "user";

/// A change of a profile: whatever it was, the whole profile is announced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {}

/// Returns what announces the changes of the collection.
pub(crate) fn outbox(
    documents: Collection<RawDocumentBuf>,
    conversations: ConversationServiceClient<Channel>,
    publisher: Publisher,
    life: &Lifecycle,
) -> Outbox<Change> {
    Outbox::new(documents, life, move |document, entry| {
        let (publisher, conversations) = (publisher.clone(), conversations.clone());
        async move {
            let user: User = store::read(COLLECTION, &document)?;
            let caller = Caller::service(SERVICE, &new_request_id());
            let recipient_ids = audience(conversations, &caller, &user).await?;
            let event = event(user, &entry, recipient_ids);
            publisher.publish(&event, &caller.request_id).await.context("announcement")
        }
    })
}

/// Returns who hears of a change: the user's partners at the time of its announcement, and his own other
/// devices.
async fn audience(
    mut conversations: ConversationServiceClient<Channel>,
    caller: &Caller,
    user: &User,
) -> anyhow::Result<Vec<String>> {
    let id = user.id.to_string();
    let request = pb::ListPartnersRequest { user_id: Some(id.clone()), limit: 0 };
    let partners =
        conversations.list_partners(caller.request(request)).await.context("audience")?;
    let mut recipient_ids = partners.into_inner().user_ids;
    recipient_ids.push(id);
    Ok(recipient_ids)
}

fn event(user: User, entry: &Entry<Change>, recipient_ids: Vec<String>) -> pb::Event {
    pb::Event {
        id: format!("{}:changed:{}", user.id, entry.id),
        occurred_at: Some(to_timestamp(entry.at)),
        recipient_ids,
        payload: Some(Payload::ProfileUpdated(pb::ProfileUpdated { user: Some(user.into()) })),
    }
}
