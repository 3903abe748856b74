//! Lists of conversations: what is in them, what is unread, and what clearing takes away from whom.

use chat_local::testing;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Person, eventually, text};

/// Returns a person's list as the mobile client asks for it.
async fn rows(person: &Person) -> Vec<Value> {
    let list = person.get(&format!("/api/conversations?me={}&status=active", person.id)).await;
    list.as_array().expect("a bare list").clone()
}

/// Returns the contents of a conversation's history.
async fn history(person: &Person, conversation: &str) -> Vec<String> {
    let list = person.get(&format!("/messages?conversation={conversation}")).await;
    let list = list.as_array().expect("a bare list");
    list.iter().map(|message| text(&message["content"]).to_owned()).collect()
}

/// Sends a text, and waits until the list shows it.
async fn say(person: &Person, conversation: &str, content: &str) -> Value {
    let sent = person.send(conversation, content).await;
    eventually("the list shows the message", async || {
        let rows = rows(person).await;
        rows.iter().any(|row| row["_id"] == conversation && row["lastPreview"] == content)
    })
    .await;
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn cleared_conversation_comes_back_with_the_next_message_alone() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    for content in ["one", "two", "three"] {
        say(&grace, &conversation, content).await;
    }

    let path = format!("/api/conversations/{conversation}");
    let answer = ada.ok(Method::DELETE, &path, Value::Null).await;
    assert_eq!((&answer["success"], &answer["messagesHidden"]), (&json!(true), &json!(3)));
    assert!(!text(&answer["message"]).is_empty());
    let ada_at_b = ada.at(b);
    assert_eq!(rows(&ada_at_b).await, [] as [Value; 0]);
    assert_eq!(history(&ada_at_b, &conversation).await, [""; 0]);
    let paged = ada.get(&format!("/api/messages/conversation/{conversation}")).await;
    assert_eq!((&paged["messages"], &paged["pagination"]["total"]), (&json!([]), &json!(0)));
    let details = &ada.get(&path).await["conversation"];
    assert!(details.get("lastMessage").is_none(), "{details}");
    assert_eq!((&details["lastPreview"], &details["unreadCount"]), (&json!(""), &json!(0)));
    // Nobody else notices.
    assert_eq!(rows(&grace).await[0]["lastPreview"], "three");
    assert_eq!(history(&grace, &conversation).await, ["one", "two", "three"]);

    let mut heard = ada.listen(b, "flutter").await;
    say(&grace, &conversation, "four").await;
    assert_eq!(heard.expect("message").await["text"], "four");
    let row = &rows(&ada).await[0];
    let shown = ["_id", "lastPreview", "lastFrom"].map(|field| text(&row[field]));
    assert_eq!(shown, [conversation.as_str(), "four", grace.id.as_str()]);
    assert_eq!(row["unreadCount"], 1);
    assert_eq!(history(&ada, &conversation).await, ["four"]);

    // The path without prefix, at the other gateway; opening it shows it again, without its past.
    let old = format!("/conversations/{conversation}");
    let answer = ada_at_b.ok(Method::DELETE, &old, Value::Null).await;
    assert_eq!(answer["messagesHidden"], 1);
    let body = json!({ "otherUserId": grace.id });
    let (status, answer) = ada.request(Method::POST, "/conversations", body).await;
    assert_eq!((status, text(&answer["conversation"]["_id"])), (StatusCode::OK, &*conversation));
    let row = &rows(&ada).await[0];
    assert_eq!((&row["_id"], &row["lastPreview"]), (&json!(conversation), &json!("")));
    assert_eq!(history(&ada, &conversation).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn group_is_cleared_by_members_and_by_nobody_else() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let (removed, stranger) = (Person::new(b).await, Person::new(a).await);
    let group = ada.group(&[&grace, &removed]).await;
    let body = json!({ "groupId": group, "userId": removed.id });
    ada.ok(Method::POST, "/api/groups/remove-participant", body).await;
    eventually("the list shows who was removed", async || {
        !text(&rows(&grace).await[0]["lastPreview"]).is_empty()
    })
    .await;
    say(&ada, &group, "secret").await;

    for path in [format!("/api/conversations/{group}"), format!("/conversations/{group}")] {
        for person in [&stranger, &removed] {
            for method in [Method::GET, Method::DELETE] {
                let (status, answer) = person.request(method, &path, Value::Null).await;
                let refused = (status, text(&answer["error"]));
                assert_eq!(refused, (StatusCode::FORBIDDEN, "forbidden"));
                assert!(!answer.to_string().contains("secret"));
            }
        }
    }
    let unknown = "/api/conversations/65f0c0ffee0123456789abcd";
    for method in [Method::GET, Method::DELETE] {
        let (status, answer) = ada.request(method.clone(), unknown, Value::Null).await;
        assert_eq!((status, text(&answer["error"])), (StatusCode::NOT_FOUND, "not_found"));
        let (status, answer) = ada.request(method, "/conversations/zzz", Value::Null).await;
        assert_eq!((status, text(&answer["error"])), (StatusCode::BAD_REQUEST, "invalid_id"));
    }
    assert_eq!(rows(&grace).await[0]["lastPreview"], "secret", "nothing has changed");

    let path = format!("/api/conversations/{group}?clientType=unified");
    let answer = grace.ok(Method::DELETE, &path, Value::Null).await;
    assert!(answer["hiddenCount"].as_i64() >= Some(1), "{answer}");
    assert_eq!(rows(&grace).await, [] as [Value; 0]);
    let details = &grace.get(&path).await["conversation"];
    assert_eq!(details["memberIds"], json!([ada.id, grace.id]), "she stays in it");
    assert!(details["clearedSeq"].as_i64() >= Some(1), "{details}");
    say(&ada, &group, "again").await;
    let row = &rows(&grace).await[0];
    assert_eq!((&row["lastPreview"], &row["unreadCount"]), (&json!("again"), &json!(1)));
    assert_eq!(history(&grace, &group).await, ["again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_say_what_is_unread_and_how_far_others_have_read() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace, alan) = (Person::new(a).await, Person::new(b).await, Person::new(a).await);
    let conversation = ada.open(&grace).await;
    let other = alan.open(&grace).await;
    say(&alan, &other, "unread").await;
    say(&ada, &conversation, "one").await;
    let newest = say(&ada, &conversation, "two").await;
    let row = async |person: &Person| {
        let rows = rows(person).await;
        rows.into_iter().find(|row| row["_id"] == *conversation).expect("a row")
    };
    let seen = row(&grace).await;
    assert_eq!((&seen["unreadCount"], &seen["readUpTo"]), (&json!(2), &json!({})));
    assert_eq!(row(&ada).await["unreadCount"], 0, "his own do not count");

    let path = format!("/api/messages/{}/read", text(&newest["_id"]));
    grace.ok(Method::PATCH, &path, json!({})).await;
    let at = &newest["createdAt"];
    for seen in [row(&grace).await, row(&ada.at(b)).await] {
        assert_eq!(seen["unreadCount"], 0);
        assert_eq!((&seen["readUpTo"][&grace.id], &seen["deliveredUpTo"][&grace.id]), (at, at));
    }
    assert_eq!(row(&ada).await["lastOutgoingAt"], *at, "blue ticks");
    assert_eq!(rows(&grace).await[1]["unreadCount"], 1, "other conversations keep their counts");

    let details = &ada.get(&format!("/conversations/{conversation}")).await["conversation"];
    assert_eq!(details["readUpTo"][&grace.id], *at);
    let last = &details["lastMessage"];
    assert_eq!((&last["_id"], &last["id"]), (&newest["_id"], &newest["_id"]));
    assert_eq!((&last["from"], &last["content"]), (&json!(ada.id), &json!("two")));
    let unified = ada.get("/api/conversations?clientType=unified").await;
    let cursor = &unified["conversations"][0]["cursors"][0];
    assert_eq!((&cursor["userId"], &cursor["readSeq"]), (&json!(grace.id), &json!(2)));
    assert_eq!(cursor["readAt"], *at);
}

#[tokio::test(flavor = "multi_thread")]
async fn message_deleted_for_oneself_is_not_shown_in_the_own_list() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let first = say(&ada, &conversation, "first").await;
    let second = say(&ada, &conversation, "second").await;
    for (message, left, unread) in [(&second, "first", 1), (&first, "", 0)] {
        let path = format!("/api/messages/{}", text(&message["_id"]));
        grace.ok(Method::DELETE, &path, json!({ "deleteForBoth": false })).await;
        let row = &rows(&grace.at(a)).await[0];
        assert_eq!((&row["lastPreview"], &row["unreadCount"]), (&json!(left), &json!(unread)));
        let path = format!("/api/conversations/{conversation}");
        assert_eq!(grace.get(&path).await["conversation"]["lastPreview"], left);
        let list = grace.get("/api/conversations").await;
        let shown = &list["conversations"][0]["lastMessage"];
        assert_eq!(shown["content"].as_str().unwrap_or_default(), left);
        assert_eq!(rows(&ada).await[0]["lastPreview"], "second", "the other one's list is his own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_family_gets_its_shape_of_the_list() {
    let suite = testing::suite(|_| {}).await;
    let (ada, grace) = (Person::new(suite.gateways[0]).await, Person::new(suite.gateways[1]).await);
    let direct = ada.open(&grace).await;
    let group = ada.group(&[&grace]).await;
    let me = format!("me={}", ada.id);
    for (path, query, is_bare) in [
        ("/api/conversations", me.clone(), true),
        ("/api/conversations", format!("{me}&clientType=flutter"), true),
        ("/api/conversations", format!("{me}&clientType=electron"), false),
        ("/api/conversations", String::new(), false),
        ("/api/conversations", "clientType=flutter".to_owned(), false),
        ("/conversations", String::new(), true),
        ("/conversations", me.clone(), true),
        ("/conversations", "clientType=flutter".to_owned(), true),
        ("/conversations", "clientType=electron".to_owned(), false),
    ] {
        let list = ada.get(&format!("{path}?{query}")).await;
        let rows = if is_bare { &list } else { &list["conversations"] };
        let rows = rows.as_array().unwrap_or_else(|| panic!("{path}?{query}: {list}"));
        assert_eq!(rows.len(), 2, "{path}?{query}");
        for row in rows {
            let member = &row["participants"][0];
            assert_eq!(member.is_string(), is_bare, "{path}?{query}: {row}");
            assert!(row["_id"] == *direct || row["_id"] == *group);
        }
    }
    for path in ["/api/conversations", "/conversations"] {
        let list = ada.get(&format!("{path}?{me}&clientType=unified&limit=1")).await;
        let first = text(&list["conversations"][0]["id"]).to_owned();
        let cursor = text(&list["nextCursor"]);
        let next = ada.get(&format!("{path}?clientType=unified&limit=1&cursor={cursor}")).await;
        assert_ne!(next["conversations"][0]["id"], first.as_str());
        assert_eq!(next["nextCursor"], Value::Null);
    }
    let list = ada.get("/api/conversations?limit=1").await;
    let path = format!("/api/conversations?limit=1&cursor={}", text(&list["nextCursor"]));
    assert_ne!(ada.get(&path).await["conversations"][0]["_id"], list["conversations"][0]["_id"]);
    for query in ["cursor=x", "status=x", "limit=x", "me=zzz"] {
        let path = format!("/api/conversations?{query}");
        let (status, _) = ada.request(Method::GET, &path, Value::Null).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
    let path = format!("/conversations?me={}", grace.id);
    let (status, _) = ada.request(Method::GET, &path, Value::Null).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    for status in ["pending", "declined", "blocked"] {
        assert_eq!(ada.get(&format!("/conversations?status={status}")).await, json!([]));
    }
}
