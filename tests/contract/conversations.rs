//! The list of conversations, opening one, looking at one, and clearing it.

use chat_e2e::harness::{Person, eventually, text};
use chat_local::testing::TestSuite;
use serde_json::{Value, json};

use crate::{
    Cast, NOTHING, block, objects,
    objects::{card, direct, message_document, of_group, ok, present_card, row},
    request,
    walk::{Form, Walk},
};

const LIST: &str = "GET /api/conversations";
const OPEN: &str = "POST /api/conversations";
const GET: &str = "GET /api/conversations/{id}";
const CLEAR: &str = "DELETE /api/conversations/{id}";

pub async fn walk(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let cast = Cast::new(suite).await;
    open(walk, suite, form).await;
    list(walk, &cast, form).await;
    look_at_one(walk, &cast, form).await;
    clear(walk, &cast, form).await;
}

async fn open(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let Cast { ada, grace, stranger, chat } = Cast::new(suite).await;
    let ask = |body: Value| form.ask(OPEN).by(&ada).body(body);
    let found = ok(json!({ "conversation": direct(&present_card()) }));
    for body in [
        json!({ "otherUserId": grace.id }),
        json!({ "participants": [grace.id] }),
        json!({ "members": [ada.id, grace.id, grace.id], "type": "direct" }),
        json!({ "participants": [], "otherUserId": grace.id }),
    ] {
        let opened = walk.ok(ask(body), 200, found.clone()).await;
        walk.expect(opened["conversation"]["_id"] == *chat, "the one that was there");
    }
    let made = walk.ok(ask(json!({ "otherUserId": stranger.id })), 201, found).await;
    let conversation = &made["conversation"];
    walk.expect(conversation["createdBy"] == *ada.id, "who made it");
    let mut key = [ada.id.as_str(), &stranger.id];
    key.sort_unstable();
    walk.expect(conversation["participantKey"] == key.join(":"), "the key of two");
    walk.expect(conversation.get("lastMessageAt").is_none(), "no time before the first message");
    walk.expect(conversation.get("lastMessage").is_none(), "no message yet");
    let group = ok(json!({ "conversation": of_group(&present_card()) }));
    let body = json!({ "participants": [grace.id], "type": "group" });
    walk.ok(ask(body), 201, group).await;
    let invalid = "validation_error";
    for (body, status, error) in [
        (json!({}), 400, invalid),
        (json!({ "participants": [] }), 400, invalid),
        (json!({ "participants": [ada.id] }), 400, invalid),
        (json!({ "otherUserId": "nonsense" }), 400, invalid),
        (json!({ "participants": ["nonsense"] }), 400, invalid),
        (json!({ "participants": [{ "$ne": null }] }), 400, invalid),
        (json!({ "participants": [grace.id, stranger.id] }), 400, invalid),
        (json!({ "participants": [grace.id], "type": "channel" }), 400, invalid),
        (json!({ "otherUserId": NOTHING }), 404, "user_not_found"),
        (json!({ "participants": [NOTHING], "type": "group" }), 404, "user_not_found"),
    ] {
        walk.refused(ask(body), status, error).await;
    }
}

