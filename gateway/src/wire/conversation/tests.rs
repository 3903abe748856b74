use axum::body::to_bytes;
use prost_types::Timestamp;
use serde_json::json;

use super::*;

const CALLER: &str = "65f0c0ffee0123456789abcd";
const OTHER: &str = "65f0c0ffee0123456789abce";
const THIRD: &str = "65f0c0ffee0123456789abcf";
const ID: &str = "65f0c0ffee0123456789ab01";
const LAST: &str = "65f0c0ffee0123456789ab10";

fn caller() -> UserId {
    CALLER.parse().expect("an id")
}

fn open(body: Value) -> Result<Opening, ApiError> {
    fields::read::<Open>(body)?.into_request(caller())
}

#[test]
fn every_spelling_names_the_one_other_member() {
    for body in [
        json!({ "otherUserId": OTHER }),
        json!({ "participants": [OTHER] }),
        json!({ "participants": [CALLER, OTHER, OTHER], "type": "direct" }),
        json!({ "members": [OTHER, CALLER] }),
        json!({ "memberIds": [OTHER] }),
        json!({ "participants": [OTHER], "members": [THIRD], "otherUserId": THIRD }),
        json!({ "participants": [], "members": null, "otherUserId": OTHER }),
        json!({ "participants": OTHER }),
    ] {
        let request = open(body.clone()).expect("a request");
        let peer = Some(Peer::UserId(OTHER.to_owned()));
        let expected = Opening::Direct(pb::OpenDirectConversationRequest { peer });
        assert_eq!(request, expected, "{body}");
    }
}

#[test]
fn group_has_an_id_of_its_own_and_all_who_were_named() {
    for (body, others) in [
        (json!({ "type": "group", "participants": [THIRD, CALLER, OTHER] }), &[THIRD, OTHER][..]),
        (json!({ "type": "group", "members": [OTHER] }), &[OTHER]),
        (json!({ "type": "group", "otherUserId": OTHER }), &[OTHER]),
    ] {
        let Opening::Group(one) = open(body.clone()).expect("a request") else { panic!("{body}") };
        let Opening::Group(other) = open(body.clone()).expect("a request") else {
            panic!("{body}")
        };
        assert_eq!(one.member_ids, others, "{body}");
        assert_ne!(one.conversation_id, other.conversation_id);
    }
}

#[test]
fn whatever_is_no_conversation_is_refused() {
    for body in [
        json!({}),
        json!({ "participants": [CALLER] }),
        json!({ "otherUserId": CALLER }),
        json!({ "participants": [OTHER, THIRD] }),
        json!({ "participants": ["zzz"] }),
        json!({ "participants": [{ "$ne": null }] }),
        json!({ "otherUserId": { "$ne": null } }),
        json!({ "participants": [CALLER], "type": "group" }),
        json!({ "participants": [OTHER, "zzz"], "type": "group" }),
        json!({ "otherUserId": OTHER, "type": "crowd" }),
    ] {
        let error = open(body.clone()).expect_err("no pair");
        assert_eq!(
            (error.status.as_u16(), error.error.as_ref()),
            (400, "validation_error"),
            "{body}"
        );
    }
}

fn list(
    view: View,
    dialect: Dialect,
    query: &str,
) -> Result<(pb::ListConversationsRequest, Answer), ApiError> {
    let query: Query = fields::read(fields::pairs(query.as_bytes())?)?;
    query.into_request(view, dialect, caller())
}

#[test]
fn parameters_and_path_decide_the_shape() {
    let me = format!("me={CALLER}&status=active");
    for (view, dialect, query, answer, limit) in [
        (View::ByQuery, Dialect::Undeclared, me.as_str(), Answer::Bare, 500),
        (View::ByQuery, Dialect::Flutter, "", Answer::Enveloped, 500),
        (View::ByQuery, Dialect::Electron, me.as_str(), Answer::Enveloped, 500),
        (View::ByQuery, Dialect::Undeclared, "status=active", Answer::Enveloped, 500),
        (View::ByQuery, Dialect::Flutter, me.as_str(), Answer::Bare, 500),
        (View::ByQuery, Dialect::Electron, "", Answer::Enveloped, 500),
        (View::ByQuery, Dialect::Electron, "limit=200", Answer::Enveloped, 200),
        (View::ByQuery, Dialect::Undeclared, "limit=501", Answer::Enveloped, 500),
        (View::ByQuery, Dialect::Undeclared, "limit=-3", Answer::Enveloped, 1),
        (View::ByQuery, Dialect::Unified, me.as_str(), Answer::Unified, 50),
        (View::Bare, Dialect::Unified, "", Answer::Unified, 50),
        (View::Bare, Dialect::Flutter, me.as_str(), Answer::Bare, 500),
        (View::Bare, Dialect::Undeclared, "", Answer::Bare, 500),
        (View::Bare, Dialect::Electron, me.as_str(), Answer::Enveloped, 500),
        (View::ByQuery, Dialect::Unified, "", Answer::Unified, 50),
        (View::ByQuery, Dialect::Unified, "limit=1000", Answer::Unified, 100),
        (View::Bare, Dialect::Undeclared, "limit=0", Answer::Bare, 1),
    ] {
        let (request, shape) = list(view, dialect, query).expect(query);
        assert_eq!(shape, answer, "{view:?} {dialect:?} {query}");
        assert_eq!(request.page.expect("a page").limit, limit, "{query}");
        assert_eq!(request.status, i32::from(pb::ConversationStatus::Active));
    }
}

