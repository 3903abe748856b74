//! Clients that come back: one question tells them all that they have missed, however it is asked.

use chat_e2e::socket::{Receiver, Sender};
use chat_local::testing;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Person, eventually, text};

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

/// Returns the one conversation that was asked for.
fn only(answer: &Value) -> &Value {
    let [told] = answer["conversations"].as_array().expect("a list").as_slice() else {
        panic!("one conversation: {answer}");
    };
    told
}

/// Returns how far somebody has read.
fn read_by(told: &Value, user: &str) -> Option<i64> {
    let cursors = told["cursors"].as_array().expect("a list").iter();
    let mut own = cursors.filter(|cursor| cursor["userId"] == user);
    own.next().and_then(|cursor| cursor["readSeq"].as_i64())
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_was_away_is_told_what_has_been_read_meanwhile() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    for content in ["1", "2"] {
        ada.send(&conversation, content).await;
    }
    let answered = grace.send(&conversation, "3").await;
    let known = json!({ "conversations": [{ "id": conversation, "seq": 3 }] });
    let mut client = ada.connect(a, "unified").await;
    let before = sync(&mut client, &known).await;
    assert_eq!(
        (&only(&before)["unreadCount"], read_by(only(&before), &grace.id)),
        (&json!(1), None)
    );
    drop(client);

    // Meanwhile the other side reads, and so does another device of his own.
    let mut other = grace.connect(b, "unified").await;
    let reading = json!({ "conversationId": conversation, "seq": 2 });
    other.0.emit_with_ack(1, "receipt:read", &reading.to_string()).await.expect("written");
    assert_eq!(other.1.answer(1).await["ok"], true);
    let path = format!("/api/messages/{}/read", text(&answered["_id"]));
    ada.at(b).ok(Method::PATCH, &path, json!({})).await;

    let mut client = ada.connect(b, "unified").await;
    let known = json!({ "conversations": known["conversations"], "since": before["serverTime"] });
    let answer = sync(&mut client, &known).await;
    let told = only(&answer);
    assert_eq!((numbers(&told["messages"]), &told["hasMore"]), (vec![], &json!(false)));
    assert_eq!((&told["unreadCount"], read_by(told, &grace.id)), (&json!(0), Some(2)));
    assert_eq!(read_by(told, &ada.id), Some(3));
    assert!(told.get("clearedSeq").is_none(), "{told}");
    // A request is answered in the same way.
    let path = format!("/api/conversations/{conversation}/messages?after=3");
    let page = ada.get(&path).await;
    assert_eq!((&page["unreadCount"], &page["cursors"]), (&json!(0), &told["cursors"]));
    let list = ada.get("/api/conversations?clientType=unified").await;
    assert_eq!(list["conversations"][0]["cursors"], told["cursors"], "as in the list");
}

/// Returns the next change that somebody has made for himself alone.
async fn own_change(receiver: &mut Receiver) -> Value {
    loop {
        let (name, body) = receiver.event().await;
        if name == "conversation:updated" && body.get("conversation").is_none() {
            return body;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_device_clears_and_marks_reaches_the_others_there_or_away() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    ada.send(&conversation, "1").await;
    let last = grace.send(&conversation, "2").await;
    eventually("the list shows it", async || {
        let rows = ada.get("/api/conversations?clientType=unified").await;
        rows["conversations"][0]["lastMessage"]["seq"] == 2
    })
    .await;
    let mut away = ada.connect(b, "unified").await;
    let known = json!({ "conversations": [{ "id": conversation, "seq": 2 }] });
    let since = sync(&mut away, &known).await["serverTime"].clone();
    let known = json!({ "conversations": known["conversations"], "since": since });
    drop(away);
    let mut there = ada.listen(b, "unified").await;
    let mut old = ada.listen(b, "electron").await;
    let mut partner = grace.listen(a, "unified").await;

    let path = format!("/api/conversations/{conversation}");
    ada.ok(Method::DELETE, &path, Value::Null).await;
    let heard = own_change(&mut there).await;
    assert_eq!(
        (&heard["conversationId"], &heard["actorId"]),
        (&json!(conversation), &json!(ada.id))
    );
    assert_eq!((&heard["clearedSeq"], &heard["isHidden"]), (&json!(2), &json!(true)));
    // What the other side does to what is cleared brings nothing back.
    let edit = format!("/api/messages/{}", text(&last["_id"]));
    grace.ok(Method::PATCH, &edit, json!({ "text": "two" })).await;
    let mut back = ada.connect(a, "unified").await;
    let answer = sync(&mut back, &known).await;
    assert_eq!(answer["hidden"], json!([conversation]));
    assert_eq!((&answer["changedConversations"], &answer["left"]), (&json!([]), &json!([])));
    let told = only(&answer);
    assert_eq!((&told["clearedSeq"], &told["unreadCount"]), (&json!(2), &json!(0)));
    assert_eq!((&told["messages"], &told["changed"]), (&json!([]), &json!([])));
    let page = ada.get(&format!("{path}/messages?after=0")).await;
    assert_eq!((&page["clearedSeq"], &page["messages"]), (&json!(2), &json!([])));

    // Opened again, muted, and written to: it is in the list.
    assert_eq!(ada.open(&grace).await, conversation);
    let heard = own_change(&mut there).await;
    assert_eq!((&heard["clearedSeq"], &heard["isHidden"]), (&json!(2), &json!(false)));
    ada.ok(Method::PUT, &format!("{path}/mute"), json!({})).await;
    assert_eq!(own_change(&mut there).await["isMuted"], true);
    let answer = sync(&mut back, &known).await;
    assert_eq!(answer["hidden"], json!([]));
    let [shown] = answer["changedConversations"].as_array().expect("a list").as_slice() else {
        panic!("one conversation: {answer}");
    };
    assert_eq!((&shown["id"], &shown["isMuted"]), (&json!(conversation), &json!(true)));
    assert_eq!((&shown["clearedSeq"], shown.get("lastMessage")), (&json!(2), None));
    grace.send(&conversation, "3").await;
    // Neither his old clients nor the other side hear what he does for himself.
    for receiver in [&mut old, &mut partner] {
        loop {
            let (name, body) = receiver.event().await;
            assert_ne!(name, "conversation:updated", "{body}");
            if body["text"] == "3" || body["content"] == "3" {
                break;
            }
        }
    }
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
    let nothing = "/api/conversations/65f0c0ffee0123456789abcd/messages?after=0";
    let (status, refused) = grace.request(Method::GET, nothing, Value::Null).await;
    assert_eq!((status.as_u16(), &refused["error"]), (404, &json!("not_found")));
    let too_many = vec![json!({ "id": conversation, "seq": 0 }); 101];
    let refused = sync(&mut client, &json!({ "conversations": too_many })).await;
    assert_eq!((&refused["ok"], &refused["error"]), (&json!(false), &json!("validation_error")));
}
