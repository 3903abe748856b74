use axum::body::to_bytes;
use prost_types::Timestamp;

use super::*;

const CALLER: &str = "65f0c0ffee0123456789abcd";
const OTHER: &str = "65f0c0ffee0123456789abce";
const ID: &str = "65f0c0ffee0123456789ab01";

fn caller() -> UserId {
    CALLER.parse().expect("an id")
}

fn ask(body: Value) -> Result<pb::RequestChatRequest, ApiError> {
    fields::read::<Ask>(body)?.into_request(caller())
}

#[test]
fn contact_has_two_spellings_and_three_forms() {
    for (body, contact) in [
        (json!({ "from": CALLER, "toPhone": "+15550000001" }), "+15550000001"),
        (json!({ "from": CALLER, "toPhone": 15_550_000_001_i64 }), "15550000001"),
        (json!({ "from": CALLER, "toPhone": "ada@example.org" }), "ada@example.org"),
        (json!({ "from": CALLER, "toPhone": OTHER, "toContact": "x" }), OTHER),
        (json!({ "from": CALLER, "toContact": OTHER }), OTHER),
        (json!({ "toContact": OTHER }), OTHER),
    ] {
        let peer = Some(request_chat_request::Peer::Contact(contact.to_owned()));
        assert_eq!(ask(body.clone()), Ok(pb::RequestChatRequest { peer }), "{body}");
        let started = fields::read::<Ask>(body).expect("a body").into_start(caller());
        let peer = Some(start_chat_request::Peer::Contact(contact.to_owned()));
        assert_eq!(started, Ok(pb::StartChatRequest { peer }));
    }
}

#[test]
fn whoever_asks_says_whom_and_who_he_is() {
    for (body, status, error) in [
        (json!({}), 400, "missing_fields"),
        (json!({ "from": CALLER }), 400, "missing_fields"),
        (json!({ "from": CALLER, "toPhone": "" }), 400, "missing_fields"),
        (json!({ "toPhone": "+15550000001" }), 400, "missing_fields"),
        (json!({ "from": OTHER, "toPhone": "+15550000001" }), 403, "forbidden"),
        (json!({ "from": "me", "toPhone": "+15550000001" }), 400, "invalid_id"),
        (json!({ "from": CALLER, "toPhone": { "$ne": null } }), 400, "validation_error"),
    ] {
        let refused = ask(body.clone()).expect_err("refused");
        assert_eq!((refused.status.as_u16(), refused.error.as_ref()), (status, error), "{body}");
        assert!(!refused.message.is_empty());
    }
}

#[test]
fn answer_is_the_callers_own() {
    let reply = |me: Value| fields::read::<Reply>(json!({ "me": me })).expect("a body");
    for me in [json!(null), json!(""), json!(CALLER)] {
        assert_eq!(reply(me).into_id(&ID.to_uppercase(), caller()), Ok(ID.to_owned()));
    }
    let error = reply(json!(OTHER)).into_id(ID, caller()).expect_err("somebody else");
    assert_eq!(error.error, "forbidden");
    let error = Reply::default().into_id("zzz", caller()).expect_err("no id");
    assert_eq!((error.status.as_u16(), error.error.as_ref()), (400, "invalid_id"));
}

#[test]
fn list_is_of_pending_requests_unless_another_status_is_given() {
    let list = |query: &str, answer| {
        let query: Query = fields::read(fields::pairs(query.as_bytes())?)?;
        query.into_request(answer, caller())
    };
    for (query, answer, status, limit) in [
        ("", Answer::Enveloped, pb::ConversationStatus::Pending, 500),
        ("status=", Answer::Bare, pb::ConversationStatus::Pending, 500),
        ("status=active", Answer::Enveloped, pb::ConversationStatus::Active, 500),
        ("status=declined&limit=7", Answer::Unified, pb::ConversationStatus::Declined, 7),
        ("status[$ne]=x", Answer::Unified, pb::ConversationStatus::Pending, 50),
    ] {
        let request = list(query, answer).expect(query);
        assert_eq!(request.status(), status, "{query}");
        assert_eq!(request.page.expect("a page").limit, limit, "{query}");
    }
    list(&format!("me={CALLER}"), Answer::Enveloped).expect("the caller");
    for (query, error) in [
        (format!("me={OTHER}"), "forbidden"),
        ("me=zzz".to_owned(), "invalid_id"),
        ("status=x".to_owned(), "validation_error"),
    ] {
        assert_eq!(list(&query, Answer::Bare).expect_err("refused").error, error);
    }
}

#[test]
fn path_and_dialect_decide_the_shape() {
    for (view, dialect, answer) in [
        (View::ByQuery, Dialect::Undeclared, Answer::Enveloped),
        (View::ByQuery, Dialect::Flutter, Answer::Enveloped),
        (View::Bare, Dialect::Undeclared, Answer::Bare),
        (View::Bare, Dialect::Electron, Answer::Enveloped),
        (View::Bare, Dialect::Unified, Answer::Unified),
    ] {
        assert_eq!(Answer::new(view, dialect), answer);
    }
}

