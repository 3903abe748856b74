//! Sending: every part of a message, everyone who may not send, and everything that cannot be sent.

use chat_e2e::harness::{Person, text};
use chat_local::testing::TestSuite;
use serde_json::{Value, json};

use crate::{
    Cast, NOTHING, block, objects,
    objects::sent,
    request,
    shape::differences,
    walk::{Form, Walk},
};

const SEND: &str = "POST /api/messages";

pub async fn walk(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let cast = Cast::new(suite).await;
    send_texts(walk, &cast, form).await;
    send_files(walk, &cast, form).await;
    send_calls(walk, &cast, form).await;
    send_answers(walk, &cast, form).await;
    refuse_bodies(walk, &cast, form).await;
    refuse_senders(walk, suite, form).await;
}

async fn send_texts(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, chat, .. } = cast;
    for body in [
        json!({ "conversationId": chat, "content": "hi" }),
        json!({ "conversation": chat, "text": " hi " }),
        json!({ "conversationId": chat, "message": "hi", "senderId": ada.id }),
        json!({ "toId": grace.id, "text": "hi", "from": ada.id }),
        json!({ "to": grace.id, "text": "hi" }),
        json!({ "toPhone": grace.phone, "text": "hi" }),
        json!({ "toPhone": grace.id, "text": "hi" }),
        json!({ "conversationId": chat, "content": "hi", "text": "not this", "clientId": "c1" }),
        // The conversation wins over whom the message is to.
        json!({ "conversationId": chat, "toId": cast.stranger.id, "content": "hi" }),
    ] {
        let shape =
            sent(&json!({ "text": "=hi", "type": "=text", "to": format!("={}", grace.id) }));
        let answer = walk.ok(form.ask(SEND).by(ada).body(body.clone()), 200, shape).await;
        let message = &answer["message"];
        walk.expect(message["from"] == *ada.id, &format!("{body}: the sender is the caller"));
        walk.expect(answer["conversationId"] == **chat, &format!("{body}: where it went"));
    }
    let body = json!({ "conversationId": chat, "content": "x".repeat(4000) });
    walk.ok(form.ask(SEND).by(ada).body(body), 200, sent(&json!({}))).await;
}

async fn send_files(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, chat, .. } = cast;
    let file = "https://files.example.com/a";
    for (fields, parts) in [
        (
            json!({ "fileUrl": file, "fileName": "a.pdf", "fileType": "pdf" }),
            json!({ "text": "=\u{1F4CE} a.pdf", "fileName": "=a.pdf", "fileType": "=pdf",
                "type": "=file" }),
        ),
        (
            json!({ "fileUrl": file, "fileName": null, "fileType": null }),
            json!({ "text": "=\u{1F4CE} File", "!fileName": null, "fileType": "=file",
                "type": "=file" }),
        ),
        (
            json!({ "media": file, "type": "image" }),
            json!({ "text": "=", "fileType": "=image", "type": "=image" }),
        ),
        (
            json!({ "fileUrl": file, "fileType": "image", "text": "a cat" }),
            json!({ "text": "=a cat", "fileType": "=image", "type": "=image" }),
        ),
        (
            json!({ "fileUrl": file, "fileType": "audio", "audioDuration": "7" }),
            json!({ "text": "=Voice Message", "fileType": "=audio", "type": "=audio",
                "audioDuration": 7 }),
        ),
        (
            json!({ "fileUrl": file, "fileName": "voice_1.m4a", "type": "voice", "audioDuration": 7.9 }),
            json!({ "text": "=Voice Message", "fileName": "=voice_1.m4a", "fileType": "=voice",
                "type": "=voice", "audioDuration": 7 }),
        ),
    ] {
        let body = objects::with(json!({ "conversationId": chat }), fields);
        let file = json!({ "fileUrl": format!("={file}"), "media": format!("={file}") });
        let shape = sent(&objects::with(file, parts));
        walk.ok(form.ask(SEND).by(ada).body(body), 200, shape).await;
    }
}

async fn send_calls(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, .. } = cast;
    let call = json!({
        "messageType": "=call_activity", "callActivity": true, "isVideoCall": false, "type": "=text",
    });
    for (fields, parts) in [
        (json!({ "callActivity": true }), json!({ "text": "=\u{1F4DE} Call" })),
        (json!({ "messageType": "call_activity", "text": "late" }), json!({ "text": "=late" })),
        (json!({ "type": "call_activity" }), json!({ "text": "=\u{1F4DE} Call" })),
        (
            json!({
                "text": "\u{1F4DE} Outgoing call", "messageType": "call_activity",
                "callActivity": true, "callType": "outgoing", "callStatus": "completed",
                "isVideoCall": true, "callStartTime": "2026-01-31T08:15:30.123456",
                "callDuration": "61",
            }),
            json!({
                "callType": "=outgoing", "callStatus": "=completed", "isVideoCall": true,
                "callStartTime": "filled", "callDuration": "=61",
            }),
        ),
        (
            json!({ "callActivity": true, "callStartTime": "soon", "callDuration": null }),
            json!({ "!callStartTime": null, "!callDuration": null }),
        ),
        (json!({ "callActivity": true, "callDuration": 61 }), json!({ "callDuration": "=61" })),
    ] {
        let body = objects::with(json!({ "from": ada.id, "toPhone": grace.phone }), fields);
        let shape = sent(&objects::with(call.clone(), parts));
        walk.ok(form.ask(SEND).by(ada).body(body), 200, shape).await;
    }
}

