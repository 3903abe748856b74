//! Profiles over two gateways: who changes one, who hears of it, and what others see.

use chat_local::testing;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Person, text};

async fn edit(person: &Person, body: Value) -> Value {
    person.ok(Method::PATCH, "/api/users/me", body).await["user"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_profile_reaches_partners_and_own_devices_and_no_stranger() {
    let suite = testing::suite(|_| {}).await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let one = Person::new(first).await;
    let partner = Person::new(second).await;
    let stranger = Person::new(second).await;
    let conversation = one.open(&partner).await;
    let mut heard_by_partner = Vec::new();
    for dialect in ["flutter", "electron", "none"] {
        let mut listener = partner.listen(second, dialect).await;
        if dialect != "flutter" {
            listener.expect("connected").await;
        }
        heard_by_partner.push(listener);
    }
    let mut own = one.listen(second, "flutter").await;
    let mut unified = partner.listen(first, "unified").await;
    let mut deaf = stranger.listen(first, "flutter").await;

    let user = edit(&one, json!({ "avatarUrl": "https://x/a.png", "bio": "hi" })).await;
    for field in ["_id", "id", "uid", "userId"] {
        assert_eq!(user[field], one.id.as_str(), "{field}");
    }
    assert_eq!([&user["avatar"], &user["avatarUrl"]], ["https://x/a.png"; 2]);
    assert_eq!((&user["phone"], &user["bio"]), (&json!(one.phone), &json!("hi")));
    for listener in heard_by_partner.iter_mut().chain([&mut own]) {
        let heard = listener.expect("user_profile_updated").await;
        assert_eq!(heard["userId"], one.id.as_str());
        let heard = &heard["user"];
        assert_eq!([&heard["avatar"], &heard["avatarUrl"]], ["https://x/a.png"; 2]);
        assert_eq!((&heard["phone"], &heard["bio"]), (&json!(one.phone), &json!("hi")));
        assert!(!text(&heard["lastSeen"]).is_empty());
    }
    let heard = unified.expect("profile:updated").await;
    assert_eq!(heard["user"]["avatarUrl"], "https://x/a.png");

    // What changes nothing is not told: the next that is heard is the next change.
    edit(&one, json!({ "avatar": "https://x/a.png", "bio": " hi " })).await;
    edit(&one, json!({})).await;
    let removed = edit(&one, json!({ "avatarUrl": null })).await;
    assert_eq!([&removed["avatar"], &removed["avatarUrl"]], [&Value::Null; 2]);
    let heard = heard_by_partner[0].expect("user_profile_updated").await;
    assert_eq!(heard["user"]["avatarUrl"], Value::Null);
    let named = edit(&one, json!({ "name": " Ada ", "phone": "+15550000000" })).await;
    assert_eq!((&named["name"], &named["phone"]), (&json!("Ada"), &json!(one.phone)));
    let heard = heard_by_partner[0].expect("user_profile_updated").await;
    assert_eq!(heard["user"]["name"], "Ada");

    // The stranger hears what is for him, and nothing before it.
    one.send(&conversation, "between us").await;
    let theirs = one.open(&stranger).await;
    one.send(&theirs, "hello").await;
    assert_eq!(deaf.expect("message").await["text"], "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn phone_is_shown_to_oneself_and_partners_alone() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let name = format!("Zoe {}", other.id);
    edit(&other, json!({ "name": name })).await;
    let by_ids = format!("/api/users/by-ids?ids={},{}", one.id, other.id);
    let profile = format!("/api/users/profile/{}", other.id);
    let search = format!("/api/users/search?q=zoe%20{}", other.id);
    let list = format!("/api/users?search=ZOE%20{}", other.id);

    for phone in [Value::Null, json!(other.phone)] {
        let found = one.get(&by_ids).await;
        for found in [&found, &found["users"]] {
            assert_eq!(found[&other.id]["phone"], phone);
            assert_eq!(found[&other.id]["name"], name.as_str());
            assert_eq!(found[&one.id]["phone"], one.phone.as_str());
        }
        let shown = one.get(&profile).await["user"].clone();
        assert_eq!((&shown["_id"], &shown["phone"]), (&json!(other.id), &phone));
        for path in [&search, &list] {
            let found = one.get(path).await["users"].clone();
            assert_eq!((&found[0]["id"], &found[0]["phone"]), (&json!(other.id), &phone), "{path}");
        }
        one.open(&other).await;
    }
    let listed = one.get(&list).await;
    let pagination = json!({ "totalPages": 1, "currentPage": 1, "total": 1, "limit": 20 });
    assert_eq!(listed["pagination"], pagination);
    let found = one.get(&format!("/users/search?q={}", other.phone)).await;
    assert_eq!(found[0]["id"], other.id.as_str(), "a whole phone finds its owner: {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_has_an_entry_for_everybody_who_is_asked_for() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    one.open(&other).await;
    let nobody = "65f0c0ffee0123456789abcd";
    let ids = format!("{},{nobody},nonsense", other.id);
    let answer = one.get(&format!("/api/users/presence?ids={ids}")).await;
    for id in [other.id.as_str(), nobody, "nonsense"] {
        assert!(answer[id].is_boolean() && answer["presence"][id].is_boolean(), "{answer}");
    }
    assert_eq!(answer.get("online"), None);
    let answer = one.get(&format!("/api/users/presence?ids={ids}&verbose=true")).await;
    for id in [other.id.as_str(), nobody, "nonsense"] {
        assert_eq!(answer[id], answer["presence"][id]);
        assert!(text(&answer[id]["at"]).ends_with('Z'), "{answer}");
    }
    let bare = one.get(&format!("/presence?ids={}", other.id)).await;
    assert_eq!(bare.as_object().expect("a map").len(), 1);
    assert!(one.get("/api/users/presence").await["online"].is_array());
    let all = one.get("/api/users/presence?verbose=1").await;
    let partners: Vec<_> = all["presence"].as_object().expect("a map").keys().collect();
    assert_eq!(partners, [&other.id]);
    assert!(one.get("/api/users/online/count").await["onlineCount"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_profiles_say_what_is_wrong() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    for (method, path, body, status, error) in [
        (Method::GET, "/api/users/profile/nonsense", Value::Null, 400, "invalid_id"),
        (Method::GET, "/users/profile/65f0c0ffee0123456789abcd", Value::Null, 404, "not_found"),
        (Method::PATCH, "/api/users/me", json!({ "name": null }), 400, "validation_error"),
        (Method::PUT, "/users/me", json!({ "name": " " }), 400, "validation_error"),
        (Method::PUT, "/api/users/me", json!({ "name": [7] }), 400, "validation_error"),
        (
            Method::PATCH,
            "/api/users/me",
            json!({ "bio": "b".repeat(501) }),
            400,
            "validation_error",
        ),
        (Method::PATCH, "/users/me", json!({ "dateOfBirth": "soon" }), 400, "validation_error"),
        (Method::GET, "/api/users?page=many", Value::Null, 400, "validation_error"),
        (
            Method::GET,
            "/api/users?clientType=unified&cursor=x",
            Value::Null,
            400,
            "validation_error",
        ),
        (Method::GET, "/api/users/me", Value::Null, 404, "not_found"),
    ] {
        let (answered, answer) = one.request(method, path, body).await;
        let expected = StatusCode::from_u16(status).expect("a status");
        assert_eq!((answered, &answer["error"]), (expected, &json!(error)), "{path}: {answer}");
        assert!(!text(&answer["message"]).is_empty());
    }
    let own = one.get("/users/profile").await["user"].clone();
    assert_eq!((&own["name"], &own["bio"]), (&json!(one.phone), &Value::Null), "nothing changed");
}
