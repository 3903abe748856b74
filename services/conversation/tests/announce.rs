//! What changes in a conversation is announced: once it is stored, in order, whatever dies.

use std::time::Duration;

use async_nats::Subscriber;
use bson::{DateTime, doc, oid::ObjectId};
use chat_kit::{config::Nats, id::ConversationId, nats};
use chat_proto::{
    subject,
    v1::{ClearConversationRequest, Event, event::Payload},
};
use futures_util::StreamExt as _;
use prost::Message as _;

use crate::support::{Suite, as_user, by_id, start};

const PATIENCE: Duration = Duration::from_secs(20);

/// Hears all events, on a connection of its own.
pub struct Ear {
    events: Subscriber,
    // The subscription ends with it.
    _connection: async_nats::Client,
}

impl Ear {
    pub async fn open() -> Self {
        let config = Nats::new(&chat_local::testing::servers().await.nats_url);
        let connection = nats::connect(&config, "test").await.expect("nats answers");
        let events = nats::subscribe(&connection, subject::LOG_WILDCARD).await.expect("subscribed");
        Self { events, _connection: connection }
    }

    /// Waits for the next event whose id begins with that of a conversation.
    pub async fn hear(&mut self, conversation: &str) -> Event {
        let heard = tokio::time::timeout(PATIENCE, async {
            loop {
                let heard = self.events.next().await.expect("the subscription lives");
                let event = Event::decode(heard.payload).expect("an event");
                if event.id.starts_with(conversation) {
                    return event;
                }
            }
        });
        heard.await.expect("announced in time")
    }
}

/// Waits until nothing waits in a conversation any more.
async fn settled(suite: &Suite, id: &str) {
    let settled = tokio::time::timeout(PATIENCE, async {
        loop {
            let document = suite.document(id).await;
            if !document.contains_key("outbox") && !document.contains_key("outbox_until") {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    settled.await.expect("settled in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_conversation_is_announced_to_both_once() {
    let suite = start().await;
    let mut ear = Ear::open().await;
    let (ada, grace, conversation) = suite.pair().await;
    let event = ear.hear(&conversation.id).await;
    let mut heard = event.recipient_ids.clone();
    heard.sort();
    let mut both = [ada.to_string(), grace.to_string()];
    both.sort();
    assert_eq!(heard, both);
    let Some(Payload::ConversationCreated(created)) = event.payload else { panic!("{event:?}") };
    assert_eq!(created.actor_id, ada.to_string());
    assert_eq!(created.conversation.expect("it").id, conversation.id);
    settled(&suite, &conversation.id).await;
    suite.open(grace, by_id(ada)).await.expect("found");
    assert!(!suite.document(&conversation.id).await.contains_key("outbox"), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_and_opening_again_are_announced_to_who_did_it_alone() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    settled(&suite, &conversation.id).await;
    let id: ConversationId = conversation.id.parse().expect("an id");
    let newest = doc! { "$set": { "replaced_seq": 7_i64 } };
    suite.stored().update_one(doc! { "_id": id }, newest).await.expect("a change");
    let mut ear = Ear::open().await;
    let mut hear = async || {
        let event = ear.hear(&conversation.id).await;
        assert_eq!(event.recipient_ids, [ada.to_string()]);
        let Some(Payload::MarksChanged(changed)) = event.payload else { panic!("{event:?}") };
        assert_eq!(
            (&changed.conversation_id, changed.user_id),
            (&conversation.id, ada.to_string())
        );
        (changed.cleared_seq, changed.is_hidden)
    };
    let request = ClearConversationRequest { conversation_id: conversation.id.clone() };
    suite.conversations.clone().clear_conversation(as_user(ada, request)).await.expect("cleared");
    assert_eq!(hear().await, (7, true));
    suite.open(ada, by_id(grace)).await.expect("opened");
    assert_eq!(hear().await, (7, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_and_has_come_back_hears_of_it_once() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let group = suite.group(ada, ConversationId::new(), &[grace]).await.expect("a group");
    settled(&suite, &group.id).await;
    let mut ear = Ear::open().await;
    // The removal is announced late, when she is a member again.
    let at = DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000);
    let change = doc! { "kind": "members_removed", "actor_id": ada, "user_ids": [grace] };
    let entry = doc! { "_id": ObjectId::new(), "at": at, "change": change };
    let id: ConversationId = group.id.parse().expect("an id");
    let left = doc! { "$set": { "outbox": [entry] } };
    suite.stored().update_one(doc! { "_id": id }, left).await.expect("a change");
    let event = ear.hear(&group.id).await;
    assert!(matches!(event.payload, Some(Payload::MembersRemoved(_))), "{event:?}");
    assert_eq!(event.recipient_ids, [ada.to_string(), grace.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn change_that_a_crash_left_behind_is_announced_by_any_replica() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    settled(&suite, &conversation.id).await;
    let mut ear = Ear::open().await;
    let (first, second) = (ObjectId::new(), ObjectId::new());
    let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000);
    let entry = |id: ObjectId, kind: &str| {
        doc! { "_id": id, "at": long_ago, "change": { "kind": kind, "actor_id": ada } }
    };
    let id: ConversationId = conversation.id.parse().expect("an id");
    // One who held it died long ago as well.
    let left = doc! { "$set": {
        "outbox": [entry(first, "updated"), entry(second, "request_created")],
        "outbox_until": long_ago,
    } };
    suite.stored().update_one(doc! { "_id": id }, left).await.expect("a change");
    for change in [first, second] {
        let event = ear.hear(&conversation.id).await;
        assert_eq!(event.id, format!("{}:changed:{change}", conversation.id));
    }
    settled(&suite, &conversation.id).await;
}
