//! Address books: who of one has an account.

use chat_local::testing;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Person, text};

const SYNC: &str = "/api/conversations/contacts/sync";

#[tokio::test(flavor = "multi_thread")]
async fn address_book_finds_those_with_an_account_but_for_oneself() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let spelled = other.phone.replacen("+1", "1 (", 1);
    let mut contacts: Vec<Value> = (0..1000)
        .map(|number| json!({ "phone": format!("+1999{number:09}"), "name": "x" }))
        .collect();
    contacts.extend([
        json!({ "phone": spelled, "name": "a friend \u{1f44b}" }),
        json!(other.phone),
        json!({ "phone": one.phone }),
        Value::Null,
        json!({ "name": "no phone" }),
    ]);
    let body = json!({ "contacts": contacts });
    for path in [SYNC, "/contacts/sync"] {
        let answer = one.ok(Method::POST, path, body.clone()).await;
        let matches = answer["matches"].as_array().expect("a list");
        assert_eq!(matches.len(), 1, "{answer}");
        let expected = json!({
            "id": other.id, "name": other.phone, "phone": other.phone, "avatarUrl": null, "avatar": null,
        });
        assert_eq!(matches[0], expected);
    }
    let none = one.ok(Method::POST, SYNC, json!({ "contacts": [] })).await;
    assert_eq!(none, json!({ "success": true, "matches": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn address_book_may_be_large_but_not_endless() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let book = |count: usize, name: usize| {
        let contact =
            |number| json!({ "phone": format!("+1999{number:09}"), "name": "n".repeat(name) });
        json!({ "contacts": (0..count).map(contact).collect::<Vec<_>>() })
    };
    // Nearly 5 MB.
    one.ok(Method::POST, SYNC, book(5000, 950)).await;
    for (body, status, error) in [
        (book(5001, 0), StatusCode::PAYLOAD_TOO_LARGE, "too_many_contacts"),
        (book(5000, 1100), StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeError"),
        (json!({}), StatusCode::BAD_REQUEST, "validation_error"),
        (json!({ "contacts": { "phone": "+1" } }), StatusCode::BAD_REQUEST, "validation_error"),
    ] {
        let (answered, answer) = one.request(Method::POST, SYNC, body).await;
        assert_eq!((answered, &answer["error"]), (status, &json!(error)), "{answer}");
        assert!(!text(&answer["message"]).is_empty());
    }
    // No other route takes as much.
    let (answered, _) = one.request(Method::PATCH, "/api/users/me", book(5000, 950)).await;
    assert_eq!(answered, StatusCode::PAYLOAD_TOO_LARGE);
}
