//! Deleted messages: for everybody or for oneself, as every family hears and reads of them.

use chat_local::testing;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Person, text};

#[tokio::test(flavor = "multi_thread")]
async fn deleted_message_is_gone_for_everybody_in_a_group() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace, joan) = (Person::new(a).await, Person::new(b).await, Person::new(a).await);
    let group = ada.group(&[&grace, &joan]).await;
    ada.send(&group, "stays").await;
    let sent = ada.send(&group, "goes").await;
    let mut mobile = grace.listen(b, "flutter").await;
    let mut desktop = joan.listen(b, "electron").await;
    let mut own = ada.listen(b, "flutter").await;
    let mut new = joan.listen(a, "unified").await;
    desktop.expect("connected").await;

    let path = format!("/api/messages/{}", text(&sent["_id"]));
    let (status, refused) = grace.request(Method::DELETE, &path, json!({})).await;
    assert_eq!((status.as_u16(), text(&refused["error"])), (403, "forbidden"));
    let answer = ada.ok(Method::DELETE, &path, json!({ "deleteForBoth": true })).await;
    let deleted = answer["message"].clone();
    assert_eq!((&deleted["_id"], &deleted["isDeleted"]), (&sent["_id"], &json!(true)));

    let mut addressed = deleted.clone();
    addressed["to"] = json!(grace.id);
    assert_eq!(mobile.expect("message_deleted").await, addressed);
    assert_eq!(desktop.expect("message-deleted").await, deleted);
    assert_eq!(own.expect("message_deleted").await, deleted);
    let heard = new.expect("message:deleted").await;
    assert_eq!((&heard["id"], &heard["deletedAt"]), (&sent["_id"], &deleted["deletedAt"]));

    let history = grace.get(&format!("/api/messages?conversation={group}")).await;
    assert_eq!(history.as_array().expect("a list").len(), 1);
    assert_eq!(history[0]["text"], "stays");
    let path = format!("/api/messages?conversationId={group}&clientType=unified");
    let history = grace.get(&path).await;
    let left = &history["messages"][1];
    assert_eq!((&left["id"], &left["seq"]), (&sent["_id"], &json!(2)));
    assert!(left["deletedAt"].is_string() && left.get("content").is_none(), "{left}");
    let list = grace.get(&format!("/api/conversations?me={}", grace.id)).await;
    assert_eq!(list[0]["lastPreview"], "stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn message_deleted_for_oneself_is_there_for_the_others() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let sent = ada.send(&conversation, "hi").await;
    let mut mobile = ada.listen(b, "flutter").await;
    let path = format!("/messages/{}", text(&sent["_id"]));
    let answer = grace.ok(Method::DELETE, &path, json!({ "deleteForBoth": false })).await;
    assert_eq!(answer["message"]["deleted"], true);
    assert!(answer["message"].get("deletedAt").is_none(), "{answer}");
    let path = format!("/api/messages?conversation={conversation}");
    assert_eq!(grace.get(&path).await, json!([]));
    assert_eq!(ada.get(&path).await[0]["_id"], sent["_id"]);
    // Had she heard of it, that came first.
    grace.send(&conversation, "bye").await;
    assert_eq!(mobile.expect("message").await["text"], "bye");
}
