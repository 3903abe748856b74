//! Blocks: two who keep apart reach each other by no way, in neither direction, until the block is lifted.

use std::net::SocketAddr;

use chat_e2e::socket::{self, Heard, Receiver};
use chat_local::testing;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{PATIENCE, Person, text};

async fn block(by: &Person, other: &Person) {
    let path = format!("/api/users/{}/block", other.id);
    let answer = by.ok(Method::PUT, &path, json!({})).await;
    assert_eq!(answer, json!({ "success": true, "blocked": true }));
}

async fn unblock(by: &Person, other: &Person) {
    let path = format!("/api/users/{}/block", other.id);
    let answer = by.ok(Method::DELETE, &path, json!({})).await;
    assert_eq!(answer, json!({ "success": true, "blocked": false }));
}

/// Asserts that a request of somebody is forbidden, with a text for people.
async fn is_forbidden(who: &Person, method: Method, path: &str, body: Value) {
    let (status, answer) = who.request(method.clone(), path, body.clone()).await;
    let found = (status, &answer["error"]);
    assert_eq!(found, (StatusCode::FORBIDDEN, &json!("forbidden")), "{method} {path} {body}");
    assert!(!text(&answer["message"]).is_empty(), "{answer}");
}

/// Returns the bodies that write to somebody, by every way of naming him.
fn sends(to: &Person, conversation: &str) -> [Value; 4] {
    [
        json!({ "conversationId": conversation, "content": "hi" }),
        json!({ "toId": to.id, "text": "hi" }),
        json!({ "toPhone": to.phone, "text": "hi" }),
        json!({ "toPhone": to.id, "text": "hi" }),
    ]
}

/// Returns how many messages somebody sees of a conversation.
async fn seen(who: &Person, conversation: &str) -> usize {
    let history = who.get(&format!("/messages?conversation={conversation}")).await;
    history.as_array().expect("a bare list").len()
}

