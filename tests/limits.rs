//! How often a user may ask: for himself, whatever others of his address do.

use std::num::NonZeroU32;

use chat_gateway::config::{Limits, Rate};
use chat_local::{suite::development_limits, testing};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::Person;

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
