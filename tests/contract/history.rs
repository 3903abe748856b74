//! Reading a conversation, in both shapes.

use chat_e2e::harness::text;
use chat_local::testing::TestSuite;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Cast, NOTHING, objects,
    objects::{history_item, ok},
    shape::differences,
    walk::{Ask, Form, Walk},
};

const LIST: &str = "GET /api/messages";
const OF: &str = "GET /api/messages/conversation/{id}";

pub async fn walk(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let cast = Cast::new(suite).await;
    fill(&cast).await;
    pages(walk, &cast, form).await;
    parts(walk, &cast, form).await;
    refusals(walk, &cast, form).await;
    if form == Form::Common {
        of_path(walk, &cast).await;
    }
}

/// Sends one message of each kind, and deletes one for both sides and one for each.
async fn fill(cast: &Cast) {
    let Cast { ada, grace, chat, .. } = cast;
    let first = ada.send(chat, "one").await["_id"].clone();
    for fields in [
        json!({ "text": "two", "replyTo": first }),
        json!({ "fileUrl": "https://files.example.com/a.png", "fileType": "image", "text": "" }),
        json!({ "callActivity": true, "callDuration": 7, "callType": "incoming" }),
        json!({ "text": "five", "forwarded": true, "forwardedFrom": grace.id }),
    ] {
        let body = objects::with(json!({ "conversationId": chat }), fields);
        grace.ok(Method::POST, "/api/messages", body).await;
    }
    for (by, body) in [
        (ada, json!({})),
        (ada, json!({ "deleteForBoth": false })),
        (grace, json!({ "deleteForBoth": false })),
    ] {
        let id = text(&ada.send(chat, "deleted").await["_id"]).to_owned();
        by.ok(Method::DELETE, &format!("/api/messages/{id}"), body).await;
    }
    let edited = format!("/api/messages/{}", text(&first));
    ada.ok(Method::PATCH, &edited, json!({ "text": "first" })).await;
}

/// An item that may be of any kind.
fn any() -> Value {
    history_item(json!({
        "fileUrl?": "text", "media?": "text", "fileName?": "text", "fileType?": "text",
        "audioDuration?": "int", "messageType?": "filled", "callActivity?": true,
        "callType?": "text", "callStatus?": "text", "isVideoCall?": "bool", "callStartTime?": "text",
        "callDuration?": "digits", "replyTo?": "id", "replyToMessage?": "object",
        "forwarded?": true, "forwardedFrom?": "text",
    }))
}

async fn pages(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, chat, .. } = cast;
    let item = any();
    let bare = json!([item]);
    let whole = ok(json!({ "messages": [item], "pagination": objects::pagination() }));
    let list = |query: &str| form.ask(LIST).by(ada).query(query);
    let by_users = format!("userA={}&userB={}", ada.id, grace.id);
    let turned = format!("userA={}&userB={}", grace.id, ada.id);
    let all = walk.ok(list(&format!("conversation={chat}")), 200, bare.clone()).await;
    let texts = texts(&all);
    walk.expect(texts.len() == 6, &format!("deleted messages are left out: {texts:?}"));
    walk.expect(texts.first() == Some(&"first"), "the oldest is first");
    for query in [by_users.clone(), turned, format!("conversation={chat}&limit=100")] {
        let again = walk.ok(list(&query), 200, bare.clone()).await;
        walk.expect(again == all, &format!("{query}: the same"));
    }
    for (query, count) in
        [("limit=2", 2), ("limit=2&page=3", 2), ("limit=2&page=4", 0), ("limit=0", 1)]
    {
        let found = walk.ok(list(&format!("conversation={chat}&{query}")), 200, bare.clone()).await;
        walk.expect(found.as_array().map(Vec::len) == Some(count), &format!("{query}: {found}"));
    }
    let before = format!("conversation={chat}&before={}", text(&all[1]["createdAt"]));
    let older = walk.ok(list(&before), 200, bare.clone()).await;
    walk.expect(older == json!([all[0]]), "only what is older");
    let nobody = format!("userA={}&userB={}", ada.id, cast.stranger.id);
    let none = walk.ok(list(&nobody), 200, bare.clone()).await;
    walk.expect(none == json!([]), "nothing where there is no conversation");
    let enveloped = [
        list(&format!("conversationId={chat}")),
        list(&format!("conversation={chat}")).header("client-type", "electron"),
    ];
    for (number, ask) in enveloped.into_iter().enumerate() {
        if form == Form::Old && number == 0 {
            walk.ok(ask, 200, bare.clone()).await;
            continue;
        }
        let found = walk.ok(ask, 200, whole.clone()).await;
        walk.expect(found["messages"] == all, "the same messages in the envelope");
    }
    let none = list(&nobody).header("client-type", "electron");
    let none = walk.ok(none, 200, whole).await;
    let pagination = &none["pagination"];
    walk.expect(pagination["totalPages"] == 0 && pagination["total"] == 0, "no pages of nothing");
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| text(&item["text"])).collect()
}

