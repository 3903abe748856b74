mod parts;

use prost_types::Timestamp;

use serde_json::json;

use super::*;

const CALLER: &str = "65f0c0ffee0123456789abcd";
const OTHER: &str = "65f0c0ffee0123456789abce";
const CONVERSATION: &str = "65f0c0ffee0123456789ab01";
const ANOTHER: &str = "65f0c0ffee0123456789ab02";

fn caller() -> UserId {
    CALLER.parse().expect("an id")
}

fn parse(body: Value) -> Result<pb::SendMessageRequest, ApiError> {
    fields::read::<Send>(body)?.into_request(caller(), Source::Http, None)
}

fn request(body: Value) -> pb::SendMessageRequest {
    let shown = body.to_string();
    parse(body).unwrap_or_else(|error| panic!("{shown}: {error}"))
}

fn refusal(body: Value) -> ApiError {
    let shown = body.to_string();
    parse(body).expect_err(&shown)
}

fn to_conversation() -> Target {
    Target::ConversationId(CONVERSATION.to_owned())
}

/// Builds a body of two parts.
fn with(mut body: Value, more: Value) -> Value {
    let (Value::Object(fields), Value::Object(more)) = (&mut body, more) else {
        panic!("two objects are needed");
    };
    fields.extend(more);
    body
}

#[test]
fn first_target_wins() {
    for (body, target) in [
        (json!({ "conversationId": CONVERSATION, "conversation": ANOTHER }), to_conversation()),
        (json!({ "conversationId": "", "conversation": CONVERSATION }), to_conversation()),
        (json!({ "conversationId": null, "conversation": CONVERSATION }), to_conversation()),
        (json!({ "conversation": CONVERSATION, "toId": OTHER, "toPhone": "x" }), to_conversation()),
        (json!({ "toId": OTHER, "to": ANOTHER }), Target::UserId(OTHER.to_owned())),
        (json!({ "to": OTHER, "toPhone": "x" }), Target::UserId(OTHER.to_owned())),
        (json!({ "toPhone": "+49 1" }), Target::Contact("+49 1".to_owned())),
        (json!({ "toPhone": OTHER }), Target::Contact(OTHER.to_owned())),
    ] {
        assert_eq!(request(body.clone()).target, Some(target), "{body}");
    }
}

#[test]
fn first_text_wins_and_is_trimmed() {
    for (body, content) in [
        (json!({ "content": "a", "text": "b", "message": "c" }), "a"),
        (json!({ "content": "", "text": "b", "message": "c" }), "b"),
        (json!({ "text": null, "message": "c" }), "c"),
        (json!({ "text": " \n hello \t" }), "hello"),
        (json!({ "text": "   " }), ""),
        (json!({}), ""),
    ] {
        let body = with(body, json!({ "conversationId": CONVERSATION }));
        assert_eq!(request(body.clone()).content, content, "{body}");
    }
}

#[test]
fn text_of_a_socket_is_taken_as_it_is() {
    let body = json!({ "conversationId": CONVERSATION, "content": " hi ", "message": "unread" });
    let send: Send = fields::read(body).expect("a message");
    let origin = Some("65f0c0ffee0123456789ab03".to_owned());
    let request = send.into_request(caller(), Source::Socket, origin.clone()).expect("a message");
    assert_eq!(request.content, " hi ");
    assert_eq!(request.origin_id, origin);
}

#[test]
fn sender_is_the_caller_or_nobody() {
    for field in ["from", "senderId"] {
        for sender in [json!(CALLER), json!(CALLER.to_uppercase()), json!(""), json!(null)] {
            request(json!({ "toId": OTHER, field: sender }));
        }
        let error = refusal(json!({ "toId": OTHER, field: OTHER }));
        assert_eq!((error.status.as_u16(), error.error.as_ref()), (403, "forbidden"));
    }
    let both = refusal(json!({ "toId": OTHER, "senderId": CALLER, "from": OTHER }));
    assert_eq!(both.error, "forbidden");
}

