//! Sending: who may, what, and where it goes.

use bson::{doc, oid::ObjectId};
use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1::{
    Attachment, ListAfterRequest, ListConversationsRequest, ListMessagesRequest,
    SendMessageRequest, list_messages_request::Target as Of, send_message_request::Target,
};
use tonic::{Code, Request};

use crate::support::{
    as_service, as_user, assert_failed, eventually, phone, start, start_alone, text, to,
};

#[tokio::test]
async fn answer_and_history_show_the_message_as_it_was_sent() {
    let suite = start().await;
    let pair = suite.pair().await;
    let attachment = Attachment {
        url: "/api/files/1".to_owned(),
        name: Some("voice.ogg".to_owned()),
        file_type: Some("voice".to_owned()),
        duration_seconds: Some(7),
    };
    let request = SendMessageRequest {
        r#type: "voice".to_owned(),
        attachment: Some(attachment.clone()),
        client_id: Some("\"c1\"".to_owned()),
        origin_id: Some(ObjectId::new().to_hex()),
        ..text(pair.conversation, "listen, 📎 $content")
    };
    let sent = suite.send(pair.ada, request.clone()).await.expect("sent");
    assert!(!sent.is_repetition);
    let message = sent.message.expect("a message");
    assert_eq!(message.id, request.message_id);
    assert_eq!(message.conversation_id, pair.conversation.to_string());
    assert_eq!((message.seq, message.previous_created_at), (1, None));
    assert_eq!(message.sender_id, pair.ada.to_string());
    assert_eq!(message.recipient_id, Some(pair.grace.to_string()));
    assert_eq!((&message.content, message.r#type.as_str()), (&request.content, "voice"));
    assert_eq!(message.attachment, Some(attachment));
    assert_eq!((&message.client_id, &message.origin_id), (&request.client_id, &request.origin_id));

    let target = Some(Of::ConversationId(pair.conversation.to_string()));
    let request = ListMessagesRequest { target, ..ListMessagesRequest::default() };
    let listed = suite.messages().list_messages(as_user(pair.grace, request)).await;
    assert_eq!(listed.expect("a page").into_inner().messages, [message]);
}

#[tokio::test]
async fn sending_to_a_user_opens_the_direct_conversation() {
    let suite = start().await;
    let ((ada, ada_phone), (grace, _)) = (suite.user().await, suite.user().await);
    let first = suite.send(ada, to(Target::UserId(grace.to_string()), "hi")).await.expect("sent");
    let second = suite.send(grace, to(Target::Contact(ada_phone), "hello")).await.expect("sent");
    let third = suite.send(grace, to(Target::Contact(ada.to_string()), "you")).await.expect("sent");
    let sent = [first, second, third].map(|sent| sent.message.expect("a message"));
    assert_eq!(sent.clone().map(|message| message.seq), [1, 2, 3]);
    let conversation = suite.open(ada, grace).await.to_string();
    assert!(sent.iter().all(|message| message.conversation_id == conversation));
    let (ada, grace) = (Some(ada.to_string()), Some(grace.to_string()));
    assert_eq!(sent.map(|message| message.recipient_id), [grace, ada.clone(), ada]);
}

#[tokio::test]
async fn sending_to_oneself_is_refused() {
    let suite = start().await;
    let (ada, phone) = suite.user().await;
    for target in
        [Target::UserId(ada.to_string()), Target::Contact(ada.to_string()), Target::Contact(phone)]
    {
        let refused = suite.send(ada, to(target, "hi")).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
    suite.assert_stored(None, 0).await;
}

#[tokio::test]
async fn unknown_user_or_contact_is_user_not_found() {
    let suite = start().await;
    let (ada, _) = suite.user().await;
    for target in [
        Target::UserId(UserId::new().to_string()),
        Target::Contact(UserId::new().to_string()),
        Target::Contact(phone()),
        Target::Contact("nobody@example.org".to_owned()),
        Target::Contact(String::new()),
    ] {
        let refused = suite.send(ada, to(target, "hi")).await;
        assert_failed(refused, Code::NotFound, "user_not_found");
    }
    suite.assert_stored(None, 0).await;
}

#[tokio::test]
async fn stranger_cannot_send() {
    let suite = start().await;
    let pair = suite.pair().await;
    let (stranger, _) = suite.user().await;
    let refused = suite.send(stranger, text(pair.conversation, "hi")).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    suite.assert_stored(None, 0).await;
}

#[tokio::test]
async fn removed_member_cannot_send_whatever_the_replica_remembers() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.say(pair.grace, pair.conversation, "still here").await;
    let removal = doc! { "$pull": { "member_ids": pair.grace } };
    suite.change_conversation(pair.conversation, removal).await;
    let refused = suite.send(pair.grace, text(pair.conversation, "and now?")).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    suite.assert_stored(None, 1).await;
}

#[tokio::test]
async fn nobody_posts_in_a_pending_declined_or_blocked_conversation() {
    let suite = start().await;
    let pair = suite.pair().await;
    for status in ["pending", "declined", "blocked"] {
        let change = doc! { "$set": { "status": status } };
        suite.change_conversation(pair.conversation, change).await;
        for (sender, other) in [(pair.ada, pair.grace), (pair.grace, pair.ada)] {
            let refused = suite.send(sender, text(pair.conversation, "hi")).await;
            assert_failed(refused, Code::PermissionDenied, "forbidden");
            let refused = suite.send(sender, to(Target::UserId(other.to_string()), "hi")).await;
            assert_failed(refused, Code::PermissionDenied, "forbidden");
        }
    }
    suite.assert_stored(None, 0).await;
    let change = doc! { "$set": { "status": "active" } };
    suite.change_conversation(pair.conversation, change).await;
    suite.say(pair.grace, pair.conversation, "now").await;
}

#[tokio::test]
async fn unknown_conversation_is_conversation_not_found() {
    let suite = start().await;
    let (ada, _) = suite.user().await;
    let refused = suite.send(ada, text(ConversationId::new(), "hi")).await;
    assert_failed(refused, Code::NotFound, "conversation_not_found");
}

#[tokio::test]
async fn malformed_ids_are_refused() {
    let suite = start().await;
    let pair = suite.pair().await;
    let good = text(pair.conversation, "hi");
    for id in ["", "65f0", "{\"$gt\": \"\"}", "zzzzzzzzzzzzzzzzzzzzzzzz"] {
        let target = Target::ConversationId(id.to_owned());
        let refused = suite.send(pair.ada, to(target, "hi")).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_conversation_id");
        for broken in [
            to(Target::UserId(id.to_owned()), "hi"),
            SendMessageRequest { message_id: id.to_owned(), ..good.clone() },
            SendMessageRequest { origin_id: Some(id.to_owned()), ..good.clone() },
        ] {
            let refused = suite.send(pair.ada, broken).await;
            assert_failed(refused, Code::InvalidArgument, "invalid_id");
        }
    }
    suite.assert_stored(None, 0).await;
}

#[tokio::test]
async fn too_long_counts_utf16_units() {
    let suite = start().await;
    let pair = suite.pair().await;
    for content in ["a".repeat(4000), "ä".repeat(4000), "😀".repeat(2000)] {
        suite.say(pair.ada, pair.conversation, &content).await;
    }
    for content in ["a".repeat(4001), "😀".repeat(2000) + "a", "😀".repeat(2001)] {
        let refused = suite.send(pair.ada, text(pair.conversation, &content)).await;
        assert_failed(refused, Code::InvalidArgument, "too_long");
    }
    suite.assert_stored(None, 3).await;
}

#[tokio::test]
async fn neither_text_nor_file() {
    let suite = start().await;
    let pair = suite.pair().await;
    let empty = text(pair.conversation, "");
    let refused = suite.send(pair.ada, empty.clone()).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    let nowhere = SendMessageRequest { attachment: Some(Attachment::default()), ..empty.clone() };
    let refused = suite.send(pair.ada, nowhere).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    suite.assert_stored(None, 0).await;
    let attachment = Attachment { url: "/1".to_owned(), ..Attachment::default() };
    let file = SendMessageRequest { attachment: Some(attachment), ..empty };
    suite.send(pair.ada, file).await.expect("a file is enough");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let suite = start().await;
    let pair = suite.pair().await;
    let good = text(pair.conversation, "hi");
    let file = |change: fn(&mut Attachment)| {
        let mut attachment = Attachment { url: "/1".to_owned(), ..Attachment::default() };
        change(&mut attachment);
        Some(attachment)
    };
    for broken in [
        SendMessageRequest { target: None, ..good.clone() },
        SendMessageRequest { r#type: "sticker".to_owned(), ..good.clone() },
        SendMessageRequest { client_id: Some("c".repeat(513)), ..good.clone() },
        SendMessageRequest { attachment: file(|file| file.url = "u".repeat(2049)), ..good.clone() },
        SendMessageRequest {
            attachment: file(|file| file.name = Some("n".repeat(513))),
            ..good.clone()
        },
        SendMessageRequest {
            attachment: file(|file| file.file_type = Some("t".repeat(513))),
            ..good.clone()
        },
    ] {
        let refused = suite.send(pair.ada, broken).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
    suite.assert_stored(None, 0).await;
}

#[tokio::test]
async fn call_without_identity_is_unauthenticated() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut messages = suite.messages();
    let target = Some(Of::ConversationId(pair.conversation.to_string()));
    let list = ListMessagesRequest { target, ..ListMessagesRequest::default() };
    let refusals = [
        messages.send_message(Request::new(text(pair.conversation, "hi"))).await.err(),
        messages.list_messages(Request::new(list)).await.err(),
        messages.list_after(Request::new(ListAfterRequest::default())).await.err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.expect("a refusal").code(), Code::Unauthenticated);
    }
    suite.assert_stored(None, 0).await;
}

#[tokio::test]
async fn service_is_nobody_who_could_send_or_read() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut messages = suite.messages();
    let refused = messages.send_message(as_service(text(pair.conversation, "hi"))).await;
    assert_eq!(refused.expect_err("a service").code(), Code::Unauthenticated);
    for target in
        [Of::ConversationId(pair.conversation.to_string()), Of::UserId(pair.ada.to_string())]
    {
        let list = ListMessagesRequest { target: Some(target), ..ListMessagesRequest::default() };
        let refused = messages.list_messages(as_service(list)).await;
        assert_eq!(refused.expect_err("a service").code(), Code::Unauthenticated);
    }
    suite.assert_stored(None, 0).await;
}

#[tokio::test]
async fn lists_of_both_show_the_newest_message_whole() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.say(pair.ada, pair.conversation, "first").await;
    let newest = suite.say(pair.grace, pair.conversation, &"📎".repeat(2000)).await;
    for user in [pair.ada, pair.grace] {
        // The answer waits a moment for the preview; a slow one comes later.
        eventually("the list shows the newest message", async || {
            let request = as_user(user, ListConversationsRequest::default());
            let listed = suite.conversations.clone().list_conversations(request).await;
            let mut listed = listed.expect("a list").into_inner().conversations;
            let preview = listed.pop().and_then(|shown| shown.last_message);
            preview.is_some_and(|preview| {
                preview.message_id == newest.id
                    && preview.content == "📎".repeat(2000)
                    && preview.created_at == newest.created_at
            })
        })
        .await;
    }
}

#[tokio::test]
async fn send_is_unavailable_while_conversations_cannot_be_asked() {
    let suite = start_alone().await;
    for target in [
        Target::ConversationId(ConversationId::new().to_string()),
        Target::UserId(UserId::new().to_string()),
    ] {
        let refused = suite.send(UserId::new(), to(target, "hi")).await;
        assert_failed(refused, Code::Unavailable, "unavailable");
    }
    let after = ListAfterRequest {
        conversation_id: ConversationId::new().to_string(),
        limit: 1,
        ..ListAfterRequest::default()
    };
    let listed =
        suite.messages().list_after(as_service(after)).await.expect("needs no conversation");
    assert_eq!(listed.into_inner().messages, []);
}