/// Sends on a new socket; returns what the sender is told, by the acknowledgement or by an event.
async fn told(who: &Person, gateway: SocketAddr, client_type: &str, conversation: &str) -> Value {
    let auth = json!({ "token": who.token, "clientType": client_type });
    let (sender, mut receiver) =
        socket::connect(gateway, &auth, PATIENCE).await.expect("a connection");
    let body = json!({ "conversationId": conversation, "content": "hi" }).to_string();
    let is_unified = client_type == "unified";
    let sent = if is_unified {
        sender.emit_with_ack(1, "message:send", &body).await
    } else {
        sender.emit("send-message", &body).await
    };
    sent.expect("emitted");
    let answer = async {
        loop {
            match receiver.next().await {
                Heard::Ack(1, arguments) if is_unified => return arguments.body().to_owned(),
                Heard::Event(event) if !is_unified && event.name() == "error" => {
                    return event.body().to_owned();
                }
                Heard::Event(event) if event.name() == "message-sent" => {
                    return event.body().to_owned();
                }
                Heard::Event(_) => {}
                other => panic!("{other:?} instead of an answer"),
            }
        }
    };
    let answer = timeout(PATIENCE, answer).await.expect("an answer in time");
    serde_json::from_str(&answer).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_across_a_block_by_any_way_until_it_is_lifted() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, bob) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&bob).await;
    ada.send(&conversation, "before").await;
    let said = bob.send(&conversation, "before, too").await;
    let own = text(&said["_id"]).to_owned();

    block(&ada, &bob).await;
    block(&ada, &bob).await;
    for (one, other, gateway) in [(&ada, &bob, a), (&bob, &ada, b)] {
        for body in sends(other, &conversation) {
            is_forbidden(one, Method::POST, "/api/messages", body.clone()).await;
            is_forbidden(one, Method::POST, "/messages", body).await;
        }
        let told_new = told(one, gateway, "unified", &conversation).await;
        assert_eq!((&told_new["ok"], &told_new["error"]), (&json!(false), &json!("forbidden")));
        for family in ["electron", "flutter", ""] {
            let told_old = told(one, gateway, family, &conversation).await;
            assert!(text(&told_old["message"]).contains("blocked"), "{family}: {told_old}");
        }
        let body = json!({ "from": one.id, "toPhone": other.phone });
        for path in [
            "/api/conversations/contacts/start-chat",
            "/contacts/start-chat",
            "/api/conversations/chat-requests",
            "/chat-requests",
        ] {
            is_forbidden(one, Method::POST, path, body.clone()).await;
        }
        // What was said stays readable, in a list of its own.
        assert_eq!(seen(one, &conversation).await, 2);
        assert_eq!(one.get("/conversations").await, json!([]));
        let closed = one.get("/conversations?status=blocked").await;
        assert_eq!(
            (&closed[0]["_id"], &closed[0]["status"]),
            (&json!(conversation), &json!("blocked"))
        );
    }
    let edit = format!("/api/messages/{own}");
    is_forbidden(&bob, Method::PATCH, &edit, json!({ "text": "after" })).await;
    let reaction = format!("/api/messages/{own}/reactions/ok");
    for method in [Method::PUT, Method::DELETE] {
        is_forbidden(&ada, method, &reaction, json!({})).await;
    }

    unblock(&ada, &bob).await;
    unblock(&ada, &bob).await;
    let mut count = 2;
    for (one, other, gateway) in [(&ada, &bob, a), (&bob, &ada, b)] {
        for body in sends(other, &conversation) {
            one.ok(Method::POST, "/api/messages", body).await;
        }
        assert_eq!(told(one, gateway, "unified", &conversation).await["ok"], true);
        let told_old = told(one, gateway, "electron", &conversation).await;
        assert_eq!(told_old["conversationId"], conversation.as_str(), "{told_old}");
        count += 6;
        assert_eq!(seen(other, &conversation).await, count);
    }
    bob.ok(Method::PATCH, &edit, json!({ "text": "after" })).await;
    ada.ok(Method::PUT, &reaction, json!({})).await;
    assert_eq!(bob.get("/conversations").await[0]["status"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn block_of_both_sides_stands_until_both_have_lifted_it() {
    let suite = testing::suite(|_| {}).await;
    let (ada, bob) = (Person::new(suite.gateways[0]).await, Person::new(suite.gateways[1]).await);
    let conversation = ada.open(&bob).await;
    block(&ada, &bob).await;
    block(&bob, &ada).await;
    unblock(&ada, &bob).await;
    for (one, other) in [(&ada, &bob), (&bob, &ada)] {
        for body in sends(other, &conversation) {
            is_forbidden(one, Method::POST, "/api/messages", body).await;
        }
    }
    unblock(&bob, &ada).await;
    ada.send(&conversation, "hi").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_opens_a_conversation_across_a_block_or_adds_the_other_to_a_group() {
    let suite = testing::suite(|_| {}).await;
    let (ada, bob) = (Person::new(suite.gateways[0]).await, Person::new(suite.gateways[1]).await);
    let carol = Person::new(suite.gateways[1]).await;
    block(&ada, &bob).await;
    for (one, other) in [(&ada, &bob), (&bob, &ada)] {
        let group = one.group(&[&carol]).await;
        for (path, body) in [
            ("/api/messages", json!({ "toId": other.id, "text": "hi" })),
            ("/api/messages", json!({ "toPhone": other.phone, "text": "hi" })),
            ("/api/conversations", json!({ "otherUserId": other.id })),
            (
                "/api/conversations",
                json!({ "type": "group", "participants": [carol.id, other.id] }),
            ),
            (
                "/api/conversations/contacts/start-chat",
                json!({ "from": one.id, "toPhone": other.phone }),
            ),
            ("/api/conversations/chat-requests", json!({ "from": one.id, "toPhone": other.phone })),
            ("/api/groups", json!({ "name": "Go", "participants": [other.id] })),
            ("/api/groups/create", json!({ "name": "Go", "participants": [other.id] })),
            ("/api/groups/add-participant", json!({ "groupId": group, "userId": other.id })),
            (&format!("/api/groups/{group}/members"), json!({ "userId": other.id })),
        ] {
            is_forbidden(one, Method::POST, path, body).await;
        }
        let rows = one.get("/conversations").await;
        assert_eq!((&rows[0]["_id"], rows.as_array().map(Vec::len)), (&json!(group), Some(1)));
        assert_eq!(rows[0]["participants"], json!([one.id, carol.id]));
        assert_eq!(one.get("/conversations?status=blocked").await, json!([]));
        assert_eq!(one.get("/chat-requests").await, json!([]));
    }
    // A third one is free to bring both together, where they hear each other.
    let group = carol.group(&[&ada, &bob]).await;
    let mut heard = ada.listen(suite.gateways[1], "flutter").await;
    bob.send(&group, "hello all").await;
    assert_eq!(heard.expect("message").await["text"], "hello all");

    unblock(&ada, &bob).await;
    let body = json!({ "from": bob.id, "toPhone": ada.phone });
    bob.ok(Method::POST, "/api/conversations/chat-requests", body).await;
    let body = json!({ "from": ada.id, "toPhone": bob.phone });
    ada.ok(Method::POST, "/api/conversations/contacts/start-chat", body).await;
    bob.ok(Method::POST, "/api/messages", json!({ "toId": ada.id, "text": "hi" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_users_are_no_partners_of_each_other() {
    let suite = testing::suite(|_| {}).await;
    let (ada, bob) = (Person::new(suite.gateways[0]).await, Person::new(suite.gateways[1]).await);
    ada.open(&bob).await;
    for (is_apart, phone) in [(false, true), (true, false), (false, true)] {
        if is_apart {
            block(&ada, &bob).await;
        }
        for (one, other) in [(&ada, &bob), (&bob, &ada)] {
            let profile = one.get(&format!("/api/users/profile/{}", other.id)).await;
            assert_eq!(profile["user"]["id"], other.id.as_str());
            assert_eq!(profile["user"]["phone"] == other.phone.as_str(), phone, "{profile}");
            let known = one.get(&format!("/users/by-ids?ids={}", other.id)).await;
            assert_eq!(known[&other.id]["phone"] == other.phone.as_str(), phone, "{known}");
            let present = one.get("/api/users/presence?verbose=1").await;
            let is_listed = present["presence"].get(&other.id).is_some();
            assert_eq!(is_listed, !is_apart, "{present}");
        }
        if is_apart {
            unblock(&ada, &bob).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn group_shows_no_phone_across_a_block() {
    let suite = testing::suite(|_| {}).await;
    let ada = Person::new(suite.gateways[0]).await;
    let (bob, carol) = (Person::new(suite.gateways[1]).await, Person::new(suite.gateways[1]).await);
    let group = carol.group(&[&ada, &bob]).await;
    for is_apart in [false, true, false] {
        if is_apart {
            block(&ada, &bob).await;
        }
        for (one, other) in [(&ada, &bob), (&bob, &ada)] {
            for path in [
                format!("/api/users/profile/{}", other.id),
                format!("/users/by-ids?ids={}", other.id),
                format!("/api/conversations/{group}"),
                format!("/api/groups/{group}"),
                "/api/groups".to_owned(),
                "/api/conversations".to_owned(),
            ] {
                let shown = one.get(&path).await.to_string();
                assert!(shown.contains(&other.id), "{shown}");
                assert_eq!(shown.contains(&other.phone), !is_apart, "{path}: {shown}");
                let shows_all = !path.contains(&other.id);
                assert!(!shows_all || shown.contains(&carol.phone), "{path}: {shown}");
            }
        }
        if is_apart {
            unblock(&ada, &bob).await;
        }
    }
}

/// Waits for an event of a name, whatever comes before it; returns its body.
async fn hear(listener: &mut Receiver, name: &str) -> Value {
    loop {
        let (heard, body) = listener.event().await;
        if heard == name {
            return body;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_profile_tells_no_phone_across_a_block() {
    let suite = testing::suite(|_| {}).await;
    let ada = Person::new(suite.gateways[0]).await;
    let (bob, carol) = (Person::new(suite.gateways[1]).await, Person::new(suite.gateways[1]).await);
    carol.group(&[&ada, &bob]).await;
    block(&ada, &bob).await;
    let end = &bob.phone[bob.phone.len() - 4..];
    for (name, left) in [(None, format!("…{end}")), (Some("Bob"), "Bob".to_owned())] {
        let mut apart = Vec::new();
        for (family, event) in [
            ("flutter", "user_profile_updated"),
            ("electron", "user_profile_updated"),
            ("unified", "profile:updated"),
        ] {
            apart.push((ada.listen(suite.gateways[0], family).await, event));
        }
        let mut near = carol.listen(suite.gateways[0], "flutter").await;
        let bio = format!("known as {left}");
        let changes =
            name.map_or(json!({ "bio": bio }), |name| json!({ "name": name, "bio": bio }));
        bob.ok(Method::PATCH, "/api/users/me", changes).await;
        for (listener, event) in &mut apart {
            let heard = hear(listener, event).await;
            let user = &heard["user"];
            assert_eq!([&user["name"], &user["bio"]], [left.as_str(), bio.as_str()]);
            assert_eq!([&user["phone"], &user["email"]], [&Value::Null; 2]);
            assert!(!heard.to_string().contains(&bob.phone), "{heard}");
        }
        let heard = hear(&mut near, "user_profile_updated").await;
        assert_eq!(heard["user"]["phone"], bob.phone.as_str(), "a partner");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_is_listed_to_who_blocked_him_alone() {
    let suite = testing::suite(|_| {}).await;
    let ada = Person::new(suite.gateways[0]).await;
    let (bob, carol) = (Person::new(suite.gateways[1]).await, Person::new(suite.gateways[1]).await);
    block(&ada, &bob).await;
    block(&ada.at(suite.gateways[1]), &carol).await;
    let list = ada.get("/api/users/blocked").await;
    let ids: Vec<&str> =
        list["users"].as_array().expect("a list").iter().map(|user| text(&user["id"])).collect();
    assert_eq!(ids, [carol.id.as_str(), bob.id.as_str()]);
    for declared in ["unified", "electron", "flutter", "none"] {
        let path = format!("/api/users/blocked?clientType={declared}&limit=1");
        let first = ada.get(&path).await;
        assert_eq!(first["users"][0]["id"], carol.id.as_str());
        let cursor = text(&first["nextCursor"]);
        let second = ada.get(&format!("{path}&cursor={cursor}")).await;
        assert_eq!(second["users"][0]["id"], bob.id.as_str());
        assert_eq!(second["nextCursor"], Value::Null);
    }
    assert_eq!(bob.get("/api/users/blocked").await["users"], json!([]), "nobody is told");
    unblock(&ada, &carol).await;
    assert_eq!(ada.get("/api/users/blocked").await["users"].as_array().map(Vec::len), Some(1));

    for (method, id, status, error) in [
        (Method::PUT, "65f0c0ffee0123456789abcd", 404, "user_not_found"),
        (Method::PUT, ada.id.as_str(), 400, "validation_error"),
        (Method::DELETE, ada.id.as_str(), 400, "validation_error"),
        (Method::PUT, "nonsense", 400, "invalid_id"),
        (Method::DELETE, "nonsense", 400, "invalid_id"),
    ] {
        let path = format!("/api/users/{id}/block");
        let (answered, answer) = ada.request(method, &path, json!({})).await;
        assert_eq!((answered.as_u16(), &answer["error"]), (status, &json!(error)), "{answer}");
        assert!(!text(&answer["message"]).is_empty());
    }
    // Who blocks nobody may lift the block of whom he pleases.
    unblock(&ada, &carol).await;
    let (status, _) = ada.request(Method::GET, "/api/users/blocked?cursor=x", Value::Null).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
