//! Editing, deleting and reading messages, and searching in them.

use chat_e2e::harness::{Person, text};
use serde_json::{Value, json};

use crate::{
    Cast, NOTHING,
    objects::ok,
    walk::{Form, Walk},
};

const EDIT: &str = "PATCH /api/messages/{id}";
const DELETE: &str = "DELETE /api/messages/{id}";
const READ: &str = "PATCH /api/messages/{id}/read";
const SEARCH: &str = "GET /api/messages/search";

pub async fn walk(walk: &mut Walk, cast: &Cast, form: Form) {
    edit(walk, cast, form).await;
    delete(walk, cast, form).await;
    if form == Form::Common {
        read(walk, cast).await;
    }
    search(walk, cast, form).await;
}

async fn send(by: &Person, cast: &Cast, content: &str) -> String {
    text(&by.send(&cast.chat, content).await["_id"]).to_owned()
}

async fn edit(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, stranger, .. } = cast;
    let id = send(ada, cast, "frist").await;
    for body in [
        json!({ "text": " first ", "content": "not this" }),
        json!({ "content": "first" }),
        json!({ "text": "first" }),
    ] {
        let edited = ok(json!({ "ok": true, "message": {
            "_id": format!("={id}"), "messageId": "id", "conversationId": "id", "conversation": "id",
            "from": "id", "sender": "id", "to": "id", "text": "=first", "content": "=first",
            "edited": true, "editedAt": "date", "createdAt": "date",
        } }));
        walk.ok(form.ask(EDIT).id(&id).by(ada).body(body), 200, edited).await;
    }
    let text = json!({ "text": "x" });
    for (by, id, body, status, error) in [
        (ada, id.as_str(), json!({}), 400, "validation_error"),
        (ada, &id, json!({ "text": " " }), 400, "validation_error"),
        (ada, &id, json!({ "text": ["x"] }), 400, "validation_error"),
        (ada, "nonsense", text.clone(), 400, "invalid_id"),
        (grace, &id, text.clone(), 403, "forbidden"),
        (stranger, &id, text.clone(), 403, "forbidden"),
        (ada, NOTHING, text.clone(), 404, "not_found"),
        (ada, &id, json!({ "text": "x".repeat(4001) }), 413, "too_long"),
    ] {
        walk.refused(form.ask(EDIT).id(id).by(by).body(body), status, error).await;
    }
    walk.ok(form.ask(DELETE).id(&id).by(ada), 200, json!({})).await;
    walk.refused(form.ask(EDIT).id(&id).by(ada).body(text), 409, "message_deleted").await;
}

async fn delete(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, stranger, .. } = cast;
    let id = send(ada, cast, "goes").await;
    for (by, id, body, status, error) in [
        (ada, id.as_str(), Some(json!({ "deleteForBoth": "yes" })), 400, "validation_error"),
        (ada, "nonsense", None, 400, "invalid_id"),
        (grace, &id, None, 403, "forbidden"),
        (grace, &id, Some(json!({ "deleteForBoth": true })), 403, "forbidden"),
        (stranger, &id, None, 403, "forbidden"),
        (stranger, &id, Some(json!({ "deleteForBoth": false })), 403, "forbidden"),
        (ada, NOTHING, None, 404, "not_found"),
        (ada, NOTHING, Some(json!({ "deleteForBoth": false })), 404, "not_found"),
    ] {
        let ask = form.ask(DELETE).id(id).by(by);
        let ask = match body {
            Some(body) => ask.body(body),
            None => ask,
        };
        walk.refused(ask, status, error).await;
    }
    let deleted = |time: Value| {
        let message = json!({
            "_id": "id", "messageId": "id", "conversationId": "id", "conversation": "id", "from": "id",
            "sender": "id", "deleted": true, "isDeleted": true,
        });
        ok(json!({ "ok": true, "message": crate::objects::with(message, time) }))
    };
    let alone = json!({ "deleteForBoth": false });
    let for_oneself = deleted(json!({ "!deletedAt": null }));
    for by in [grace, ada] {
        let ask = form.ask(DELETE).id(&id).by(by).body(alone.clone());
        walk.ok(ask, 200, for_oneself.clone()).await;
    }
    let for_all = deleted(json!({ "deletedAt": "date" }));
    walk.ok(form.ask(DELETE).id(&id).by(ada), 200, for_all.clone()).await;
    // Once more changes nothing.
    walk.ok(form.ask(DELETE).id(&id).by(ada), 200, for_all.clone()).await;
    let other = send(ada, cast, "goes, too").await;
    let both = json!({ "deleteForBoth": true });
    walk.ok(form.ask(DELETE).id(&other).by(ada).body(both), 200, for_all).await;
}

