//! Answers and forwarded messages, as the members of both families read them at either gateway.

use chat_local::testing;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Person, text};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_quotes_for_everybody_what_it_answers() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let first = ada.send(&conversation, "lunch?").await;
    let mut mobile = ada.listen(a, "flutter").await;
    let mut new = ada.listen(b, "unified").await;

    let body = json!({
        "conversationId": conversation, "text": "yes", "replyTo": first["_id"],
    });
    let sent = grace.ok(Method::POST, "/api/messages", body).await["message"].clone();
    let quote = json!({
        "id": first["_id"], "text": "lunch?", "from": ada.id, "fileType": null, "fileName": null,
        "fileUrl": null, "audioDuration": null,
    });
    let history = ada.get(&format!("/api/messages?conversation={conversation}")).await;
    let live = mobile.expect("message").await;
    for shown in [&sent, &live, &history[1]] {
        assert_eq!(
            (&shown["replyTo"], &shown["replyToMessage"]),
            (&first["_id"], &quote),
            "{shown}"
        );
    }
    let live = new.expect("message:created").await;
    assert_eq!(live["replyTo"], first["_id"]);
    let expected = json!({
        "id": first["_id"], "senderId": ada.id, "content": "lunch?", "type": "text",
    });
    assert_eq!(live["quote"], expected);
    assert!(history[0].get("replyTo").is_none());

    let elsewhere = grace.open(&Person::new(a).await).await;
    let body = json!({ "conversationId": elsewhere, "text": "?", "replyTo": first["_id"] });
    let (status, refused) = grace.request(Method::POST, "/api/messages", body).await;
    assert_eq!((status.as_u16(), text(&refused["error"])), (400, "validation_error"));
}
