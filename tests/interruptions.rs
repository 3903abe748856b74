//! What gateways and services do when NATS, or the way to it, breaks: nothing is lost, nothing is heard
//! twice, and where that cannot be proved, clients are made to come back.

use std::{process::Command, time::Duration};

use chat_e2e::socket::{Heard, Receiver};
use chat_kit::{config::Nats, nats};
use chat_local::{
    servers::Servers,
    testing::{self, TestSuite},
};
use chat_proto::{
    subject,
    v1::{self as pb, event::Payload},
};
use mongodb::bson::{DateTime, oid::ObjectId};
use prost::Message as _;
use reqwest::Method;
use serde_json::json;

use crate::{
    fanout,
    harness::{Person, eventually, stored, text},
    proxy::Proxy,
};

/// How long a line may be silent until it is given up.
const LONGEST_SILENCE: Duration = Duration::from_secs(50);

struct Scene {
    servers: Servers,
    proxy: Proxy,
    suite: TestSuite,
    writer: Person,
    reader: Person,
    conversation: String,
    listener: Receiver,
}

/// A writer and a listening reader, on servers of their own; the gateways reach NATS through a proxy.
async fn scene(subscription_capacity: usize) -> Scene {
    let servers = testing::own_servers().await;
    let proxy = Proxy::new(&servers.nats_url).await;
    let mut through_proxy = Nats::new(&format!("nats://{}", proxy.address));
    through_proxy.subscription_capacity = subscription_capacity;
    let suite =
        testing::suite_on(&servers, |options| options.gateway_nats = Some(through_proxy)).await;
    let writer = Person::new(suite.gateways[0]).await;
    let reader = Person::new(suite.gateways[1]).await;
    let conversation = writer.open(&reader).await;
    let mut listener = reader.listen(suite.gateways[1], "unified").await;
    writer.send(&conversation, "1").await;
    assert_eq!(listener.expect("message:created").await["content"], "1");
    Scene { servers, proxy, suite, writer, reader, conversation, listener }
}

impl Scene {
    async fn send(&self, contents: std::ops::RangeInclusive<u32>) {
        for content in contents {
            self.writer.send(&self.conversation, &content.to_string()).await;
        }
    }

    async fn expect(&mut self, contents: std::ops::RangeInclusive<u32>) {
        for content in contents {
            let heard = self.listener.expect("message:created").await;
            assert_eq!(heard["content"], content.to_string());
        }
    }

    /// Sends nats-server a signal, such as `STOP`.
    fn signal_nats(&self, signal: &str) {
        let pid = self.servers.nats_pid().expect("started here").to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        assert!(sent.expect("a program").success());
    }

    /// Announces to the reader a message of the writer in a conversation that no gateway knows.
    async fn announce(&self, place: (ObjectId, i64), created_at: i64, previous_created_at: i64) {
        let people = [&self.writer, &self.reader];
        let times = (created_at, Some(previous_created_at));
        fanout::announce(&self.servers.nats_url, people, place, times).await;
    }

