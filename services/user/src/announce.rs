//! Announces changes of profiles to those who know their owners, from what stands in their documents.

use std::collections::HashSet;

use anyhow::Context as _;
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
use serde::{Deserialize, Serialize};

use crate::{
    store::{
        self, Store,
        presences::Transition,
        users::{COLLECTION, User},
    },
    visibility::{Privacy, Shown, Sight, Viewer, conceal},
};

/// Name under which the service asks who is to hear.
pub(crate) const SERVICE: &str = "user";

/// A change of a profile: whatever it was, the whole profile is announced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Whether others see the presence differently from now on, which is announced, too.
    #[serde(default)]
    pub(crate) is_of_privacy: bool,
}

/// Announces the changes of profiles.
#[derive(Clone)]
struct Announcer {
    store: Store,
    transitions: Outbox<Transition>,
    conversations: ConversationServiceClient<Channel>,
    publisher: Publisher,
}

/// Returns what announces the changes of the collection.
pub(crate) fn outbox(
    store: &Store,
    transitions: Outbox<Transition>,
    conversations: ConversationServiceClient<Channel>,
    publisher: Publisher,
    life: &Lifecycle,
) -> Outbox<Change> {
    let documents = store.users().documents();
    let announcer = Announcer { store: store.clone(), transitions, conversations, publisher };
    Outbox::new(documents, life, move |document, entry| {
        let announcer = announcer.clone();
        async move {
            let user: User = store::read(COLLECTION, &document)?;
            announcer.announce(user, &entry).await
        }
    })
}

impl Announcer {
    async fn announce(&self, user: User, entry: &Entry<Change>) -> anyhow::Result<()> {
        let id = user.id;
        let caller = Caller::service(SERVICE, &new_request_id());
        let request = pb::ListPartnersRequest { user_id: Some(id.to_string()), limit: 0 };
        let partners = self.conversations.clone().list_partners(caller.request(request)).await;
        let partners = partners.context("audience")?.into_inner();
        let presences = self.store.presences().of(&[id]).await?;
        // Partners all see the same of him; his own other devices see it as well.
        let sight = match user.last_seen_privacy {
            Privacy::Everyone | Privacy::Contacts => Sight::Of(Viewer::new(id, &[], &[])),
            Privacy::Nobody => Sight::Nothing,
        };
        let open = Shown::new(sight, presences).user(user.clone());
        let mut hidden = Shown::nothing().user(user);
        conceal(&mut hidden);
        let blocked: HashSet<&String> = partners.blocked_user_ids.iter().collect();
        let (blocked, mut others): (Vec<String>, Vec<String>) =
            partners.user_ids.iter().cloned().partition(|partner| blocked.contains(partner));
        others.push(id.to_string());
        self.publish(&caller, "changed", entry, open, others).await?;
        if !blocked.is_empty() {
            self.publish(&caller, "changed-for-blocked", entry, hidden, blocked).await?;
        }
        if entry.change.is_of_privacy {
            self.store.presences().restate(id).await?;
            self.transitions.announce(id.0);
        }
        Ok(())
    }

    async fn publish(
        &self,
        caller: &Caller,
        kind: &str,
        entry: &Entry<Change>,
        mut user: pb::User,
        recipient_ids: Vec<String>,
    ) -> anyhow::Result<()> {
        user.last_seen_privacy = None;
        let event = pb::Event {
            id: format!("{}:{kind}:{}", user.id, entry.id),
            occurred_at: Some(to_timestamp(entry.at)),
            recipient_ids,
            payload: Some(Payload::ProfileUpdated(pb::ProfileUpdated { user: Some(user) })),
        };
        self.publisher.publish(&event, &caller.request_id).await.context("announcement")
    }
}
