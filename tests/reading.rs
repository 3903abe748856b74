//! Reading on: each family of clients hears of it in its own words, at whichever gateway.

use chat_local::testing;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Person, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_marked_as_read_is_known_to_its_sender_at_the_other_gateway() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let message = ada.send(&conversation, "hi").await;
    let mut mobile = ada.listen(b, "flutter").await;
    let mut desktop = ada.listen(a, "electron").await;
    let mut own = grace.listen(a, "electron").await;
    for listener in [&mut desktop, &mut own] {
        listener.expect("connected").await;
    }

    let path = format!("/api/messages/{}/read", text(&message["_id"]));
    let answer = grace.ok(Method::PATCH, &path, json!({})).await;
    assert!(answer["message"].is_string(), "{answer}");

    let heard = mobile.expect("read_up_to").await;
    let expected = json!({
        "conversationId": conversation, "by": grace.id, "at": message["createdAt"],
    });
    assert_eq!(heard, expected);
    let heard = desktop.expect("messages:read-receipt").await;
    assert_eq!(heard["messageIds"], json!([message["_id"]]));
    assert_eq!(
        (&heard["readBy"], &heard["conversationId"]),
        (&json!(grace.id), &json!(conversation))
    );
    assert_eq!(own.expect("messages-read").await, json!({ "conversationId": conversation }));

    let (status, refused) = Person::new(a).await.request(Method::PATCH, &path, json!({})).await;
    assert_eq!((status.as_u16(), text(&refused["error"])), (403, "forbidden"));
}
