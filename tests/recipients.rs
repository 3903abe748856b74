//! `toPhone` holds a phone, an e-mail address or a user id, whatever is asked for with it. Nobody gives an
//! e-mail address to this suite: accounts that were imported have one.

use chat_kit::id::UserId;
use chat_local::testing::{self, TestSuite};
use mongodb::{
    Collection,
    bson::{Document, doc},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Person, eventually, new_phone, stored, text};

const START: [&str; 2] = ["/api/conversations/contacts/start-chat", "/contacts/start-chat"];
const ASK: [&str; 2] = ["/api/conversations/chat-requests", "/chat-requests"];
const SEND: [&str; 2] = ["/api/messages", "/messages"];

/// Returns the collection of profiles.
async fn profiles(suite: &TestSuite) -> Collection<Document> {
    stored(&testing::servers().await.mongodb_uri, suite, "user", "users").await
}

/// Makes somebody with an e-mail address, as an import stores it; returns it, too.
pub async fn imported(suite: &TestSuite) -> (Person, String) {
    let person = Person::new(suite.gateways[1]).await;
    let email = format!("{}@example.org", person.id);
    let id: UserId = person.id.parse().expect("an id");
    let change = doc! { "$set": { "email": &email } };
    let profiles = profiles(suite).await;
    let changed = profiles.update_one(doc! { "_id": id }, change).await.expect("a change");
    assert_eq!(changed.matched_count, 1);
    (person, email)
}

/// Returns all that `toPhone` may hold for somebody, as clients come to it.
fn contacts(person: &Person, email: &str) -> [String; 6] {
    let digits = person.phone.trim_start_matches('+');
    [
        person.phone.clone(),
        digits.to_owned(),
        format!("({}) {}", &digits[..3], &digits[3..]),
        email.to_owned(),
        format!(" {} ", email.to_uppercase()),
        person.id.clone(),
    ]
}

/// The message of a call that the mobile client posts.
fn call(from: &Person, contact: &str, duration: &Value) -> Value {
    json!({
        "from": from.id, "toPhone": contact, "text": "\u{1f4de} Outgoing call",
        "messageType": "call_activity", "callActivity": true, "callType": "outgoing",
        "callStatus": "completed", "isVideoCall": false,
        "callStartTime": "2026-01-31T08:15:30.123456", "callDuration": duration,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn first_message_reaches_whoever_the_contact_names() {
    let suite = testing::suite(|_| {}).await;
    let (other, email) = imported(&suite).await;
    let mut heard = other.listen(suite.gateways[1], "flutter").await;
    for (number, contact) in contacts(&other, &email).iter().enumerate() {
        let one = Person::new(suite.gateways[0]).await;
        let body = json!({ "from": one.id, "toPhone": contact, "text": format!("{number}") });
        let sent = one.ok(Method::POST, SEND[number % 2], body).await;
        assert_eq!((&sent["ok"], &sent["message"]), (&json!(true), &sent["data"]), "{contact}");
        let message = heard.expect("message").await;
        let expected = (&json!(one.id), &json!(number.to_string()));
        assert_eq!((&message["from"], &message["text"]), expected, "{contact}");
        assert_eq!(message["conversationId"], sent["message"]["conversationId"]);
        assert_eq!(one.get("/conversations").await.as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_messages_and_calls_reach_whoever_the_contact_names() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let (other, email) = imported(&suite).await;
    let conversation = one.open(&other).await;
    let origin = one.send(&conversation, "look").await;
    let mut count = 1;
    for contact in contacts(&other, &email) {
        let forward = json!({
            "from": one.id, "toPhone": contact, "text": "look", "forwarded": true,
            "forwardedFrom": other.id, "forwardedMessageId": origin["_id"],
            "fileUrl": null, "fileName": null, "fileType": null,
        });
        let sent = one.ok(Method::POST, "/api/messages", forward).await["message"].clone();
        assert_eq!(
            (&sent["conversationId"], &sent["forwarded"]),
            (&json!(conversation), &json!(true))
        );
        count += 1;
        for (given, stored) in
            [(Value::Null, Value::Null), (json!("65"), json!("65")), (json!(65), json!("65"))]
        {
            let sent = one.ok(Method::POST, "/api/messages", call(&one, &contact, &given)).await;
            let sent = &sent["message"];
            for (field, value) in [
                ("conversationId", json!(conversation)),
                ("messageType", json!("call_activity")),
                ("callActivity", json!(true)),
                ("callType", json!("outgoing")),
                ("callStatus", json!("completed")),
                ("isVideoCall", json!(false)),
                ("callStartTime", json!("2026-01-31T08:15:30.123456")),
                ("callDuration", stored.clone()),
            ] {
                assert_eq!(sent[field], value, "{contact} {given}: {field}");
            }
            count += 1;
        }
    }
    let history = other.get(&format!("/messages?conversation={conversation}")).await;
    let history = history.as_array().expect("a bare list");
    assert_eq!(history.len(), count, "each is stored once, in the one conversation");
    let last = history.last().expect("a message");
    assert_eq!(last["callStartTime"], "2026-01-31T08:15:30.123456", "as it was sent");
    eventually("the list says that it tells of a call", async || {
        let rows = other.get("/api/conversations").await;
        let newest = &rows["conversations"][0]["lastMessage"];
        newest["messageType"] == "call_activity"
            && newest["callActivity"] == true
            && newest["isVideoCall"] == false
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_started_and_asked_for_with_whoever_the_contact_names() {
    let suite = testing::suite(|_| {}).await;
    let (other, email) = imported(&suite).await;
    for (number, contact) in contacts(&other, &email).iter().enumerate() {
        let (one, another) =
            (Person::new(suite.gateways[0]).await, Person::new(suite.gateways[1]).await);
        let body = json!({ "from": one.id, "toPhone": contact });
        let started = one.ok(Method::POST, START[number % 2], body).await;
        assert_eq!(started["success"], true);
        let found = &started["conversation"];
        assert!(found["participants"].to_string().contains(&other.id), "{contact}: {found}");
        assert_eq!(found["status"], "active");

        let body = json!({ "from": another.id, "toPhone": contact });
        let asked = another.ok(Method::POST, ASK[number % 2], body).await;
        let found = &asked["conversation"];
        assert!(found["participants"].to_string().contains(&other.id), "{contact}: {found}");
        assert_eq!(found["status"], "pending");

        // New clients say `toContact`, and need not say who they are.
        let body = json!({ "toContact": contact });
        let path = format!("{}?clientType=unified", START[0]);
        let again = one.ok(Method::POST, &path, body).await;
        assert_eq!(again["conversation"]["id"], started["conversation"]["_id"], "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_of_nobody_is_said_on_every_route_and_makes_nothing() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let nobody = [new_phone(), "nobody@example.org".to_owned(), UserId::new().to_string()];
    for contact in nobody {
        let body = json!({ "from": one.id, "toPhone": contact, "text": "hi" });
        for path in [SEND, START, ASK].concat() {
            let (status, answer) = one.request(Method::POST, path, body.clone()).await;
            let found = (status, &answer["error"]);
            assert_eq!(
                found,
                (StatusCode::NOT_FOUND, &json!("user_not_found")),
                "{path} {contact}"
            );
            assert!(!text(&answer["message"]).is_empty());
        }
        let (status, answer) =
            one.request(Method::POST, "/api/messages", call(&one, &contact, &Value::Null)).await;
        assert_eq!((status, &answer["error"]), (StatusCode::NOT_FOUND, &json!("user_not_found")));
    }
    assert_eq!(one.get("/conversations").await, json!([]));
}
