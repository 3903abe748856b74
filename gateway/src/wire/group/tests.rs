use axum::body::to_bytes;
use prost_types::Timestamp;

use serde_json::json;

use super::*;

const ADA: &str = "65f0c0ffee0123456789abcd";
const GRACE: &str = "65f0c0ffee0123456789abce";
const ALAN: &str = "65f0c0ffee0123456789abcf";
const ID: &str = "65f0c0ffee0123456789ab01";
const MADE_AT: &str = "1970-01-01T00:00:01.000Z";
const CHANGED_AT: &str = "1970-01-01T00:00:02.000Z";

fn club() -> pb::Conversation {
    pb::Conversation {
        id: ID.to_owned(),
        status: pb::ConversationStatus::Active.into(),
        member_ids: [ADA, GRACE].map(str::to_owned).to_vec(),
        created_by: Some(ADA.to_owned()),
        created_at: Some(Timestamp { seconds: 1, nanos: 0 }),
        updated_at: Some(Timestamp { seconds: 2, nanos: 0 }),
        is_group: true,
        group: Some(pb::Group {
            name: "Chess".to_owned(),
            description: Some("on Mondays".to_owned()),
            avatar_url: Some("/uploads/a.png".to_owned()),
            admin_id: ADA.to_owned(),
            admin_ids: vec![ADA.to_owned()],
            only_admins_can_send: true,
            only_admins_can_add: false,
            is_public: false,
            invite_link: Some("abc".to_owned()),
        }),
        ..Default::default()
    }
}

fn users() -> Users {
    let ada = pb::User {
        id: ADA.to_owned(),
        name: "Ada".to_owned(),
        phone: Some("+15550000001".to_owned()),
        avatar_url: Some("/uploads/ada.png".to_owned()),
        last_seen_at: Some(Timestamp { seconds: 3, nanos: 0 }),
        ..Default::default()
    };
    let grace = pb::User { id: GRACE.to_owned(), name: "Grace".to_owned(), ..Default::default() };
    vec![ada, grace].into()
}

fn ada() -> Value {
    json!({
        "_id": ADA, "name": "Ada", "phone": "+15550000001", "avatar": "/uploads/ada.png",
        "avatarUrl": "/uploads/ada.png",
    })
}

fn ada_with_presence() -> Value {
    let mut card = ada();
    card["isOnline"] = json!(false);
    card["lastSeen"] = json!("1970-01-01T00:00:03.000Z");
    card
}

