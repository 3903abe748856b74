//! How transports end: a socket that is too slow is cut instead of losing packets, and whatever kind of
//! transport is cut, its client comes back.

use std::time::Duration;

use chat_e2e::socket::{self, Heard};
use chat_kit::{config::Nats, nats, nats::Publisher};
use chat_local::testing::{self, TestSuite};
use chat_proto::v1::{self as pb, event::Payload};
use futures_util::{SinkExt as _, StreamExt as _};
use mongodb::bson::oid::ObjectId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

use crate::{
    harness::{PATIENCE, Person, eventually, text},
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

/// Moves a transport to a WebSocket.
async fn move_to(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) {
    for packet in ["2probe", "5"] {
        socket.send(Message::text(packet)).await.expect("sent");
    }
    hears(socket, "3probe").await;
}

/// Waits for a packet that begins so.
async fn hears(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>, beginning: &str) {
    let heard = tokio::time::timeout(PATIENCE, async {
        loop {
            let packet = socket.next().await.expect("an answer").expect("an open transport");
            if packet.to_text().is_ok_and(|packet| packet.starts_with(beginning)) {
                break;
            }
        }
    });
    heard.await.unwrap_or_else(|_| panic!("never: {beginning}"));
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

/// How long a socket may live whose session is over.
const PROMISE: Duration = Duration::from_secs(2);

/// Somebody with a socket of his own making, and a friend to whom it may not get through any more.
struct Revoked {
    suite: TestSuite,
    person: Person,
    friend: Person,
    conversation: String,
}

impl Revoked {
    async fn scene() -> Self {
        let suite = testing::suite(|_| {}).await;
        let person = Person::new(suite.gateways[0]).await;
        let friend = Person::new(suite.gateways[1]).await;
        let conversation = friend.open(&person).await;
        Self { suite, person, friend, conversation }
    }

    /// The packet by which the person connects.
    fn connect(&self) -> Message {
        let auth = json!({ "token": self.person.token, "clientType": "unified" });
        Message::text(format!("40{auth}"))
    }

    /// A packet that sends a message.
    fn send(&self) -> Message {
        let body = json!({ "conversationId": self.conversation, "content": "from nobody" });
        Message::text(format!("42{}", json!(["message:send", body])))
    }

    /// Logs out, where that is still to be done, and asserts that the socket is no more and has no effect.
    async fn assert_over(
        &self,
        is_logged_out: bool,
        socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
    ) {
        if !is_logged_out {
            self.person.ok(Method::POST, "/api/auth/logout", Value::Null).await;
        }
        tokio::time::timeout(PROMISE, ends(socket)).await.expect("it does not outlive its session");
        socket.send(self.send()).await.ok();
        let own = self.friend.send(&self.conversation, "from a friend").await;
        let path = format!("/api/messages?conversation={}", self.conversation);
        let history = self.friend.get(&path).await;
        let ids: Vec<&Value> =
            history.as_array().expect("a list").iter().map(|message| &message["_id"]).collect();
        assert_eq!(ids, [&own["_id"]], "{history}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transport_that_is_spelled_otherwise_is_refused() {
    let scene = Revoked::scene().await;
    let base = format!("{}/socket.io/?EIO=4", scene.suite.gateways[0]);
    for spelled in ["websocket=", "websocket=x", "polling=websocket"] {
        let url = format!("ws://{base}&transport={spelled}");
        match connect_async(url).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), StatusCode::BAD_REQUEST),
            other => panic!("{spelled}: {other:?}"),
        }
        let url = format!("http://{base}&transport={spelled}");
        let answer = reqwest::get(url).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{spelled}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handshake_that_would_fill_the_memory_is_refused() {
    let scene = Revoked::scene().await;
    let url = format!("http://{}/socket.io/?EIO=4&transport=polling", scene.suite.gateways[0]);
    let client = reqwest::Client::new();
    for (length, status) in
        [(8 << 10, StatusCode::OK), (20 << 10, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)]
    {
        let answer = client.get(&url).header("cookie", "x".repeat(length)).send().await;
        assert_eq!(answer.expect("an answer").status(), status, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn second_socket_of_a_transport_does_not_outlive_its_session() {
    let scene = Revoked::scene().await;
    for begins_polling in [true, false] {
        let mut socket = if begins_polling {
            let polling = Polling::connect(scene.suite.gateways[0], &scene.person, "unified").await;
            let url = websocket_of(&scene.suite, &polling);
            let (mut socket, _) = connect_async(url).await.expect("a WebSocket");
            move_to(&mut socket).await;
            socket
        } else {
            let url =
                format!("ws://{}/socket.io/?EIO=4&transport=websocket", scene.suite.gateways[0]);
            let (mut socket, _) = connect_async(url).await.expect("a WebSocket");
            socket.send(scene.connect()).await.expect("sent");
            hears(&mut socket, "40").await;
            socket
        };
        socket.send(Message::text("41")).await.expect("sent");
        // The transport may have ended with the first one.
        socket.send(scene.connect()).await.ok();
        if begins_polling {
            tokio::time::timeout(PROMISE, ends(&mut socket))
                .await
                .expect("it ends with its socket");
        } else {
            scene.assert_over(false, &mut socket).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transport_that_moved_twice_before_its_socket_came_can_be_cut() {
    let scene = Revoked::scene().await;
    let base = format!("{}/socket.io/?EIO=4", scene.suite.gateways[0]);
    let opened = reqwest::get(format!("http://{base}&transport=polling")).await.expect("an answer");
    let opened = opened.text().await.expect("a handshake");
    let opened: Value = serde_json::from_str(&opened[1..]).expect("JSON");
    let url = format!("ws://{base}&transport=websocket&sid={}", text(&opened["sid"]));
    let (mut socket, _) = connect_async(&url).await.expect("a WebSocket");
    move_to(&mut socket).await;
    // Answered or not, it is not the one that its transport has moved to.
    let _second = connect_async(&url).await;
    socket.send(scene.connect()).await.expect("sent");
    hears(&mut socket, "40").await;
    scene.assert_over(false, &mut socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_was_told_of_its_end_sends_nothing_more() {
    let scene = Revoked::scene().await;
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", scene.suite.gateways[0]);
    let (mut socket, _) = connect_async(url).await.expect("a WebSocket");
    socket.send(scene.connect()).await.expect("sent");
    hears(&mut socket, "40").await;
    scene.person.ok(Method::POST, "/api/auth/logout", Value::Null).await;
    hears(&mut socket, r#"42["session:revoked""#).await;
    // It lives for a moment more, so that it hears that.
    socket.send(scene.send()).await.expect("sent");
    scene.assert_over(true, &mut socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_socket_that_was_cut_leaves_at_once() {
    let scene = Revoked::scene().await;
    let _polling = Polling::connect(scene.suite.gateways[0], &scene.person, "unified").await;
    let is_online = async || {
        let answer = scene.friend.get("/api/users/presence").await;
        answer["online"].as_array().expect("a list").contains(&json!(scene.person.id))
    };
    eventually("he is online", is_online).await;
    lose_order_for(&scene.person).await;
    // Three times sooner than his silence would tell it.
    eventually("he is offline", async || !is_online().await).await;
}
