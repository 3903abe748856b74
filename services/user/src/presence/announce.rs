//! Announces that somebody came online or went offline to those partners who see it.

use std::{collections::HashSet, sync::Arc};

use anyhow::Context as _;
use chat_kit::{
    caller::{Caller, new_request_id},
    client::Channel,
    id::UserId,
    nats::Publisher,
    outbox::Outbox,
    shutdown::Lifecycle,
    time::to_timestamp,
};
use chat_proto::v1::{
    self as pb, conversation_service_client::ConversationServiceClient, event::Payload,
};
use tokio::sync::Semaphore;

use crate::{
    announce::SERVICE,
    store::{
        self, Store,
        presences::{COLLECTION, Presence, Transition},
        users::User,
    },
    visibility::Privacy,
};

/// Announcements under way at once: many people come when a gateway is started again.
const MOST_AT_ONCE: usize = 32;

/// Returns what announces the transitions of presences.
pub(crate) fn outbox(
    store: &Store,
    conversations: ConversationServiceClient<Channel>,
    publisher: Publisher,
    life: &Lifecycle,
) -> Outbox<Transition> {
    let documents = store.presences().documents();
    let (store, places) = (store.clone(), Arc::new(Semaphore::new(MOST_AT_ONCE)));
    Outbox::new(documents, life, move |document, entry| {
        let (store, publisher, conversations) =
            (store.clone(), publisher.clone(), conversations.clone());
        let places = Arc::clone(&places);
        async move {
            let _place = places.acquire().await?;
            let presence: Presence = store::read(COLLECTION, &document)?;
            // Of who has no profile, nobody knows.
            let Some(user) = store.users().by_id(presence.user_id).await? else { return Ok(()) };
            let Some(payload) = told(&user, &entry.change) else { return Ok(()) };
            let caller = Caller::service(SERVICE, &new_request_id());
            let recipient_ids = audience(conversations, &caller, user.id).await?;
            if recipient_ids.is_empty() {
                return Ok(());
            }
            let event = pb::Event {
                id: format!("{}:presence:{}", user.id, entry.change.number),
                occurred_at: Some(to_timestamp(entry.at)),
                recipient_ids,
                payload: Some(Payload::PresenceChanged(payload)),
            };
            publisher.publish(&event, &caller.request_id).await.context("announcement")
        }
    })
}

/// Returns what partners are told of a transition, if anything.
fn told(user: &User, transition: &Transition) -> Option<pb::PresenceChanged> {
    let is_hidden = user.last_seen_privacy == Privacy::Nobody;
    if is_hidden && !transition.is_restated {
        return None;
    }
    let at = if is_hidden { user.created_at } else { transition.at };
    Some(pb::PresenceChanged {
        user_id: user.id.to_string(),
        is_online: transition.is_online && !is_hidden,
        at: Some(to_timestamp(at)),
        number: transition.number,
    })
}

/// Returns the partners of a user but those between whom and him a block stands.
async fn audience(
    mut conversations: ConversationServiceClient<Channel>,
    caller: &Caller,
    user: UserId,
) -> anyhow::Result<Vec<String>> {
    let request = pb::ListPartnersRequest { user_id: Some(user.to_string()), limit: 0 };
    let partners =
        conversations.list_partners(caller.request(request)).await.context("audience")?;
    let pb::ListPartnersResponse { mut user_ids, blocked_user_ids } = partners.into_inner();
    let blocked: HashSet<String> = blocked_user_ids.into_iter().collect();
    user_ids.retain(|id| !blocked.contains(id));
    Ok(user_ids)
}
