//! Where two answers collide, the path decides, then its parameters, then what the client declares.

use chat_local::testing;
use serde_json::{Value, json};

use crate::{
    Cast, NOTHING,
    objects::{
        card, direct, history_item, looked_up, me, message_document, ok, pagination, present_card,
        row, sent, with,
    },
    walk::{Ask, Walk},
};

/// An endpoint, and how its answer looks by what is declared.
struct Collision {
    ask: Ask<'static>,
    /// To the mobile client, and to who declares nothing.
    mobile: Value,
    /// To the desktop client.
    desktop: Value,
    /// To new clients.
    unified: Value,
}

/// Whose answer somebody gets.
type Whose = fn(&Collision) -> &Value;

/// What clients may declare, and whose answers they get.
const DECLARATIONS: [(&str, Whose); 7] = [
    ("", mobile),
    ("flutter", mobile),
    ("electron", desktop),
    ("unified", unified),
    // Only the exact names are declarations.
    ("Electron", mobile),
    ("web", mobile),
    ("unified,electron", mobile),
];

fn mobile(collision: &Collision) -> &Value {
    &collision.mobile
}

fn desktop(collision: &Collision) -> &Value {
    &collision.desktop
}

fn unified(collision: &Collision) -> &Value {
    &collision.unified
}

/// A message as new clients read it.
fn unified_message() -> Value {
    json!({
        "id": "id", "conversationId": "id", "seq": "int", "senderId": "id", "recipientId?": "id",
        "content": "text", "type": "filled", "createdAt": "date", "!_id": null, "!messageId": null,
        "!from": null, "!sender": null, "!text": null, "!conversation": null, "!to": null,
        "!deleted": null, "!isDeleted": null,
    })
}

/// A user as new clients read him.
fn unified_user() -> Value {
    json!({
        "id": "id", "name": "filled", "phone": "text|null", "avatarUrl": "text|null", "!_id": null,
        "!uid": null, "!userId": null, "!avatar": null, "!lastSeen": null,
    })
}

fn histories(chat: &str, by_users: &str) -> Vec<Collision> {
    let bare = json!([history_item(json!({}))]);
    let whole = ok(json!({ "messages": [history_item(json!({}))], "pagination": pagination() }));
    let unified = ok(json!({
        "messages": [unified_message()], "pagination": pagination(), "!data": null,
    }));
    let by_id = |name: &str| format!("{name}={chat}");
    let path = Ask::new("GET /api/messages/conversation/{id}").id(chat);
    let rows = [
        (Ask::new("GET /api/messages").query(&by_id("conversation")), true),
        (Ask::new("GET /api/messages").query(by_users), true),
        (Ask::new("GET /api/messages").query(&by_id("conversationId")), false),
        (path, false),
        (Ask::new("GET /messages").query(&by_id("conversation")), true),
        (Ask::new("GET /messages").query(&by_id("conversationId")), true),
        (Ask::new("GET /messages").query(by_users), true),
    ];
    let collisions = rows.map(|(ask, is_bare)| Collision {
        ask,
        mobile: if is_bare { bare.clone() } else { whole.clone() },
        desktop: whole.clone(),
        unified: unified.clone(),
    });
    collisions.into()
}

fn sends(chat: &str) -> Vec<Collision> {
    let unified = ok(json!({ "message": unified_message(), "!ok": null, "!data": null }));
    let collisions = ["POST /api/messages", "POST /messages"].map(|at| Collision {
        ask: Ask::new(at).body(json!({ "conversationId": chat, "content": "hi" })),
        mobile: sent(&json!({})),
        desktop: sent(&json!({})),
        unified: unified.clone(),
    });
    collisions.into()
}

fn conversations(own: &str) -> Vec<Collision> {
    let bare = json!([row(direct(&json!("id")), &json!("id"))]);
    let person = with(present_card(), json!({ "id": "id" }));
    let item = row(direct(&person), &message_document(&card()));
    let whole = ok(json!({ "conversations": [item] }));
    let unified = ok(json!({ "conversations": [{
        "id": "id", "status": "=active", "isGroup": false, "memberIds": ["id"], "unreadCount": "int",
        "createdAt": "date", "!_id": null, "!participants": null, "!members": null,
    }], "nextCursor": null }));
    let by_caller = format!("me={own}&status=active");
    let rows = [
        (Ask::new("GET /api/conversations").query(&by_caller), true),
        (Ask::new("GET /api/conversations"), false),
        (Ask::new("GET /conversations").query(&by_caller), true),
        (Ask::new("GET /conversations"), true),
    ];
    let collisions = rows.map(|(ask, is_bare)| Collision {
        ask,
        mobile: if is_bare { bare.clone() } else { whole.clone() },
        desktop: whole.clone(),
        unified: unified.clone(),
    });
    collisions.into()
}