async fn body(response: Response) -> Value {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

async fn shown(dialect: Dialect, shape: Shape) -> Value {
    body(one(dialect, shape, &club(), &users())).await["group"].clone()
}

#[tokio::test]
async fn group_is_a_document_with_profiles_to_the_old_families() {
    let grace = json!({ "_id": GRACE, "name": "Grace", "isOnline": false, "lastSeen": null });
    let expected = json!({
        "_id": ID, "name": "Chess", "description": "on Mondays",
        "admin": ada(), "admins": [ada()], "participants": [ada_with_presence(), grace],
        "members": [ADA, GRACE], "avatar": "/uploads/a.png", "avatarUrl": "/uploads/a.png",
        "conversation": ID, "conversationId": ID,
        "settings": {
            "onlyAdminsCanSendMessages": true, "onlyAdminsCanAddMembers": false, "isPublic": false,
            "inviteLink": "abc",
        },
        "memberCount": 2, "lastActivity": CHANGED_AT, "createdAt": MADE_AT, "updatedAt": CHANGED_AT,
    });
    for dialect in [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared] {
        assert_eq!(shown(dialect, Shape::WHOLE).await, expected);
    }
}

#[tokio::test]
async fn each_answer_populates_what_the_contract_says() {
    let grace = json!({ "_id": GRACE, "name": "Grace" });
    for (shape, admins, first) in [
        (Shape::MADE, json!([ADA]), ada_with_presence()),
        (Shape::LISTED, json!([ADA]), ada()),
        (Shape::CHANGED, json!([ADA]), ada()),
        (Shape::ADMINS_CHANGED, json!([ada()]), ada()),
    ] {
        let group = shown(Dialect::Undeclared, shape).await;
        assert_eq!(group["admin"], ada(), "{shape:?}");
        assert_eq!((&group["admins"], &group["participants"][0]), (&admins, &first), "{shape:?}");
        if shape != Shape::MADE {
            assert_eq!(group["participants"][1], grace, "{shape:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_set_is_left_out() {
    let mut bare = club();
    let group = bare.group.as_mut().expect("a group");
    (group.description, group.avatar_url, group.invite_link) = (None, None, None);
    let group = body(one(Dialect::Undeclared, Shape::WHOLE, &bare, &Users::default())).await;
    let group = &group["group"];
    for absent in ["description", "avatar", "avatarUrl"] {
        assert!(group.get(absent).is_none(), "{absent}");
    }
    assert!(group["settings"].get("inviteLink").is_none());
    assert_eq!(group["admin"], json!({ "_id": ADA, "name": "" }), "by the id alone");
}

#[tokio::test]
async fn group_has_one_spelling_and_ids_to_new_clients() {
    let expected = json!({
        "id": ID, "name": "Chess", "description": "on Mondays", "avatarUrl": "/uploads/a.png",
        "mainAdminId": ADA, "adminIds": [ADA], "memberIds": [ADA, GRACE],
        "settings": {
            "onlyAdminsCanSend": true, "onlyAdminsCanAdd": false, "isPublic": false,
            "inviteLink": "abc",
        },
        "memberCount": 2, "createdAt": MADE_AT, "updatedAt": CHANGED_AT,
    });
    assert_eq!(shown(Dialect::Unified, Shape::WHOLE).await, expected);
    assert_eq!(profiles(Dialect::Unified, &[club()]), None);
}

#[tokio::test]
async fn new_group_comes_with_its_conversation() {
    let response = made(Dialect::Undeclared, &club(), &users());
    assert_eq!(response.status(), StatusCode::CREATED);
    let answer = body(response).await;
    assert_eq!((&answer["success"], &answer["group"]["_id"]), (&json!(true), &json!(ID)));
    let expected = json!({
        "_id": ID, "participants": [ADA, GRACE], "members": [ADA, GRACE], "isGroup": true,
        "status": "active", "createdBy": ADA, "lastMessageAt": null, "hiddenFor": [],
        "deliveredUpTo": {}, "readUpTo": {}, "name": "Chess", "admin": ADA,
        "avatar": "/uploads/a.png", "avatarUrl": "/uploads/a.png", "group": ID, "groupId": ID,
        "createdAt": MADE_AT, "updatedAt": CHANGED_AT,
    });
    assert_eq!(answer["conversation"], expected);
    let unified = body(made(Dialect::Unified, &club(), &Users::default())).await;
    assert_eq!(unified["conversation"]["group"]["name"], "Chess");
    assert_eq!(unified["conversation"]["memberIds"], json!([ADA, GRACE]));
}

#[tokio::test]
async fn list_says_how_many_pages_there_are() {
    for (total, limit, pages) in [(0, 20, 0), (20, 20, 1), (21, 20, 2), (1, 0, 1)] {
        let page =
            pb::ListGroupsResponse { groups: vec![club()], total, limit, ..Default::default() };
        let answer = body(listed(Dialect::Undeclared, 1, &page, &users())).await;
        assert_eq!(answer["pagination"]["totalPages"], pages, "{total} {limit}");
        assert_eq!(answer["pagination"]["currentPage"], 1);
        assert_eq!(answer["pagination"]["total"], total);
        assert_eq!(answer["groups"][0]["name"], "Chess");
    }
    let answer = body(found(Dialect::Unified, &pb::ListGroupsResponse::default(), &users())).await;
    assert_eq!(answer, json!({ "success": true, "groups": [] }));
}

#[tokio::test]
async fn public_group_shows_no_members() {
    let group = pb::PublicGroup {
        id: ID.to_owned(),
        name: "Chess".to_owned(),
        description: None,
        avatar_url: Some("a.png".to_owned()),
        member_count: 2,
        created_at: Some(Timestamp { seconds: 1, nanos: 0 }),
        updated_at: Some(Timestamp { seconds: 2, nanos: 0 }),
    };
    let page = Some(pb::PageResponse { next_cursor: "next".to_owned() });
    let listed = pb::ListPublicGroupsResponse { groups: vec![group], page };
    let old = json!({ "success": true, "nextCursor": "next", "groups": [{
        "_id": ID, "name": "Chess", "avatar": "a.png", "avatarUrl": "a.png", "memberCount": 2,
        "lastActivity": CHANGED_AT, "createdAt": MADE_AT,
    }]});
    assert_eq!(body(public(Dialect::Undeclared, &listed)).await, old);
    let unified = body(public(Dialect::Unified, &listed)).await;
    let expected = json!({
        "id": ID, "name": "Chess", "avatarUrl": "a.png", "memberCount": 2,
        "createdAt": MADE_AT, "updatedAt": CHANGED_AT,
    });
    assert_eq!(unified["groups"][0], expected);
}

fn create(body: Value) -> Result<pb::CreateGroupRequest, ApiError> {
    fields::read::<Create>(body)?.into_request()
}

#[test]
fn every_spelling_names_the_members_and_the_picture() {
    for body in [
        json!({ "name": "Chess", "participants": [GRACE], "avatar": "a" }),
        json!({ "name": "Chess", "participants": [], "members": [GRACE], "avatarUrl": "a" }),
        json!({ "name": "Chess", "memberIds": GRACE, "avatar": "", "avatarUrl": "a" }),
    ] {
        let request = create(body.clone()).expect("a request");
        assert_eq!(request.member_ids, [GRACE], "{body}");
        assert_eq!(request.avatar_url.as_deref(), Some("a"), "{body}");
        assert_eq!(request.name.as_deref(), Some("Chess"));
    }
    for form in [
        "participants={}&participants={}",
        "members[]={}&members[]={}",
        "memberIds[0]={}&memberIds[1]={}",
    ] {
        let form = format!("name=Chess&{}", form.replacen("{}", ADA, 1).replacen("{}", GRACE, 1));
        let request = create(fields::form(form.as_bytes()).expect("a form")).expect("a request");
        assert_eq!(request.member_ids, [ADA, GRACE], "{form}");
    }
    let alone = create(json!({ "name": "Chess", "description": null })).expect("a request");
    assert!(alone.member_ids.is_empty() && alone.description.is_none());
}

#[test]
fn scalars_are_texts() {
    let body = json!({ "name": 7, "description": true, "avatar": 1.5 });
    let made = create(body.clone()).expect("a request");
    let text = |text: &str| Some(text.to_owned());
    let expected = (text("7"), text("true"), text("1.5"));
    assert_eq!((made.name, made.description, made.avatar_url), expected);
    let changed = fields::read::<Update>(body).expect("changes").into_request(ID);
    let changed = changed.expect("a request");
    assert_eq!((changed.name, changed.description, changed.avatar_url), expected);
    let join = fields::read::<Join>(json!({ "inviteLink": 5 })).expect("a link");
    assert_eq!(join.into_request().expect("a request").link, "5");
}

#[test]
fn group_without_a_name_or_with_a_malformed_id_is_refused() {
    for (body, reason) in [
        (json!({}), "validation_error"),
        (json!({ "name": " " }), "validation_error"),
        (json!({ "name": null, "participants": [GRACE] }), "validation_error"),
        (json!({ "name": { "$ne": null } }), "validation_error"),
        (json!({ "name": "Chess", "participants": ["zzz"] }), "invalid_id"),
        (json!({ "name": "Chess", "participants": [{ "$ne": null }] }), "validation_error"),
    ] {
        let error = create(body.clone()).expect_err("no group");
        assert_eq!((error.status.as_u16(), error.error.as_ref()), (400, reason), "{body}");
    }
}

#[test]
fn both_spellings_of_settings_are_read_and_the_link_among_them_is_not() {
    let update = |body: Value| fields::read::<Update>(body)?.into_request(ID);
    for settings in [
        json!({ "onlyAdminsCanSendMessages": true, "onlyAdminsCanAddMembers": false }),
        json!({ "onlyAdminsCanSend": true, "onlyAdminsCanAdd": false, "inviteLink": "mine" }),
        json!({ "onlyAdminsCanSend": "true", "onlyAdminsCanAdd": "false", "isPublic": "" }),
    ] {
        let request = update(json!({ "settings": settings })).expect("a request");
        let read = (request.only_admins_can_send, request.only_admins_can_add, request.is_public);
        assert_eq!(read, (Some(true), Some(false), None));
        assert_eq!((request.name, request.avatar_url), (None, None));
    }
    for (body, avatar_url) in [
        (json!({ "avatar": "a" }), Some("a")),
        (json!({ "avatar": "", "avatarUrl": "b" }), Some("b")),
        (json!({ "avatarUrl": "" }), Some("")),
        (json!({ "avatar": null }), Some("")),
        (json!({ "avatarUrl": null }), Some("")),
        (json!({ "avatar": null, "avatarUrl": "b" }), Some("b")),
        (json!({}), None),
    ] {
        let request = update(body.clone()).expect("a request");
        assert_eq!(request.avatar_url.as_deref(), avatar_url, "{body}");
    }
    for (body, description) in [
        (json!({ "description": null }), Some("")),
        (json!({ "description": "new" }), Some("new")),
        (json!({}), None),
    ] {
        let request = update(body.clone()).expect("a request");
        assert_eq!(request.description.as_deref(), description, "{body}");
    }
    for body in [
        json!({ "settings": "x" }),
        json!({ "settings": [true] }),
        json!({ "settings": { "isPublic": "maybe" } }),
    ] {
        assert_eq!(update(body).expect_err("no settings").error, "validation_error");
    }
    let error = fields::read::<Update>(json!({})).expect("an update").into_request("zzz");
    assert_eq!(error.expect_err("no id").error, "invalid_id");
}

#[test]
fn both_ids_are_needed() {
    let read = |body: Value| fields::read::<Membership>(body)?.ids();
    for body in [
        json!({ "groupId": ID, "userId": GRACE }),
        json!({ "conversationId": ID, "memberId": GRACE }),
    ] {
        assert_eq!(read(body).expect("two ids"), (ID.to_owned(), GRACE.to_owned()));
    }
    for (body, reason) in [
        (json!({ "groupId": ID }), "validation_error"),
        (json!({ "userId": GRACE }), "validation_error"),
        (json!({ "groupId": { "$ne": null }, "userId": GRACE }), "validation_error"),
        (json!({ "groupId": "zzz", "userId": GRACE }), "invalid_id"),
        (json!({ "groupId": ID, "userId": "zzz" }), "invalid_id"),
    ] {
        assert_eq!(read(body.clone()).expect_err("not both").error, reason, "{body}");
    }
}

#[test]
fn unknown_group_beside_a_user_is_a_wrong_value_to_the_old_families() {
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such group");
    for dialect in [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared] {
        let error = refused(dialect, unknown());
        assert_eq!((error.status.as_u16(), error.error.as_ref()), (400, "validation_error"));
    }
    assert_eq!(refused(Dialect::Unified, unknown()), unknown());
    let user = ApiError::new(StatusCode::NOT_FOUND, "user_not_found", "there is no such user");
    assert_eq!(refused(Dialect::Undeclared, user.clone()), user);
}

#[test]
fn link_ends_at_an_instant_or_after_some_seconds() {
    let now = DateTime::from_millis(10_000);
    let read = |body: Value| fields::read::<Rotate>(body)?.into_request(ID, now);
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    for (body, expires_at, max_uses) in [
        (json!({}), None, None),
        (json!({ "expiresIn": 5, "maxUses": "3" }), at(15), Some(3)),
        (json!({ "expiresAt": "1970-01-01T00:01:00Z", "expiresIn": 5 }), at(60), None),
        (json!({ "expiresAt": "", "expiresIn": null, "maxUses": null }), None, None),
    ] {
        let request = read(body.clone()).expect("a request");
        assert_eq!((request.expires_at, request.max_uses), (expires_at, max_uses), "{body}");
    }
    for body in [
        json!({ "expiresAt": "tomorrow" }),
        json!({ "expiresIn": 0 }),
        json!({ "expiresIn": -5 }),
        json!({ "expiresIn": 1_000_000_000 }),
        json!({ "maxUses": -1 }),
        json!({ "maxUses": "many" }),
    ] {
        assert_eq!(read(body.clone()).expect_err("no link").error, "validation_error", "{body}");
    }
}

#[tokio::test]
async fn link_looks_the_same_to_everybody() {
    let link = pb::Invite {
        link: "abc".to_owned(),
        created_by: ADA.to_owned(),
        created_at: Some(Timestamp { seconds: 1, nanos: 0 }),
        expires_at: None,
        max_uses: Some(3),
        use_count: 1,
    };
    let expected = json!({
        "success": true, "inviteLink": "abc", "createdBy": ADA, "createdAt": MADE_AT,
        "expiresAt": null, "maxUses": 3, "useCount": 1,
    });
    assert_eq!(body(invite(&link)).await, expected);
    let join = |body: Value| fields::read::<Join>(body)?.into_request();
    assert_eq!(join(json!({ "inviteLink": "abc" })).expect("a request").link, "abc");
    for body in [json!({}), json!({ "inviteLink": "" }), json!({ "inviteLink": { "$ne": 1 } })] {
        assert_eq!(join(body).expect_err("no link").error, "validation_error");
    }
}

#[test]
fn pages_and_searches_have_defaults_and_bounds() {
    let list = |query: &str| -> Result<pb::ListGroupsRequest, ApiError> {
        let query = fields::pairs(query.as_bytes()).expect("pairs");
        fields::read::<Query>(query).expect("a query").into_request()
    };
    for (query, page, limit) in
        [("", 1, 20), ("page=0&limit=0", 1, 1), ("page=-3&limit=1000", 1, 100), ("page=7", 7, 20)]
    {
        let request = list(query).expect(query);
        assert_eq!((request.page, request.limit), (page, limit), "{query}");
    }
    assert_eq!(list("page=1&cursor=x").expect("a request").cursor, "x");
    assert_eq!(list("page=2&cursor=x").expect_err("both").error, "validation_error");
    let search = |query: &str| {
        let query = fields::pairs(query.as_bytes()).expect("pairs");
        fields::read::<Search>(query).expect("a query")
    };
    for short in ["", "query=", "query=a", "query=+a+"] {
        assert_eq!(search(short).into_own(), None, "{short}");
    }
    assert_eq!(search("query=ab").into_own().expect("a request").search, "ab");
    assert_eq!(search("query=ab&cursor=x").into_own().expect("a request").cursor, "x");
    let public = search("query=a&cursor=x&limit=3").into_public();
    let page = pb::PageRequest { limit: 3, cursor: "x".to_owned() };
    assert_eq!((public.query.as_str(), public.page), ("a", Some(page)));
}

#[tokio::test]
async fn everybody_hears_where_his_groups_go_on() {
    let goes_on = |next_cursor: &str| pb::ListGroupsResponse {
        limit: 1,
        next_cursor: next_cursor.to_owned(),
        ..Default::default()
    };
    for (dialect, given, shown) in [
        (Dialect::Unified, "c", json!("c")),
        (Dialect::Unified, "", json!(null)),
        (Dialect::Electron, "c", json!("c")),
        (Dialect::Undeclared, "c", json!("c")),
        (Dialect::Undeclared, "", json!(null)),
    ] {
        let given = goes_on(given);
        for answer in [listed(dialect, 1, &given, &users()), found(dialect, &given, &users())] {
            assert_eq!(body(answer).await["nextCursor"], shown, "{dialect:?}");
        }
    }
}

#[test]
fn profiles_are_asked_for_once_administrators_first() {
    let mut large = club();
    large.member_ids = (0..1000).map(|id| format!("{id:024x}")).collect();
    large.group.as_mut().expect("a group").admin_ids.push(ALAN.to_owned());
    let wanted = profiles(Dialect::Undeclared, &[large, club()]).expect("profiles").user_ids;
    assert_eq!((wanted.len(), &wanted[..2]), (1000, &[ADA.to_owned(), ALAN.to_owned()][..]));
    assert_eq!(profiles(Dialect::Undeclared, &[]), None);
    let two = profiles(Dialect::Electron, &[club(), club()]).expect("profiles");
    assert_eq!(two.user_ids, [ADA, GRACE]);
}
