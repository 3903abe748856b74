//! Chat requests, starting to chat without one, and address books.

use chat_e2e::harness::{Person, text};
use chat_local::testing::TestSuite;
use serde_json::{Value, json};

use crate::{
    Cast, NOTHING, block, objects,
    objects::{card, direct, ok},
    request,
    walk::{Form, Walk},
};

const ASK: &str = "POST /api/conversations/chat-requests";
const LIST: &str = "GET /api/conversations/chat-requests";
const ACCEPT: &str = "POST /api/conversations/chat-requests/{id}/accept";
const DECLINE: &str = "POST /api/conversations/chat-requests/{id}/decline";
const START: &str = "POST /api/conversations/contacts/start-chat";
const SYNC: &str = "POST /api/conversations/contacts/sync";

pub async fn walk(walk: &mut Walk, suite: &TestSuite, form: Form) {
    ask(walk, suite, form).await;
    list(walk, suite, form).await;
    accept(walk, suite, form).await;
    decline(walk, suite, form).await;
    start(walk, suite, form).await;
    sync(walk, suite, form).await;
}

/// A conversation with ids, in a status.
fn answer(status: &str) -> Value {
    let shape = objects::with(direct(&json!("id")), json!({ "status": format!("={status}") }));
    ok(json!({ "ok": true, "conversation": shape }))
}

/// What asking and starting are refused for.
async fn refuse_asking(walk: &mut Walk, at: &'static str, cast: &Cast, form: Form) {
    let Cast { ada, grace, stranger, .. } = cast;
    block(stranger, ada).await;
    for (body, status, error) in [
        (json!({}), 400, "missing_fields"),
        (json!({ "from": ada.id }), 400, "missing_fields"),
        (json!({ "toPhone": grace.phone }), 400, "missing_fields"),
        (json!({ "from": grace.id, "toPhone": ada.phone }), 403, "forbidden"),
        (json!({ "from": ada.id, "toPhone": stranger.phone }), 403, "forbidden"),
        (json!({ "from": ada.id, "toPhone": "+19990000000000" }), 404, "user_not_found"),
        (json!({ "from": ada.id, "toPhone": NOTHING }), 404, "user_not_found"),
    ] {
        walk.refused(form.ask(at).by(ada).body(body), status, error).await;
    }
}

async fn ask(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let cast = Cast::new(suite).await;
    let Cast { ada, grace, chat, .. } = &cast;
    let other = Person::new(suite.gateways[1]).await;
    let body = json!({ "from": ada.id, "toPhone": other.phone });
    let new = answer("pending");
    let asked = walk.ok(form.ask(ASK).by(ada).body(body.clone()), 200, new.clone()).await;
    let conversation = &asked["conversation"];
    walk.expect(conversation["createdBy"] == *ada.id, "who asks");
    walk.expect(conversation["lastMessageAt"].is_null(), "no time before the first message");
    walk.expect(conversation.get("lastMessageAt").is_some(), "which is said");
    for contact in [&other.phone, &other.id] {
        let body = json!({ "from": ada.id, "toPhone": contact });
        let again = walk.ok(form.ask(ASK).by(ada).body(body), 200, new.clone()).await;
        walk.expect(again["conversation"]["_id"] == conversation["_id"], "the same again");
    }
    let body = json!({ "from": ada.id, "toPhone": grace.phone });
    let active = walk.ok(form.ask(ASK).by(ada).body(body), 200, answer("active")).await;
    walk.expect(active["conversation"]["_id"] == **chat, "the one that is active stays so");
    refuse_asking(walk, ASK, &cast, form).await;
}

async fn list(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let Cast { ada, grace, stranger, .. } = Cast::new(suite).await;
    let sent = request(&ada, &stranger).await;
    let asking = Person::new(suite.gateways[0]).await;
    let received = request(&asking, &ada).await;
    let rows = json!([direct(&card())]);
    let wrapped = ok(json!({ "conversations": rows }));
    let shape = if form == Form::Common { wrapped.clone() } else { rows };
    let ids = |found: &Value| {
        let rows = found.get("conversations").unwrap_or(found).as_array().cloned();
        rows.into_iter().flatten().map(|row| text(&row["_id"]).to_owned()).collect::<Vec<_>>()
    };
    let me = format!("me={}&status=pending", ada.id);
    for query in [me.as_str(), ""] {
        let found = walk.ok(form.ask(LIST).by(&ada).query(query), 200, shape.clone()).await;
        let both = [received.clone(), sent.clone()];
        walk.expect(ids(&found) == both, &format!("{query}: both, the newest first: {found}"));
    }
    let declared = form.ask(LIST).by(&ada).query(&me).header("client-type", "electron");
    let whole = walk.ok(declared.clone(), 200, wrapped.clone()).await;
    walk.expect(whole.get("nextCursor").is_none(), "there is no more");
    let first = walk.ok(declared.clone().and_query("limit=1"), 200, wrapped.clone()).await;
    let cursor = format!("limit=1&cursor={}", text(&first["nextCursor"]));
    let second = walk.ok(declared.and_query(&cursor), 200, wrapped).await;
    let pages = (ids(&first), ids(&second));
    let expected = (vec![received.clone()], vec![sent.clone()]);
    walk.expect(pages == expected, &format!("one of a page: {pages:?}"));
    walk.expect(second.get("nextCursor").is_none(), "there is no more");
    let declined = form.ask(LIST).by(&ada).query("status=declined");
    let found = walk.ok(declined, 200, shape).await;
    walk.expect(ids(&found).is_empty(), "none is declined");
    let other = form.ask(LIST).by(&ada).query(&format!("me={}", grace.id));
    walk.refused(other, 403, "forbidden").await;
    let unknown = form.ask(LIST).by(&ada).query("status=open");
    walk.refused(unknown, 400, "validation_error").await;
}

