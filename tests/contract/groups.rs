//! Groups: making, listing, looking at and changing one, and the ways in.

use chat_e2e::harness::text;
use chat_local::testing::TestSuite;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Cast, NOTHING,
    objects::{card, group, of_group, ok, pagination, present_card},
    walk::{Ask, Walk},
};

const CREATE: [&str; 2] = ["POST /api/groups", "POST /api/groups/create"];
const LIST: &str = "GET /api/groups";
const SEARCH: &str = "GET /api/groups/search";
const GET: &str = "GET /api/groups/{id}";
const UPDATE: [&str; 2] = ["PUT /api/groups/{id}", "PATCH /api/groups/{id}"];
const INVITE: &str = "GET /api/groups/{id}/invite-link";
const JOIN: &str = "POST /api/groups/join";

pub async fn walk(walk: &mut Walk, suite: &TestSuite) {
    let cast = Cast::new(suite).await;
    let mut id = String::new();
    for at in CREATE {
        id = create(walk, at, &cast).await;
    }
    list(walk, &cast, &id).await;
    look_at_one(walk, &cast, &id).await;
    for at in UPDATE {
        update(walk, at, &cast, &id).await;
    }
    join(walk, &cast, &id).await;
}

/// Makes groups; returns the id of one of Ada and Grace.
async fn create(walk: &mut Walk, at: &'static str, cast: &Cast) -> String {
    let Cast { ada, grace, .. } = cast;
    let ask = |body: Value| Ask::new(at).by(ada).body(body);
    let id = json!("id");
    let made = ok(json!({
        "group": group(&id, &present_card()), "conversation": of_group(&id),
    }));
    let alone = walk.ok(ask(json!({ "name": " Alone " })), 201, made.clone()).await;
    walk.expect(alone["group"]["name"] == "Alone", "a name has no blanks around it");
    walk.expect(alone["group"]["memberCount"] == 1, "a group of one");
    let body = json!({
        "name": "Chess", "description": "of us", "participants": [grace.id, ada.id, grace.id],
        "avatar": "https://files.example.com/g.png",
    });
    let found = walk.ok(ask(body), 201, made).await;
    let group = &found["group"];
    let members = json!([ada.id, grace.id]);
    walk.expect(group["members"] == members, "who makes it is first, and everybody once");
    walk.expect(group["admin"]["_id"] == *ada.id, "who makes it is the main administrator");
    walk.expect(group["admins"] == json!([ada.id]), "and the only one");
    walk.expect(
        group["conversationId"] == found["conversation"]["_id"],
        "one belongs to the other",
    );
    walk.expect(found["conversation"]["lastMessageAt"].is_null(), "no message yet");
    let conversation = grace.get(&format!("/api/conversations/{}", text(&group["_id"]))).await;
    for conversation in [&found["conversation"], &conversation["conversation"]] {
        let pictures = [&conversation["avatar"], &conversation["avatarUrl"]];
        walk.expect(pictures == [&group["avatar"]; 2], &format!("both names: {conversation}"));
    }
    walk.expect(group["settings"].get("inviteLink").is_none(), "no link yet");
    for (body, status, error) in [
        (json!({}), 400, "validation_error"),
        (json!({ "name": " " }), 400, "validation_error"),
        (json!({ "name": "x".repeat(101) }), 400, "validation_error"),
        (json!({ "name": "x", "description": "x".repeat(501) }), 400, "validation_error"),
        (json!({ "name": "x", "participants": ["nonsense"] }), 400, "invalid_id"),
        (json!({ "name": "x", "participants": [NOTHING] }), 404, "user_not_found"),
    ] {
        walk.refused(ask(body), status, error).await;
    }
    text(&group["_id"]).to_owned()
}

async fn list(walk: &mut Walk, cast: &Cast, id: &str) {
    let Cast { ada, grace, stranger, .. } = cast;
    let rows = json!([group(&json!("id"), &card())]);
    let page = ok(json!({ "groups": rows, "pagination": pagination() }));
    let ask = |query: &str| Ask::new(LIST).by(ada).query(query);
    for (query, count, total) in [
        ("", 4, 4),
        ("limit=1", 1, 4),
        ("limit=3&page=2", 1, 4),
        ("limit=0", 1, 4),
        ("search=ches", 2, 2),
        ("search=.*", 0, 0),
    ] {
        let found = walk.ok(ask(query), 200, page.clone()).await;
        let listed = found["groups"].as_array().map(Vec::len);
        walk.expect(listed == Some(count), &format!("{query}: {listed:?} groups"));
        walk.expect(
            found["pagination"]["total"] == total,
            &format!("{query}: {}", found["pagination"]),
        );
    }
    let none = walk.ok(Ask::new(LIST).by(stranger), 200, page).await;
    walk.expect(none["groups"] == json!([]), "one's own groups alone");
    walk.refused(ask("page=many"), 400, "validation_error").await;
    let plain = ok(json!({ "groups": rows, "!pagination": null }));
    for (query, count) in [("query=CHE", 2), ("query=c", 0), ("", 0), ("query=CHE&limit=1", 1)] {
        let found = walk.ok(Ask::new(SEARCH).by(grace).query(query), 200, plain.clone()).await;
        walk.expect(found["groups"].as_array().map(Vec::len) == Some(count), query);
        if count > 0 {
            walk.expect(found["groups"][0]["_id"] == *id, "the one that was changed last is first");
        }
        let goes_on = query.contains("limit=1");
        walk.expect(found.get("nextCursor").is_some() == goes_on, &format!("{query}: more"));
        if goes_on {
            let query = format!("{query}&cursor={}", text(&found["nextCursor"]));
            let next = Ask::new(SEARCH).by(grace).query(&query);
            let next = walk.ok(next, 200, plain.clone()).await;
            let is_other = next["groups"][0]["_id"].is_string() && next["groups"][0]["_id"] != *id;
            walk.expect(is_other && next.get("nextCursor").is_none(), "the other on the last page");
        }
    }
    let foreign = Ask::new(SEARCH).by(grace).query("query=CHE&cursor=zz");
    walk.refused(foreign, 400, "validation_error").await;
}

