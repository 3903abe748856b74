//! Groups: everybody in one hears every message once, whatever gateway he is at, and nobody else does.

use chat_e2e::socket::{Heard, Receiver};
use chat_local::testing;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Person, text};

/// Returns the body of the next message, whose name depends on the dialect. New clients may hear before it
/// that its conversation was made.
async fn heard(receiver: &mut Receiver, dialect: &str) -> Value {
    let name = match dialect {
        "flutter" => "message",
        "electron" => "receive-message",
        _ => "message:created",
    };
    loop {
        let Heard::Event(event) = receiver.next().await else { panic!("no message any more") };
        let body: Value = serde_json::from_str(event.body()).expect("JSON");
        if event.name() == name {
            return body;
        }
        assert_eq!(event.name(), "conversation:created", "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn group_of_five_hears_every_message_at_two_gateways() {
    let suite = testing::suite(|_| {}).await;
    let mut people = Vec::new();
    for number in 0..5 {
        people.push(Person::new(suite.gateways[number % 2]).await);
    }
    let stranger = Person::new(suite.gateways[1]).await;
    let [maker, others @ ..] = &people[..] else { unreachable!("five people") };

    // Doubles and the maker himself are named, too.
    let named: Vec<&str> =
        [3, 1, 0, 2, 3, 4].map(|number: usize| people[number].id.as_str()).to_vec();
    let body = json!({ "type": "group", "participants": named });
    let (status, answer) = maker.request(Method::POST, "/api/conversations", body).await;
    assert_eq!((status, &answer["success"]), (StatusCode::CREATED, &json!(true)), "{answer}");
    let group = &answer["conversation"];
    assert_eq!((&group["isGroup"], &group["createdBy"]), (&json!(true), &json!(maker.id)));
    assert!(group.get("participantKey").is_none());
    let order = [0, 3, 1, 2, 4].map(|number: usize| people[number].id.clone());
    let members = group["members"].as_array().expect("members");
    assert_eq!(members.iter().map(|card| text(&card["_id"])).collect::<Vec<_>>(), order);
    let conversation = text(&group["_id"]).to_owned();

    let mut ears = Vec::new();
    for (number, person) in others.iter().enumerate() {
        let dialect = ["flutter", "electron", "unified", "flutter"][number];
        let mut receiver = person.listen(suite.gateways[(number + 1) % 2], dialect).await;
        if dialect == "electron" {
            receiver.expect("connected").await;
        }
        ears.push((person, dialect, receiver));
    }
    let mut echo = maker.listen(suite.gateways[1], "flutter").await;
    let mut outside = stranger.listen(suite.gateways[0], "unified").await;

    for number in 0..10 {
        let sent = maker.send(&conversation, &number.to_string()).await;
        assert!(sent.get("to").is_none(), "the answer names no recipient");
        for (person, dialect, receiver) in &mut ears {
            let body = heard(receiver, dialect).await;
            assert_eq!(body["content"], number.to_string(), "{dialect}");
            let to = if *dialect == "flutter" { json!(person.id) } else { Value::Null };
            assert_eq!(body.get("to").cloned().unwrap_or_default(), to, "{dialect}");
        }
        let body = echo.expect("message").await;
        assert_eq!(body["text"], number.to_string());
        assert!(body.get("to").is_none(), "nothing is sent to its sender");
    }

    for (person, number) in people.iter().zip(10..) {
        person.send(&conversation, &number.to_string()).await;
    }
    let history = others[1].get(&format!("/messages?conversation={conversation}")).await;
    let history = history.as_array().expect("a bare list");
    assert_eq!(history.len(), 15);
    assert!(history.iter().all(|message| message.get("to").is_none()));
    let rows = others[0].get(&format!("/api/conversations?me={}", others[0].id)).await;
    assert_eq!(rows[0]["participants"], json!(order), "the members' ids in their order");

    // What he hears first is his own conversation's: of the group he has heard nothing.
    refuses(&stranger, &conversation).await;
    let own = maker.open(&stranger).await;
    maker.send(&own, "for you").await;
    let message = heard(&mut outside, "unified").await;
    assert_eq!((&message["content"], text(&message["conversationId"])), (&json!("for you"), &*own));
}

/// Asserts that somebody who is no member neither reads nor writes.
async fn refuses(stranger: &Person, conversation: &str) {
    let body = json!({ "conversationId": conversation, "content": "x" });
    let (status, answer) = stranger.request(Method::POST, "/api/messages", body).await;
    assert_eq!((status, &answer["error"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    let path = format!("/api/messages?conversation={conversation}");
    let (status, _) = stranger.request(Method::GET, &path, Value::Null).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let list = stranger.get(&format!("/api/conversations?me={}", stranger.id)).await;
    assert_eq!(list, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_request_makes_another_group() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let direct = one.open(&other).await;
    let (first, second) = (one.group(&[&other]).await, one.group(&[&other]).await);
    assert!(first != second && first != direct && second != direct);
}

#[tokio::test(flavor = "multi_thread")]
async fn group_with_a_stranger_to_the_suite_is_not_made() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let unknown = "65f0c0ffee0123456789abcd";
    for (members, status, error) in [
        (json!([unknown]), StatusCode::NOT_FOUND, "user_not_found"),
        (json!([]), StatusCode::BAD_REQUEST, "validation_error"),
        (json!([one.id]), StatusCode::BAD_REQUEST, "validation_error"),
    ] {
        let body = json!({ "type": "group", "participants": members });
        let (answered, answer) = one.request(Method::POST, "/api/conversations", body).await;
        assert_eq!((answered, &answer["error"]), (status, &json!(error)));
    }
}
