//! Reactions: new clients hear of them at once, old ones read them in the history.

use chat_local::testing;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Person, text};

#[tokio::test(flavor = "multi_thread")]
async fn reaction_reaches_the_other_side_and_goes_again() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let sent = ada.send(&conversation, "done").await;
    let mut new = ada.listen(b, "unified").await;

    let message = format!("/api/messages/{}", text(&sent["_id"]));
    let path = format!("{message}/reactions/%F0%9F%91%8D");
    let answer = grace.ok(Method::PUT, &path, json!({})).await;
    assert_eq!(answer["message"]["reactions"][0]["reaction"], "👍");
    let heard = new.expect("message:reaction").await;
    assert_eq!((&heard["id"], &heard["seq"]), (&sent["_id"], &json!(1)));
    let reaction = &heard["reactions"][0];
    assert_eq!((&reaction["userId"], &reaction["reaction"]), (&json!(grace.id), &json!("👍")));
    let history = ada.get(&format!("/api/messages?conversation={conversation}")).await;
    let shown = &history[0]["reactions"][0];
    assert_eq!((&shown["userId"], &shown["reaction"]), (&json!(grace.id), &json!("👍")));
    assert_eq!(shown["timestamp"], reaction["createdAt"]);

    grace.ok(Method::DELETE, &path, json!({})).await;
    assert_eq!(new.expect("message:reaction").await["reactions"], json!([]));
    let long = format!("{message}/reactions/{}", "x".repeat(33));
    let (status, refused) = grace.request(Method::PUT, &long, json!({})).await;
    assert_eq!((status.as_u16(), text(&refused["error"])), (400, "validation_error"));
    let (status, _) = Person::new(a).await.request(Method::PUT, &path, json!({})).await;
    assert_eq!(status.as_u16(), 403);
}