#[test]
fn file_has_two_spellings_and_tells_the_type() {
    for (body, kind, file_type) in [
        (json!({ "fileUrl": "u", "fileType": "image" }), "image", Some("image")),
        (json!({ "fileUrl": "u", "fileType": "video" }), "video", Some("video")),
        (json!({ "fileUrl": "u", "fileType": "audio" }), "audio", Some("audio")),
        (json!({ "fileUrl": "u", "fileType": "voice" }), "voice", Some("voice")),
        (json!({ "fileUrl": "u", "fileType": "pdf" }), "file", Some("pdf")),
        (json!({ "fileUrl": "u", "fileType": null }), "file", None),
        (json!({ "media": "u", "type": "image" }), "image", None),
        (json!({ "fileUrl": "u", "media": "v", "type": "text" }), "text", None),
    ] {
        let sent = request(with(body.clone(), json!({ "toId": OTHER })));
        let attachment = sent.attachment.expect("a file");
        assert_eq!(attachment.url, "u", "{body}");
        assert_eq!(sent.r#type, kind, "{body}");
        assert_eq!(attachment.file_type.as_deref(), file_type, "{body}");
    }
    let sent = request(json!({ "toId": OTHER, "text": "x", "fileType": "image", "fileName": "a" }));
    assert_eq!((sent.attachment, sent.r#type.as_str()), (None, ""));
}

#[test]
fn uploaded_file_without_text_tells_its_own() {
    let file =
        |name: &str, kind: &str| json!({ "fileUrl": "u", "fileName": name, "fileType": kind });
    for (body, content) in [
        (file("a.pdf", "file"), "\u{1F4CE} a.pdf"),
        (file("", "image"), "\u{1F4CE} File"),
        (json!({ "fileUrl": "u" }), "\u{1F4CE} File"),
        (json!({ "fileUrl": "u", "media": "v", "text": " " }), "\u{1F4CE} File"),
        (file("", "audio"), "Voice Message"),
        (file("a.pdf", "voice"), "Voice Message"),
        (file("a.m4a", "file"), "Voice Message"),
        (file("a.mp3", ""), "Voice Message"),
        (file("voice_1.ogg", ""), "Voice Message"),
        (with(file("a.m4a", "voice"), json!({ "text": "listen" })), "listen"),
        (json!({ "media": "u", "fileName": "a.pdf" }), ""),
        (json!({ "media": "u", "fileUrl": "", "fileType": "voice" }), ""),
        (json!({ "fileName": "a.pdf", "fileType": "voice" }), ""),
    ] {
        let body = with(body, json!({ "toId": OTHER }));
        assert_eq!(request(body.clone()).content, content, "{body}");
    }
    let body: Send = fields::read(json!({ "toId": OTHER, "fileUrl": "u" })).expect("a message");
    let sent = body.into_request(caller(), Source::Socket, None).expect("a message");
    assert_eq!(sent.content, "\u{1F4CE} File");
}

#[test]
fn scalars_are_texts() {
    for field in ["content", "text", "message"] {
        for (value, content) in [(json!(7), "7"), (json!(1.5), "1.5"), (json!(false), "false")] {
            let sent = request(json!({ "toId": OTHER, field: value }));
            assert_eq!(sent.content, content, "{field}");
        }
        for value in [json!({ "text": "x" }), json!(["x"])] {
            let error = refusal(json!({ "toId": OTHER, field: value }));
            assert_eq!(error.error, "validation_error");
            assert!(error.message.starts_with(field), "{error}");
        }
    }
    let sent = request(json!({ "toPhone": 4_915_112_345_678_i64, "text": "x" }));
    assert_eq!(sent.target, Some(Target::Contact("4915112345678".to_owned())));
}

#[test]
fn length_of_a_recording_is_what_it_begins_with() {
    let file = json!({ "toId": OTHER, "fileUrl": "u", "fileName": "v.m4a" });
    for (value, seconds) in [
        (json!(7), Some(7)),
        (json!("7s"), Some(7)),
        (json!(7.6), Some(7)),
        (json!("00:07"), Some(0)),
        (json!(""), None),
        (json!("long"), None),
        (json!(-1), None),
        (json!(5_000_000_000_i64), None),
        (json!([7]), None),
        (json!(true), None),
        (json!(null), None),
    ] {
        let sent = request(with(file.clone(), json!({ "audioDuration": value })));
        let attachment = sent.attachment.expect("a file");
        assert_eq!(attachment.duration_seconds, seconds);
        assert_eq!(attachment.name.as_deref(), Some("v.m4a"));
    }
}

#[test]
fn client_id_is_any_scalar_and_comes_back_unchanged() {
    for id in [json!("c1"), json!(" "), json!(1_700_000_000_000_i64), json!(1.5), json!(true)] {
        let sent = request(json!({ "toId": OTHER, "clientId": id }));
        let stored = pb::Message { client_id: sent.client_id, ..Default::default() };
        assert_eq!(client_id(&stored), Some(id));
    }
    for id in [json!(null), json!("")] {
        assert_eq!(request(json!({ "toId": OTHER, "clientId": id })).client_id, None);
        let body: UnifiedSend =
            fields::read(json!({ "toId": OTHER, "clientId": id })).expect("a message");
        let sent = body.into_request(Source::Http, None).expect("a message");
        assert_eq!(sent.client_id, None);
    }
    for id in [json!({ "$ne": null }), json!(["c1"])] {
        let error = refusal(json!({ "toId": OTHER, "clientId": id }));
        assert_eq!(error.error, "validation_error");
    }
}

#[test]
fn refusals_have_their_names() {
    const NOT_AN_ID: &str = "zzzzzzzzzzzzzzzzzzzzzzzz";
    for (body, error) in [
        (json!({}), "validation_error"),
        (json!({ "conversationId": "", "toId": null }), "validation_error"),
        (json!({ "conversationId": NOT_AN_ID }), "invalid_conversation_id"),
        (json!({ "conversation": "65f0" }), "invalid_conversation_id"),
        (json!({ "toId": NOT_AN_ID }), "invalid_id"),
        (json!({ "to": "me" }), "invalid_id"),
        (json!({ "toId": OTHER, "replyTo": NOT_AN_ID }), "invalid_id"),
        (json!({ "toId": { "$ne": null } }), "validation_error"),
        (json!({ "conversationId": [CONVERSATION] }), "validation_error"),
        (json!({ "conversationId": 7 }), "validation_error"),
        (json!({ "toId": OTHER, "content": { "text": "x" } }), "validation_error"),
        (json!({ "toId": OTHER, "type": { "$gt": "" } }), "validation_error"),
    ] {
        let refused = refusal(body.clone());
        assert_eq!((refused.error.as_ref(), refused.status.as_u16()), (error, 400), "{body}");
        assert!(!refused.message.is_empty());
    }
    assert_eq!(fields::read::<Send>(json!("x")).expect_err("no object").error, "validation_error");
}

#[test]
fn every_message_gets_an_id_of_its_own() {
    let one = request(json!({ "toId": OTHER, "text": "x" }));
    let two = request(json!({ "toId": OTHER, "text": "x" }));
    assert!(one.message_id.parse::<MessageId>().is_ok());
    assert_ne!(one.message_id, two.message_id);
}

#[test]
fn new_clients_have_one_spelling() {
    let body: UnifiedSend = fields::read(json!({
        "conversationId": CONVERSATION, "content": "look", "text": "unread", "clientId": 7,
        "attachment": { "url": "u", "name": "n", "fileType": "image", "durationSeconds": 3 },
    }))
    .expect("a message");
    let sent = body.into_request(Source::Socket, None).expect("a message");
    assert_eq!(sent.target, Some(to_conversation()));
    assert_eq!((sent.content.as_str(), sent.r#type.as_str()), ("look", "image"));
    assert_eq!(sent.client_id.as_deref(), Some("7"));
    let file = json!({ "toId": OTHER, "attachment": { "url": "u", "name": "n" } });
    let silent: UnifiedSend = fields::read(file).expect("a message");
    assert_eq!(silent.into_request(Source::Http, None).expect("a message").content, "");
    let attachment = pb::Attachment {
        url: "u".to_owned(),
        name: Some("n".to_owned()),
        file_type: Some("image".to_owned()),
        duration_seconds: Some(3),
    };
    assert_eq!(sent.attachment, Some(attachment));
    for (given, target) in [
        (json!({ "toContact": "+49", "toPhone": "x" }), Target::Contact("+49".to_owned())),
        (json!({ "toPhone": "+49" }), Target::Contact("+49".to_owned())),
        (json!({ "toId": OTHER }), Target::UserId(OTHER.to_owned())),
    ] {
        let body: UnifiedSend = fields::read(given).expect("a message");
        let sent = body.into_request(Source::Socket, None).expect("a message");
        assert_eq!(sent.target, Some(target));
    }
    let error = UnifiedSend::default().into_request(Source::Http, None).expect_err("no target");
    assert_eq!(error.error, "validation_error");
}

fn stored() -> pb::Message {
    pb::Message {
        id: "65f0c0ffee0123456789ab10".to_owned(),
        conversation_id: CONVERSATION.to_owned(),
        seq: 7,
        sender_id: CALLER.to_owned(),
        recipient_id: Some(OTHER.to_owned()),
        content: "hi".to_owned(),
        r#type: "text".to_owned(),
        attachment: None,
        client_id: Some("\"c1\"".to_owned()),
        created_at: Some(Timestamp { seconds: 1_769_847_330, nanos: 7_000_000 }),
        previous_created_at: None,
        origin_id: Some("65f0c0ffee0123456789ab03".to_owned()),
        ..Default::default()
    }
}

fn golden() -> Value {
    json!({
        "_id": "65f0c0ffee0123456789ab10", "messageId": "65f0c0ffee0123456789ab10",
        "conversationId": CONVERSATION, "conversation": CONVERSATION,
        "from": CALLER, "sender": CALLER, "to": OTHER,
        "text": "hi", "content": "hi", "type": "text",
        "deleted": false, "isDeleted": false,
        "createdAt": "2026-01-31T08:15:30.007Z",
    })
}

#[test]
fn old_families_read_every_spelling() {
    let message = stored();
    assert_eq!(payload(&message), golden());
    let live_only = json!({ "lastMessageAt": "2026-01-31T08:15:30.007Z" });
    assert_eq!(live(&message), with(golden(), live_only));
    assert_eq!(history_item(&message), with(golden(), json!({ "edited": false })));
    let answer = serde_json::to_value(render::Answer::new(&message)).expect("JSON");
    let expected = json!({
        "ok": true, "message": golden(), "data": golden(), "conversationId": CONVERSATION,
    });
    assert_eq!(answer, expected);
}

#[test]
fn file_is_read_under_every_spelling() {
    let attachment = pb::Attachment {
        url: "https://x/v.m4a".to_owned(),
        name: Some("v.m4a".to_owned()),
        file_type: Some("audio".to_owned()),
        duration_seconds: Some(7),
    };
    let bare = pb::Attachment { url: "https://x/v.m4a".to_owned(), ..Default::default() };
    let message = |attachment| pb::Message {
        r#type: "voice".to_owned(),
        attachment: Some(attachment),
        ..stored()
    };
    let links = json!({
        "type": "voice", "fileUrl": "https://x/v.m4a", "media": "https://x/v.m4a",
    });
    let file = json!({ "fileName": "v.m4a", "fileType": "audio", "audioDuration": 7 });
    let expected = with(with(golden(), links.clone()), file);
    assert_eq!(payload(&message(attachment)), expected);
    let expected = with(with(golden(), links), json!({ "fileType": "voice" }));
    assert_eq!(payload(&message(bare)), expected);
}

#[test]
fn message_without_recipient_has_no_such_field() {
    let message = pb::Message { recipient_id: None, ..stored() };
    assert!(payload(&message).get("to").is_none());
    assert!(unified(&message).get("recipientId").is_none());
}

#[test]
fn new_clients_read_one_spelling() {
    let expected = json!({
        "id": "65f0c0ffee0123456789ab10", "conversationId": CONVERSATION, "seq": 7,
        "senderId": CALLER, "recipientId": OTHER, "content": "hi", "type": "text",
        "clientId": "c1", "createdAt": "2026-01-31T08:15:30.007Z",
    });
    assert_eq!(unified(&stored()), expected);
    let attachment = pb::Attachment { url: "u".to_owned(), ..Default::default() };
    let message = pb::Message { attachment: Some(attachment), ..stored() };
    assert_eq!(unified(&message)["attachment"], json!({ "url": "u" }));
}

#[test]
fn damaged_client_id_is_left_out() {
    let message = pb::Message { client_id: Some("{".to_owned()), ..stored() };
    assert_eq!(client_id(&message), None);
}

#[test]
fn what_happened_is_a_text_to_the_old_families_and_a_note_to_new_clients() {
    let note = pb::SystemNote { kind: "member_added".to_owned(), user_ids: vec![OTHER.to_owned()] };
    let message = pb::Message {
        r#type: "system".to_owned(),
        recipient_id: None,
        client_id: None,
        content: "Ada added Grace".to_owned(),
        system: Some(note),
        ..stored()
    };
    let shown = payload(&message);
    assert_eq!((&shown["type"], &shown["messageType"]), (&json!("text"), &json!("system")));
    assert_eq!(shown["text"], "Ada added Grace");
    assert!(shown.get("system").is_none());
    let shown = unified(&message);
    assert_eq!(shown["type"], "system");
    assert_eq!(shown["system"], json!({ "kind": "member_added", "userIds": [OTHER] }));
}

#[test]
fn reading_is_asked_for_by_the_id_in_the_path() {
    let request = read_up_to(CONVERSATION).expect("a request");
    let target = mark_read_request::Target::MessageId(CONVERSATION.to_owned());
    assert_eq!(request.target, Some(target));
    assert_eq!(read_up_to("zzz").expect_err("no id").error, "invalid_id");
}