async fn list(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, stranger, chat } = cast;
    let path = format!("/api/conversations?me={}", ada.id);
    ada.send(chat, "question").await;
    let answer = grace.send(chat, "answer").await;
    // A preview may come a moment after its message.
    eventually("the preview", async || ada.get(&path).await[0]["lastPreview"] == "answer").await;
    let me = format!("me={}", ada.id);
    let id = json!("id");
    let bare = json!([row(direct(&id), &id)]);
    let ask = |query: &str| form.ask(LIST).by(ada).query(query);
    let rows = walk.ok(ask(&format!("{me}&status=active")), 200, bare.clone()).await;
    let first = &rows[0];
    walk.expect(first["participants"] == json!([ada.id, grace.id]), &format!("ids: {first}"));
    let last = (&first["lastPreview"], &first["lastFrom"], &first["lastMessage"]);
    let expected = (&json!("answer"), &json!(grace.id), &answer["_id"]);
    walk.expect(last == expected, &format!("the newest message: {first}"));
    walk.expect(first["lastMessageAt"] == answer["createdAt"], "its time, to the millisecond");
    walk.expect(first["unreadCount"] == 1, "what is not read");
    walk.expect(first["lastOutgoingAt"].is_string(), "the time of the own newest message");

    let profile = objects::with(present_card(), json!({ "id": "id" }));
    let document = message_document(&card());
    let whole = ok(json!({ "conversations": [row(direct(&profile), &document)] }));
    let asked_whole = match form {
        Form::Common => form.ask(LIST).by(ada),
        Form::Old => form.ask(LIST).by(ada).header("client-type", "electron"),
    };
    let found = walk.ok(asked_whole, 200, whole.clone()).await;
    let first = &found["conversations"][0];
    walk.expect(first["lastMessage"]["_id"] == answer["_id"], "the newest message as a document");
    walk.expect(first["lastMessage"]["sender"]["_id"] == *grace.id, "with its sender");
    let declared = ask(&me).header("client-type", "electron");
    walk.ok(declared, 200, whole).await;

    let pending = request(ada, stranger).await;
    for (status, count) in [("pending", 1), ("declined", 0), ("blocked", 0)] {
        let found = walk.ok(ask(&format!("{me}&status={status}")), 200, bare.clone()).await;
        walk.expect(found.as_array().map(Vec::len) == Some(count), &format!("{status}: {found}"));
        if count == 1 {
            walk.expect(found[0]["_id"] == *pending, "the one that waits");
        }
    }
    // What would be an operator to the database is an unknown parameter.
    let operator = ask(&format!("{me}&status[$ne]=x"));
    let found = walk.ok(operator, 200, bare.clone()).await;
    walk.expect(found[0]["_id"] == **chat, "the active ones alone");
    for (query, status, error) in [
        (format!("me={}", grace.id), 403, "forbidden"),
        ("me=nonsense".to_owned(), 400, "invalid_id"),
        (format!("{me}&status=open"), 400, "validation_error"),
    ] {
        walk.refused(ask(&query), status, error).await;
    }
}

async fn look_at_one(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, chat, .. } = cast;
    let document = objects::with(message_document(&json!("id")), json!({ "id": "id" }));
    let shape = objects::with(direct(&present_card()), json!({ "lastMessage?": document }));
    let one = ok(json!({ "conversation": shape }));
    let found = walk.ok(form.ask(GET).id(chat).by(ada), 200, one).await;
    walk.expect(found["conversation"]["_id"] == **chat, "the one that was asked for");
    refuse_others(walk, GET, cast, form).await;
}

async fn refuse_others(walk: &mut Walk, at: &'static str, cast: &Cast, form: Form) {
    let Cast { ada, stranger, chat, .. } = cast;
    for (by, id, status, error) in [
        (ada, "nonsense", 400, "invalid_id"),
        (stranger, chat.as_str(), 403, "forbidden"),
        (ada, NOTHING, 404, "not_found"),
    ] {
        walk.refused(form.ask(at).id(id).by(by), status, error).await;
    }
    // What stands for a list is no id; some of these are read by other paths.
    for id in ["contacts", "search", "join", "create", "unread", "read-all"] {
        walk.refused(form.ask(at).id(id).by(ada), 404, "not_found").await;
        let (_, refused) = walk.answer(&form.ask(at).id(id).by(ada)).await;
        let (method, path) = form.of(at).split_once(' ').expect("a method and a path");
        let message = format!("{method} {} does not exist", path.replace("{id}", id));
        walk.expect(refused["message"] == *message, &format!("{message}: {refused}"));
    }
}

async fn clear(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, chat, .. } = cast;
    refuse_others(walk, CLEAR, cast, form).await;
    let shape = ok(json!({ "message": "filled", "messagesHidden": "int" }));
    let cleared = walk.ok(form.ask(CLEAR).id(chat).by(ada), 200, shape).await;
    walk.expect(cleared["messagesHidden"] == 2, &format!("both messages: {cleared}"));
    let listed = async |person: &Person| {
        let rows = person.get(&format!("/api/conversations?me={}", person.id)).await;
        rows.as_array().into_iter().flatten().any(|row| row["_id"] == **chat)
    };
    walk.expect(!listed(ada).await && listed(grace).await, "hidden from who cleared it alone");
    let again = grace.send(chat, "again").await;
    eventually("it comes back", async || listed(ada).await).await;
    let history = ada.get(&format!("/messages?conversation={chat}")).await;
    let ids: Vec<&str> =
        history.as_array().into_iter().flatten().map(|item| text(&item["_id"])).collect();
    walk.expect(ids == [text(&again["_id"])], "what was cleared stays so");
    block(ada, grace).await;
    let path = format!("me={}&status=blocked", ada.id);
    let (_, blocked) = walk.answer(&form.ask(LIST).by(ada).query(&path)).await;
    walk.expect(blocked[0]["_id"] == **chat, &format!("blocked conversations: {blocked}"));
}
