//! Users: lists, searches, profiles, presence.

use chat_local::testing::TestSuite;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Cast, NOTHING,
    objects::{looked_up, ok, own_profile, pagination, user_item},
    walk::{Ask, Form, Walk},
};

const LIST: &str = "GET /api/users";
const SEARCH: &str = "GET /api/users/search";
const BY_IDS: &str = "GET /api/users/by-ids";
const PRESENCE: &str = "GET /api/users/presence";
const OWN: &str = "GET /api/users/profile";
const PROFILE: &str = "GET /api/users/profile/{id}";
const COUNT: &str = "GET /api/users/online/count";
const EDIT: &str = "PATCH /api/users/me";
const PUT: &str = "PUT /api/users/me";

pub async fn walk(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let cast = Cast::new(suite).await;
    list(walk, &cast, form).await;
    by_ids(walk, &cast, form).await;
    presence(walk, &cast, form).await;
    profiles(walk, &cast, form).await;
    let edits: &[&'static str] = if form == Form::Common { &[EDIT, PUT] } else { &[EDIT] };
    for at in edits {
        edit(walk, &cast, form.ask(at)).await;
    }
}

/// A list as it is asked for: below a name, or by itself.
fn listed(form: Form, more: Value) -> Value {
    let users = json!([user_item()]);
    match form {
        Form::Common => ok(crate::objects::with(json!({ "users": users }), more)),
        Form::Old => users,
    }
}

async fn list(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, .. } = cast;
    let users = |found: &Value| {
        let users = found.get("users").unwrap_or(found).as_array().cloned();
        users.unwrap_or_default()
    };
    let paged = listed(form, json!({ "pagination": pagination() }));
    for (query, most) in [("", 20), ("page=2&limit=1", 1), ("limit=0", 1), ("limit=-5", 1)] {
        let found = walk.ok(form.ask(LIST).by(ada).query(query), 200, paged.clone()).await;
        let users = users(&found);
        walk.expect(users.len() <= most && !users.is_empty(), &format!("{query}: {found}"));
        walk.expect(users.iter().all(|user| user["_id"] != *ada.id), "not oneself");
    }
    let by_phone =
        form.ask(LIST).by(ada).query(&format!("search={}", grace.phone.replace('+', "%2B")));
    let found = walk.ok(by_phone, 200, paged).await;
    walk.expect(users(&found)[0]["_id"] == *grace.id, "found by phone");
    walk.refused(form.ask(LIST).by(ada).query("page=many"), 400, "validation_error").await;
    let plain = listed(form, json!({ "!pagination": null }));
    for (query, count) in [
        (format!("q={}", grace.phone.replace('+', "%2B")), 1),
        ("q=%20x%20".to_owned(), 0),
        (String::new(), 0),
        ("q=.*".to_owned(), 0),
    ] {
        let found = walk.ok(form.ask(SEARCH).by(ada).query(&query), 200, plain.clone()).await;
        walk.expect(users(&found).len() == count, &format!("{query}: {found}"));
    }
    search_by_pages(walk, cast, form).await;
}

/// A search goes on where the page before ended; a bare list has an end, and says nothing of more.
async fn search_by_pages(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, stranger, .. } = cast;
    let name = format!("Zoe {}", ada.id);
    for person in [grace, stranger] {
        person.ok(Method::PATCH, "/api/users/me", json!({ "name": name })).await;
    }
    let mut namesakes = [&grace.id, &stranger.id];
    namesakes.sort();
    let ask = |more: &str| form.ask(SEARCH).by(ada).query(&format!("q=zoe%20{}{more}", ada.id));
    let mut cursor = String::new();
    for (id, goes_on) in namesakes.into_iter().zip([true, false]) {
        let page = ask(&format!("&limit=1&cursor={cursor}"));
        let page = walk.ok(page, 200, listed(form, json!({}))).await;
        let found = page.get("users").unwrap_or(&page);
        walk.expect(found.as_array().map(Vec::len) == Some(1), &format!("one of a page: {page}"));
        if form == Form::Old {
            break;
        }
        walk.expect(found[0]["_id"] == **id, &format!("namesakes by id: {page}"));
        walk.expect(page.get("nextCursor").is_some() == goes_on, &format!("more: {page}"));
        page["nextCursor"].as_str().unwrap_or_default().clone_into(&mut cursor);
    }
    walk.refused(ask("&cursor=zz"), 400, "validation_error").await;
}

