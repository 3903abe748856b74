//! Clients that come back: one question tells them all that they have missed, however it is asked.

use chat_e2e::socket::{Receiver, Sender};
use chat_local::testing;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Person, text};

/// Asks what has been missed.
async fn sync(socket: &mut (Sender, Receiver), known: &Value) -> Value {
    socket.0.emit_with_ack(1, "sync", &known.to_string()).await.expect("written");
    socket.1.answer(1).await
}

/// Returns the numbers of messages.
fn numbers(messages: &Value) -> Vec<i64> {
    let messages = messages.as_array().expect("a list").iter();
    messages.map(|message| message["seq"].as_i64().expect("a number")).collect()
}

/// Returns the ids of what is listed.
fn ids(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|one| text(&one["id"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_was_away_is_told_all_that_it_missed() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace, joan) = (Person::new(a).await, Person::new(b).await, Person::new(a).await);
    let conversation = ada.open(&grace).await;
    let group = ada.group(&[&grace, &joan]).await;
    let mut sent = Vec::new();
    for content in ["1", "2", "3"] {
        sent.push(ada.send(&conversation, content).await);
    }
    let mut client = grace.connect(b, "unified").await;
    let all = json!({ "conversations": [{ "id": conversation, "seq": 0 }] });
    let first = sync(&mut client, &all).await;
    assert_eq!(first["ok"], true, "{first}");
    assert_eq!(numbers(&first["conversations"][0]["messages"]), [1, 2, 3]);
    let since = first["serverTime"].clone();
    drop(client);

    // Meanwhile: a text changes, a message goes, others come, a conversation is made and one is lost.
    let path = |message: &Value| format!("/api/messages/{}", text(&message["_id"]));
    ada.ok(Method::PATCH, &path(&sent[0]), json!({ "text": "one" })).await;
    ada.ok(Method::DELETE, &path(&sent[1]), json!({})).await;
    for content in ["4", "5"] {
        ada.send(&conversation, content).await;
    }
    let made = joan.open(&grace).await;
    let removal = json!({ "groupId": group, "userId": grace.id });
    ada.ok(Method::POST, "/api/groups/remove-participant", removal).await;

    let mut client = grace.connect(a, "unified").await;
    let known = json!({
        "conversations": [{ "id": conversation, "seq": 3 }, { "id": group, "seq": 0 }],
        "since": since,
    });
    let missed = sync(&mut client, &known).await;
    let [told] = missed["conversations"].as_array().expect("a list").as_slice() else {
        panic!("one of the two: {missed}");
    };
    assert_eq!((text(&told["id"]), &told["hasMore"]), (&*conversation, &json!(false)));
    assert_eq!(numbers(&told["messages"]), [4, 5]);
    assert_eq!(numbers(&told["changed"]), [1, 2]);
    assert_eq!(told["changed"][0]["content"], "one");
    let gone = &told["changed"][1];
    assert!(gone["deletedAt"].is_string() && gone["content"].as_str().is_none_or(str::is_empty));
    assert_eq!(missed["left"], json!([group]));
    assert_eq!(missed["hasMore"], false);
    let changed = ids(&missed["changedConversations"]);
    assert!(changed.contains(&&*conversation) && changed.contains(&&*made), "{missed}");
    assert!(!changed.contains(&&*group));
    let shown = missed["changedConversations"].as_array().expect("a list").iter();
    let shown = shown.clone().find(|one| one["id"] == json!(conversation)).expect("it");
    assert_eq!(shown["unreadCount"], 4, "what is deleted is not unread: {shown}");

    // The same by a request, one page after the other; whatever is asked twice is told the same way.
    let path = |query: &str| format!("/api/conversations/{conversation}/messages?{query}");
    let mut after = 0;
    let mut heard = Vec::new();
    loop {
        let page = grace.get(&path(&format!("after={after}&limit=2"))).await;
        heard.extend(numbers(&page["messages"]));
        after = *heard.last().expect("a message");
        if page["hasMore"] == false {
            assert!(page["serverTime"].is_string());
            break;
        }
    }
    assert_eq!(heard, [1, 2, 3, 4, 5]);
    let page = grace.get(&path(&format!("after=5&since={}", text(&since)))).await;
    assert_eq!((numbers(&page["messages"]), numbers(&page["changed"])), (vec![], vec![1, 2]));

    for (person, of) in [(&joan, &conversation), (&grace, &group)] {
        let path = format!("/api/conversations/{of}/messages?after=0");
        let (status, refused) = person.request(Method::GET, &path, Value::Null).await;
        assert_eq!((status.as_u16(), &refused["error"]), (403, &json!("forbidden")));
    }
    let too_many = vec![json!({ "id": conversation, "seq": 0 }); 101];
    let refused = sync(&mut client, &json!({ "conversations": too_many })).await;
    assert_eq!((&refused["ok"], &refused["error"]), (&json!(false), &json!("validation_error")));
}