async fn read(walk: &mut Walk, cast: &Cast) {
    let Cast { ada, grace, stranger, .. } = cast;
    let id = send(ada, cast, "read me").await;
    let ask = |id: &str| Form::Common.ask(READ).id(id);
    for (by, id, status, error) in [
        (grace, "nonsense", 400, "invalid_id"),
        (stranger, id.as_str(), 403, "forbidden"),
        (grace, NOTHING, 404, "not_found"),
    ] {
        walk.refused(ask(id).by(by), status, error).await;
    }
    let said = ok(json!({ "message": "filled" }));
    for _ in 0..2 {
        walk.ok(ask(&id).by(grace), 200, said.clone()).await;
    }
    // One's own messages are not read by oneself: nothing comes of it.
    let answer = send(grace, cast, "not by me").await;
    walk.ok(ask(&answer).by(grace), 200, said).await;
    let row = grace.get(&format!("/api/conversations/{}", cast.chat)).await;
    let read_at = &row["conversation"]["readUpTo"][&grace.id];
    let history = ada.get(&format!("/messages?conversation={}", cast.chat)).await;
    let items = history.as_array().expect("a list").iter();
    let sent = items.clone().find(|item| item["_id"] == *id).expect("the message");
    walk.expect(*read_at == sent["createdAt"], "the cursor stands at the message that was read");
}

async fn search(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, stranger, .. } = cast;
    let word = format!("needle{}", if form == Form::Common { "one" } else { "two" });
    let first = send(ada, cast, &format!("The {word} is in the hay")).await;
    let second = send(grace, cast, &format!("no {word} there")).await;
    let found = ok(json!({ "messages": [{
        "_id": "id", "messageId": "id", "from": "id", "sender": "id", "text": "filled",
        "content": "filled", "conversation": "id", "conversationId": "id", "createdAt": "date",
    }] }));
    let upper = word.to_uppercase();
    let hits = walk.ok(form.ask(SEARCH).by(ada).query(&format!("query={upper}")), 200, found).await;
    let ids: Vec<&str> =
        hits["messages"].as_array().into_iter().flatten().map(|hit| text(&hit["_id"])).collect();
    walk.expect(ids == [second.as_str(), &first], "messages are found, the newest first");
    walk.expect(hits.get("nextCursor").is_none(), "there is no more");
    let mut cursor = String::new();
    for (id, goes_on) in [(&second, true), (&first, false)] {
        let query = format!("query={word}&limit=1&cursor={cursor}");
        let page = walk.ok(form.ask(SEARCH).by(ada).query(&query), 200, json!({})).await;
        let hits = &page["messages"];
        let is_one = hits.as_array().map(Vec::len) == Some(1) && hits[0]["_id"] == **id;
        walk.expect(is_one, &format!("one of a page: {page}"));
        walk.expect(page.get("nextCursor").is_some() == goes_on, &format!("more: {page}"));
        page["nextCursor"].as_str().unwrap_or_default().clone_into(&mut cursor);
    }
    for query in ["cursor=zz", "limit=abc"] {
        let query = format!("query={word}&{query}");
        walk.refused(form.ask(SEARCH).by(ada).query(&query), 400, "validation_error").await;
    }
    let empty = ok(json!({ "messages": ["null"] }));
    for query in
        ["query=n".to_owned(), "query=%20n%20".to_owned(), String::new(), "query=.*".to_owned()]
    {
        let hits = walk.ok(form.ask(SEARCH).by(ada).query(&query), 200, empty.clone()).await;
        walk.expect(hits["messages"] == json!([]), &format!("{query} finds nothing"));
    }
    let hits =
        walk.ok(form.ask(SEARCH).by(stranger).query(&format!("query={word}")), 200, empty).await;
    walk.expect(hits["messages"] == json!([]), "a stranger finds nothing");
}
