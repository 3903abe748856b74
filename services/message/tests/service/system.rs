//! Messages that say what happened: they are numbered, stored and announced like any other.

use chat_kit::id::{ConversationId, MessageId, UserId};
use chat_proto::v1::{
    ListMessagesRequest, SendMessageRequest, SendSystemMessageRequest, SendSystemMessageResponse,
    SystemNote, list_messages_request::Target,
};
use tonic::{Code, Status};

use crate::support::{Suite, as_service, as_user, assert_failed, listen, make_group, start, text};

fn happening(conversation: ConversationId, actor: UserId) -> SendSystemMessageRequest {
    SendSystemMessageRequest {
        conversation_id: conversation.to_string(),
        message_id: MessageId::new().to_string(),
        actor_id: actor.to_string(),
        content: "Ada removed Grace".to_owned(),
        note: Some(SystemNote { kind: "member_removed".to_owned(), user_ids: vec![] }),
    }
}

async fn send(
    suite: &Suite,
    request: SendSystemMessageRequest,
) -> Result<SendSystemMessageResponse, Status> {
    Ok(suite.messages().send_system_message(as_service(request)).await?.into_inner())
}

#[tokio::test]
async fn what_happened_is_a_message_in_its_order() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ear = listen(pair.conversation).await;
    suite.say(pair.grace, pair.conversation, "hi").await;
    make_group(&suite, pair.conversation, &[pair.ada]).await;
    let note =
        SystemNote { kind: "member_removed".to_owned(), user_ids: vec![pair.grace.to_string()] };
    let request = SendSystemMessageRequest {
        note: Some(note.clone()),
        ..happening(pair.conversation, pair.ada)
    };
    let sent = send(&suite, request.clone()).await.expect("sent");
    let message = sent.message.expect("a message");
    assert_eq!((message.seq, message.r#type.as_str()), (2, "system"));
    assert_eq!((&message.sender_id, &message.content), (&request.actor_id, &request.content));
    assert_eq!((&message.system, &message.recipient_id), (&Some(note), &None));

    ear.hear().await;
    let (event, heard) = ear.hear().await;
    assert_eq!(heard, message);
    assert_eq!(event.recipient_ids, [pair.ada.to_string()], "who is a member now");
    let target = Some(Target::ConversationId(pair.conversation.to_string()));
    let history = ListMessagesRequest { target, ..Default::default() };
    let listed = suite.messages().list_messages(as_user(pair.ada, history)).await;
    assert_eq!(listed.expect("a page").into_inner().messages[1], message);
    assert_eq!(suite.say(pair.ada, pair.conversation, "well").await.seq, 3);
}

#[tokio::test]
async fn repeated_happening_answers_the_first_message() {
    let suite = start().await;
    let pair = suite.pair().await;
    let request = happening(pair.conversation, pair.ada);
    let first = send(&suite, request.clone()).await.expect("sent");
    let second = send(&suite, request).await.expect("answered");
    assert!(!first.is_repetition && second.is_repetition);
    assert_eq!(first.message, second.message);
    suite.assert_stored(Some(pair.conversation), 1).await;
}

#[tokio::test]
async fn whoever_did_it_need_not_be_a_member_any_more() {
    let suite = start().await;
    let pair = suite.pair().await;
    make_group(&suite, pair.conversation, &[pair.ada]).await;
    send(&suite, happening(pair.conversation, pair.grace)).await.expect("sent");
}

#[tokio::test]
async fn users_send_no_system_messages() {
    let suite = start().await;
    let pair = suite.pair().await;
    let request = as_user(pair.ada, happening(pair.conversation, pair.ada));
    let refused = suite.messages().send_system_message(request).await.expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied);
    let r#type = "system".to_owned();
    let request = SendMessageRequest { r#type, ..text(pair.conversation, "Ada is admin now") };
    let refused = suite.send(pair.ada, request).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    suite.assert_stored(None, 0).await;
}

#[tokio::test]
async fn happening_without_text_kind_or_conversation_is_refused() {
    let suite = start().await;
    let pair = suite.pair().await;
    let valid = happening(pair.conversation, pair.ada);
    let many = SystemNote {
        kind: "member_added".to_owned(),
        user_ids: (0..1001).map(|_| UserId::new().to_string()).collect(),
    };
    let long = SystemNote { kind: "k".repeat(600), user_ids: vec![] };
    for (request, reason) in [
        (SendSystemMessageRequest { content: String::new(), ..valid.clone() }, "validation_error"),
        (SendSystemMessageRequest { note: None, ..valid.clone() }, "validation_error"),
        (SendSystemMessageRequest { note: Some(many), ..valid.clone() }, "validation_error"),
        (SendSystemMessageRequest { note: Some(long), ..valid.clone() }, "validation_error"),
        (SendSystemMessageRequest { content: "x".repeat(4001), ..valid.clone() }, "too_long"),
        (SendSystemMessageRequest { actor_id: "ada".to_owned(), ..valid.clone() }, "invalid_id"),
        (SendSystemMessageRequest { message_id: String::new(), ..valid }, "invalid_id"),
    ] {
        assert_failed(send(&suite, request).await, Code::InvalidArgument, reason);
    }
    let nowhere = happening(ConversationId::new(), pair.ada);
    assert_failed(send(&suite, nowhere).await, Code::NotFound, "conversation_not_found");
}
