//! Every socket hears every message once and in order, whatever way the events took; and a socket that
//! cannot be told all is cut, so that its client comes back.

use std::time::{Duration, Instant};

use chat_e2e::socket::{Heard, Receiver};
use chat_kit::{config::Nats, nats, nats::Publisher, time::to_timestamp};
use chat_local::testing::{self, TestSuite};
use chat_proto::v1::{self as pb, event::Payload};
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use serde_json::json;

use crate::harness::{Person, stored, text};

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
        stored(&testing::servers().await.mongodb_uri, &self.suite, "message", "messages").await
    }

    /// Publishes an event of a message that is stored nowhere.
    async fn publish(&self, seq: i64) {
        let conversation = ObjectId::parse_str(&self.conversation).expect("an id");
        self.announce(conversation, seq, DateTime::now().timestamp_millis(), None).await;
    }

    /// Stores a message as another replica would have, whose announcement never came.
    async fn store(&self, seq: i64, kind: &str) -> Bson {
        let conversation = ObjectId::parse_str(&self.conversation).expect("an id");
        let mut message = message(&self.writer, conversation, seq);
        message.insert("type", kind);
        self.messages().await.insert_one(message).await.expect("stored").inserted_id
    }

    /// Sends and hears in another conversation of the same people, for longer than a gap waits.
    async fn listen_to_others(&mut self) {
        let begun = Instant::now();
        let other = Person::new(self.suite.gateways[1]).await;
        let elsewhere = self.writer.open(&other).await;
        let mut listener = other.listen(self.suite.gateways[1], "unified").await;
        while begun.elapsed() < Duration::from_secs(1) {
            self.writer.send(&elsewhere, "x").await;
            listener.expect("message:created").await;
        }
    }

    async fn announce(
        &self,
        conversation: ObjectId,
        seq: i64,
        created_at: i64,
        previous_created_at: Option<i64>,
    ) {
        let people = [&self.writer, &self.reader];
        let times = (created_at, previous_created_at);
        announce(&testing::servers().await.nats_url, people, (conversation, seq), times).await;
    }
}

/// Announces to the second of two people a message of the first that is stored nowhere: its place, when
/// it was made, and when the one before it was.
pub async fn announce(
    nats_url: &str,
    [writer, reader]: [&Person; 2],
    place: (ObjectId, i64),
    times: (i64, Option<i64>),
) {
    let message = Some(made(writer, place, times));
    publish(nats_url, reader, Payload::MessageCreated(pb::MessageCreated { message })).await;
}

fn made(
    writer: &Person,
    (conversation, seq): (ObjectId, i64),
    (created_at, previous_created_at): (i64, Option<i64>),
) -> pb::Message {
    let timestamp = |millis| to_timestamp(DateTime::from_millis(millis));
    pb::Message {
        id: ObjectId::new().to_hex(),
        conversation_id: conversation.to_hex(),
        seq,
        sender_id: writer.id.clone(),
        content: "never stored".to_owned(),
        created_at: Some(timestamp(created_at)),
        previous_created_at: previous_created_at.map(timestamp),
        ..Default::default()
    }
}

/// Publishes what somebody is to hear.
async fn publish(nats_url: &str, reader: &Person, payload: Payload) {
    let config = Nats::new(nats_url);
    let client = nats::connect(&config, "test").await.expect("nats");
    let publisher = Publisher::new(client, &config).await.expect("a stream");
    let event = pb::Event {
        id: ObjectId::new().to_hex(),
        recipient_ids: vec![reader.id.clone()],
        payload: Some(payload),
        ..Default::default()
    };
    publisher.publish(&event, "test").await.expect("published");
}

/// Describes a message as it is stored.
pub fn message(writer: &Person, conversation: ObjectId, seq: i64) -> Document {
    let (sender, now) = (ObjectId::parse_str(&writer.id).expect("an id"), DateTime::now());
    doc! {
        "_id": ObjectId::new(), "conversation_id": conversation, "seq": seq, "sender_id": sender,
        "content": seq.to_string(), "type": "text", "created_at": now, "previous_created_at": now,
    }
}

