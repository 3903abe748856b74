//! What clients send beside the text, and how it looks to the others.

use serde_json::json;

use super::*;

/// Returns what a body makes of the stored message.
fn stored_as(body: Value) -> pb::Message {
    let sent = request(with(json!({ "toId": OTHER, "text": "x" }), body));
    pb::Message {
        reply_to_id: sent.reply_to_id,
        given_quote: sent.given_quote,
        forwarding: sent.forwarding,
        call: sent.call,
        location: sent.location,
        contact_card: sent.contact_card,
        mention_ids: sent.mention_ids,
        ..stored()
    }
}

#[test]
fn part_at_fault_is_named() {
    let part = |body: &Value| with(json!({ "toId": OTHER, "text": "x" }), body.clone());
    let read = |dialect, body: &Value| {
        let read = read(dialect, part(body), caller(), Source::Http, None);
        read.expect_err(&body.to_string()).message
    };
    for (field, body) in [
        ("mentions", json!({ "mentions": 5 })),
        ("metadata", json!({ "metadata": 5 })),
        ("metadata.location.latitude", json!({ "metadata": { "location": { "latitude": "x" } } })),
    ] {
        for dialect in [Dialect::Unified, Dialect::Undeclared] {
            let message = read(dialect, &body);
            assert!(message.starts_with(&format!("{field}: ")), "{message}");
        }
    }
    let forwarded = json!({ "forwardedFrom": { "$ne": 1 } });
    assert_eq!(read(Dialect::Flutter, &forwarded), "forwardedFrom: a text is needed");
    let forwarded = json!({ "forwarded": { "from": [7] } });
    assert!(read(Dialect::Unified, &forwarded).starts_with("forwarded.from: "));
    let both = json!({ "text": { "$ne": 1 }, "mentions": [] });
    assert_eq!(read(Dialect::Electron, &both), "text: a text is needed");
}

#[test]
fn quote_comes_back_as_the_client_put_it() {
    let quote = json!({
        "id": CONVERSATION, "text": "hi", "fileType": null, "fileName": null, "fileUrl": null,
        "audioDuration": 7, "from": OTHER,
    });
    let message = stored_as(json!({ "replyTo": CONVERSATION, "replyToMessage": quote }));
    let expected = with(golden(), json!({ "replyTo": CONVERSATION, "replyToMessage": quote }));
    assert_eq!(payload(&message), expected);

    let more = with(quote.clone(), json!({ "token": "x", "text": { "$ne": 1 } }));
    let message = stored_as(json!({ "replyTo": CONVERSATION, "replyToMessage": more }));
    let shown = payload(&message)["replyToMessage"].clone();
    assert!(shown.get("token").is_none() && shown.get("text").is_none(), "{shown}");

    for given in [json!(null), json!("hi"), json!({}), json!({ "text": "x".repeat(4096) })] {
        let sent = json!({ "toId": OTHER, "replyTo": CONVERSATION, "replyToMessage": given });
        assert_eq!(request(sent).given_quote, None);
    }
    let sent = request(json!({ "toId": OTHER, "text": "x", "replyToMessage": quote }));
    assert_eq!((sent.reply_to_id, sent.given_quote), (None, None), "it quotes nothing");
}

#[test]
fn quote_of_the_server_has_the_same_form() {
    let attachment = pb::Attachment {
        url: "u".to_owned(),
        name: Some("n".to_owned()),
        file_type: None,
        duration_seconds: Some(7),
    };
    let quote = pb::Quote {
        message_id: CONVERSATION.to_owned(),
        sender_id: OTHER.to_owned(),
        content: "hi".to_owned(),
        r#type: "audio".to_owned(),
        attachment: Some(attachment),
    };
    let reply_to_id = Some(CONVERSATION.to_owned());
    let message = pb::Message { reply_to_id, quote: Some(quote), ..stored() };
    let expected = json!({
        "id": CONVERSATION, "text": "hi", "fileType": "audio", "fileName": "n", "fileUrl": "u",
        "audioDuration": 7, "from": OTHER,
    });
    assert_eq!(payload(&message)["replyToMessage"], expected);
    let shown = unified(&message);
    assert_eq!(shown["replyTo"], CONVERSATION);
    let expected = json!({
        "id": CONVERSATION, "senderId": OTHER, "content": "hi", "type": "audio",
        "attachment": { "url": "u", "name": "n", "durationSeconds": 7 },
    });
    assert_eq!(shown["quote"], expected);
    let silent = pb::Message { quote: None, ..message };
    assert_eq!(payload(&silent)["replyTo"], CONVERSATION);
    assert!(
        payload(&silent).get("replyToMessage").is_none(),
        "of what was deleted nothing is said"
    );
}

