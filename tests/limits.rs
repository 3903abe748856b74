//! How often a user may ask: for himself, whatever others of his address do.

use std::{num::NonZeroU32, time::Duration};

use chat_e2e::socket::{ConnectError, Heard, Receiver, Sender, connect, upgrade};
use chat_gateway::config::{Limits, Rate};
use chat_local::{suite::development_limits, testing};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Person, eventually},
    polling::Polling,
};

const DEADLINE: Duration = Duration::from_secs(5);

fn rate(burst: u32) -> Rate {
    let number = |number| NonZeroU32::new(number).expect("not zero");
    Rate { per_minute: number(1), burst: number(burst) }
}

/// Makes a request until it is refused; returns how often it was not, and the refusal.
async fn until_refused(person: &Person, method: Method, path: &str, body: Value) -> (u32, Value) {
    for count in 0..100 {
        let (status, answer) = person.request(method.clone(), path, body.clone()).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            return (count, answer);
        }
        assert!(status.is_success(), "{path}: {status} {answer}");
    }
    panic!("{path} is never refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_has_his_own_limits_at_each_gateway() {
    let suite = testing::suite(|options| {
        options.limits = Limits {
            requests: rate(20),
            messages: rate(3),
            contacts: rate(2),
            ..development_limits()
        };
    })
    .await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let one = Person::new(first).await;
    let other = Person::new(first).await;
    let conversation = other.at(second).open(&one).await;

    let message = json!({ "conversationId": conversation, "content": "hi" });
    let (sent, refusal) = until_refused(&one, Method::POST, "/api/messages", message.clone()).await;
    assert_eq!((sent, &refusal["error"]), (3, &json!("too_many_messages")));
    assert_eq!(refusal["success"], false);
    assert!(!refusal["message"].as_str().expect("a text").is_empty());
    let contacts = "/api/conversations/contacts/sync";
    let (synced, refusal) =
        until_refused(&one, Method::POST, contacts, json!({ "contacts": [] })).await;
    assert_eq!((synced, &refusal["error"]), (2, &json!("too_many_requests")));
    let (listed, refusal) = until_refused(&one, Method::GET, "/conversations", Value::Null).await;
    assert_eq!((listed, &refusal["error"]), (20 - 4 - 3, &json!("too_many_requests")));

    one.get("/api/auth/me").await;
    one.at(second).get("/conversations").await;
    other.ok(Method::POST, "/api/messages", message).await;
}

/// Emits an event with a number until it is refused; returns how often it was not, and the refusal.
async fn until_event_refused(
    (sender, receiver): &mut (Sender, Receiver),
    name: &str,
    body: &str,
) -> (u64, Value) {
    for number in 0..100 {
        sender.emit_with_ack(number, name, body).await.expect("emitted");
        let answer = loop {
            match receiver.next().await {
                Heard::Ack(answered, arguments) if answered == number => break arguments,
                Heard::Event(_) => {}
                other => panic!("{other:?} instead of an answer"),
            }
        };
        let answer: Value = serde_json::from_str(answer.body()).expect("JSON");
        if answer["ok"] == false {
            return (number, answer);
        }
    }
    panic!("{name} is never refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn question_for_what_was_missed_counts_as_a_request() {
    let suite = testing::suite(|options| {
        options.limits = Limits { requests: rate(6), ..development_limits() };
    })
    .await;
    let gateway = suite.gateways[0];
    let (one, other) = (Person::new(gateway).await, Person::new(gateway).await);
    one.get("/conversations").await;
    let auth = json!({ "token": one.token, "clientType": "unified" });
    let mut socket = connect(gateway, &auth, DEADLINE).await.expect("connected");
    let (answered, refusal) = until_event_refused(&mut socket, "sync", "{}").await;
    assert_eq!((answered, &refusal["error"]), (6 - 1, &json!("too_many_requests")));
    let (status, _) = one.request(Method::GET, "/conversations", Value::Null).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "the same count");
    let typed = json!({ "conversationId": one.id, "isTyping": false }).to_string();
    socket.0.emit_with_ack(200, "typing", &typed).await.expect("emitted");
    assert_ne!(socket.1.answer(200).await["error"], "too_many_requests", "other events go on");
    other.get("/conversations").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_all_sockets_of_a_user_count_together_and_messages_with_those_of_requests() {
    let suite = testing::suite(|options| {
        options.limits = Limits { messages: rate(3), events: rate(10), ..development_limits() };
    })
    .await;
    let gateway = suite.gateways[0];
    let (one, other) = (Person::new(gateway).await, Person::new(gateway).await);
    let conversation = one.open(&other).await;
    one.send(&conversation, "by request").await;
    let auth = json!({ "token": one.token, "clientType": "unified" });
    let mut socket = connect(gateway, &auth, DEADLINE).await.expect("connected");
    let body = json!({ "conversationId": conversation, "content": "hi" }).to_string();
    let (sent, refusal) = until_event_refused(&mut socket, "message:send", &body).await;
    assert_eq!((sent, &refusal["error"]), (2, &json!("too_many_messages")));
    let mut second = connect(gateway, &auth, DEADLINE).await.expect("connected");
    let (passed, refusal) = until_event_refused(&mut second, "join-conversation", "null").await;
    assert_eq!((passed, &refusal["error"]), (10 - 3, &json!("too_many_events")));
    assert!(!refusal["message"].as_str().expect("a text").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn address_opens_so_many_transports_and_uses_them_as_it_likes() {
    let suite = testing::suite(|options| {
        options.limits = Limits { handshakes: rate(3), ..development_limits() };
    })
    .await;
    let gateway = suite.gateways[0];
    let person = Person::new(gateway).await;
    let polling = Polling::connect(gateway, &person, "unified").await;
    let url = format!("http://{gateway}/socket.io/?EIO=4&transport=polling");
    for _ in 0..2 {
        assert_eq!(reqwest::get(&url).await.expect("an answer").status(), StatusCode::OK);
    }
    let refused = reqwest::get(&url).await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let refusal: Value = refused.json().await.expect("JSON");
    assert_eq!(refusal["error"], "too_many_requests");
    let auth = json!({ "token": person.token, "clientType": "unified" });
    assert!(matches!(connect(gateway, &auth, DEADLINE).await, Err(ConnectError::Broken(_))));
    upgrade(gateway, &polling.id, DEADLINE).await.expect("it moves on");
    connect(suite.gateways[1], &auth, DEADLINE).await.expect("that one counts for itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn user_who_connects_too_often_is_kept_waiting_and_not_sent_away() {
    let number = |number| NonZeroU32::new(number).expect("not zero");
    let few = Rate { per_minute: number(12), burst: number(2) };
    let suite = testing::suite(|options| {
        options.limits = Limits { connects: few, ..development_limits() };
    })
    .await;
    let gateway = suite.gateways[0];
    let (one, other) = (Person::new(gateway).await, Person::new(gateway).await);
    for client_type in ["flutter", "unified"] {
        one.connect(gateway, client_type).await;
    }
    let auth = json!({ "token": one.token, "clientType": "electron" });
    let again = connect(gateway, &auth, DEADLINE).await;
    // After a refusal of the namespace, old clients would never come back.
    assert!(matches!(again, Err(ConnectError::Unexpected(_))), "{again:?}");
    other.connect(gateway, "electron").await;
    eventually("he is let in", async || connect(gateway, &auth, DEADLINE).await.is_ok()).await;
}