async fn look_at_one(walk: &mut Walk, cast: &Cast, id: &str) {
    let Cast { ada, grace, stranger, chat } = cast;
    let whole = ok(json!({ "group": group(&card(), &present_card()) }));
    walk.ok(Ask::new(GET).id(id).by(grace), 200, whole).await;
    for (by, id, status, error) in [
        (ada, "nonsense", 400, "invalid_id"),
        (stranger, id, 403, "forbidden"),
        (ada, NOTHING, 404, "not_found"),
        (ada, chat, 404, "not_found"),
    ] {
        walk.refused(Ask::new(GET).id(id).by(by), status, error).await;
    }
}

async fn update(walk: &mut Walk, at: &'static str, cast: &Cast, id: &str) {
    let Cast { ada, grace, stranger, .. } = cast;
    let picture = "https://files.example.com/new.png";
    for (body, fields) in [
        (json!({ "name": " Go " }), json!({ "name": "=Go" })),
        (json!({ "description": "new" }), json!({ "description": "=new" })),
        (json!({ "description": "" }), json!({ "!description": null })),
        (
            json!({ "avatarUrl": picture }),
            json!({ "avatar": format!("={picture}"), "avatarUrl": format!("={picture}") }),
        ),
        (json!({ "avatar": "" }), json!({ "!avatar": null, "!avatarUrl": null })),
        (json!({ "avatar": picture, "description": "again" }), json!({ "avatarUrl": "filled" })),
        (json!({ "avatar": null }), json!({ "!avatar": null, "!avatarUrl": null })),
        (json!({ "avatar": picture }), json!({ "avatarUrl": "filled", "description": "=again" })),
        (json!({ "avatarUrl": null }), json!({ "!avatar": null, "!avatarUrl": null })),
        (json!({ "description": null }), json!({ "!description": null })),
        (
            json!({ "settings": { "onlyAdminsCanSendMessages": true, "inviteLink": "mine" } }),
            json!({ "settings": { "onlyAdminsCanSendMessages": true, "isPublic": false } }),
        ),
        // What is not named stays as it is.
        (
            json!({ "settings": { "onlyAdminsCanAddMembers": true } }),
            json!({ "settings": {
                "onlyAdminsCanSendMessages": true, "onlyAdminsCanAddMembers": true,
            } }),
        ),
        (
            json!({ "settings": {
                "onlyAdminsCanSendMessages": false, "onlyAdminsCanAddMembers": false,
            } }),
            json!({}),
        ),
    ] {
        let shape = crate::objects::with(group(&json!("id"), &card()), fields);
        let ask = Ask::new(at).id(id).by(ada).body(body);
        walk.ok(ask, 200, ok(json!({ "group": shape }))).await;
    }
    for (by, id, body, status, error) in [
        (ada, id, json!({ "name": " " }), 400, "validation_error"),
        (ada, id, json!({ "name": "x".repeat(101) }), 400, "validation_error"),
        (ada, id, json!({ "description": "x".repeat(501) }), 400, "validation_error"),
        (ada, id, json!({ "settings": { "isPublic": "perhaps" } }), 400, "validation_error"),
        (ada, "nonsense", json!({}), 400, "invalid_id"),
        (grace, id, json!({ "name": "Mine" }), 403, "forbidden"),
        (stranger, id, json!({ "name": "Mine" }), 403, "forbidden"),
        (ada, NOTHING, json!({ "name": "Mine" }), 404, "not_found"),
    ] {
        walk.refused(Ask::new(at).id(id).by(by).body(body), status, error).await;
    }
}

async fn join(walk: &mut Walk, cast: &Cast, id: &str) {
    let Cast { ada, grace, stranger, .. } = cast;
    let link = ok(json!({ "inviteLink": "filled" }));
    let given = walk.ok(Ask::new(INVITE).id(id).by(ada), 200, link.clone()).await;
    let again = walk.ok(Ask::new(INVITE).id(id).by(ada), 200, link).await;
    walk.expect(given["inviteLink"] == again["inviteLink"], "a look does not change the link");
    for (by, id, status, error) in [
        (ada, "nonsense", 400, "invalid_id"),
        (grace, id, 403, "forbidden"),
        (stranger, id, 403, "forbidden"),
        (ada, NOTHING, 404, "not_found"),
    ] {
        walk.refused(Ask::new(INVITE).id(id).by(by), status, error).await;
    }
    for body in [
        json!({}),
        json!({ "inviteLink": "" }),
        json!({ "inviteLink": "unknown" }),
        json!({ "inviteLink": { "$ne": null } }),
    ] {
        walk.refused(Ask::new(JOIN).by(stranger).body(body), 400, "validation_error").await;
    }
    let joined = ok(json!({ "group": group(&json!("id"), &card()) }));
    for _ in 0..2 {
        let body = json!({ "inviteLink": given["inviteLink"] });
        let found = walk.ok(Ask::new(JOIN).by(stranger).body(body), 200, joined.clone()).await;
        let members = json!([ada.id, grace.id, stranger.id]);
        walk.expect(found["group"]["members"] == members, "the new member is there, once");
    }
    let body = json!({ "groupId": id, "userId": stranger.id });
    ada.ok(Method::POST, "/api/groups/remove-participant", body).await;
}