#[test]
fn status_is_one_of_four() {
    for (text, status) in [
        ("status=pending", pb::ConversationStatus::Pending),
        ("status=declined", pb::ConversationStatus::Declined),
        ("status=blocked", pb::ConversationStatus::Blocked),
        ("status=", pb::ConversationStatus::Active),
        ("status[$ne]=x", pb::ConversationStatus::Active),
    ] {
        let (request, _) = list(View::ByQuery, Dialect::Undeclared, text).expect(text);
        assert_eq!(request.status(), status, "{text}");
    }
    let error = list(View::ByQuery, Dialect::Undeclared, "status=x").expect_err("no status");
    assert_eq!(error.error, "validation_error");
}

#[test]
fn list_of_somebody_else_is_refused() {
    let error = list(View::ByQuery, Dialect::Undeclared, &format!("me={OTHER}"));
    assert_eq!(error.expect_err("not the caller").error, "forbidden");
    let error = list(View::Bare, Dialect::Undeclared, "me=zzz");
    assert_eq!(error.expect_err("not an id").error, "invalid_id");
}

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 5_000_000 }
}

fn quiet() -> pb::Conversation {
    pb::Conversation {
        id: ID.to_owned(),
        status: pb::ConversationStatus::Active.into(),
        member_ids: vec![CALLER.to_owned(), OTHER.to_owned()],
        created_by: Some(CALLER.to_owned()),
        participant_key: Some(format!("{CALLER}:{OTHER}")),
        created_at: Some(at(0)),
        updated_at: Some(at(1)),
        ..Default::default()
    }
}

fn lively() -> pb::Conversation {
    let last_message = pb::Preview {
        message_id: LAST.to_owned(),
        seq: 3,
        sender_id: OTHER.to_owned(),
        content: "hi".to_owned(),
        r#type: "text".to_owned(),
        created_at: Some(at(2)),
        ..Default::default()
    };
    pb::Conversation { last_message: Some(last_message), last_sent_at: Some(at(1)), ..quiet() }
}

fn users() -> Users {
    let user =
        |id: &str| pb::User { id: id.to_owned(), name: "Ada".to_owned(), ..Default::default() };
    vec![user(CALLER), user(OTHER)].into()
}

