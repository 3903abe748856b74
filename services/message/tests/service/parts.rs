//! What belongs to a message beside its text: answers, forwarding, calls, places, cards, mentions.

use chat_kit::id::{MessageId, UserId};
use chat_proto::v1::{
    Attachment, CallActivity, ContactCard, Forwarding, ListMessagesRequest, Location,
    SendMessageRequest, list_messages_request::Target,
};
use tonic::Code;

use crate::support::{Pair, Suite, as_user, assert_failed, listen, start, text};

async fn newest(suite: &Suite, pair: &Pair) -> chat_proto::v1::Message {
    let target = Some(Target::ConversationId(pair.conversation.to_string()));
    let request = ListMessagesRequest { target, ..Default::default() };
    let listed = suite.messages().list_messages(as_user(pair.grace, request)).await;
    listed.expect("a page").into_inner().messages.pop().expect("a message")
}

#[tokio::test]
async fn answer_quotes_the_message_in_reply_event_and_history() {
    let suite = start().await;
    let pair = suite.pair().await;
    let attachment = Attachment { url: "u".to_owned(), ..Default::default() };
    let first = SendMessageRequest {
        r#type: "image".to_owned(),
        attachment: Some(attachment.clone()),
        ..text(pair.conversation, &"long ".repeat(300))
    };
    let first = suite.send(pair.ada, first).await.expect("sent").message.expect("a message");
    let mut ear = listen(pair.conversation).await;
    let given = Some(r#"{"text":"as I see it"}"#.to_owned());
    let answer = SendMessageRequest {
        reply_to_id: Some(first.id.clone()),
        given_quote: given.clone(),
        ..text(pair.conversation, "yes")
    };
    let answer = suite.send(pair.grace, answer).await.expect("sent").message.expect("a message");
    let quote = answer.quote.clone().expect("a quote");
    assert_eq!((&quote.message_id, &quote.sender_id), (&first.id, &pair.ada.to_string()));
    assert_eq!(quote.content, first.content.chars().take(800).collect::<String>());
    assert_eq!((quote.r#type.as_str(), quote.attachment), ("image", Some(attachment)));
    assert_eq!((&answer.reply_to_id, &answer.given_quote), (&Some(first.id), &given));
    assert_eq!(ear.hear().await.1, answer);
    assert_eq!(newest(&suite, &pair).await, answer);
}

#[tokio::test]
async fn answer_to_what_is_not_in_the_conversation_is_refused() {
    let suite = start().await;
    let (pair, other) = (suite.pair().await, suite.pair().await);
    let secret = suite.say(other.ada, other.conversation, "secret").await;
    for (id, reason) in [
        (secret.id, "validation_error"),
        (MessageId::new().to_string(), "validation_error"),
        ("m1".to_owned(), "invalid_id"),
    ] {
        let answer =
            SendMessageRequest { reply_to_id: Some(id), ..text(pair.conversation, "what?") };
        assert_failed(suite.send(pair.ada, answer).await, Code::InvalidArgument, reason);
    }
    suite.assert_stored(Some(pair.conversation), 0).await;
}

#[tokio::test]
async fn every_part_is_kept_as_it_was_sent() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ear = listen(pair.conversation).await;
    let request = SendMessageRequest {
        forwarding: Some(Forwarding { from: Some("Joan".to_owned()), message_id: None }),
        call: Some(CallActivity {
            direction: Some("outgoing".to_owned()),
            status: Some("missed".to_owned()),
            is_video: true,
            started_at: Some("2026-01-31T08:15:30.123456".to_owned()),
            duration_seconds: Some(65),
        }),
        location: Some(Location { latitude: -90.0, longitude: 180.0, address: None }),
        contact_card: Some(ContactCard { name: "Joan".to_owned(), ..Default::default() }),
        mention_ids: vec![pair.grace.to_string(), pair.ada.to_string(), pair.grace.to_string()],
        content: String::new(),
        ..text(pair.conversation, "")
    };
    let sent = suite.send(pair.ada, request.clone()).await.expect("sent");
    let message = sent.message.expect("a message");
    assert_eq!(message.forwarding, request.forwarding);
    assert_eq!(message.call, request.call);
    assert_eq!(message.location, request.location);
    assert_eq!(message.contact_card, request.contact_card);
    assert_eq!(message.mention_ids, [pair.grace.to_string(), pair.ada.to_string()], "each once");
    assert_eq!(ear.hear().await.1, message);
    assert_eq!(newest(&suite, &pair).await, message);
}

#[tokio::test]
async fn only_members_are_mentioned() {
    let suite = start().await;
    let pair = suite.pair().await;
    for (mentioned, reason) in [
        (vec![UserId::new().to_string()], "validation_error"),
        (vec![pair.grace.to_string(); 51], "validation_error"),
        (vec!["grace".to_owned()], "invalid_id"),
    ] {
        let request =
            SendMessageRequest { mention_ids: mentioned, ..text(pair.conversation, "hey") };
        assert_failed(suite.send(pair.ada, request).await, Code::InvalidArgument, reason);
    }
    suite.assert_stored(None, 0).await;
}

#[tokio::test]
async fn parts_beyond_their_bounds_are_refused() {
    let suite = start().await;
    let pair = suite.pair().await;
    let valid = text(pair.conversation, "hi");
    let long = |length: usize| Some("x".repeat(length));
    let file = Attachment { url: "u".to_owned(), ..Default::default() };
    let place = Location { latitude: 1.0, longitude: 1.0, address: None };
    let card = ContactCard { name: "n".to_owned(), ..Default::default() };
    let with_file =
        |attachment| SendMessageRequest { attachment: Some(attachment), ..valid.clone() };
    let with_call = |call| SendMessageRequest { call: Some(call), ..valid.clone() };
    let with_place = |location| SendMessageRequest { location: Some(location), ..valid.clone() };
    let with_card =
        |contact_card| SendMessageRequest { contact_card: Some(contact_card), ..valid.clone() };
    let forwarded =
        |forwarding| SendMessageRequest { forwarding: Some(forwarding), ..valid.clone() };
    for request in [
        with_file(Attachment { url: "x".repeat(2049), ..file.clone() }),
        with_file(Attachment { url: String::new(), ..file.clone() }),
        with_file(Attachment { name: long(256), ..file.clone() }),
        with_file(Attachment { file_type: long(256), ..file }),
        with_call(CallActivity { direction: long(33), ..Default::default() }),
        with_call(CallActivity { status: long(33), ..Default::default() }),
        with_call(CallActivity { started_at: long(65), ..Default::default() }),
        with_place(Location { latitude: 90.1, ..place.clone() }),
        with_place(Location { longitude: -180.1, ..place.clone() }),
        with_place(Location { latitude: f64::NAN, ..place.clone() }),
        with_place(Location { address: long(501), ..place }),
        with_card(ContactCard { name: String::new(), ..card.clone() }),
        with_card(ContactCard { name: "x".repeat(256), ..card.clone() }),
        with_card(ContactCard { phone: long(65), ..card.clone() }),
        with_card(ContactCard { email: long(256), ..card }),
        forwarded(Forwarding { from: long(256), message_id: None }),
        forwarded(Forwarding { from: None, message_id: long(65) }),
        SendMessageRequest {
            reply_to_id: Some(MessageId::new().to_string()),
            given_quote: long(4097),
            ..valid.clone()
        },
        SendMessageRequest { client_id: long(513), ..valid.clone() },
    ] {
        let refused = suite.send(pair.ada, request).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
    suite.assert_stored(None, 0).await;
}
