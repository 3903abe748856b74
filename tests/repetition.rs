//! A send that is repeated stores one message and answers the same every time.

use chat_local::testing;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Person, text};

#[tokio::test(flavor = "multi_thread")]
async fn parallel_repetitions_on_two_replicas_store_one_message() {
    let suite = testing::suite(|options| options.replicas = 2).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let conversation = one.open(&other).await;
    let body = json!({ "conversationId": conversation, "content": "once", "clientId": "c1" });

    let sends = (0..20).map(|number| {
        let person = one.at(suite.gateways[number % 2]);
        let body = body.clone();
        async move { person.ok(Method::POST, "/api/messages", body).await["message"].clone() }
    });
    let answers: Vec<Value> = join_all(sends).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");

    let history = other.get(&format!("/messages?conversation={conversation}")).await;
    let history = history.as_array().expect("a bare list");
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["_id"], answers[0]["_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_id_counts_for_one_sender_in_one_conversation() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let third = Person::new(suite.gateways[1]).await;
    let (first, second) = (one.open(&other).await, one.open(&third).await);
    let mut ids = Vec::new();
    for (person, conversation, client_id) in [
        (&one, &first, json!("c1")),
        (&other, &first, json!("c1")),
        (&one, &second, json!("c1")),
        (&one, &first, json!(1)),
        (&one, &first, json!("1")),
    ] {
        let body = json!({ "conversationId": conversation, "content": "x", "clientId": client_id });
        let answer = person.ok(Method::POST, "/api/messages", body).await;
        ids.push(text(&answer["message"]["_id"]).to_owned());
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "all are different messages");
}