fn pending() -> pb::Conversation {
    let at = |seconds| Some(Timestamp { seconds, nanos: 5_000_000 });
    pb::Conversation {
        id: ID.to_owned(),
        status: pb::ConversationStatus::Pending.into(),
        member_ids: vec![CALLER.to_owned(), OTHER.to_owned()],
        created_by: Some(CALLER.to_owned()),
        participant_key: Some(format!("{CALLER}:{OTHER}")),
        created_at: at(0),
        updated_at: at(1),
        ..Default::default()
    }
}

fn users() -> Vec<pb::User> {
    let user = |id: &str| pb::User {
        id: id.to_owned(),
        name: "Ada".to_owned(),
        phone: Some("+15550000001".to_owned()),
        ..Default::default()
    };
    vec![user(CALLER), user(OTHER)]
}

async fn body(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn document(members: &Value) -> Value {
    json!({
        "_id": ID, "participants": members, "members": members, "isGroup": false,
        "status": "pending", "createdBy": CALLER, "participantKey": format!("{CALLER}:{OTHER}"),
        "hiddenFor": [], "deliveredUpTo": {}, "readUpTo": {}, "lastMessageAt": null,
        "createdAt": "1970-01-01T00:00:00.005Z", "updatedAt": "1970-01-01T00:00:01.005Z",
    })
}

#[tokio::test]
async fn request_is_a_document_with_ids() {
    let answer = body(one(Dialect::Undeclared, Some(pending())).expect("an answer")).await;
    let conversation = document(&json!([CALLER, OTHER]));
    let expected = json!({ "success": true, "ok": true, "conversation": conversation });
    assert_eq!(answer, expected);
    let answer = body(one(Dialect::Unified, Some(pending())).expect("an answer")).await;
    assert_eq!(answer["conversation"]["createdBy"], CALLER);
    assert_eq!((answer.get("ok"), &answer["conversation"]["id"]), (None, &json!(ID)));
}

#[tokio::test]
async fn accepted_request_has_a_time_before_its_first_message() {
    let accepted_at = Some(Timestamp { seconds: 2, nanos: 0 });
    let accepted = pb::Conversation { accepted_at, ..pending() };
    let answer = body(one(Dialect::Undeclared, Some(accepted)).expect("an answer")).await;
    assert_eq!(answer["conversation"]["lastMessageAt"], "1970-01-01T00:00:02.000Z");
}

#[tokio::test]
async fn started_chat_has_eight_fields() {
    let bare = pb::Conversation { created_by: None, ..pending() };
    let answer = body(started(Dialect::Undeclared, Some(bare)).expect("an answer")).await;
    let expected = json!({ "success": true, "ok": true, "conversation": {
        "_id": ID, "participants": [CALLER, OTHER], "members": [CALLER, OTHER],
        "status": "pending", "createdBy": null, "lastMessageAt": null,
        "createdAt": "1970-01-01T00:00:00.005Z", "updatedAt": "1970-01-01T00:00:01.005Z",
    }});
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn listed_requests_have_cards_without_presence() {
    let page = Some(pb::PageResponse { next_cursor: "next".to_owned() });
    let listed = pb::ListChatRequestsResponse { conversations: vec![pending()], page };
    let mut profiles = users();
    conceal(&mut profiles, caller(), &listed.conversations);
    let users = Users::from(profiles);
    let cards = json!([
        { "_id": CALLER, "name": "Ada", "phone": "+15550000001" },
        { "_id": OTHER, "name": "Ada" },
    ]);
    let row = document(&cards);
    assert_eq!(body(Answer::Bare.write(&listed, &users)).await, json!([row]));
    let enveloped = body(Answer::Enveloped.write(&listed, &users)).await;
    let expected = json!({ "success": true, "conversations": [row], "nextCursor": "next" });
    assert_eq!(enveloped, expected);
    let last = pb::ListChatRequestsResponse { page: None, ..listed.clone() };
    let last = body(Answer::Enveloped.write(&last, &users)).await;
    assert_eq!(last, json!({ "success": true, "conversations": [row] }));
    let unified = body(Answer::Unified.write(&listed, &users)).await;
    assert_eq!(unified["nextCursor"], "next");
    assert_eq!(unified["conversations"][0]["memberIds"], json!([CALLER, OTHER]));
}

#[test]
fn who_asks_shows_his_phone_and_sees_none_before_he_is_accepted() {
    let other: UserId = OTHER.parse().expect("an id");
    let active = pb::Conversation { status: pb::ConversationStatus::Active.into(), ..pending() };
    for (viewer, conversation, sees) in [
        (caller(), pending(), false),
        (other, pending(), true),
        (caller(), active.clone(), true),
        (other, active, true),
    ] {
        let mut users = users();
        conceal(&mut users, viewer, &[conversation]);
        assert_eq!(users.iter().all(|user| user.phone.is_some()), sees);
    }
}
