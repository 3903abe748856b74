use axum::body::to_bytes;
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::*;

const ID: &str = "65f0c0ffee0123456789abcd";
const OTHER: &str = "65f0c0ffee0123456789abce";

fn ids(text: &str) -> Vec<String> {
    ByIds { ids: Some(text.to_owned()) }.into_request().user_ids
}

#[test]
fn ids_are_found_in_whatever_stands_around_them() {
    for (text, found) in [
        (format!("{ID},{OTHER}"), vec![ID, OTHER]),
        (format!("{ID}, {ID} ,,"), vec![ID]),
        (ID.to_uppercase(), vec![ID]),
        (format!("ObjectId('{ID}')"), vec![]),
        (format!("{{_id: {ID}"), vec![ID]),
        (format!("{{_id:{ID}, name: x}}"), vec![ID]),
        (format!("\"{ID}\""), vec![ID]),
        ("zzzzzzzzzzzzzzzzzzzzzzzz".to_owned(), vec![]),
        (format!("{ID}0"), vec![]),
        (String::new(), vec![]),
    ] {
        assert_eq!(ids(&text), found, "{text}");
    }
    assert!(ByIds::default().into_request().user_ids.is_empty());
}

#[test]
fn ids_are_cut_to_what_the_service_takes() {
    let many: Vec<String> = (0..1500).map(|index| format!("{index:024x}")).collect();
    assert_eq!(ids(&many.join(",")).len(), 1400);
}

fn ada() -> pb::User {
    let seen = Timestamp { seconds: 1_769_847_330, nanos: 123_000_000 };
    pb::User {
        id: ID.to_owned(),
        name: "Ada".to_owned(),
        phone: Some("+15550000001".to_owned()),
        avatar_url: Some("https://x/a.png".to_owned()),
        last_seen_at: Some(seen),
        created_at: Some(seen),
        updated_at: Some(seen),
        is_online: true,
        ..Default::default()
    }
}

async fn body(response: Response) -> Value {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn looked_up_ada() -> Value {
    json!({
        "_id": ID, "id": ID, "name": "Ada", "phone": "+15550000001", "email": null,
        "avatar": "https://x/a.png", "avatarUrl": "https://x/a.png",
        "lastSeen": "2026-01-31T08:15:30.123Z", "isOnline": true, "online": true,
    })
}

#[tokio::test]
async fn look_up_answers_twice_with_prefix_and_bare_without() {
    let users = [ada()];
    let expected =
        json!({ "success": true, "users": { ID: looked_up_ada() }, ID: looked_up_ada() });
    for dialect in [Dialect::Undeclared, Dialect::Flutter, Dialect::Electron] {
        assert_eq!(body(looked_up(dialect, true, &users)).await, expected);
    }
    assert_eq!(body(looked_up(Dialect::Electron, false, &users)).await, expected);
    let bare = body(looked_up(Dialect::Undeclared, false, &users)).await;
    assert_eq!(bare, json!({ ID: looked_up_ada() }));
    let nobody = body(looked_up(Dialect::Undeclared, true, &[])).await;
    assert_eq!(nobody, json!({ "success": true, "users": {} }));
}

#[tokio::test]
async fn own_profile_has_every_spelling() {
    let expected = json!({ "success": true, "user": {
        "_id": ID, "id": ID, "uid": ID, "userId": ID, "name": "Ada", "phone": "+15550000001",
        "email": null, "avatar": "https://x/a.png", "avatarUrl": "https://x/a.png", "bio": null,
        "isOnline": true, "lastSeen": "2026-01-31T08:15:30.123Z",
        "createdAt": "2026-01-31T08:15:30.123Z", "updatedAt": "2026-01-31T08:15:30.123Z",
    }});
    assert_eq!(body(own_profile(Dialect::Undeclared, &ada())).await, expected);
}

#[tokio::test]
async fn new_clients_read_one_spelling() {
    let profile = json!({
        "id": ID, "name": "Ada", "phone": "+15550000001", "email": null,
        "avatarUrl": "https://x/a.png", "bio": null, "isOnline": true,
        "lastSeenAt": "2026-01-31T08:15:30.123Z",
        "createdAt": "2026-01-31T08:15:30.123Z", "updatedAt": "2026-01-31T08:15:30.123Z",
    });
    let own = body(own_profile(Dialect::Unified, &ada())).await;
    assert_eq!(own, json!({ "success": true, "user": profile }));
    let found = body(looked_up(Dialect::Unified, false, &[ada()])).await;
    assert_eq!(found, json!({ "success": true, "users": { ID: profile } }));
}

#[test]
fn card_leaves_out_what_is_not_set() {
    let user = pb::User { avatar_url: None, phone: None, ..ada() };
    let card = serde_json::to_value(Card::new(ID, Some(&user))).expect("JSON");
    let expected = json!({
        "_id": ID, "id": ID, "name": "Ada", "phone": null, "isOnline": true,
        "lastSeen": "2026-01-31T08:15:30.123Z",
    });
    assert_eq!(card, expected);
    let unknown = serde_json::to_value(Card::new(ID, None)).expect("JSON");
    assert_eq!((&unknown["_id"], &unknown["name"]), (&json!(ID), &json!("")));
}
