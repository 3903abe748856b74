//! What was stored is announced, also when the process that stored it died before it could.

use chat_kit::{config::Nats, nats};
use chat_local::testing;
use chat_proto::{
    subject,
    v1::{self as pb, event::Payload},
};
use futures_util::StreamExt as _;
use mongodb::bson::{DateTime, doc};
use prost::Message as _;

use crate::harness::{PATIENCE, Person, eventually, stored, text};

/// Waits for the announcement of a message.
async fn announcement(events: &mut async_nats::Subscriber, message_id: &str) -> pb::Event {
    let heard = tokio::time::timeout(PATIENCE, async {
        while let Some(event) = events.next().await {
            let event = pb::Event::decode(event.payload).expect("an event");
            let Some(Payload::MessageCreated(created)) = &event.payload else { continue };
            if created.message.as_ref().is_some_and(|message| message.id == message_id) {
                return Some(event);
            }
        }
        None
    });
    heard.await.expect("announced in time").expect("a living subscription")
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_announces_what_a_dead_process_left_behind() {
    let suite = testing::suite(|_| {}).await;
    let servers = testing::servers().await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let conversation = one.open(&other).await;
    let message = one.send(&conversation, "hi").await;
    let id = text(&message["_id"]).to_owned();

    // What is left when a process is killed between commit and announcement.
    let messages = stored(&servers.mongodb_uri, &suite, "message", "messages").await;
    let connection = nats::connect(&Nats::new(&servers.nats_url), "test").await.expect("nats");
    let mut events = nats::subscribe(&connection, subject::LOG_WILDCARD).await.expect("events");
    let event_id = format!("{id}:created:0");
    let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000);
    let left = doc! { "event_id": &event_id, "kind": "created", "at": long_ago };
    let object_id = mongodb::bson::oid::ObjectId::parse_str(&id).expect("an id");
    messages
        .update_one(doc! { "_id": object_id }, doc! { "$set": { "outbox": [left] } })
        .await
        .expect("stored");

    let event = announcement(&mut events, &id).await;
    assert_eq!(event.id, event_id, "the same event as the first time");
    let mut recipients = event.recipient_ids;
    recipients.sort();
    let mut members = [one.id.clone(), other.id.clone()];
    members.sort();
    assert_eq!(recipients, members);

    eventually("the outbox is empty", async || {
        let open = messages.count_documents(doc! { "outbox.at": { "$exists": true } }).await;
        open.expect("counted") == 0
    })
    .await;
}
