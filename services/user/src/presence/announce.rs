//! Announces that somebody came online or went offline to those partners who see it, and to those who see it
//! differently from now on, how they do.

use std::{collections::HashSet, sync::Arc};

use anyhow::Context as _;
use chat_kit::{
    caller::{Caller, new_request_id},
    client::Channel,
    id::UserId,
    nats::Publisher,
    outbox::{Entry, Outbox},
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

/// Viewers of whom the conversation service is asked at once.
const MOST_VIEWERS: usize = 5000;

/// Announces transitions of presences.
#[derive(Clone)]
struct Announcer {
    store: Store,
    conversations: ConversationServiceClient<Channel>,
    publisher: Publisher,
}

/// Returns what announces the transitions of presences.
pub(crate) fn outbox(
    store: &Store,
    conversations: ConversationServiceClient<Channel>,
    publisher: Publisher,
    life: &Lifecycle,
) -> Outbox<Transition> {
    let documents = store.presences().documents();
    let places = Arc::new(Semaphore::new(MOST_AT_ONCE));
    let announcer = Announcer { store: store.clone(), conversations, publisher };
    Outbox::new(documents, life, move |document, entry: Entry<Transition>| {
        let (announcer, places) = (announcer.clone(), Arc::clone(&places));
        async move {
            let _place = places.acquire().await?;
            let presence: Presence = store::read(COLLECTION, &document)?;
            // Of who has no profile, nobody knows.
            let user = announcer.store.users().by_id(presence.user_id).await?;
            let Some(user) = user else { return Ok(()) };
            let caller = Caller::service(SERVICE, &new_request_id());
            if entry.change.viewers.is_empty() {
                announcer.tell_all(&caller, &user, &entry).await
            } else {
                announcer.tell_viewers(&caller, &user, &entry).await
            }
        }
    })
}

impl Announcer {
    async fn tell_all(
        &self,
        caller: &Caller,
        user: &User,
        entry: &Entry<Transition>,
    ) -> anyhow::Result<()> {
        let Some(payload) = told(user, &entry.change) else { return Ok(()) };
        let recipient_ids = audience(self.conversations.clone(), caller, user.id).await?;
        self.publish(caller, entry, "", payload, recipient_ids).await
    }

    /// Tells some who alone see it differently from now on how they do: as it is when they are told,
    /// whatever made it so.
    async fn tell_viewers(
        &self,
        caller: &Caller,
        user: &User,
        entry: &Entry<Transition>,
    ) -> anyhow::Result<()> {
        // They never saw it.
        if user.last_seen_privacy == Privacy::Nobody {
            return Ok(());
        }
        for (part, viewers) in entry.change.viewers.chunks(MOST_VIEWERS).enumerate() {
            let request = pb::FilterPartnersRequest {
                user_id: Some(user.id.to_string()),
                user_ids: viewers.iter().map(ToString::to_string).collect(),
            };
            let known = self.conversations.clone().filter_partners(caller.request(request)).await;
            let pb::FilterPartnersResponse { mut user_ids, blocked_user_ids } =
                known.context("viewers")?.into_inner();
            let blocked: HashSet<&String> = blocked_user_ids.iter().collect();
            user_ids.retain(|id| !blocked.contains(id));
            let (seen, hidden) = (shown(user, &entry.change), concealed(user, &entry.change));
            self.publish(caller, entry, &format!(":shown:{part}"), seen, user_ids).await?;
            let kind = format!(":hidden:{part}");
            self.publish(caller, entry, &kind, hidden, blocked_user_ids).await?;
        }
        Ok(())
    }

    async fn publish(
        &self,
        caller: &Caller,
        entry: &Entry<Transition>,
        kind: &str,
        payload: pb::PresenceChanged,
        recipient_ids: Vec<String>,
    ) -> anyhow::Result<()> {
        if recipient_ids.is_empty() {
            return Ok(());
        }
        let event = pb::Event {
            id: format!("{}:presence:{}{kind}", payload.user_id, entry.change.number),
            occurred_at: Some(to_timestamp(entry.at)),
            recipient_ids,
            payload: Some(Payload::PresenceChanged(payload)),
        };
        self.publisher.publish(&event, &caller.request_id).await.context("announcement")
    }
}

/// Returns what partners are told of a transition, if anything.
fn told(user: &User, transition: &Transition) -> Option<pb::PresenceChanged> {
    if user.last_seen_privacy != Privacy::Nobody {
        return Some(shown(user, transition));
    }
    transition.is_restated.then(|| concealed(user, transition))
}

fn shown(user: &User, transition: &Transition) -> pb::PresenceChanged {
    pb::PresenceChanged {
        user_id: user.id.to_string(),
        is_online: transition.is_online,
        at: Some(to_timestamp(transition.at)),
        number: transition.number,
        is_personal: !transition.viewers.is_empty(),
        is_hidden: false,
    }
}

/// Returns what is seen of somebody who hides: what is seen of who was never there.
fn concealed(user: &User, transition: &Transition) -> pb::PresenceChanged {
    let at = Some(to_timestamp(user.created_at));
    let is_hidden = !transition.viewers.is_empty();
    pb::PresenceChanged { is_online: false, at, is_hidden, ..shown(user, transition) }
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
