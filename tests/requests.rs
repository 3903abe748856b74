//! Chat requests: strangers ask each other at two gateways, accept, decline and start to chat.

use chat_local::testing;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Person, new_phone, text};

const REQUESTS: &str = "/api/conversations/chat-requests";
const START: &str = "/api/conversations/contacts/start-chat";

/// Asks somebody to chat by one of his contacts; returns the conversation.
async fn ask(one: &Person, contact: &str) -> Value {
    let body = json!({ "from": one.id, "toPhone": contact });
    let answer = one.ok(Method::POST, REQUESTS, body).await;
    assert_eq!((&answer["success"], &answer["ok"]), (&json!(true), &json!(true)));
    answer["conversation"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_heard_accepted_and_written_into() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let stranger = Person::new(suite.gateways[1]).await;
    let mut requester = one.listen(suite.gateways[1], "flutter").await;
    let mut ears = [
        other.listen(suite.gateways[1], "flutter").await,
        other.listen(suite.gateways[0], "electron").await,
        other.listen(suite.gateways[0], "").await,
    ];
    for ear in &mut ears[1..] {
        ear.expect("connected").await;
    }
    let mut unified = other.listen(suite.gateways[0], "unified").await;

    let asked = ask(&one, &other.phone).await;
    let id = text(&asked["_id"]).to_owned();
    assert_eq!((&asked["status"], &asked["createdBy"]), (&json!("pending"), &json!(one.id)));
    for ear in &mut ears {
        let heard = ear.expect("chat_request").await;
        let expected = json!({
            "_id": id, "from": one.id, "to": other.id, "status": "pending",
            "createdAt": asked["createdAt"],
        });
        assert_eq!(heard, expected);
    }
    let heard = unified.expect("request:created").await;
    assert_eq!((&heard["conversationId"], &heard["requesterId"]), (&json!(id), &json!(one.id)));

    for person in [&one, &other] {
        let listed = person.get(&format!("{REQUESTS}?me={}&status=pending", person.id)).await;
        assert_eq!(listed["conversations"][0]["_id"], id);
        assert_eq!(listed["conversations"][0]["createdBy"], one.id);
        let bare = person.get("/chat-requests").await;
        assert_eq!(bare[0]["_id"], id);
    }
    assert_eq!(stranger.get(REQUESTS).await["conversations"], json!([]));

    for (target, value) in [("conversationId", &id), ("toId", &other.id), ("toPhone", &other.phone)]
    {
        let body = json!({ "from": one.id, target: value, "text": "hi" });
        let (status, answer) = one.request(Method::POST, "/api/messages", body).await;
        assert_eq!((status, &answer["error"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
        assert_eq!(answer["message"], "the other side has not accepted your request yet");
    }

    let accept = format!("{REQUESTS}/{id}/accept");
    for person in [&one, &stranger] {
        let (status, _) = person.request(Method::POST, &accept, json!({})).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    let accepted = other.ok(Method::POST, &accept, json!({ "me": other.id })).await;
    assert_eq!(accepted["conversation"]["status"], "active");
    assert!(accepted["conversation"]["lastMessageAt"].is_string());
    let heard = requester.expect("chat_request_accepted").await;
    assert_eq!(heard, json!({ "conversationId": id, "partnerId": other.id }));
    for ear in &mut ears {
        let heard = ear.expect("chat_request_accepted").await;
        assert_eq!(heard, json!({ "conversationId": id, "partnerId": one.id }));
    }
    unified.expect("request:accepted").await;

    // A request for what is there already changes nothing, and old clients show it all the same.
    let again = ask(&one, &other.phone).await;
    assert_eq!((text(&again["_id"]), &again["status"]), (&*id, &json!("active")));
    for ear in &mut ears {
        let heard = ear.expect("chat_request").await;
        assert_eq!((text(&heard["_id"]), &heard["status"]), (&*id, &json!("active")));
    }

    let (status, answer) =
        other.request(Method::POST, &format!("/chat-requests/{id}/decline"), json!({})).await;
    assert_eq!((status, &answer["error"]), (StatusCode::CONFLICT, &json!("not_pending")));
    let body = json!({ "from": one.id, "toId": other.id, "text": "hi" });
    let sent = one.ok(Method::POST, "/api/messages", body).await;
    assert_eq!(sent["conversationId"], id);
    assert_eq!(ears[0].expect("message").await["text"], "hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn declined_request_is_heard_by_who_asked_and_can_be_made_again() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let asked = ask(&one, &other.id).await;
    let id = text(&asked["_id"]).to_owned();
    let mut requester = one.listen(suite.gateways[1], "flutter").await;
    let decline = format!("/chat-requests/{id}/decline");
    for _ in 0..2 {
        let declined = other.ok(Method::POST, &decline, json!({})).await;
        assert_eq!(declined["conversation"]["status"], "declined");
    }
    let heard = requester.expect("chat_request_declined").await;
    assert_eq!(heard, json!({ "conversationId": id, "by": other.id }));

    let body = json!({ "from": one.id, "toPhone": other.phone });
    let (status, answer) = one.request(Method::POST, START, body).await;
    assert_eq!((status, &answer["error"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    let again = ask(&other, &one.phone).await;
    assert_eq!((&again["_id"], &again["createdBy"]), (&json!(id), &json!(other.id)));
    let heard = requester.expect("chat_request").await;
    assert_eq!((&heard["from"], &heard["to"]), (&json!(other.id), &json!(one.id)));
    let body = json!({ "from": one.id, "toPhone": other.phone });
    let started = one.ok(Method::POST, START, body).await;
    assert_eq!(started["conversation"]["status"], "active");
    assert_eq!(requester.expect("chat_request_accepted").await["partnerId"], other.id);
}

/// The flow F4 of the mobile client, from the first contact to the first message.
#[tokio::test(flavor = "multi_thread")]
async fn contact_is_added_and_written_to_by_id() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let body = json!({ "from": one.id, "toPhone": other.phone });
    let started = one.ok(Method::POST, START, body).await;
    assert_eq!((&started["success"], &started["ok"]), (&json!(true), &json!(true)));
    let conversation = &started["conversation"];
    let fields: Vec<&str> =
        conversation.as_object().expect("an object").keys().map(String::as_str).collect();
    for field in ["_id", "participants", "members", "status", "createdBy", "lastMessageAt"] {
        assert!(fields.contains(&field), "{field}: {conversation}");
    }
    assert_eq!(fields.len(), 8, "{conversation}");
    for (body, expected, error) in [
        (json!({ "from": one.id, "toPhone": new_phone() }), 404, "user_not_found"),
        (json!({ "from": one.id }), 400, "missing_fields"),
        (json!({ "from": other.id, "toPhone": one.phone }), 403, "forbidden"),
    ] {
        for path in [START, "/contacts/start-chat", REQUESTS, "/chat-requests"] {
            let (status, answer) = one.request(Method::POST, path, body.clone()).await;
            assert_eq!((status.as_u16(), &answer["error"]), (expected, &json!(error)), "{path}");
            assert!(!text(&answer["message"]).is_empty());
        }
    }

    let ids = format!("{},{}", one.id, other.id);
    let users = one.get(&format!("/api/users/by-ids?ids={ids}")).await;
    assert_eq!(users[&other.id]["name"], users["users"][&other.id]["name"]);
    let history = format!("/api/messages?userA={}&userB={}", one.id, other.id);
    assert_eq!(one.get(&history).await, json!([]));
    let mut ear = other.listen(suite.gateways[1], "flutter").await;
    let body = json!({ "from": one.id, "text": "hi", "toId": other.id });
    let (status, sent) = one.request(Method::POST, "/api/messages", body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(sent["data"]["conversationId"], conversation["_id"]);
    let heard = ear.expect("message").await;
    assert_eq!((&heard["from"], &heard["to"]), (&json!(one.id), &json!(other.id)));
    assert_eq!(heard["text"], "hi");
}
