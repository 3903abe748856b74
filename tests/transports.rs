//! How transports end: a socket that is too slow is cut instead of losing packets, and whatever kind of
//! transport is cut, its client comes back.

use chat_e2e::socket::{self, Heard};
use chat_kit::{config::Nats, nats, nats::Publisher};
use chat_local::testing::{self, TestSuite};
use chat_proto::v1::{self as pb, event::Payload};
use futures_util::{SinkExt as _, StreamExt as _};
use mongodb::bson::oid::ObjectId;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{
    harness::{PATIENCE, Person, eventually},
    polling::Polling,
};

async fn publisher() -> Publisher {
    let config = Nats::new(&testing::servers().await.nats_url);
    let client = nats::connect(&config, "test").await.expect("nats");
    Publisher::new(client, &config).await.expect("a stream")
}

/// Returns the event of a message that is stored nowhere.
fn event(conversation: ObjectId, seq: i64, recipients: &[&Person], content: &str) -> pb::Event {
    let message = pb::Message {
        id: ObjectId::new().to_hex(),
        conversation_id: conversation.to_hex(),
        seq,
        sender_id: ObjectId::new().to_hex(),
        content: content.to_owned(),
        ..Default::default()
    };
    pb::Event {
        id: message.id.clone(),
        recipient_ids: recipients.iter().map(|person| person.id.clone()).collect(),
        payload: Some(Payload::MessageCreated(pb::MessageCreated { message: Some(message) })),
        ..Default::default()
    }
}

/// Makes the gateways lose the order of a conversation that somebody hears: its numbers jump.
async fn lose_order_for(person: &Person) {
    let (publisher, conversation) = (publisher().await, ObjectId::new());
    for seq in [1, 3] {
        let event = event(conversation, seq, &[person], "x");
        publisher.publish(&event, "test").await.expect("published");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_does_not_read_is_cut_and_others_hear_all() {
    const MESSAGES: i64 = 1500;
    let suite = testing::suite(|_| {}).await;
    let (slow, healthy) =
        (Person::new(suite.gateways[0]).await, Person::new(suite.gateways[0]).await);
    let mut stuck = slow.listen(suite.gateways[0], "unified").await;
    // The same user on another device, and somebody else.
    let mut reading = Vec::new();
    for person in [&slow, &healthy] {
        reading.push(person.listen(suite.gateways[0], "unified").await);
    }
    let readers = reading.into_iter().map(|mut reading| {
        tokio::spawn(async move {
            for seq in 1..=MESSAGES {
                assert_eq!(reading.expect("message:created").await["seq"], seq);
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let (publisher, conversation) = (publisher().await, ObjectId::new());
    let content = "x".repeat(20_000);
    for seq in 1..=MESSAGES {
        let event = event(conversation, seq, &[&slow, &healthy], &content);
        publisher.publish(&event, "test").await.expect("published");
    }
    for reader in readers {
        reader.await.expect("a reading socket hears every message");
    }
    let mut heard = 0;
    loop {
        match stuck.next().await {
            Heard::Event(event) => {
                heard += 1;
                let body: Value = serde_json::from_str(event.body()).expect("JSON");
                assert_eq!(body["seq"], heard, "what it heard is in order and without a gap");
            }
            other => break assert_eq!(other, Heard::End),
        }
    }
    assert!(heard < MESSAGES, "it was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn upgraded_transport_can_be_cut() {
    let suite = testing::suite(|_| {}).await;
    let person = Person::new(suite.gateways[0]).await;
    let polling = Polling::connect(suite.gateways[0], &person, "unified").await;
    let upgraded = socket::upgrade(suite.gateways[0], &polling.id, PATIENCE).await;
    let (_, mut listener) = upgraded.expect("a WebSocket");
    lose_order_for(&person).await;
    let first = listener.expect("message:created").await;
    assert_eq!(first["seq"], 1);
    assert_eq!(listener.next().await, Heard::End);
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_transport_that_was_cut_is_refused() {
    let suite = testing::suite(|_| {}).await;
    let person = Person::new(suite.gateways[0]).await;
    let polling = Polling::connect(suite.gateways[0], &person, "unified").await;
    lose_order_for(&person).await;
    // A poll under way may still be answered.
    eventually("polls are refused", async || polling.poll().await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transport_is_cut_while_it_moves_to_a_websocket() {
    let suite = testing::suite(|_| {}).await;
    let person = Person::new(suite.gateways[0]).await;
    let polling = Polling::connect(suite.gateways[0], &person, "unified").await;
    let (mut socket, _) = connect_async(websocket_of(&suite, &polling)).await.expect("a WebSocket");
    socket.send(Message::text("2probe")).await.expect("sent");
    let answer = socket.next().await.expect("an answer").expect("an open transport");
    assert_eq!(answer.to_text().expect("a text"), "3probe");
    lose_order_for(&person).await;
    ends(&mut socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_websocket_does_not_save_the_first_from_being_cut() {
    let suite = testing::suite(|_| {}).await;
    let person = Person::new(suite.gateways[0]).await;
    let polling = Polling::connect(suite.gateways[0], &person, "unified").await;
    let (mut first, _) = connect_async(websocket_of(&suite, &polling)).await.expect("a WebSocket");
    for packet in ["2probe", "5"] {
        first.send(Message::text(packet)).await.expect("sent");
    }
    let answer = first.next().await.expect("an answer").expect("an open transport");
    assert_eq!(answer.to_text().expect("a text"), "3probe");
    // Answered, although its transport has moved already.
    let (_second, _) = connect_async(websocket_of(&suite, &polling)).await.expect("a WebSocket");
    lose_order_for(&person).await;
    ends(&mut first).await;
}

fn websocket_of(suite: &TestSuite, polling: &Polling) -> String {
    let gateway = suite.gateways[0];
    format!("ws://{gateway}/socket.io/?EIO=4&transport=websocket&sid={}", polling.id)
}

/// Waits for the end of a transport, which must come without the namespace's goodbye.
async fn ends(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) {
    let ended = tokio::time::timeout(PATIENCE, async {
        while let Some(Ok(message)) = socket.next().await {
            assert!(!message.to_text().unwrap_or_default().starts_with("41"));
        }
    });
    ended.await.expect("it is cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_gateway_accepts_nobody_once_it_cuts() {
    let suite: TestSuite = testing::suite(|_| {}).await;
    let person = Person::new(suite.gateways[0]).await;
    let mut listener = person.listen(suite.gateways[0], "unified").await;
    suite.stop();
    assert_eq!(listener.next().await, Heard::End);
    // A client that is cut comes back at once: it must find another gateway, not a half-dead one.
    assert!(TcpStream::connect(suite.gateways[0]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_says_nothing_is_closed() {
    let suite = testing::suite(|_| {}).await;
    for beginning in ["", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut connection = TcpStream::connect(suite.gateways[0]).await.expect("connected");
        connection.write_all(beginning.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "still open after {beginning:?}");
    }
}
