//! Nobody reads or writes where he is not a member.

use chat_local::testing;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::Person;

#[tokio::test(flavor = "multi_thread")]
async fn stranger_neither_reads_nor_writes() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let stranger = Person::new(suite.gateways[1]).await;
    let conversation = one.open(&other).await;
    one.send(&conversation, "between us").await;

    for path in [
        format!("/api/messages?conversation={conversation}"),
        format!("/api/messages?conversationId={conversation}"),
        format!("/api/messages/conversation/{conversation}"),
        format!("/messages?conversation={conversation}"),
        format!("/api/messages?userA={}&userB={}", one.id, other.id),
    ] {
        let (status, answer) = stranger.request(Method::GET, &path, Value::Null).await;
        assert_eq!((status, &answer["error"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
        assert!(!answer.to_string().contains("between us"), "{path}: {answer}");
    }
    let body = json!({ "conversationId": conversation, "content": "hello" });
    let (status, _) = stranger.request(Method::POST, "/api/messages", body).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let list = stranger.get(&format!("/api/conversations?me={}", stranger.id)).await;
    assert_eq!(list, json!([]));
    let history = one.get(&format!("/messages?conversation={conversation}")).await;
    assert_eq!(history.as_array().map(Vec::len), Some(1), "nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn sender_is_the_caller_whatever_the_body_claims() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let conversation = one.open(&other).await;
    for field in ["from", "senderId"] {
        let body = json!({ "conversationId": conversation, "content": "x", field: other.id });
        let (status, answer) = one.request(Method::POST, "/api/messages", body).await;
        assert_eq!((status, &answer["error"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_is_over_after_logout() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    one.get("/api/auth/me").await;
    one.ok(Method::POST, "/api/auth/logout", json!({})).await;
    let (status, answer) = one.request(Method::GET, "/api/auth/me", Value::Null).await;
    assert_eq!((status, &answer["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_session")));
}