async fn send_answers(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, chat, .. } = cast;
    let first = grace.send(chat, "lunch?").await["_id"].clone();
    let quote = json!({
        "id": first, "text": "lunch?", "fileType": null, "fileName": null, "fileUrl": null,
        "audioDuration": null, "from": grace.id,
    });
    let body = json!({
        "conversationId": chat, "text": "yes", "replyTo": first, "replyToMessage": quote,
    });
    let shape =
        sent(&json!({ "replyTo": format!("={}", text(&first)), "replyToMessage": "object" }));
    let answer = walk.ok(form.ask(SEND).by(ada).body(body), 200, shape).await;
    walk.expect(answer["message"]["replyToMessage"] == quote, "the quote comes back unchanged");
    let forwarded = json!({
        "from": ada.id, "toPhone": grace.id, "text": "look", "forwarded": true, "fileName": null,
        "forwardedFrom": grace.id, "forwardedMessageId": first, "fileType": null,
    });
    let shape = sent(&json!({
        "forwarded": true, "forwardedFrom": format!("={}", grace.id), "forwardedMessageId": "id",
    }));
    walk.ok(form.ask(SEND).by(ada).body(forwarded), 200, shape).await;
}

async fn refuse_bodies(walk: &mut Walk, cast: &Cast, form: Form) {
    let Cast { ada, grace, chat, stranger } = cast;
    let elsewhere = ada.open(stranger).await;
    let foreign = ada.send(&elsewhere, "between us").await["_id"].clone();
    let to = |fields: Value| objects::with(json!({ "conversationId": chat }), fields);
    let invalid = 400;
    for (body, status, error) in [
        (json!({}), invalid, "validation_error"),
        (json!({ "content": "to whom?" }), invalid, "validation_error"),
        (to(json!({})), invalid, "validation_error"),
        (to(json!({ "content": " \n" })), invalid, "validation_error"),
        (to(json!({ "content": { "$ne": null } })), invalid, "validation_error"),
        (to(json!({ "content": "x", "type": "poem" })), invalid, "validation_error"),
        (to(json!({ "content": "x", "type": "system" })), invalid, "validation_error"),
        (to(json!({ "content": "x", "clientId": {} })), invalid, "validation_error"),
        (to(json!({ "content": "x", "replyTo": foreign })), invalid, "validation_error"),
        (to(json!({ "content": "x", "replyTo": NOTHING })), invalid, "validation_error"),
        (to(json!({ "content": "x", "replyTo": "nonsense" })), invalid, "invalid_id"),
        (json!({ "toId": "nonsense", "content": "x" }), invalid, "invalid_id"),
        (json!({ "toId": ada.id, "content": "x" }), invalid, "validation_error"),
        (
            json!({ "conversationId": "nonsense", "content": "x" }),
            invalid,
            "invalid_conversation_id",
        ),
        (to(json!({ "content": "x", "senderId": grace.id })), 403, "forbidden"),
        (to(json!({ "content": "x", "from": grace.id })), 403, "forbidden"),
        (json!({ "conversationId": NOTHING, "content": "x" }), 404, "conversation_not_found"),
        (json!({ "toId": NOTHING, "content": "x" }), 404, "user_not_found"),
        (json!({ "toPhone": "+19990000000000", "content": "x" }), 404, "user_not_found"),
        (json!({ "toPhone": NOTHING, "content": "x" }), 404, "user_not_found"),
        (to(json!({ "content": "x".repeat(4001) })), 413, "too_long"),
    ] {
        walk.refused(form.ask(SEND).by(ada).body(body), status, error).await;
    }
    let body = json!({ "toPhone": "1 (999) 000-0000000", "content": "x" });
    let (_, refused) = walk.answer(&form.ask(SEND).by(ada).body(body)).await;
    let shape = json!({ "success": false, "error": "=user_not_found", "message": "filled", "details": {
        "phone": "=1 (999) 000-0000000", "normalized": "=+19990000000000", "suggestion": "filled",
    } });
    let differences = differences(&shape, &refused);
    walk.expect(differences.is_empty(), &format!("who is not there: {differences:?}"));
    let (_, refused) =
        walk.answer(&form.ask(SEND).by(ada).body(json!({ "toId": NOTHING, "text": "x" }))).await;
    walk.expect(refused.get("details").is_none(), &format!("an id is told by itself: {refused}"));
}

/// Nobody writes who is no member, who waits for an answer or owes one, who was declined, or where a block
/// stands.
async fn refuse_senders(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let Cast { ada, grace, stranger, chat } = Cast::new(suite).await;
    let mut refused = async |by: &Person, body: Value| {
        walk.refused(form.ask(SEND).by(by).body(body), 403, "forbidden").await;
    };
    refused(&stranger, json!({ "conversationId": chat, "content": "x" })).await;
    let pending = request(&stranger, &ada).await;
    for (by, other) in [(&stranger, &ada), (&ada, &stranger)] {
        refused(by, json!({ "conversationId": pending, "content": "x" })).await;
        refused(by, json!({ "toId": other.id, "content": "x" })).await;
        refused(by, json!({ "toPhone": other.phone, "content": "x" })).await;
    }
    let decline = format!("/api/conversations/chat-requests/{pending}/decline");
    ada.ok(reqwest::Method::POST, &decline, json!({})).await;
    refused(&stranger, json!({ "conversationId": pending, "content": "x" })).await;
    refused(&stranger, json!({ "toId": ada.id, "content": "x" })).await;
    block(&grace, &ada).await;
    for (by, other) in [(&ada, &grace), (&grace, &ada)] {
        refused(by, json!({ "conversationId": chat, "content": "x" })).await;
        refused(by, json!({ "toId": other.id, "content": "x" })).await;
    }
}