/// Each kind of message shows its own parts, and no others.
async fn parts(walk: &mut Walk, cast: &Cast, form: Form) {
    let ask = form.ask(LIST).by(&cast.grace).query(&format!("conversation={}", cast.chat));
    let (_, all) = walk.answer(&ask).await;
    let call = json!({
        "messageType": "=call_activity", "callActivity": true, "callType": "=incoming",
        "isVideoCall": false, "callDuration": "=7",
    });
    let file = json!({ "fileUrl": "filled", "media": "filled", "fileType": "=image" });
    for (number, parts) in [
        (0, json!({ "edited": true, "editedAt": "date", "text": "=first" })),
        (1, json!({ "replyTo": "id", "replyToMessage": "object", "edited": false })),
        (2, file),
        (3, call),
        (4, json!({ "forwarded": true, "forwardedFrom": "id" })),
        (5, json!({ "text": "=deleted", "edited": false, "!editedAt": null })),
    ] {
        let differences = differences(&history_item(parts), &all[number]);
        walk.expect(differences.is_empty(), &format!("item {number}: {differences:?}"));
    }
}

async fn refusals(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, stranger, chat } = cast;
    for (by, query, status, error) in [
        (ada, String::new(), 400, "validation_error"),
        (ada, format!("userA={}", ada.id), 400, "validation_error"),
        (ada, format!("conversation={chat}&page=many"), 400, "validation_error"),
        (ada, format!("conversation={chat}&before=soon"), 400, "validation_error"),
        (ada, "conversation=nonsense".to_owned(), 400, "invalid_conversation_id"),
        (ada, format!("userA={}&userB=nonsense", ada.id), 400, "invalid_id"),
        (stranger, format!("conversation={chat}"), 403, "forbidden"),
        (stranger, format!("conversationId={chat}"), 403, "forbidden"),
        (stranger, format!("userA={}&userB={}", ada.id, grace.id), 403, "forbidden"),
        (ada, format!("conversation={NOTHING}"), 404, "not_found"),
        (ada, format!("conversationId={NOTHING}"), 404, "not_found"),
    ] {
        walk.refused(form.ask(LIST).by(by).query(&query), status, error).await;
    }
}

async fn of_path(walk: &mut Walk, cast: &Cast) {
    let Cast { ada, stranger, chat, .. } = cast;
    let ask = |id: &str| Ask::new(OF).id(id);
    let whole = ok(json!({ "messages": [any()], "pagination": objects::pagination() }));
    let found = walk.ok(ask(chat).by(ada), 200, whole.clone()).await;
    let pagination = json!({ "totalPages": 1, "currentPage": 1, "total": 6, "limit": 50 });
    walk.expect(found["pagination"] == pagination, &format!("{}", found["pagination"]));
    let page = walk.ok(ask(chat).by(ada).query("page=2&limit=4"), 200, whole.clone()).await;
    walk.expect(texts(&page["messages"]) == ["first", "two"], "page 1 is the newest");
    let most = walk.ok(ask(chat).by(ada).query("limit=1000"), 200, whole).await;
    walk.expect(most["pagination"]["limit"] == 100, "a page has an end");
    for (by, id, query, status, error) in [
        (ada, chat.as_str(), "before=soon", 400, "validation_error"),
        (ada, "nonsense", "", 400, "invalid_conversation_id"),
        (stranger, chat, "", 403, "forbidden"),
        (ada, NOTHING, "", 404, "not_found"),
    ] {
        walk.refused(ask(id).by(by).query(query), status, error).await;
    }
}
