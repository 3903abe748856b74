//! How a gateway ends: it says so, accepts nobody any more, answers what it was asked, and lets its
//! clients go elsewhere.

use std::{collections::BTreeSet, time::Duration};

use chat_e2e::socket::Heard;
use chat_kit::config::Stop;
use chat_local::testing::{self, TestSuite};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::Instant};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::{
    harness::{PATIENCE, Person, eventually},
    own_gateway::{OwnGateway, service, upstream},
    proxy::Proxy,
};

struct Scene {
    suite: TestSuite,
    gateway: OwnGateway,
    /// Between the gateway and the message service.
    proxy: Proxy,
    writer: Person,
    conversation: String,
}

/// A writer at a gateway that can be stopped alone, in front of a message service that can be held up.
async fn scene(pause: Duration) -> Scene {
    let suite = testing::suite(|_| {}).await;
    let proxy = Proxy::new(&format!("http://{}", service(&suite, "message"))).await;
    let nats = &testing::servers().await.nats_url;
    let gateway = OwnGateway::start(&suite, nats, |config| {
        config.message = upstream(proxy.address);
        config.stop.pause = pause;
    })
    .await;
    let writer = Person::new(gateway.address).await;
    let reader = Person::new(suite.gateways[0]).await;
    let conversation = writer.open(&reader).await;
    // The connection to the message service is there.
    writer.send(&conversation, "first").await;
    Scene { suite, gateway, proxy, writer, conversation }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_socket_sent_is_answered_before_it_ends() {
    const SENT: usize = 20;
    let scene = scene(Duration::ZERO).await;
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", scene.gateway.address);
    let (mut socket, _) = connect_async(url).await.expect("a WebSocket");
    let auth = json!({ "token": scene.writer.token, "clientType": "unified" });
    socket.send(Message::text(format!("40{auth}"))).await.expect("sent");
    loop {
        let packet = socket.next().await.expect("an answer").expect("an open transport");
        if packet.to_text().expect("a text").starts_with("40") {
            break;
        }
    }
    scene.proxy.freeze();
    for number in 0..SENT {
        let body = json!({ "conversationId": scene.conversation, "content": number.to_string() });
        let event = format!("42{number}{}", json!(["message:send", body]));
        socket.send(Message::text(event)).await.expect("sent");
    }
    // The last word that the gateway hears from this client, after all it sent.
    let mut answered = BTreeSet::new();
    socket.send(Message::text("4299[\"message:send\",{}]")).await.expect("sent");
    let mut is_stopping = false;
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("something in time");
        let Some(Ok(Message::Text(packet))) = next else { break };
        assert!(!packet.starts_with("41"), "old clients would never come back");
        let Some(answer) = packet.strip_prefix("43") else { continue };
        let (number, answer) = answer.split_once('[').expect("an answer");
        let answer: Value = serde_json::from_str(&format!("[{answer}")).expect("JSON");
        if number == "99" {
            scene.gateway.stop();
            scene.proxy.thaw();
            is_stopping = true;
            continue;
        }
        assert_eq!(answer[0]["ok"], true, "{answer}");
        answered.insert(number.parse::<usize>().expect("a number"));
    }
    assert!(is_stopping);
    assert_eq!(answered, (0..SENT).collect(), "all are answered");
    scene.gateway.ended().await;
    // And the message service has them.
    let path = format!("/api/messages?conversation={}", scene.conversation);
    let history = scene.writer.at(scene.suite.gateways[0]).get(&path).await;
    assert_eq!(history.as_array().map(Vec::len), Some(SENT + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn request_under_way_is_answered_while_nobody_new_gets_in() {
    let scene = scene(Duration::ZERO).await;
    scene.proxy.freeze();
    let (writer, conversation) = (scene.writer.clone(), scene.conversation.clone());
    let sending = tokio::spawn(async move {
        let body = json!({ "conversationId": conversation, "content": "under way" });
        writer.request(Method::POST, "/api/messages", body).await
    });
    scene.proxy.until_holding().await;
    scene.gateway.stop();
    eventually("nobody gets in", async || TcpStream::connect(scene.gateway.address).await.is_err())
        .await;
    assert!(!sending.is_finished(), "it is still held");
    scene.proxy.thaw();
    let (status, answer) = sending.await.expect("an answer");
    assert!(status.is_success(), "{status} {answer}");
    scene.gateway.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_gateway_says_so_and_serves_on_until_its_pause_is_over() {
    let scene = scene(Duration::from_secs(2)).await;
    let mut listener = scene.writer.listen(scene.gateway.address, "unified").await;
    let health = format!("http://{}/health", scene.gateway.address);
    assert_eq!(reqwest::get(&health).await.expect("an answer").status(), StatusCode::OK);
    scene.gateway.stop();
    eventually("health says so", async || {
        let answer = reqwest::get(&health).await.expect("it still accepts");
        answer.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    // Its sockets hear all until they end.
    scene.writer.at(scene.suite.gateways[0]).send(&scene.conversation, "late").await;
    assert_eq!(listener.expect("message:created").await["content"], "late");
    assert_eq!(listener.next().await, Heard::End);
    assert!(TcpStream::connect(scene.gateway.address).await.is_err());
    scene.gateway.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suite_whose_servers_are_dead_ends_before_its_work_is_aborted() {
    let mut servers = testing::own_servers().await;
    let suite = testing::suite_on(&servers, |_| {}).await;
    // With something that was announced, and sockets.
    let person = Person::new(suite.gateways[0]).await;
    let conversation = person.open(&Person::new(suite.gateways[1]).await).await;
    let _listener = person.listen(suite.gateways[0], "unified").await;
    person.send(&conversation, "hello").await;
    servers.kill_mongod().await.expect("killed");
    servers.kill_nats().await.expect("killed");
    let health = format!("http://{}/health", suite.gateways[0]);
    eventually("health says so", async || {
        let answer = reqwest::get(&health).await.expect("an answer");
        answer.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    suite.stop();
    let begun = Instant::now();
    suite.ended(2 * PATIENCE).await;
    let took = begun.elapsed();
    assert!(took < Stop::default().drain, "{took:?}");
}