/// Describes an announcement that no relay takes up, since it is not due for a long while.
pub fn announcement_to_come() -> Document {
    let due = DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000);
    doc! { "event_id": "x", "kind": "created", "at": due }
}

#[tokio::test(flavor = "multi_thread")]
async fn message_whose_event_was_lost_is_fetched_and_heard_in_its_place() {
    let mut scene = scene().await;
    scene.store(2, "text").await;
    let third = scene.writer.send(&scene.conversation, "3").await;
    for expected in ["2", "3"] {
        assert_eq!(scene.listener.expect("message:created").await["content"], expected);
    }
    assert_eq!(text(&third["text"]), "3");
    scene.writer.send(&scene.conversation, "4").await;
    assert_eq!(scene.listener.expect("message:created").await["seq"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn gap_is_closed_once_its_messages_can_be_read_again() {
    let mut scene = scene().await;
    let second = scene.store(2, "unheard of").await;
    scene.publish(3).await;
    // Nobody can read number 2 yet.
    scene.listen_to_others().await;
    let repaired = doc! { "$set": { "type": "text" } };
    scene.messages().await.update_one(doc! { "_id": second }, repaired).await.expect("changed");
    for expected in [2, 3] {
        assert_eq!(scene.listener.expect("message:created").await["seq"], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_cannot_be_told_all_are_cut_without_a_goodbye() {
    let mut scene = scene().await;
    let other = Person::new(scene.suite.gateways[1]).await;
    let elsewhere = scene.writer.open(&other).await;
    let mut bystander = other.listen(scene.suite.gateways[1], "unified").await;
    // Number 2 cannot be read, and is never announced.
    scene.store(2, "unheard of").await;
    scene.store(3, "text").await;
    scene.publish(3).await;
    // The others go on meanwhile.
    for content in ["1", "2"] {
        scene.writer.send(&elsewhere, content).await;
        assert_eq!(bystander.expect("message:created").await["content"], content);
    }
    assert_eq!(scene.listener.next().await, Heard::End);
    // The client comes back and hears again, without the past.
    let mut listener = scene.reader.listen(scene.suite.gateways[1], "unified").await;
    for seq in [4, 5] {
        scene.writer.send(&scene.conversation, &seq.to_string()).await;
        assert_eq!(listener.expect("message:created").await["seq"], seq);
    }
    // And nobody was cut who had no part in it.
    scene.writer.send(&elsewhere, "3").await;
    assert_eq!(bystander.expect("message:created").await["content"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn gap_too_large_to_be_closed_cuts_once() {
    let mut scene = scene().await;
    let (conversation, now) = (ObjectId::new(), DateTime::now().timestamp_millis());
    scene.announce(conversation, 1, now, None).await;
    assert_eq!(scene.listener.expect("message:created").await["seq"], 1);
    scene.announce(conversation, 500, now + 2, Some(now + 1)).await;
    assert_eq!(scene.listener.next().await, Heard::End);
    let mut listener = scene.reader.listen(scene.suite.gateways[1], "unified").await;
    for seq in 501..=503 {
        scene.announce(conversation, seq, now + seq, Some(now + seq - 1)).await;
        assert_eq!(listener.expect("message:created").await["seq"], seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_event_is_passed_over() {
    let mut scene = scene().await;
    let config = Nats::new(&testing::servers().await.nats_url);
    let client = nats::connect(&config, "test").await.expect("nats");
    // A kind of a later version (field 900, an empty message), one without any, and no event at all.
    for bytes in [&[0xa2, 0x38, 0x00][..], &[], &[0xff; 7]] {
        client.publish("chat.v1.log.later.made", bytes.into()).await.expect("published");
    }
    client.flush().await.expect("on its way");
    scene.writer.send(&scene.conversation, "2").await;
    assert_eq!(scene.listener.expect("message:created").await["content"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_message_cuts_nobody_who_came_after_its_successor() {
    let mut scene = scene().await;
    let (conversation, now) = (ObjectId::new(), DateTime::now().timestamp_millis());
    scene.announce(conversation, 7, now, Some(now - 60_000)).await;
    assert_eq!(scene.listener.expect("message:created").await["seq"], 7);
    // Whoever comes now has 6 and 7 in the history.
    let mut late = scene.reader.listen(scene.suite.gateways[1], "unified").await;
    scene.announce(conversation, 6, now - 60_000, Some(now - 70_000)).await;
    assert_eq!(scene.listener.next().await, Heard::End, "this one may have missed it");
    scene.announce(conversation, 8, now + 1, Some(now)).await;
    assert_eq!(late.expect("message:created").await["seq"], 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_message_is_heard_before_its_successor_where_both_can_wait() {
    let mut scene = scene().await;
    let (conversation, now) = (ObjectId::new(), DateTime::now().timestamp_millis());
    scene.announce(conversation, 6, now - 60_000, Some(now - 70_000)).await;
    scene.announce(conversation, 7, now, Some(now - 60_000)).await;
    for seq in [6, 7] {
        assert_eq!(scene.listener.expect("message:created").await["seq"], seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_announced_is_heard_before_the_first_event_of_a_conversation() {
    let mut scene = scene().await;
    let messages = scene.messages().await;
    let conversation = ObjectId::new();
    let now = DateTime::now();
    for seq in 1..=5_i64 {
        let mut message = message(&scene.writer, conversation, seq);
        if seq == 5 {
            message.insert("outbox", [announcement_to_come()]);
        }
        messages.insert_one(message).await.expect("stored");
    }
    let now = now.timestamp_millis();
    scene.announce(conversation, 6, now + 1, Some(now)).await;
    for seq in [5, 6] {
        assert_eq!(scene.listener.expect("message:created").await["seq"], seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_an_old_message_is_no_new_message_where_the_order_is_not_known_yet() {
    let mut scene = scene().await;
    let (conversation, now) = (ObjectId::new(), DateTime::now().timestamp_millis());
    // The one before it may still be on its way.
    scene.announce(conversation, 1000, now, Some(now - 1000)).await;
    let long_ago = (now - 600_000, Some(now - 700_000));
    let message = Some(made(&scene.writer, (conversation, 5), long_ago));
    let reacted = Payload::MessageReacted(pb::MessageReacted { message, change: 1 });
    publish(&testing::servers().await.nats_url, &scene.reader, reacted).await;
    let mut heard = Vec::new();
    for _ in 0..2 {
        let (name, body) = scene.listener.event().await;
        heard.push((name, body["seq"].as_i64()));
    }
    // The change may come late, when the order is known.
    heard.sort();
    assert_eq!(heard[0], ("message:created".to_owned(), Some(1000)));
    assert_eq!(heard[1].0, "message:reaction");
    scene.announce(conversation, 1001, now + 1, Some(now)).await;
    assert_eq!(scene.listener.expect("message:created").await["seq"], 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_a_message_that_was_announced_late_is_heard_behind_it() {
    let mut scene = scene().await;
    let now = DateTime::now().timestamp_millis();
    let times = (now - 60_000, Some(now - 70_000));
    let message = Some(made(&scene.writer, (ObjectId::new(), 7), times));
    let nats_url = &testing::servers().await.nats_url;
    let created = pb::MessageCreated { message: message.clone() };
    publish(nats_url, &scene.reader, Payload::MessageCreated(created)).await;
    let reacted = pb::MessageReacted { message, change: 1 };
    publish(nats_url, &scene.reader, Payload::MessageReacted(reacted)).await;
    assert_eq!(scene.listener.expect("message:created").await["seq"], 7);
    scene.listener.expect("message:reaction").await;
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