async fn body(response: Response) -> Value {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

async fn listed(answer: Answer, conversation: pb::Conversation, cursor: &str) -> Value {
    listed_with(answer, conversation, States::default(), cursor).await
}

async fn listed_with(
    answer: Answer,
    conversation: pb::Conversation,
    mut states: States,
    cursor: &str,
) -> Value {
    let page = pb::PageResponse { next_cursor: cursor.to_owned() };
    let mut response =
        pb::ListConversationsResponse { conversations: vec![conversation], page: Some(page) };
    states.settle(&mut response.conversations);
    body(answer.write(&response, &states, &users())).await
}

#[tokio::test]
async fn mobile_row_has_ids_and_times() {
    let row = json!([{
        "_id": ID, "participants": [CALLER, OTHER], "members": [CALLER, OTHER], "isGroup": false,
        "status": "active", "createdBy": CALLER, "participantKey": format!("{CALLER}:{OTHER}"),
        "hiddenFor": [], "deliveredUpTo": {}, "readUpTo": {},
        "lastMessage": LAST, "lastMessageAt": "1970-01-01T00:00:02.005Z",
        "lastPreview": "hi", "lastFrom": OTHER, "lastOutgoingAt": "1970-01-01T00:00:01.005Z",
        "unreadCount": 0, "isMuted": false, "isPinned": false, "isArchived": false,
        "createdAt": "1970-01-01T00:00:00.005Z", "updatedAt": "1970-01-01T00:00:01.005Z",
    }]);
    assert_eq!(listed(Answer::Bare, lively(), "").await, row);
    let quiet = listed(Answer::Bare, quiet(), "").await;
    for absent in ["lastMessage", "lastMessageAt"] {
        assert!(quiet[0].get(absent).is_none(), "{absent}");
    }
    assert_eq!((&quiet[0]["lastPreview"], &quiet[0]["lastFrom"]), (&json!(""), &json!("")));
    assert_eq!(quiet[0]["lastOutgoingAt"], Value::Null);
}

#[tokio::test]
async fn desktop_row_has_profiles() {
    let listed = listed(Answer::Enveloped, lively(), "").await;
    assert_eq!(listed["success"], true);
    let row = &listed["conversations"][0];
    let card = |id: &str| {
        json!({
            "_id": id, "id": id, "name": "Ada", "phone": null, "isOnline": false, "lastSeen": null,
        })
    };
    for members in [&row["participants"], &row["members"]] {
        assert_eq!(*members, json!([card(CALLER), card(OTHER)]));
    }
    let last = json!({
        "_id": LAST, "messageId": LAST, "conversation": ID, "conversationId": ID,
        "from": card(OTHER), "sender": card(OTHER), "to": CALLER,
        "text": "hi", "content": "hi", "type": "text", "status": "sent", "readBy": [],
        "deleted": false, "isDeleted": false, "deletedFor": [], "edited": false, "forwarded": false,
        "callActivity": false, "isVideoCall": false, "reactions": [], "voice": { "waveform": [] },
        "createdAt": "1970-01-01T00:00:02.005Z", "updatedAt": "1970-01-01T00:00:02.005Z",
    });
    assert_eq!(row["lastMessage"], last);
}

#[tokio::test]
async fn desktop_row_says_that_the_newest_message_tells_of_a_call() {
    for is_video in [false, true] {
        let mut conversation = lively();
        let last = conversation.last_message.as_mut().expect("a message");
        (last.is_call, last.is_video) = (true, is_video);
        let listed = listed(Answer::Enveloped, conversation, "").await;
        let last = &listed["conversations"][0]["lastMessage"];
        assert_eq!(
            (&last["messageType"], &last["type"]),
            (&json!("call_activity"), &json!("text"))
        );
        assert_eq!((&last["callActivity"], &last["isVideoCall"]), (&json!(true), &json!(is_video)));
    }
}

#[tokio::test]
async fn desktop_row_shows_the_file_of_the_newest_message() {
    let mut conversation = lively();
    let last = conversation.last_message.as_mut().expect("a message");
    last.r#type = "voice".to_owned();
    last.attachment = Some(pb::Attachment {
        url: "u".to_owned(),
        name: Some("v.m4a".to_owned()),
        file_type: None,
        duration_seconds: Some(7),
    });
    let listed = listed(Answer::Enveloped, conversation, "").await;
    let last = &listed["conversations"][0]["lastMessage"];
    for (field, value) in [
        ("fileUrl", json!("u")),
        ("media", json!("u")),
        ("fileName", json!("v.m4a")),
        ("fileType", json!("voice")),
        ("audioDuration", json!(7)),
        ("voice", json!({ "waveform": [] })),
    ] {
        assert_eq!(last[field], value, "{field}");
    }
}

#[tokio::test]
async fn new_clients_read_one_spelling() {
    let listed = listed(Answer::Unified, lively(), "next").await;
    let expected = json!({ "success": true, "nextCursor": "next", "conversations": [{
        "id": ID, "status": "active", "isGroup": false, "memberIds": [CALLER, OTHER], "createdBy": CALLER,
        "lastMessage": {
            "id": LAST, "seq": 3, "senderId": OTHER, "content": "hi", "type": "text",
            "createdAt": "1970-01-01T00:00:02.005Z",
        },
        "lastSentAt": "1970-01-01T00:00:01.005Z", "unreadCount": 0, "cursors": [],
        "isMuted": false, "isPinned": false, "isArchived": false,
        "createdAt": "1970-01-01T00:00:00.005Z", "updatedAt": "1970-01-01T00:00:01.005Z",
    }]});
    assert_eq!(listed, expected);
    let last_page = self::listed(Answer::Unified, quiet(), "").await;
    assert_eq!(last_page["nextCursor"], Value::Null);
}

#[tokio::test]
async fn opened_conversation_is_new_or_not() {
    for (created, status) in [(true, 201), (false, 200)] {
        let states = States::default();
        let response = opened(Dialect::Undeclared, created, &lively(), &states, &users());
        assert_eq!(response.status().as_u16(), status);
        let conversation = &body(response).await["conversation"];
        assert_eq!(conversation["_id"], ID);
        assert_eq!(conversation["lastMessage"], LAST);
        assert_eq!(conversation["members"][1]["_id"], OTHER);
        assert!(conversation.get("lastPreview").is_none());
        let unified = opened(Dialect::Unified, created, &lively(), &states, &users());
        let unified = body(unified).await;
        assert_eq!(unified["conversation"]["memberIds"], json!([CALLER, OTHER]));
    }
}

#[test]
fn profiles_of_a_page_are_asked_for_once() {
    let other =
        pb::Conversation { member_ids: vec![CALLER.to_owned(), THIRD.to_owned()], ..quiet() };
    let request = members(&[quiet(), other, lively()]);
    let user_ids = [CALLER, OTHER, THIRD].map(str::to_owned).to_vec();
    assert_eq!(request, Some(pb::GetUsersRequest { user_ids }));
    assert_eq!(members(&[]), None);
    for answer in [Answer::Bare, Answer::Unified] {
        assert_eq!(answer.users_of(&[quiet()]), None);
    }
}

#[test]
fn profiles_that_are_too_many_for_one_request_are_those_of_large_groups() {
    let group = |from: usize, count: usize| pb::Conversation {
        member_ids: (from..from + count).map(|id| format!("{id:024x}")).collect(),
        ..quiet()
    };
    let request = members(&[group(0, 4000), group(5000, 1500), quiet()]).expect("a request");
    assert_eq!(request.user_ids.len(), 5000);
    assert_eq!(request.user_ids[..2], [CALLER, OTHER].map(str::to_owned));
    assert!(request.user_ids.contains(&format!("{:024x}", 6499)));
    assert!(!request.user_ids.contains(&format!("{:024x}", 3999)));
}

#[tokio::test]
async fn what_happened_is_a_text_in_a_row_of_the_old_families() {
    let mut conversation = lively();
    conversation.last_message.as_mut().expect("a message").r#type = "system".to_owned();
    let row = &listed(Answer::Enveloped, conversation.clone(), "").await["conversations"][0];
    let last = &row["lastMessage"];
    assert_eq!((&last["type"], &last["messageType"]), (&json!("text"), &json!("system")));
    let unified = &listed(Answer::Unified, conversation, "").await["conversations"][0];
    assert_eq!(unified["lastMessage"]["type"], "system");
}

#[tokio::test]
async fn row_of_a_group_names_it() {
    let group = pb::Group {
        name: "Chess".to_owned(),
        avatar_url: Some("a.png".to_owned()),
        admin_id: CALLER.to_owned(),
        admin_ids: vec![CALLER.to_owned()],
        ..Default::default()
    };
    let named = pb::Conversation {
        is_group: true,
        participant_key: None,
        group: Some(group.clone()),
        ..lively()
    };
    for answer in [Answer::Bare, Answer::Enveloped] {
        let listed = listed(answer, named.clone(), "").await;
        let row = listed.get(0).unwrap_or(&listed["conversations"][0]);
        assert_eq!(row["name"], "Chess");
        assert_eq!([&row["avatar"], &row["avatarUrl"]], ["a.png"; 2]);
        assert_eq!((&row["group"], &row["groupId"]), (&json!(ID), &json!(ID)));
        assert_eq!(row["admin"], CALLER);
    }
    let unified = &listed(Answer::Unified, named.clone(), "").await["conversations"][0];
    let expected = json!({
        "name": "Chess", "avatarUrl": "a.png", "mainAdminId": CALLER, "adminIds": [CALLER],
        "settings": {
            "onlyAdminsCanSend": false, "onlyAdminsCanAdd": false, "isPublic": false,
        },
    });
    assert_eq!(unified["group"], expected);
    let bare = pb::Group { name: String::new(), avatar_url: None, ..group };
    let bare = pb::Conversation { group: Some(bare), ..named };
    let row = &listed(Answer::Bare, bare, "").await[0];
    for absent in ["name", "avatar", "avatarUrl"] {
        assert!(row.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn group_names_no_recipient() {
    let group = pb::Conversation { is_group: true, participant_key: None, ..lively() };
    let row = &listed(Answer::Enveloped, group.clone(), "").await["conversations"][0];
    assert_eq!(row["isGroup"], true);
    assert!(row.get("participantKey").is_none());
    assert!(row["lastMessage"].get("to").is_none());
    let row = &listed(Answer::Bare, group.clone(), "").await[0];
    assert_eq!(row["participants"], json!([CALLER, OTHER]));
    let unified = &listed(Answer::Unified, group, "").await["conversations"][0];
    assert_eq!(unified["isGroup"], true);
}

mod marks;
mod states;
