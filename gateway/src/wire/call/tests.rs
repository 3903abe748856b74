//! What is read of events about calls, and how a refusal is told.

use axum::{body::to_bytes, http::StatusCode};
use bson::oid::ObjectId;
use chat_kit::{caller::Caller, id::UserId};
use prost_types::Timestamp;

use super::*;

const SDP: &str = r#"{"type":"offer","sdp":"v=0"}"#;

fn identity(dialect: Dialect) -> Identity {
    Identity {
        caller: Caller::service("test", "test"),
        user_id: UserId::new(),
        session_id: None,
        expires_at: std::time::SystemTime::UNIX_EPOCH,
        dialect,
        origin_id: ObjectId::from_bytes([7; 12]),
    }
}

fn asked(name: &str, data: &str) -> Result<Request, ApiError> {
    read(name, data, &identity(Dialect::Undeclared))
}

fn socket() -> String {
    "07".repeat(12)
}

#[test]
fn invitation_is_read_under_both_names() {
    let callee = UserId::new().to_string();
    let place = |kind: pb::CallKind| {
        Ok(Request::Place(pb::PlaceCallRequest {
            callee_id: callee.clone(),
            sdp: SDP.to_owned(),
            kind: kind.into(),
            socket_id: socket(),
        }))
    };
    for (name, fields, kind) in [
        (INVITE, String::new(), pb::CallKind::Audio),
        (INVITE, r#","kind":"video""#.to_owned(), pb::CallKind::Video),
        (INVITE, r#","kind":"screen""#.to_owned(), pb::CallKind::Audio),
        (INVITE, r#","kind":null"#.to_owned(), pb::CallKind::Audio),
        (OFFER, r#","kind":"video""#.to_owned(), pb::CallKind::Audio),
    ] {
        let data = format!(r#"{{"to":"{callee}","sdp":{SDP}{fields}}}"#);
        assert_eq!(asked(name, &data), place(kind), "{name} {data}");
    }
    let unified = identity(Dialect::Unified);
    let data = format!(r#"{{"userId":"{callee}","to":"nobody","sdp":{SDP},"kind":"video"}}"#);
    assert_eq!(read(INVITE, &data, &unified), place(pb::CallKind::Video));
    let data = format!(r#"{{"userId":"{callee}","sdp":{SDP},"kind":"screen"}}"#);
    assert_eq!(read(INVITE, &data, &unified).expect_err("a kind").error, "validation_error");
}

#[test]
fn incomplete_invitation_is_refused() {
    let callee = UserId::new().to_string();
    let long = "x".repeat(LONGEST_SDP);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (data, error) in [
        ("null".to_owned(), "validation_error"),
        ("[]".to_owned(), "validation_error"),
        ("{}".to_owned(), "missing"),
        (format!(r#"{{"sdp":{SDP}}}"#), "missing"),
        (format!(r#"{{"to":"conversation:1","sdp":{SDP}}}"#), "invalid_id"),
        (format!(r#"{{"to":{{}},"sdp":{SDP}}}"#), "validation_error"),
        (format!(r#"{{"to":"{callee}"}}"#), "missing"),
        (format!(r#"{{"to":"{callee}","sdp":null}}"#), "missing"),
        (format!(r#"{{"to":"{callee}","sdp":"v=0"}}"#), "validation_error"),
        (format!(r#"{{"to":"{callee}","sdp":{{}}}}"#), "validation_error"),
        (format!(r#"{{"to":"{callee}","sdp":{{"type":"offer"}}}}"#), "validation_error"),
        (format!(r#"{{"to":"{callee}","sdp":{{"type":"","sdp":"v=0"}}}}"#), "validation_error"),
        (format!(r#"{{"to":"{callee}","sdp":{{"type":"a","sdp":"{long}"}}}}"#), "validation_error"),
        (
            format!(r#"{{"to":"{callee}","sdp":{{"type":"a","sdp":"b","x":{deep}}}}}"#),
            "validation_error",
        ),
    ] {
        let refused = asked(INVITE, &data).expect_err(&data);
        assert_eq!(refused.error, error, "{data}");
        assert!(failure(INVITE, &refused).is_some());
    }
    let refused = asked(INVITE, r#"{"to":{}}"#).expect_err("no text");
    assert_eq!(refused.message, "to: a text is needed");
}

#[test]
fn older_names_take_descriptions_of_any_shape() {
    for sdp in [r#""v=0""#, r#"{"x":1}"#] {
        let data = format!(r#"{{"callId":"c","sdp":{sdp}}}"#);
        let request = pb::AnswerCallRequest {
            call_id: "c".to_owned(),
            sdp: sdp.to_owned(),
            socket_id: socket(),
        };
        assert_eq!(asked(OLD_ANSWER, &data), Ok(Request::Answer(request)));
        asked(ANSWER, &format!(r#"{{"callId":"c","accept":true,"sdp":{sdp}}}"#))
            .expect_err("the newer one does not");
    }
    for sdp in [r#""""#, "0", "[]", "true"] {
        asked(OLD_ANSWER, &format!(r#"{{"callId":"c","sdp":{sdp}}}"#)).expect_err(sdp);
    }
}

#[test]
fn answer_takes_or_declines() {
    for (accept, takes) in [
        ("true", true),
        ("1", true),
        (r#""yes""#, true),
        ("false", false),
        ("null", false),
        ("0", false),
        (r#""""#, false),
    ] {
        let data = format!(r#"{{"callId":"c","accept":{accept},"sdp":{SDP}}}"#);
        let request = asked(ANSWER, &data).expect("an answer");
        assert_eq!(matches!(request, Request::Answer(_)), takes, "{accept}");
    }
    let declined = Request::Decline(pb::DeclineCallRequest { call_id: "c".to_owned() });
    assert_eq!(asked(ANSWER, r#"{"callId":"c"}"#), Ok(declined));
    for data in [r#"{"accept":true}"#, r#"{"callId":"c","accept":true}"#] {
        assert_eq!(asked(ANSWER, data).expect_err(data).error, "missing");
    }
}

#[test]
fn candidates_are_handed_on_unread() {
    let candidate = r#"{"candidate": "", "sdpMid":null,"sdpMLineIndex":0}"#;
    for name in [CANDIDATE, ICE_CANDIDATE] {
        let request = pb::AddCandidateRequest {
            call_id: "c".to_owned(),
            candidate: candidate.to_owned(),
            socket_id: socket(),
        };
        let data = format!(r#"{{"callId":"c","candidate":{candidate}}}"#);
        assert_eq!(asked(name, &data), Ok(Request::AddCandidate(request)));
        let long = "x".repeat(LONGEST_CANDIDATE);
        let data = format!(r#"{{"callId":"c","candidate":{{"candidate":"{long}"}}}}"#);
        assert_eq!(asked(name, &data).expect_err("too long").error, "validation_error");
    }
}

#[test]
fn only_hang_ups_of_the_newer_name_may_be_held() {
    for (name, dialect, may_be_held) in [
        (HANGUP, Dialect::Undeclared, true),
        (HANGUP, Dialect::Flutter, true),
        (HANGUP, Dialect::Unified, false),
        (END, Dialect::Undeclared, false),
    ] {
        let request =
            pb::EndCallRequest { call_id: "c".to_owned(), socket_id: socket(), may_be_held };
        let read = read(name, r#"{"callId":"c"}"#, &identity(dialect));
        assert_eq!(read, Ok(Request::End(request)), "{name}");
    }
    for data in [r#"{"callId":null}"#, "{}"] {
        let refused = asked(HANGUP, data).expect_err(data);
        assert_eq!(failure(HANGUP, &refused), None, "the mobile client knows no id yet");
    }
    let long = format!(r#"{{"callId":"{}"}}"#, "c".repeat(LONGEST_ID + 1));
    assert_eq!(asked(HANGUP, &long).expect_err("too long").error, "validation_error");
}

#[test]
fn refusal_is_told_by_what_was_sent() {
    let busy = ApiError::new(StatusCode::CONFLICT, "busy", "one of the two is in a call");
    let over = ApiError::new(StatusCode::CONFLICT, "call_ended", "the call is over");
    let down = ApiError::unavailable();
    for (name, error, event) in [
        (INVITE, &busy, None),
        (INVITE, &over, Some("call:error")),
        (OFFER, &busy, Some("call_error")),
        (OFFER, &down, Some("call_error")),
        (ANSWER, &over, Some("call:error")),
        (OLD_ANSWER, &over, Some("call:error")),
        (CANDIDATE, &over, None),
        (ICE_CANDIDATE, &over, None),
        (HANGUP, &over, None),
        (END, &over, None),
        (CANDIDATE, &down, Some("call:error")),
        (END, &down, Some("call:error")),
        ("join-conversation", &down, None),
    ] {
        let told = failure(name, error);
        assert_eq!(told.as_ref().map(|(event, _)| *event), event, "{name} {error}");
        if let Some((_, body)) = told {
            let expected = json!({ "error": error.error, "message": error.message });
            assert_eq!(body, expected);
        }
    }
    let place =
        Request::Place(pb::PlaceCallRequest { callee_id: "b".to_owned(), ..Default::default() });
    for (name, error, dialect, body) in [
        (INVITE, &busy, Dialect::Flutter, Some(json!({ "to": "b", "error": "busy" }))),
        (INVITE, &busy, Dialect::Unified, Some(json!({ "userId": "b", "error": "busy" }))),
        (INVITE, &over, Dialect::Flutter, None),
        (OFFER, &busy, Dialect::Electron, None),
    ] {
        let told = self::busy(name, &place, error, dialect);
        assert_eq!(told, body.map(|body| ("call:busy", body)), "{name} {error}");
    }
}

#[test]
fn calls_have_one_shape() {
    let at = |millis: i64| {
        Some(Timestamp {
            seconds: 1_769_847_330 + millis / 1000,
            nanos: i32::try_from(millis % 1000).expect("small") * 1_000_000,
        })
    };
    let call = pb::Call {
        id: "c".to_owned(),
        caller_id: "a".to_owned(),
        callee_id: "b".to_owned(),
        kind: pb::CallKind::Audio.into(),
        state: pb::CallState::Ringing.into(),
        placed_at: at(7),
        ..Default::default()
    };
    let ringing = json!({
        "id": "c", "callerId": "a", "calleeId": "b", "kind": "audio", "state": "ringing",
        "placedAt": "2026-01-31T08:15:30.007Z", "answeredAt": null, "endedAt": null,
        "endReason": null,
    });
    assert_eq!(json!(unified(&call)), ringing);
    let ended = pb::Call {
        kind: pb::CallKind::Video.into(),
        state: pb::CallState::Ended.into(),
        answered_at: at(1000),
        ended_at: at(2000),
        end_reason: pb::CallEndReason::HungUp.into(),
        ..call
    };
    let expected = json!({
        "id": "c", "callerId": "a", "calleeId": "b", "kind": "video", "state": "ended",
        "placedAt": "2026-01-31T08:15:30.007Z", "answeredAt": "2026-01-31T08:15:31.000Z",
        "endedAt": "2026-01-31T08:15:32.000Z", "endReason": "hung_up",
    });
    assert_eq!(json!(unified(&ended)), expected);
}

async fn body(response: axum::response::Response) -> Value {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn list_ends_where_there_is_no_cursor() {
    for (cursor, next) in [("", Value::Null), ("x", json!("x"))] {
        let page = Some(pb::PageResponse { next_cursor: cursor.to_owned() });
        let response = pb::ListCallsResponse { calls: vec![pb::Call::default()], page };
        let answer = body(listed(&response)).await;
        assert_eq!((&answer["success"], &answer["nextCursor"]), (&json!(true), &next));
        assert_eq!(answer["calls"].as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn ice_servers_are_as_a_browser_takes_them() {
    let stun = pb::IceServer { urls: vec!["stun:a:1".to_owned()], ..Default::default() };
    let turn = pb::IceServer {
        urls: vec!["turn:a:1".to_owned()],
        username: Some("u".to_owned()),
        credential: Some("w".to_owned()),
    };
    let expires_at = Some(Timestamp { seconds: 1_769_847_330, nanos: 0 });
    let servers = pb::GetIceServersResponse { ice_servers: vec![stun, turn], expires_at };
    let expected = json!({
        "success": true,
        "iceServers": [
            { "urls": ["stun:a:1"] },
            { "urls": ["turn:a:1"], "username": "u", "credential": "w" },
        ],
        "expiresAt": "2026-01-31T08:15:30.000Z",
    });
    assert_eq!(body(ice_servers(&servers)).await, expected);
    let none = body(ice_servers(&pb::GetIceServersResponse::default())).await;
    assert_eq!(none, json!({ "success": true, "iceServers": [] }));
}