async fn by_ids(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, .. } = cast;
    let (one, two) = (ada.id.as_str(), grace.id.as_str());
    let map = json!({ (one): looked_up(), (two): looked_up(), (format!("!{NOTHING}")): null });
    let both = |map: &Value| ok(crate::objects::with(json!({ "users": map }), map.clone()));
    let shape = if form == Form::Common { both(&map) } else { map.clone() };
    for ids in [format!("{one},{two},{NOTHING},nonsense"), format!("{{id:{one}}},%22{two}%22")] {
        walk.ok(form.ask(BY_IDS).by(ada).query(&format!("ids={ids}")), 200, shape.clone()).await;
    }
    let declared = format!("ids={one},{two}&clientType=electron");
    walk.ok(form.ask(BY_IDS).by(ada).query(&declared), 200, both(&map)).await;
    for query in ["", "ids=", "ids=nonsense,,"] {
        let found = walk.ok(form.ask(BY_IDS).by(ada).query(query), 200, json!({})).await;
        let none =
            if form == Form::Common { json!({ "success": true, "users": {} }) } else { json!({}) };
        walk.expect(found == none, &format!("{query}: {found}"));
    }
    // Every partner's id stands in one URL.
    let many = vec![two; 600].join(",");
    walk.ok(form.ask(BY_IDS).by(ada).query(&format!("ids={many}")), 200, json!({})).await;
}

async fn presence(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, .. } = cast;
    let two = grace.id.as_str();
    let status =
        json!({ "online": "bool", "isOnline": "bool", "at": "date", "lastSeen": "date|null" });
    for (verbose, entry) in
        [("", json!("bool")), ("&verbose=true", status.clone()), ("&verbose=1", status.clone())]
    {
        let map = json!({ (two): entry, (NOTHING): entry, "nonsense": entry });
        let shape = match form {
            Form::Common => {
                ok(crate::objects::with(json!({ "presence": map, "!online": null }), map.clone()))
            }
            Form::Old => crate::objects::with(
                map,
                json!({ "!presence": null, "!online": null, "!success": null }),
            ),
        };
        let query = format!("ids={two},{NOTHING},nonsense{verbose}");
        walk.ok(form.ask(PRESENCE).by(ada).query(&query), 200, shape).await;
    }
    let all = ok(json!({ "online": ["id"], "!presence": null }));
    walk.ok(form.ask(PRESENCE).by(ada), 200, all).await;
    let verbose = ok(json!({ "presence": { "*": status }, "!online": null }));
    walk.ok(form.ask(PRESENCE).by(ada).query("verbose=true"), 200, verbose).await;
    walk.ok(form.ask(COUNT).by(ada), 200, ok(json!({ "onlineCount": "int" }))).await;
}

async fn profiles(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, .. } = cast;
    walk.ok(form.ask(OWN).by(ada), 200, ok(json!({ "user": own_profile() }))).await;
    let shape = ok(json!({ "user": user_item() }));
    let found = walk.ok(form.ask(PROFILE).id(&grace.id).by(ada), 200, shape).await;
    walk.expect(found["user"]["_id"] == *grace.id, "whose profile was asked for");
    walk.refused(form.ask(PROFILE).id("nonsense").by(ada), 400, "invalid_id").await;
    walk.refused(form.ask(PROFILE).id(NOTHING).by(ada), 404, "not_found").await;
}

async fn edit(walk: &mut Walk, cast: &Cast, ask: Ask<'_>) {
    let Cast { ada, .. } = cast;
    let picture = "https://files.example.com/a.png";
    let pictures = |url: &str| json!({ "avatar": url, "avatarUrl": url });
    let with = |fields: Value| ok(json!({ "user": crate::objects::with(own_profile(), fields) }));
    let set = pictures(&format!("={picture}"));
    let none = pictures("null");
    for (body, fields) in [
        (
            json!({ "name": " Ada ", "phone": "+15550000000" }),
            json!({ "name": "=Ada", "phone": format!("={}", ada.phone) }),
        ),
        (json!({ "bio": " hi " }), json!({ "bio": "=hi" })),
        (json!({ "bio": " " }), json!({ "bio": null })),
        (json!({ "avatar": picture }), set.clone()),
        (json!({ "avatarUrl": null }), none.clone()),
        (json!({ "avatarUrl": picture, "avatar": "" }), set.clone()),
        (json!({ "avatar": null }), none),
        (json!({ "username": "ada", "dateOfBirth": "1815-12-10" }), json!({})),
        (
            json!({ "bio": "b".repeat(500), "email": "a@example.com", "password": "x" }),
            json!({ "bio": "filled" }),
        ),
        (json!({}), json!({})),
    ] {
        walk.ok(ask.clone().by(ada).body(body), 200, with(fields)).await;
    }
    for body in [
        json!({ "name": "" }),
        json!({ "name": null }),
        json!({ "name": " " }),
        json!({ "name": [7] }),
        json!({ "bio": "b".repeat(501) }),
        json!({ "dateOfBirth": "soon" }),
    ] {
        walk.refused(ask.clone().by(ada).body(body), 400, "validation_error").await;
    }
}
