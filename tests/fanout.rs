//! Every socket hears every message once and in order, whatever way the events took; and a socket that
//! cannot be told all is cut, so that its client comes back.

use chat_e2e::socket::{Heard, Receiver};
use chat_kit::{config::Nats, nats, nats::Publisher, time::to_timestamp};
use chat_local::testing::{self, TestSuite};
use chat_proto::v1::{self as pb, event::Payload};
use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};
use serde_json::json;

use crate::harness::{Person, text};

struct Scene {
    suite: TestSuite,
    writer: Person,
    reader: Person,
    conversation: String,
    listener: Receiver,
}

/// A writer at one gateway, a listening reader at the other, and a first message between them.
async fn scene() -> Scene {
    let suite = testing::suite(|_| {}).await;
    let writer = Person::new(suite.gateways[0]).await;
    let reader = Person::new(suite.gateways[1]).await;
    let conversation = writer.open(&reader).await;
    let mut listener = reader.listen(suite.gateways[1], "unified").await;
    writer.send(&conversation, "1").await;
    assert_eq!(listener.expect("message:created").await["content"], "1");
    Scene { suite, writer, reader, conversation, listener }
}

impl Scene {
    async fn messages(&self) -> mongodb::Collection<Document> {
        let uri = &testing::servers().await.mongodb_uri;
        let options = mongodb::options::ClientOptions::parse(uri).await.expect("a uri");
        let client = mongodb::Client::with_options(options).expect("a client");
        client.database(&self.suite.database("message")).collection("messages")
    }

    /// Publishes an event of a message that is stored nowhere.
    async fn publish(&self, seq: i64) {
        let conversation = ObjectId::parse_str(&self.conversation).expect("an id");
        self.announce(conversation, seq, DateTime::now().timestamp_millis(), None).await;
    }

    async fn announce(
        &self,
        conversation: ObjectId,
        seq: i64,
        created_at: i64,
        previous_created_at: Option<i64>,
    ) {
        let config = Nats::new(&testing::servers().await.nats_url);
        let client = nats::connect(&config, "test").await.expect("nats");
        let publisher = Publisher::new(client, &config).await.expect("a stream");
        let timestamp = |millis| to_timestamp(DateTime::from_millis(millis));
        let message = pb::Message {
            id: ObjectId::new().to_hex(),
            conversation_id: conversation.to_hex(),
            seq,
            sender_id: self.writer.id.clone(),
            content: "never stored".to_owned(),
            created_at: Some(timestamp(created_at)),
            previous_created_at: previous_created_at.map(timestamp),
            ..Default::default()
        };
        let event = pb::Event {
            id: message.id.clone(),
            recipient_ids: vec![self.reader.id.clone()],
            payload: Some(Payload::MessageCreated(pb::MessageCreated { message: Some(message) })),
            ..Default::default()
        };
        publisher.publish(&event, "test").await.expect("published");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn message_whose_event_was_lost_is_fetched_and_heard_in_its_place() {
    let mut scene = scene().await;
    // Stored as another replica would have, whose announcement never came.
    let sender: ObjectId = ObjectId::parse_str(&scene.writer.id).expect("an id");
    let conversation = ObjectId::parse_str(&scene.conversation).expect("an id");
    let now = DateTime::now();
    let lost = doc! {
        "_id": ObjectId::new(), "conversation_id": conversation, "seq": 2_i64, "sender_id": sender,
        "content": "2", "type": "text", "created_at": now, "previous_created_at": now,
    };
    scene.messages().await.insert_one(lost).await.expect("stored");
    let third = scene.writer.send(&scene.conversation, "3").await;
    for expected in ["2", "3"] {
        assert_eq!(scene.listener.expect("message:created").await["content"], expected);
    }
    assert_eq!(text(&third["text"]), "3");
    scene.writer.send(&scene.conversation, "4").await;
    assert_eq!(scene.listener.expect("message:created").await["seq"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_cannot_be_told_all_is_cut_without_a_goodbye() {
    let mut scene = scene().await;
    // Number 2 exists nowhere.
    scene.publish(3).await;
    assert_eq!(scene.listener.next().await, Heard::End);
    // The client comes back and hears again.
    let mut listener = scene.reader.listen(scene.suite.gateways[1], "unified").await;
    scene.writer.send(&scene.conversation, "2").await;
    assert_eq!(listener.expect("message:created").await["seq"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_announced_after_its_successors_is_not_lost_in_silence() {
    let scene = scene().await;
    // A conversation that no gateway knows yet: number 7 is new, number 6 much older and not announced.
    let mut stranger = scene.reader.listen(scene.suite.gateways[1], "unified").await;
    let conversation = ObjectId::new();
    let now = DateTime::now().timestamp_millis();
    scene.announce(conversation, 7, now, Some(now - 60_000)).await;
    assert_eq!(stranger.expect("message:created").await["seq"], 7);
    scene.announce(conversation, 6, now - 60_000, Some(now - 70_000)).await;
    assert_eq!(stranger.next().await, Heard::End, "its client comes back and reads the history");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_that_comes_twice_is_heard_once() {
    let mut scene = scene().await;
    scene.publish(1).await;
    scene.writer.send(&scene.conversation, "2").await;
    assert_eq!(scene.listener.expect("message:created").await["content"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_connects_late_hears_no_older_message() {
    let mut scene = scene().await;
    let mut late = scene.reader.listen(scene.suite.gateways[0], "electron").await;
    assert_eq!(late.expect("connected").await["userId"], json!(scene.reader.id));
    scene.writer.send(&scene.conversation, "2").await;
    assert_eq!(late.expect("receive-message").await["text"], "2");
    assert_eq!(scene.listener.expect("message:created").await["content"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_gateway_cuts_its_sockets_without_a_goodbye() {
    let mut scene = scene().await;
    scene.suite.stop();
    assert_eq!(scene.listener.next().await, Heard::End);
}
