//! Sockets that connect, and gateways that start, while messages flow: nothing between the history and
//! the events is lost, and nothing is heard twice.

use std::{future::pending, time::Duration};

use chat_e2e::socket::{self, ConnectError};
use chat_gateway::AppState;
use chat_local::testing;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    harness::{Person, eventually, text},
    own_gateway::{OwnGateway, config, service, upstream},
    proxy::Proxy,
};

/// How long a client waits that vanishes; its packets are on their way by then.
const SOON: Duration = Duration::from_millis(300);

/// Numbers of the messages in the history that a person reads now; they are their texts, too.
async fn history(person: &Person, conversation: &str) -> Vec<i64> {
    let path = format!("/api/messages/conversation/{conversation}?page=1&limit=100");
    let answer = person.get(&path).await;
    let messages = answer["messages"].as_array().expect("messages").clone();
    messages.iter().map(|message| text(&message["text"]).parse().expect("a number")).collect()
}

/// Connects to a gateway, reads the history, and hears on to a number; asserts that nothing is missing
/// between the two.
async fn follow(gateway: std::net::SocketAddr, reader: &Person, conversation: &str, last: i64) {
    let mut listener = reader.listen(gateway, "unified").await;
    let read = history(&reader.at(gateway), conversation).await;
    let read_to = read.last().copied().unwrap_or(0);
    assert_eq!(read, (1..=read_to).collect::<Vec<_>>(), "the history is whole");
    let mut heard: Option<i64> = None;
    while heard.unwrap_or(read_to) < last {
        let seq = listener.expect("message:created").await["seq"].as_i64().expect("a number");
        match heard {
            Some(before) => assert_eq!(seq, before + 1, "in order, each once"),
            None => assert!(seq <= read_to + 1, "{seq} heard first, but {read_to} read"),
        }
        heard = Some(seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_connects_while_messages_flow_misses_none() {
    // All of them fit into one page of the history, however late it is read.
    const SENT: i64 = 100;
    let suite = testing::suite(|options| options.replicas = 2).await;
    let writer = Person::new(suite.gateways[0]).await;
    let reader = Person::new(suite.gateways[1]).await;
    let conversation = writer.open(&reader).await;
    let (progress, mut sent) = watch::channel(0_i64);
    let writing = {
        let (writer, conversation, gateways) =
            (writer.clone(), conversation.clone(), suite.gateways.clone());
        tokio::spawn(async move {
            for number in 1..=SENT {
                // Over both gateways, and so over both replicas of the message service.
                let gateway = gateways[usize::try_from(number).expect("small") % 2];
                writer.at(gateway).send(&conversation, &number.to_string()).await;
                progress.send_replace(number);
            }
        })
    };
    let nats = &testing::servers().await.nats_url;
    let mut following = Vec::new();
    for begin in [10, 30, 50, 70, 90] {
        sent.wait_for(|sent| *sent >= begin).await.expect("it goes on");
        let known = suite.gateways[1];
        // One that has never heard of the conversation, and does not know where it is.
        let new = OwnGateway::start(&suite, nats, |_| {}).await;
        let (reader, conversation) = (reader.clone(), conversation.clone());
        following.push(tokio::spawn(async move {
            let new = new;
            tokio::join!(
                follow(known, &reader, &conversation, SENT),
                follow(new.address, &reader, &conversation, SENT),
            );
        }));
    }
    writing.await.expect("all are sent");
    for one in following {
        one.await.expect("nothing is missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_gateway_tells_nobody_what_was_announced_before() {
    let suite = testing::suite(|_| {}).await;
    let writer = Person::new(suite.gateways[0]).await;
    let reader = Person::new(suite.gateways[1]).await;
    let conversation = writer.open(&reader).await;
    let mut known = reader.listen(suite.gateways[1], "unified").await;
    for number in 1..=3 {
        writer.send(&conversation, &number.to_string()).await;
        assert_eq!(known.expect("message:created").await["seq"], number);
    }
    let nats = &testing::servers().await.nats_url;
    let new = OwnGateway::start(&suite, nats, |_| {}).await;
    let mut listener = reader.listen(new.address, "unified").await;
    // The one before is so new that it could still be on its way.
    writer.send(&conversation, "4").await;
    let heard: Value = listener.expect("message:created").await;
    assert_eq!(heard["seq"], 4);
    assert_eq!(known.expect("message:created").await["seq"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_vanishes_while_it_connects_leaves_nothing_behind() {
    let suite = testing::suite(|_| {}).await;
    let person = Person::new(suite.gateways[0]).await;
    let user = person.id.parse().expect("an id");
    // A socket server alone, whose auth service can be held up.
    let proxy = Proxy::new(&format!("http://{}", service(&suite, "auth"))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut config = config(&suite, "nats://127.0.0.1:1", address);
    config.auth = upstream(proxy.address);
    let (routes, sockets) = chat_gateway::socket::routes(&AppState::new(config));
    let serving = tokio::spawn(chat_kit::http::accept(listener, routes, 100, pending()));

    proxy.freeze();
    let auth = json!({ "token": person.token, "clientType": "unified" });
    for _ in 0..10 {
        let vanished = socket::connect(address, &auth, SOON).await;
        assert!(matches!(vanished, Err(ConnectError::Late)), "nobody answers");
    }
    proxy.until_holding().await;
    proxy.thaw();
    let listener = person.listen(address, "unified").await;
    assert!(sockets.has_any(&[user]));
    drop(listener);
    eventually("all are gone", async || !sockets.has_any(&[user])).await;
    serving.abort();
}
