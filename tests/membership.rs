//! A group from its making on: who is in, who decides, and what nobody hears any more who was removed.

use chat_e2e::socket::{Heard, Receiver};
use chat_local::testing;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Person, text};

/// Makes a group with a name; returns the answer.
pub async fn make(maker: &Person, name: &str, others: &[&Person]) -> Value {
    let others: Vec<&str> = others.iter().map(|other| other.id.as_str()).collect();
    let body = json!({ "name": name, "participants": others });
    let (status, answer) = maker.request(Method::POST, "/api/groups/create", body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer
}

/// Asks for something that names a group and a user; returns status and body.
async fn ask(by: &Person, act: &str, group: &str, user: &Person) -> (StatusCode, Value) {
    let body = json!({ "groupId": group, "userId": user.id });
    by.request(Method::POST, &format!("/api/groups/{act}"), body).await
}

/// Asserts a refusal.
#[track_caller]
pub fn refused((status, answer): (StatusCode, Value), expected: StatusCode, error: &str) {
    assert_eq!((status, &answer["error"]), (expected, &json!(error)), "{answer}");
    assert_eq!(answer["success"], false);
    assert!(!text(&answer["message"]).is_empty());
}

/// Returns the ids of a list of profiles or ids.
fn ids(list: &Value) -> Vec<&str> {
    let items = list.as_array().expect("a list").iter();
    items.map(|item| text(item.get("_id").unwrap_or(item))).collect()
}

/// Returns what somebody is called.
async fn name(person: &Person) -> String {
    text(&person.get("/api/auth/me").await["user"]["name"]).to_owned()
}

/// Hears events until a message of this text comes; returns its body, and the names and bodies before.
async fn hear(receiver: &mut Receiver, content: &str) -> (Value, Vec<(String, Value)>) {
    let mut before = Vec::new();
    loop {
        let Heard::Event(event) = receiver.next().await else { panic!("no `{content}` any more") };
        let body: Value = serde_json::from_str(event.body()).expect("JSON");
        if body["content"] == content {
            return (body, before);
        }
        before.push((event.name().to_owned(), body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn group_lives_across_gateways_and_families() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let two = Person::new(suite.gateways[1]).await;
    let three = Person::new(suite.gateways[1]).await;
    let mut desktop = three.listen(suite.gateways[0], "electron").await;
    let mut mobile = two.listen(suite.gateways[0], "flutter").await;

    let made = make(&one, "Chess", &[&two, &three]).await;
    let group = &made["group"];
    let id = text(&group["_id"]).to_owned();
    assert_eq!(group["name"], "Chess");
    assert_eq!((&group["admin"]["_id"], &group["admins"]), (&json!(one.id), &json!([one.id])));
    assert_eq!(ids(&group["participants"]), [&one.id, &two.id, &three.id]);
    assert_eq!((text(&group["conversationId"]), &group["memberCount"]), (&*id, &json!(3)));
    let conversation = &made["conversation"];
    assert_eq!((text(&conversation["_id"]), &conversation["isGroup"]), (&*id, &json!(true)));
    let rows = two.get(&format!("/api/conversations?me={}", two.id)).await;
    let named = (&rows[0]["_id"], &rows[0]["name"], &rows[0]["groupId"]);
    assert_eq!(named, (&json!(id), &json!("Chess"), &json!(id)));
    assert_eq!(ids(&rows[0]["participants"]), [&one.id, &two.id, &three.id]);

    one.send(&id, "hello").await;
    let (message, _) = hear(&mut mobile, "hello").await;
    assert_eq!((&message["from"], &message["to"]), (&json!(one.id), &json!(two.id)));
    let (message, _) = hear(&mut desktop, "hello").await;
    assert_eq!(message["sender"], json!(one.id));
    let body = json!({ "from": two.id, "text": "hi", "conversationId": id });
    let (status, _) = two.request(Method::POST, "/api/messages", body).await;
    assert_eq!(status, StatusCode::OK);
    hear(&mut desktop, "hi").await;

    let list = two.get("/api/groups").await;
    assert_eq!((&list["pagination"]["total"], &list["groups"][0]["_id"]), (&json!(1), &json!(id)));
    let found = three.get("/api/groups/search?query=CHE").await;
    assert_eq!(found["groups"][0]["admin"]["_id"], json!(one.id));
    let whole = three.get(&format!("/api/groups/{id}")).await;
    assert_eq!(ids(&whole["group"]["admins"]), [&one.id]);
    assert_eq!(whole["group"]["participants"][0]["isOnline"].as_bool(), Some(false));
    let unified = three.get(&format!("/api/groups/{id}?clientType=unified")).await;
    assert_eq!(unified["group"]["memberIds"], json!([one.id, two.id, three.id]));
    assert_eq!(unified["group"]["mainAdminId"], json!(one.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_decide_and_the_main_one_stays() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let two = Person::new(suite.gateways[1]).await;
    let three = Person::new(suite.gateways[1]).await;
    let made = make(&one, "Chess", &[&two, &three]).await;
    let id = text(&made["group"]["_id"]);

    let by_member = ask(&two, "promote-admin", id, &three).await;
    refused(by_member, StatusCode::FORBIDDEN, "forbidden");
    let (status, answer) = ask(&one, "promote-admin", id, &three).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(ids(&answer["group"]["admins"]), [&one.id, &three.id]);
    let again = ask(&one, "promote-admin", id, &three).await;
    refused(again, StatusCode::CONFLICT, "already_admin");
    let admin = ask(&one, "remove-participant", id, &three).await;
    refused(admin, StatusCode::BAD_REQUEST, "validation_error");
    refused(ask(&three, "demote-admin", id, &one).await, StatusCode::FORBIDDEN, "forbidden");
    let (status, answer) = ask(&one, "demote-admin", id, &three).await;
    assert_eq!((status, ids(&answer["group"]["admins"])), (StatusCode::OK, vec![&*one.id]));

    let quiet = json!({ "settings": { "onlyAdminsCanSendMessages": true } });
    let path = format!("/api/groups/{id}");
    let by_member = two.request(Method::PATCH, &path, quiet.clone()).await;
    refused(by_member, StatusCode::FORBIDDEN, "forbidden");
    let changed = one.ok(Method::PATCH, &path, quiet).await;
    assert_eq!(changed["group"]["settings"]["onlyAdminsCanSendMessages"], true);
    let body = json!({ "conversationId": id, "content": "may I?" });
    let sent = two.request(Method::POST, "/api/messages", body.clone()).await;
    refused(sent, StatusCode::FORBIDDEN, "forbidden");
    one.send(id, "listen").await;
    let loud = json!({ "settings": { "onlyAdminsCanSendMessages": false }, "name": "Go" });
    let changed = one.ok(Method::PUT, &path, loud).await;
    assert_eq!(changed["group"]["name"], "Go");
    two.ok(Method::POST, "/api/messages", body).await;

    let path = format!("/api/groups/{id}/leave");
    one.ok(Method::DELETE, &path, json!({})).await;
    let left = two.get(&format!("/api/groups/{id}")).await;
    let left = &left["group"];
    assert_eq!(text(&left["admin"]["_id"]), two.id);
    assert_eq!(ids(&left["admins"]), [&two.id]);
    refused(
        one.request(Method::DELETE, &path, json!({})).await,
        StatusCode::FORBIDDEN,
        "forbidden",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_member_hears_of_it_and_of_nothing_after_it() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let two = Person::new(suite.gateways[1]).await;
    let three = Person::new(suite.gateways[1]).await;
    let direct = one.open(&two).await;
    let made = make(&one, "Chess", &[&two, &three]).await;
    let id = text(&made["group"]["_id"]);
    let mut left = three.listen(suite.gateways[0], "flutter").await;
    let mut ears = Vec::new();
    for (number, dialect) in ["flutter", "electron", "unified"].into_iter().enumerate() {
        let mut ear = two.listen(suite.gateways[number % 2], dialect).await;
        one.send(id, "before").await;
        hear(&mut ear, "before").await;
        ears.push((dialect, ear));
    }

    let (status, answer) = ask(&one, "remove-participant", id, &two).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(ids(&answer["group"]["participants"]), [&one.id, &three.id]);
    let removal = format!("{} removed {}", name(&one).await, name(&two).await);
    let (note, _) = hear(&mut left, &removal).await;
    assert_eq!((&note["type"], &note["messageType"]), (&json!("text"), &json!("system")));
    assert_eq!(note["from"], json!(one.id));
    for person in [&one, &three] {
        person.send(id, "without him").await;
    }
    one.ok(Method::PATCH, &format!("/api/groups/{id}"), json!({ "name": "Go" })).await;
    one.send(&direct, "for you").await;
    for (dialect, ear) in &mut ears {
        let (_, before) = hear(ear, "for you").await;
        let of_group = before.iter().filter(|(_, body)| body.to_string().contains(id));
        for (name, body) in of_group {
            assert_ne!(body["content"], "without him", "{dialect}: {name} {body}");
            assert_ne!(body["content"], removal, "{dialect}: {name} {body}");
            assert_ne!(name, "conversation:updated", "{dialect}: {body}");
        }
        let told = before.iter().any(|(name, _)| name == "conversation:member-removed");
        assert_eq!(told, *dialect == "unified", "{dialect}: {before:?}");
    }

    let list = two.get(&format!("/api/conversations?me={}", two.id)).await;
    assert!(!list.to_string().contains(id), "{list}");
    for path in [
        format!("/api/groups/{id}"),
        format!("/api/messages?conversation={id}"),
        format!("/api/messages/conversation/{id}"),
    ] {
        let read = two.request(Method::GET, &path, Value::Null).await;
        refused(read, StatusCode::FORBIDDEN, "forbidden");
    }
    let body = json!({ "conversationId": id, "content": "let me in" });
    let sent = two.request(Method::POST, "/api/messages", body).await;
    refused(sent, StatusCode::FORBIDDEN, "forbidden");

    let path = format!("/api/groups/{id}/members");
    three.ok(Method::POST, &path, json!({ "userId": two.id })).await;
    three.ok(Method::DELETE, &format!("/api/groups/{id}/members/{}", three.id), json!({})).await;
    let (status, _) = ask(&one, "add-participant", id, &three).await;
    assert_eq!(status, StatusCode::OK);
    one.send(id, "again").await;
    for (_, ear) in &mut ears {
        hear(ear, "again").await;
    }
    let history = two.get(&format!("/messages?conversation={id}")).await;
    assert!(history.to_string().contains("without him"), "members read the whole history");
}

#[tokio::test(flavor = "multi_thread")]
async fn stranger_changes_and_learns_nothing() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let two = Person::new(suite.gateways[1]).await;
    let stranger = Person::new(suite.gateways[1]).await;
    let made = make(&one, "Chess", &[&two]).await;
    let id = text(&made["group"]["_id"]);
    for (act, user) in [
        ("add-participant", &stranger),
        ("remove-participant", &two),
        ("remove-participant", &stranger),
        ("promote-admin", &stranger),
        ("promote-admin", &two),
        ("demote-admin", &one),
    ] {
        let answer = ask(&stranger, act, id, user).await;
        refused(answer, StatusCode::FORBIDDEN, "forbidden");
    }
    for (method, path) in [
        (Method::GET, format!("/api/groups/{id}")),
        (Method::PUT, format!("/api/groups/{id}")),
        (Method::PATCH, format!("/api/groups/{id}")),
        (Method::DELETE, format!("/api/groups/{id}/leave")),
        (Method::DELETE, format!("/api/groups/{id}/members/{}", two.id)),
        (Method::GET, format!("/api/groups/{id}/invite-link")),
        (Method::POST, format!("/api/groups/{id}/invite-link")),
        (Method::DELETE, format!("/api/groups/{id}/invite-link")),
        (Method::POST, format!("/api/groups/{id}/join")),
    ] {
        let answer = stranger.request(method, &path, json!({})).await;
        assert!(!answer.1.to_string().contains(&two.id), "{path}");
        refused(answer, StatusCode::FORBIDDEN, "forbidden");
    }
    for path in ["/api/groups", "/api/groups/search?query=Chess", "/api/groups/public"] {
        assert_eq!(stranger.get(path).await["groups"], json!([]), "{path}");
    }
    let group = one.get(&format!("/api/groups/{id}")).await;
    assert_eq!(ids(&group["group"]["participants"]), [&one.id, &two.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_group_is_said_clearly() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let two = Person::new(suite.gateways[1]).await;
    let direct = one.open(&two).await;
    let unknown = "65f0c0ffee0123456789abcd";
    for id in [direct.as_str(), unknown] {
        for (method, path) in [
            (Method::GET, format!("/api/groups/{id}")),
            (Method::PUT, format!("/api/groups/{id}")),
            (Method::DELETE, format!("/api/groups/{id}/leave")),
            (Method::GET, format!("/api/groups/{id}/invite-link")),
            (Method::POST, format!("/api/groups/{id}/join")),
        ] {
            let answer = one.request(method, &path, json!({})).await;
            refused(answer, StatusCode::NOT_FOUND, "not_found");
        }
        for act in ["promote-admin", "demote-admin"] {
            refused(ask(&one, act, id, &two).await, StatusCode::NOT_FOUND, "not_found");
        }
        for act in ["add-participant", "remove-participant"] {
            let answer = ask(&one, act, id, &two).await;
            refused(answer, StatusCode::BAD_REQUEST, "validation_error");
        }
    }
    for id in [direct.as_str(), unknown] {
        let path = format!("/api/groups/{id}/members");
        let body = json!({ "userId": two.id });
        refused(one.request(Method::POST, &path, body).await, StatusCode::NOT_FOUND, "not_found");
        let path = format!("{path}/{}", two.id);
        let answer = one.request(Method::DELETE, &path, json!({})).await;
        refused(answer, StatusCode::NOT_FOUND, "not_found");
    }
    for path in ["/api/groups/zzz", "/api/groups/zzz/invite-link"] {
        let answer = one.request(Method::GET, path, Value::Null).await;
        refused(answer, StatusCode::BAD_REQUEST, "invalid_id");
    }
    for body in [json!({}), json!({ "name": " " }), json!({ "name": "x".repeat(101) })] {
        let answer = one.request(Method::POST, "/api/groups", body).await;
        refused(answer, StatusCode::BAD_REQUEST, "validation_error");
    }
    let body = json!({ "name": "Chess", "participants": [unknown] });
    let answer = one.request(Method::POST, "/api/groups", body).await;
    refused(answer, StatusCode::NOT_FOUND, "user_not_found");
    assert_eq!(one.get("/api/groups").await["groups"], json!([]));
}
