//! Ways into a group: by a link, and by oneself where it is public.

use chat_local::testing;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Person, text},
    membership::{make, refused},
};

/// Joins by a link; returns status and body.
async fn join(person: &Person, link: &str) -> (StatusCode, Value) {
    person.request(Method::POST, "/api/groups/join", json!({ "inviteLink": link })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn link_lets_in_until_it_is_changed_or_ended() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let two = Person::new(suite.gateways[1]).await;
    let three = Person::new(suite.gateways[1]).await;
    let made = make(&one, "Chess", &[]).await;
    let id = text(&made["group"]["_id"]);
    let path = format!("/api/groups/{id}/invite-link");
    assert!(made["group"]["settings"].get("inviteLink").is_none());

    let link = one.get(&path).await["inviteLink"].clone();
    let link = text(&link);
    assert!(link.len() >= 20 && link.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{link}");
    assert_eq!(one.at(suite.gateways[1]).get(&path).await["inviteLink"], link);
    let (status, answer) = join(&two, link).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["group"]["participants"][1]["_id"], json!(two.id), "the new member is there");
    assert!(answer["group"]["settings"].get("inviteLink").is_none(), "for administrators");
    // What the history says of his joining moves these times on, perhaps only now.
    let without_times = |(status, mut answer): (StatusCode, Value)| {
        let group = answer["group"].as_object_mut().expect("a group");
        for time in ["lastActivity", "updatedAt"] {
            assert!(group.remove(time).is_some_and(|time| time.is_string()), "{time}");
        }
        (status, answer)
    };
    let again = without_times(join(&two, link).await);
    assert_eq!(again, without_times((status, answer)), "and stays as he is");
    one.send(id, "welcome").await;
    let history = two.get(&format!("/messages?conversation={id}")).await;
    assert!(history.to_string().contains("welcome"));

    // Settings are changed without the link, whatever the client puts there.
    let settings = json!({ "settings": { "isPublic": false, "inviteLink": "mine" } });
    let changed = one.ok(Method::PUT, &format!("/api/groups/{id}"), settings).await;
    assert_eq!(changed["group"]["settings"]["inviteLink"], link);
    refused(join(&three, "mine").await, StatusCode::BAD_REQUEST, "validation_error");

    let next = one.ok(Method::POST, &path, json!({ "expiresIn": 3600 })).await;
    assert_ne!(next["inviteLink"], link);
    assert!(next["expiresAt"].is_string());
    refused(join(&three, link).await, StatusCode::BAD_REQUEST, "validation_error");
    one.ok(Method::DELETE, &path, json!({})).await;
    let ended = join(&three, text(&next["inviteLink"])).await;
    refused(ended, StatusCode::BAD_REQUEST, "validation_error");
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let by_member = two.request(method, &path, json!({})).await;
        refused(by_member, StatusCode::FORBIDDEN, "forbidden");
    }
    for body in [json!({}), json!({ "inviteLink": "" }), json!({ "inviteLink": { "$ne": null } })] {
        let answer = three.request(Method::POST, "/api/groups/join", body).await;
        refused(answer, StatusCode::BAD_REQUEST, "validation_error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn link_for_one_lets_one_in_whatever_the_gateway() {
    let suite = testing::suite(|options| options.replicas = 2).await;
    let one = Person::new(suite.gateways[0]).await;
    let mut people = Vec::new();
    for number in 0..6 {
        people.push(Person::new(suite.gateways[number % 2]).await);
    }
    let made = make(&one, "Chess", &[]).await;
    let id = text(&made["group"]["_id"]);
    let path = format!("/api/groups/{id}/invite-link");
    let link = one.ok(Method::POST, &path, json!({ "maxUses": 1 })).await["inviteLink"].clone();
    let answers = join_all(people.iter().map(|person| join(person, text(&link)))).await;
    let (joined, others): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(status, _)| *status == StatusCode::OK);
    assert_eq!(joined.len(), 1);
    for answer in others {
        assert!(text(&answer.1["message"]).contains("used up"), "{answer:?}");
        refused(answer, StatusCode::BAD_REQUEST, "validation_error");
    }
    let group = one.get(&format!("/api/groups/{id}")).await;
    assert_eq!(group["group"]["memberCount"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_member_comes_back_by_a_link_he_has() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let two = Person::new(suite.gateways[1]).await;
    let made = make(&one, "Chess", &[&two]).await;
    let id = text(&made["group"]["_id"]);
    let link = one.get(&format!("/api/groups/{id}/invite-link")).await["inviteLink"].clone();
    let body = json!({ "groupId": id, "userId": two.id });
    one.ok(Method::POST, "/api/groups/remove-participant", body).await;
    let (status, _) = join(&two, text(&link)).await;
    assert_eq!(status, StatusCode::OK);
    two.send(id, "back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_group_is_found_and_joined_by_anybody() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let stranger = Person::new(suite.gateways[1]).await;
    let mut made = Vec::new();
    for name in ["Chess", "Chess club", "Choir"] {
        let id = text(&make(&one, name, &[]).await["group"]["_id"]).to_owned();
        let body = json!({ "settings": { "isPublic": true } });
        one.ok(Method::PATCH, &format!("/api/groups/{id}"), body).await;
        made.push(id);
    }
    let first = stranger.get("/api/groups/public?query=che&limit=1").await;
    let shown = &first["groups"][0];
    assert_eq!(shown["name"], "Chess");
    assert_eq!(shown["memberCount"], 1);
    let cursor = text(&first["nextCursor"]);
    let second =
        stranger.get(&format!("/api/groups/public?query=che&limit=1&cursor={cursor}")).await;
    assert_eq!(second["groups"][0]["name"], "Chess club");
    assert_eq!(second["nextCursor"], Value::Null);

    let path = format!("/api/groups/{}/join", made[0]);
    let joined = stranger.ok(Method::POST, &path, json!({})).await;
    assert_eq!(joined["group"]["participants"][1]["_id"], json!(stranger.id));
    stranger.send(&made[0], "hello").await;
    let body = json!({ "settings": { "isPublic": false } });
    one.ok(Method::PATCH, &format!("/api/groups/{}", made[1]), body).await;
    let path = format!("/api/groups/{}/join", made[1]);
    let closed = stranger.request(Method::POST, &path, json!({})).await;
    refused(closed, StatusCode::FORBIDDEN, "forbidden");
}