    async fn nats(&self) -> async_nats::Client {
        nats::connect(&Nats::new(&self.servers.nats_url), "test").await.expect("nats")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_lost_nats_hears_what_it_missed() {
    let mut scene = scene(1000).await;
    scene.proxy.close();
    scene.send(2..=5).await;
    scene.proxy.open();
    scene.expect(2..=5).await;
    scene.send(6..=7).await;
    scene.expect(6..=7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_loses_nats_again_and_again_hears_all() {
    let mut scene = scene(1000).await;
    for round in 0..6 {
        scene.proxy.close();
        scene.send(2 + round * 2..=2 + round * 2).await;
        scene.proxy.open();
        // The next loss comes before the replay has ended.
        scene.proxy.until_accepted(2 + 2 * (usize::try_from(round).expect("small") + 1)).await;
        scene.send(3 + round * 2..=3 + round * 2).await;
    }
    scene.expect(2..=13).await;
    scene.send(14..=14).await;
    scene.expect(14..=14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_on_a_dead_line_hears_what_it_missed() {
    let mut scene = scene(1000).await;
    // No word of an end: the line has to be given up for its silence.
    scene.proxy.abandon();
    scene.send(2..=5).await;
    let given_up = tokio::time::timeout(LONGEST_SILENCE, scene.proxy.until_accepted(4)).await;
    given_up.expect("both gateways give the line up");
    scene.expect(2..=5).await;
    scene.send(6..=6).await;
    scene.expect(6..=6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_sent_while_nats_stands_still_are_heard_once_it_goes_on() {
    let mut scene = scene(1000).await;
    scene.signal_nats("STOP");
    let begun = std::time::Instant::now();
    scene.send(2..=4).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for nats");
    scene.signal_nats("CONT");
    scene.expect(2..=4).await;
    scene.send(5..=5).await;
    scene.expect(5..=5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_lost_events_makes_clients_come_back() {
    let mut scene = scene(1000).await;
    scene.proxy.close();
    scene.send(2..=2).await;
    let context = async_nats::jetstream::new(scene.nats().await);
    eventually("it is in the stream, and taken out of it", async || {
        let stream = context.get_stream(subject::LOG_STREAM).await.expect("a stream");
        stream.purge().await.expect("purged").purged > 0
            && stream.get_info().await.expect("known").state.last_sequence >= 2
    })
    .await;
    scene.proxy.open();
    assert_eq!(scene.listener.next().await, Heard::End);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_meets_no_stream_makes_it_again() {
    let mut scene = scene(1000).await;
    scene.proxy.close();
    let context = async_nats::jetstream::new(scene.nats().await);
    context.delete_stream(subject::LOG_STREAM).await.expect("deleted");
    // Nobody sends anything.
    scene.proxy.open();
    assert_eq!(scene.listener.next().await, Heard::End, "what it held may have been missed");
    context.get_stream(subject::LOG_STREAM).await.expect("it is there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_sent_while_nats_is_dead_are_stored_and_announced_later() {
    let mut scene = scene(1000).await;
    scene.servers.kill_nats().await.expect("killed");
    scene.send(2..=4).await;
    scene.servers.restart_nats().await.expect("restarted");
    scene.expect(2..=4).await;
    scene.send(5..=5).await;
    scene.expect(5..=5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_message_that_the_relay_announces_after_an_interruption_is_heard_in_its_place() {
    let mut scene = scene(1000).await;
    scene.proxy.close();
    scene.proxy.open();
    scene.send(2..=2).await;
    scene.expect(2..=2).await;
    // Stored while NATS was away; the relay has not come to number 5 yet.
    let now = DateTime::now().timestamp_millis();
    let (conversation, old) = (ObjectId::new(), now - 20_000);
    let mut message = fanout::message(&scene.writer, conversation, 5);
    message.insert("created_at", DateTime::from_millis(old));
    message.insert("outbox", [fanout::announcement_to_come()]);
    let messages = stored(&scene.servers.mongodb_uri, &scene.suite, "message", "messages").await;
    messages.insert_one(message).await.expect("stored");
    scene.announce((conversation, 6), now, old).await;
    for seq in [5, 6] {
        assert_eq!(scene.listener.expect("message:created").await["seq"], seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_a_replay_brings_is_heard_before_its_successors() {
    let mut scene = scene(1000).await;
    let now = DateTime::now().timestamp_millis();
    let conversation = ObjectId::new();
    scene.proxy.close();
    scene.announce((conversation, 5), now - 1, now - 2).await;
    scene.proxy.open();
    scene.proxy.until_accepted(4).await;
    scene.announce((conversation, 6), now, now - 1).await;
    for seq in [5, 6] {
        assert_eq!(scene.listener.expect("message:created").await["seq"], seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_that_overtakes_its_message_in_a_replay_is_heard_behind_it() {
    let mut scene = scene(1000).await;
    let other = Person::new(scene.suite.gateways[1]).await;
    let conversation = scene.writer.open(&other).await;
    let mut listener = other.listen(scene.suite.gateways[1], "unified").await;
    scene.proxy.close();
    let sent = scene.writer.send(&conversation, "secret").await;
    let deleted = format!("/api/messages/{}", text(&sent["_id"]));
    scene.proxy.open();
    scene.proxy.until_accepted(4).await;
    scene.writer.ok(Method::DELETE, &deleted, json!({})).await;
    let created = listener.expect("message:created").await;
    assert_eq!(created["id"], sent["_id"]);
    assert_eq!(listener.expect("message:deleted").await["id"], sent["_id"]);
    scene.send(2..=2).await;
    scene.expect(2..=2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn member_who_was_removed_and_added_again_hears_it_in_this_order() {
    let mut scene = scene(1000).await;
    let group = scene.writer.group(&[&scene.reader]).await;
    scene.listener.expect("conversation:created").await;
    let reader = json!({ "groupId": group, "userId": scene.reader.id });
    let path = |act: &str| format!("/api/groups/{act}-participant");
    scene.proxy.close();
    scene.writer.ok(Method::POST, &path("remove"), reader.clone()).await;
    scene.proxy.open();
    scene.proxy.until_accepted(4).await;
    scene.writer.ok(Method::POST, &path("add"), reader).await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let (name, _) = scene.listener.event().await;
        if name.starts_with("conversation:member-") {
            heard.push(name);
        }
    }
    assert_eq!(heard, ["conversation:member-removed", "conversation:member-added"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_does_not_reach_back_makes_clients_come_back() {
    let mut scene = scene(1000).await;
    scene.proxy.close();
    let context = async_nats::jetstream::new(scene.nats().await);
    context.delete_stream(subject::LOG_STREAM).await.expect("deleted");
    scene.send(2..=2).await;
    eventually("the stream is made again", async || {
        context.get_stream(subject::LOG_STREAM).await.is_ok()
    })
    .await;
    scene.proxy.open();
    // The relay may still announce it before the gateway learns what the stream lacks.
    let mut heard = scene.listener.next().await;
    while let Heard::Event(..) = heard {
        heard = scene.listener.next().await;
    }
    assert_eq!(heard, Heard::End);
    let gateway = scene.suite.gateways[1];
    scene.listener = scene.reader.listen(gateway, "unified").await;
    scene.send(3..=3).await;
    // Number 2 is in the history, and may be announced late all the same.
    let heard = scene.listener.expect("message:created").await;
    if heard["content"] == "2" {
        scene.expect(3..=3).await;
    } else {
        assert_eq!(heard["content"], "3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_stream_is_made_again_and_messages_go_on() {
    let mut scene = scene(1000).await;
    let context = async_nats::jetstream::new(scene.nats().await);
    context.delete_stream(subject::LOG_STREAM).await.expect("deleted");
    scene.send(2..=3).await;
    scene.expect(2..=3).await;
    eventually("the stream is made again", async || {
        context.get_stream(subject::LOG_STREAM).await.is_ok()
    })
    .await;
    scene.send(4..=4).await;
    scene.expect(4..=4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_dropped_by_a_slow_subscription_are_heard_all_the_same() {
    const ROUNDS: u32 = 5;
    const BURST: u32 = 3000;
    let mut scene = scene(512).await;
    let client = scene.nats().await;
    let foreign = pb::Event {
        payload: Some(Payload::MessageCreated(pb::MessageCreated {
            message: Some(pb::Message {
                conversation_id: ObjectId::new().to_hex(),
                seq: 1,
                ..Default::default()
            }),
        })),
        ..Default::default()
    };
    let subject = subject::of(foreign.payload.as_ref().expect("a payload"));
    for round in 2..2 + ROUNDS {
        let burst = async {
            for _ in 0..BURST {
                let payload = foreign.encode_to_vec().into();
                client.publish(subject, payload).await.expect("published");
            }
        };
        tokio::join!(burst, scene.send(round..=round));
        // Nothing follows that would show a gap: only the replay can bring what was dropped.
        scene.expect(round..=round).await;
    }
}