fn users(other: &str) -> Vec<Collision> {
    let map = json!({ (other): looked_up() });
    let both = ok(with(json!({ "users": map }), map.clone()));
    let unified = ok(json!({ "users": { (other): unified_user() }, (format!("!{other}")): null }));
    let ids = format!("ids={other}");
    let rows = [("GET /api/users/by-ids", both.clone()), ("GET /users/by-ids", map)];
    let mut all = Vec::from(rows.map(|(at, mobile)| Collision {
        ask: Ask::new(at).query(&ids),
        mobile,
        desktop: both.clone(),
        unified: unified.clone(),
    }));
    for (verbose, entry) in [
        ("", json!("bool")),
        (
            "&verbose=true",
            json!({ "online": "bool", "isOnline": "bool", "at": "date", "lastSeen": "date|null" }),
        ),
    ] {
        let map = json!({ (other): entry, (NOTHING): entry, "!online": null });
        let both = ok(with(json!({ "presence": map }), map.clone()));
        let bare = with(map, json!({ "!success": null, "!presence": null }));
        let status = json!({ "isOnline": "bool", "lastSeenAt": "date|null", "!online": null });
        let unified = ok(json!({
            "presence": { (other): status, (NOTHING): status }, (format!("!{other}")): null,
        }));
        let query = format!("ids={other},{NOTHING}{verbose}");
        for (at, mobile) in [("GET /api/users/presence", both.clone()), ("GET /presence", bare)] {
            let (desktop, unified) = (both.clone(), unified.clone());
            all.push(Collision { ask: Ask::new(at).query(&query), mobile, desktop, unified });
        }
    }
    let whole = ok(json!({ "user": me() }));
    for at in ["GET /api/auth/me", "GET /auth/me"] {
        let (mobile, desktop) = (whole.clone(), whole.clone());
        let unified = ok(json!({ "user": unified_user() }));
        all.push(Collision { ask: Ask::new(at), mobile, desktop, unified });
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_declares_decides_where_answers_collide() {
    let suite = testing::suite(|_| {}).await;
    let Cast { ada, grace, chat, .. } = Cast::new(&suite).await;
    ada.send(&chat, "hi").await;
    let by_users = format!("userA={}&userB={}", ada.id, grace.id);
    let mut walk = Walk::new(&suite.gateways);
    let collisions = histories(&chat, &by_users).into_iter().chain(sends(&chat));
    let collisions = collisions.chain(conversations(&ada.id)).chain(users(&grace.id));
    for collision in collisions {
        for (declared, whose) in DECLARATIONS {
            let ask = collision.ask.clone().by(&ada);
            let shape = whose(&collision);
            if declared.is_empty() {
                walk.ok(ask, 200, shape.clone()).await;
                continue;
            }
            let by_header = ask.clone().header("client-type", declared);
            walk.ok(by_header, 200, shape.clone()).await;
            // What stands in the query wins.
            let other = if declared == "electron" { "unified" } else { "electron" };
            let by_query = ask.and_query(&format!("clientType={declared}"));
            walk.ok(by_query.header("client-type", other), 200, shape.clone()).await;
        }
    }
    walk.end_of_part();
}

/// A refusal looks the same to everybody, and only what concerns the login is 401.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_look_the_same_to_everybody() {
    let suite = testing::suite(|_| {}).await;
    let Cast { ada, stranger, chat, .. } = Cast::new(&suite).await;
    let mut walk = Walk::new(&suite.gateways);
    let message = json!({ "conversationId": chat, "content": "x" });
    let by_id = format!("conversation={chat}");
    for declared in ["", "flutter", "electron", "unified"] {
        let declare = |ask: Ask<'static>| ask.header("client-type", declared);
        for (ask, by, status, error) in [
            (Ask::new("GET /api/messages").query(&by_id), &stranger, 403, "forbidden"),
            (Ask::new("GET /messages").query(&by_id), &stranger, 403, "forbidden"),
            (Ask::new("POST /api/messages").body(message.clone()), &stranger, 403, "forbidden"),
            (Ask::new("GET /api/conversations/{id}").id(&chat), &stranger, 403, "forbidden"),
            (Ask::new("GET /api/messages"), &ada, 400, "validation_error"),
            (Ask::new("GET /api/conversations/{id}").id(NOTHING), &ada, 404, "not_found"),
            (Ask::new("GET /api/conversations/{id}").id("x"), &ada, 400, "invalid_id"),
        ] {
            walk.refused(declare(ask).by(by), status, error).await;
        }
        walk.refused(declare(Ask::new("GET /conversations")), 401, "unauthorized").await;
    }
    walk.end_of_part();
}