/// What answering a request of Ada to Grace is refused for.
async fn refuse_answering(
    walk: &mut Walk,
    at: &'static str,
    id: &str,
    cast: [&Person; 3],
    form: Form,
) {
    let [ada, grace, stranger] = cast;
    let group = ada.group(&[grace]).await;
    for (by, id, body, status, error) in [
        (grace, "nonsense", json!({}), 400, "invalid_id"),
        (grace, id, json!({ "me": ada.id }), 403, "forbidden"),
        (stranger, id, json!({}), 403, "forbidden"),
        (grace, NOTHING, json!({}), 404, "not_found"),
        (grace, &group, json!({}), 409, "not_pending"),
    ] {
        walk.refused(form.ask(at).id(id).by(by).body(body), status, error).await;
    }
}

async fn accept(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let [one, two] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(one).await, Person::new(two).await);
    let stranger = Person::new(two).await;
    let id = request(&ada, &grace).await;
    refuse_answering(walk, ACCEPT, &id, [&ada, &grace, &stranger], form).await;
    let own = form.ask(ACCEPT).id(&id).by(&ada).body(json!({}));
    walk.refused(own, 403, "forbidden").await;
    for body in [json!({ "me": grace.id }), json!({})] {
        let ask = form.ask(ACCEPT).id(&id).by(&grace).body(body);
        let accepted = walk.ok(ask, 200, answer("active")).await;
        walk.expect(accepted["conversation"]["lastMessageAt"].is_string(), "since when it is so");
    }
    let late = form.ask(DECLINE).id(&id).by(&grace).body(json!({}));
    walk.refused(late, 409, "not_pending").await;
}

async fn decline(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let [one, two] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(one).await, Person::new(two).await);
    let stranger = Person::new(two).await;
    let id = request(&ada, &grace).await;
    refuse_answering(walk, DECLINE, &id, [&ada, &grace, &stranger], form).await;
    let decline = |by| form.ask(DECLINE).id(&id).by(by);
    walk.ok(decline(&grace).body(json!({ "me": grace.id })), 200, answer("declined")).await;
    let late = form.ask(ACCEPT).id(&id).by(&grace).body(json!({}));
    walk.refused(late, 409, "not_pending").await;
    // It can be asked again, and taken back by who asked.
    request(&ada, &grace).await;
    walk.ok(decline(&ada), 200, answer("declined")).await;
}

async fn start(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let cast = Cast::new(suite).await;
    let Cast { ada, grace, .. } = &cast;
    let other = Person::new(suite.gateways[1]).await;
    let asked = request(&other, ada).await;
    let shape = ok(json!({ "ok": true, "conversation": {
        "_id": "id", "participants": ["id"], "members": ["id"], "status": "=active",
        "createdBy": "id|null", "lastMessageAt": "date|null", "createdAt": "date", "updatedAt": "date",
        "!participantKey": null, "!isGroup": null, "!hiddenFor": null,
    } }));
    for contact in [&grace.phone, &grace.id, &other.phone] {
        let body = json!({ "from": ada.id, "toPhone": contact });
        let started = walk.ok(form.ask(START).by(ada).body(body), 200, shape.clone()).await;
        if *contact == other.phone {
            walk.expect(started["conversation"]["_id"] == *asked, "the request is accepted");
        }
    }
    refuse_asking(walk, START, &cast, form).await;
}

async fn sync(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let Cast { ada, grace, .. } = Cast::new(suite).await;
    let shape = ok(json!({ "matches": [{
        "id": "id", "name": "filled", "phone": "filled", "avatarUrl": "text|null", "avatar": "text|null",
    }] }));
    let ask = |contacts: Value| form.ask(SYNC).by(&ada).body(json!({ "contacts": contacts }));
    let book = json!([
        grace.phone, { "phone": grace.phone, "name": "Grace" }, { "phone": ada.phone }, "", null, {},
    ]);
    let found = walk.ok(ask(book), 200, shape.clone()).await;
    let matches = found["matches"].as_array().cloned().unwrap_or_default();
    walk.expect(matches.len() == 1, "each once, and not oneself");
    walk.expect(found["matches"][0]["id"] == *grace.id, "who is known");
    let found = walk.ok(ask(json!([])), 200, shape).await;
    walk.expect(found["matches"] == json!([]), "nobody in an empty book");
    for contacts in [Value::Null, json!({}), json!("+15550000001")] {
        walk.refused(ask(contacts), 400, "validation_error").await;
    }
    walk.refused(ask(json!(vec!["+15550000001"; 5001])), 413, "too_many_contacts").await;
}
