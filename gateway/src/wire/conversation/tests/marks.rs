//! Mute, pin and archive: what is asked for, and how it looks.

use chat_proto::v1::set_mark_request::Mark;

use super::*;

fn muted(body: Value) -> Result<Mark, ApiError> {
    fields::read::<MuteBody>(body)?.into_mark()
}

fn marks() -> pb::Marks {
    pb::Marks { is_muted: true, muted_until: Some(at(9)), is_pinned: true, is_archived: false }
}

#[test]
fn mute_has_a_time_or_no_end() {
    for (body, until) in [
        (json!({}), None),
        (json!({ "until": null }), None),
        (json!({ "until": "" }), None),
        (json!({ "until": "1970-01-01T01:00:09.005+01:00" }), Some(at(9))),
        (json!({ "until": "1970-01-01T00:00:09.005" }), Some(at(9))),
    ] {
        let mute = muted(body.clone()).expect("a mute");
        assert_eq!(mute, Mark::Mute(pb::Mute { is_muted: true, until }), "{body}");
    }
    for body in [json!({ "until": "tomorrow" }), json!({ "until": 7 }), json!({ "until": {} })] {
        let error = muted(body.clone()).expect_err("no time");
        assert_eq!(error.error, "validation_error", "{body}");
        assert!(error.message.starts_with("until"), "{error}");
    }
}

#[test]
fn lists_show_all_unless_they_are_asked_otherwise() {
    for dialect in [Dialect::Undeclared, Dialect::Electron, Dialect::Flutter, Dialect::Unified] {
        for (query, archived, pinned) in [
            ("", None, None),
            ("archived=&pinned=", None, None),
            ("archived=true", Some(true), None),
            ("archived=false&pinned=true", Some(false), Some(true)),
            ("pinned=false", None, Some(false)),
        ] {
            let (request, _) = list(View::ByQuery, dialect, query).expect(query);
            assert_eq!((request.is_archived, request.is_pinned), (archived, pinned), "{query}");
        }
        for query in ["archived=1", "pinned=yes", "archived=TRUE"] {
            let error = list(View::ByQuery, dialect, query).expect_err("neither yes nor no");
            assert_eq!(error.error, "validation_error", "{query}");
        }
    }
}

#[tokio::test]
async fn every_row_and_the_details_say_what_is_set() {
    let found = pb::Conversation { marks: Some(marks()), ..lively() };
    let states = States::default();
    let mut shown = vec![listed(Answer::Bare, found.clone(), "").await[0].clone()];
    for answer in [Answer::Enveloped, Answer::Unified] {
        shown.push(listed(answer, found.clone(), "").await["conversations"][0].clone());
    }
    for dialect in [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared, Dialect::Unified] {
        let answer = body(details(dialect, &found, &states, &users())).await;
        shown.push(answer["conversation"].clone());
    }
    for shown in shown {
        let flags = ["isMuted", "isPinned", "isArchived"].map(|field| &shown[field]);
        assert_eq!(flags, [&json!(true), &json!(true), &json!(false)], "{shown}");
        assert_eq!(shown["mutedUntil"], "1970-01-01T00:00:09.005Z");
    }
}

#[tokio::test]
async fn answer_says_all_that_is_set() {
    let answer = body(marked(ID, &marks())).await;
    let expected = json!({
        "success": true, "conversationId": ID, "isMuted": true, "isPinned": true, "isArchived": false,
        "mutedUntil": "1970-01-01T00:00:09.005Z",
    });
    assert_eq!(answer, expected);
}
