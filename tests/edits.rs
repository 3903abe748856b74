//! Edited messages: every family hears of them behind the message itself, at whichever gateway.

use chat_local::testing;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Person, text};

#[tokio::test(flavor = "multi_thread")]
async fn edited_text_reaches_both_families_the_history_and_the_list() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let sent = ada.send(&conversation, "frist").await;
    let mut mobile = grace.listen(b, "flutter").await;
    let mut desktop = grace.listen(a, "electron").await;
    let mut own = ada.listen(b, "unified").await;
    desktop.expect("connected").await;

    let path = format!("/api/messages/{}", text(&sent["_id"]));
    let answer = ada.ok(Method::PATCH, &path, json!({ "text": " first " })).await;
    let edited = &answer["message"];
    assert_eq!((&edited["text"], &edited["edited"]), (&json!("first"), &json!(true)));
    assert_eq!(&mobile.expect("message_edited").await, edited);
    assert_eq!(&desktop.expect("message-edited").await, edited);
    let heard = own.expect("message:edited").await;
    assert_eq!((&heard["id"], &heard["content"]), (&sent["_id"], &json!("first")));

    let history = grace.get(&format!("/api/messages?conversation={conversation}")).await;
    assert_eq!((&history[0]["text"], &history[0]["edited"]), (&json!("first"), &json!(true)));
    assert_eq!(history[0]["editedAt"], edited["editedAt"]);
    let list = grace.get(&format!("/api/conversations?me={}", grace.id)).await;
    assert_eq!(list[0]["lastPreview"], "first");

    for (person, body, status, error) in [
        (&grace, json!({ "text": "x" }), 403, "forbidden"),
        (&ada, json!({ "text": " " }), 400, "validation_error"),
        (&ada, json!({ "text": "x".repeat(4001) }), 413, "too_long"),
    ] {
        let (found, refused) = person.request(Method::PATCH, &path, body).await;
        assert_eq!((found.as_u16(), text(&refused["error"])), (status, error), "{refused}");
    }
    ada.ok(Method::DELETE, &path, json!({})).await;
    let (status, refused) = ada.request(Method::PATCH, &path, json!({ "text": "x" })).await;
    assert_eq!((status.as_u16(), text(&refused["error"])), (409, "message_deleted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_new_messages_are_heard_behind_them() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let mut listener = grace.listen(b, "flutter").await;
    for number in 0..20 {
        let sent = ada.send(&conversation, "old").await;
        let path = format!("/messages/{}", text(&sent["_id"]));
        ada.ok(Method::PATCH, &path, json!({ "content": format!("new {number}") })).await;
        assert_eq!(listener.expect("message").await["_id"], sent["_id"]);
        let edited = listener.expect("message_edited").await;
        assert_eq!(
            (&edited["_id"], &edited["text"]),
            (&sent["_id"], &json!(format!("new {number}")))
        );
    }
}