#[test]
fn forwarded_message_says_so() {
    let body = json!({
        "forwarded": true, "forwardedFrom": "Ada", "forwardedMessageId": CONVERSATION,
    });
    let message = stored_as(body.clone());
    assert_eq!(payload(&message), with(golden(), body));
    let expected = json!({ "from": "Ada", "messageId": CONVERSATION });
    assert_eq!(unified(&message)["forwarded"], expected);
    let own = json!({ "forwarded": true, "forwardedMessageId": "tmp_1" });
    let message = stored_as(own.clone());
    assert_eq!(payload(&message), with(golden(), own), "as it was given");
    assert_eq!(unified(&message)["forwarded"], json!({}), "no id of ours");
    for nothing in [json!(false), json!(null), json!(0), json!("")] {
        let message = stored_as(json!({ "forwarded": nothing, "forwardedFrom": "Ada" }));
        assert_eq!(message.forwarding, None);
    }
}

#[test]
fn message_about_a_call_is_marked_in_three_ways() {
    let of_call = json!({
        "callType": "outgoing", "callStatus": "missed", "isVideoCall": true,
        "callStartTime": "2026-01-31T08:15:30.123456",
    });
    for (mark, seconds, shown) in [
        (json!({ "callActivity": true, "callDuration": "65" }), Some(65), json!("65")),
        (json!({ "callActivity": 1, "callDuration": 65 }), Some(65), json!("65")),
        (json!({ "messageType": "call_activity", "callDuration": null }), None, json!(null)),
        (json!({ "type": "call_activity" }), None, json!(null)),
    ] {
        let sent = request(with(with(json!({ "toId": OTHER }), of_call.clone()), mark.clone()));
        assert_eq!((sent.content.as_str(), sent.r#type.as_str()), ("\u{1F4DE} Call", ""), "{mark}");
        assert_eq!(sent.call.as_ref().expect("a call").duration_seconds, seconds, "{mark}");
        let message = pb::Message { call: sent.call, ..stored() };
        let expected = with(
            with(golden(), of_call.clone()),
            json!({ "messageType": "call_activity", "callActivity": true }),
        );
        let mut read = payload(&message);
        let duration = read.as_object_mut().expect("fields").remove("callDuration");
        assert_eq!((read, duration.unwrap_or_default()), (expected, shown), "{mark}");
    }
    let message =
        stored_as(json!({ "callActivity": true, "callDuration": 5, "isVideoCall": false }));
    let expected = json!({ "isVideo": false, "durationSeconds": 5 });
    assert_eq!(unified(&message)["call"], expected);
}

#[test]
fn begin_of_a_call_is_handed_on_if_it_is_an_instant() {
    for (given, kept) in [
        (json!("2026-01-31T08:15:30.123456"), true),
        (json!("2026-01-31T08:15:30.123Z"), true),
        (json!("2026-01-31"), true),
        (json!("yesterday"), false),
        (json!(""), false),
        (json!(1_769_847_330), false),
        (json!({ "$gt": "" }), false),
        (json!(null), false),
    ] {
        let message = stored_as(json!({ "callActivity": true, "callStartTime": given }));
        let begun = message.call.expect("a call").started_at;
        assert_eq!(begun.as_deref(), given.as_str().filter(|_| kept), "{given}");
    }
}

#[test]
fn places_cards_and_mentions_look_the_same_to_all() {
    let metadata = json!({
        "location": { "latitude": 52.5, "longitude": -13.25, "address": "Berlin" },
        "contact": { "name": "Grace", "phone": "+1" },
    });
    let body = json!({ "metadata": metadata, "mentions": [OTHER] });
    let message = stored_as(body.clone());
    assert_eq!(payload(&message), with(golden(), body.clone()));
    let shown = unified(&message);
    assert_eq!((&shown["metadata"], &shown["mentions"]), (&metadata, &json!([OTHER])));
    for (part, kind) in [("location", "location"), ("contact", "contact")] {
        let sent = json!({ "toId": OTHER, "metadata": { part: metadata[part] } });
        assert_eq!(request(sent).r#type, kind);
    }
    for wrong in [
        json!({ "metadata": { "location": { "latitude": "north", "longitude": 1 } } }),
        json!({ "metadata": { "location": { "latitude": 1 } } }),
        json!({ "mentions": { "id": OTHER } }),
        json!({ "mentions": [{ "$ne": 1 }] }),
    ] {
        let error = refusal(with(json!({ "toId": OTHER, "text": "x" }), wrong.clone()));
        assert_eq!(error.error, "validation_error", "{wrong}");
    }
}

#[test]
fn new_clients_send_the_same_parts() {
    let body: UnifiedSend = fields::read(json!({
        "toId": OTHER, "replyTo": CONVERSATION, "mentions": [OTHER],
        "forwarded": { "from": "Ada" },
        "call": { "direction": "incoming", "isVideo": true, "durationSeconds": 9 },
        "metadata": { "contact": { "name": "Grace" } },
    }))
    .expect("a message");
    let sent = body.into_request(Source::Http, None).expect("a message");
    assert_eq!(sent.reply_to_id.as_deref(), Some(CONVERSATION));
    assert_eq!(sent.mention_ids, [OTHER]);
    assert_eq!(sent.forwarding.expect("forwarded").from.as_deref(), Some("Ada"));
    let call = sent.call.expect("a call");
    assert_eq!((call.direction.as_deref(), call.duration_seconds), (Some("incoming"), Some(9)));
    assert_eq!(
        (sent.r#type.as_str(), sent.contact_card.expect("a card").name.as_str()),
        ("contact", "Grace")
    );
    for wrong in [
        json!({ "toId": OTHER, "replyTo": "m1" }),
        json!({ "toId": OTHER, "call": { "startedAt": "yesterday" } }),
    ] {
        let body: UnifiedSend = fields::read(wrong).expect("a message");
        body.into_request(Source::Http, None).expect_err("refused");
    }
}

#[test]
fn form_says_the_same_as_json() {
    let read = |dialect, body: Value| {
        let sent = read(dialect, body, caller(), Source::Http, None).expect("a message");
        pb::SendMessageRequest { message_id: String::new(), ..sent }
    };
    let (to, reply) = (format!("toId={OTHER}&text=x"), format!("replyTo={CONVERSATION}"));
    let old = [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared];
    for (dialects, form, json) in [
        (
            &old[..],
            "metadata[location][latitude]=1.5&metadata[location][longitude]=-2".to_owned(),
            json!({ "metadata": { "location": { "latitude": 1.5, "longitude": -2 } } }),
        ),
        (
            &old,
            format!("{reply}&replyToMessage[text]=hi&replyToMessage[from]={OTHER}"),
            json!({ "replyTo": CONVERSATION, "replyToMessage": { "text": "hi", "from": OTHER } }),
        ),
        (
            &old,
            "callActivity=true&isVideoCall=false&callDuration=7".to_owned(),
            json!({ "callActivity": true, "isVideoCall": false, "callDuration": 7 }),
        ),
        (&old, "forwarded=false".to_owned(), json!({ "forwarded": false })),
        (
            &[Dialect::Unified],
            "call[isVideo]=true&call[durationSeconds]=7&forwarded[from]=A&attachment[url]=u\
             &attachment[durationSeconds]=3&metadata[contact][name]=Grace"
                .to_owned(),
            json!({
                "call": { "isVideo": true, "durationSeconds": 7 }, "forwarded": { "from": "A" },
                "attachment": { "url": "u", "durationSeconds": 3 },
                "metadata": { "contact": { "name": "Grace" } },
            }),
        ),
        (&[Dialect::Unified], format!("mentions={OTHER}"), json!({ "mentions": [OTHER] })),
        (
            &old,
            format!("mentions={OTHER}&mentions={CONVERSATION}"),
            json!({ "mentions": [OTHER, CONVERSATION] }),
        ),
    ] {
        for dialect in dialects {
            let given = fields::form(format!("{to}&{form}").as_bytes()).expect("a form");
            let expected = with(json!({ "toId": OTHER, "text": "x" }), json.clone());
            assert_eq!(read(*dialect, given), read(*dialect, expected), "{form}");
        }
    }
}

#[test]
fn scalars_are_texts_in_every_part() {
    let read = |dialect, body: Value| {
        let body = with(json!({ "toId": OTHER, "text": "x", "content": "x" }), body);
        let sent = read(dialect, body, caller(), Source::Http, None).expect("a message");
        pb::SendMessageRequest { message_id: String::new(), ..sent }
    };
    for (dialect, said, text) in [
        (
            Dialect::Undeclared,
            json!({ "fileUrl": 5, "fileName": 1.5, "fileType": true, "media": false }),
            json!({ "fileUrl": "5", "fileName": "1.5", "fileType": "true", "media": "false" }),
        ),
        (
            Dialect::Unified,
            json!({
                "attachment": { "url": 5, "name": 6, "fileType": true },
                "forwarded": { "from": 7, "messageId": 8 }, "call": { "direction": 1, "status": 2 },
                "metadata": {
                    "location": { "latitude": 1, "longitude": 2, "address": 10 },
                    "contact": { "name": 3, "phone": 4, "email": false },
                },
            }),
            json!({
                "attachment": { "url": "5", "name": "6", "fileType": "true" },
                "forwarded": { "from": "7", "messageId": "8" },
                "call": { "direction": "1", "status": "2" },
                "metadata": {
                    "location": { "latitude": 1, "longitude": 2, "address": "10" },
                    "contact": { "name": "3", "phone": "4", "email": "false" },
                },
            }),
        ),
    ] {
        assert_eq!(read(dialect, said.clone()), read(dialect, text), "{said}");
    }
}
