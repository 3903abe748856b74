//! Forwarded messages, from the list of chats to whoever is named by phone, address or id.

use chat_local::testing;
use reqwest::Method;
use serde_json::json;

use crate::{
    harness::{Person, text},
    recipients::imported,
};

/// The flow F11 of the mobile client.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_forwarded_to_a_phone_an_address_or_an_id() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let ada = Person::new(a).await;
    let (grace, address) = imported(&suite).await;
    let conversation = ada.open(&grace).await;
    let original = grace.send(&conversation, "look").await;
    let mut mobile = grace.listen(b, "flutter").await;

    // The list of chats is read as it is: a list, with members as plain texts.
    let list = ada.get(&format!("/conversations?me={}&status=active", ada.id)).await;
    assert_eq!(list.as_array().expect("a bare list").len(), 1);
    assert_eq!(list[0]["_id"], conversation);
    assert_eq!(list[0]["participants"], json!([ada.id, grace.id]));

    for (number, contact) in [&grace.phone, &address, &grace.id].into_iter().enumerate() {
        let body = json!({
            "from": ada.id, "toPhone": contact, "text": format!("look {number}"), "forwarded": true,
            "forwardedFrom": grace.id, "forwardedMessageId": original["_id"],
            "fileUrl": "http://files.example.com/1.pdf", "fileName": null, "fileType": null,
        });
        let (status, answer) = ada.at(b).request(Method::POST, "/api/messages", body).await;
        assert_eq!(status.as_u16(), 200, "{contact}: {answer}");
        assert_eq!(text(&answer["data"]["conversationId"]), conversation, "{contact}");
        let heard = mobile.expect("message").await;
        for message in [&answer["message"], &heard] {
            assert_eq!(message["text"], format!("look {number}"));
            assert_eq!((&message["from"], &message["to"]), (&json!(ada.id), &json!(grace.id)));
            assert_eq!(message["forwarded"], true);
            assert_eq!(message["forwardedFrom"], grace.id.as_str());
            assert_eq!(message["forwardedMessageId"], original["_id"]);
            assert_eq!(message["fileUrl"], "http://files.example.com/1.pdf");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_client_forwards_by_an_id_of_its_own_comes_back_to_old_clients_alone() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    for id in ["tmp_1", "65f0c0ffee0123456789abcd"] {
        let body = json!({
            "conversationId": conversation, "text": "look", "forwarded": true, "forwardedFrom": "Joe",
            "forwardedMessageId": id,
        });
        let sent = ada.ok(Method::POST, "/api/messages", body).await;
        assert_eq!(sent["message"]["forwardedMessageId"], id, "as it was sent");
        let path = format!("/api/messages?conversationId={conversation}&limit=1");
        let old = grace.get(&path).await;
        assert_eq!(old["messages"][0]["forwardedMessageId"], id);
        let new = grace.get(&format!("{path}&clientType=unified")).await;
        let mut expected = json!({ "from": "Joe" });
        if id != "tmp_1" {
            expected["messageId"] = json!(id);
        }
        assert_eq!(new["messages"][0]["forwarded"], expected);
    }
}
