//! Repetitions: by message id, by client id, and what only looks like one.

use std::collections::BTreeSet;

use chat_kit::id::MessageId;
use chat_proto::v1::{
    BlockUserRequest, SendMessageRequest, SendMessageResponse, UnblockUserRequest,
    send_message_request::Target,
};
use futures_util::future::join_all;
use tonic::Code;

use crate::support::{as_user, assert_failed, listen, make_group, start, start_two, text};

#[tokio::test]
async fn repeated_message_id_without_client_id_is_a_repetition() {
    let suite = start().await;
    let pair = suite.pair().await;
    let request = text(pair.conversation, "once");
    let first = suite.send(pair.ada, request.clone()).await.expect("sent");
    suite.say(pair.grace, pair.conversation, "between").await;
    let changed = SendMessageRequest { content: "twice".to_owned(), ..request };
    let second = suite.send(pair.ada, changed).await.expect("sent");
    assert!(second.is_repetition);
    assert_eq!(second.message, first.message, "the first message counts");
    suite.assert_stored(None, 2).await;
    let next = suite.say(pair.ada, pair.conversation, "next").await;
    assert_eq!(next.seq, 3, "a repetition takes no number");
}

#[tokio::test]
async fn repeated_client_id_with_a_new_message_id_is_a_repetition() {
    let suite = start().await;
    let pair = suite.pair().await;
    let named = |content| SendMessageRequest {
        client_id: Some("\"c1\"".to_owned()),
        ..text(pair.conversation, content)
    };
    let first = suite.send(pair.ada, named("once")).await.expect("sent");
    let second = suite.send(pair.ada, named("twice")).await.expect("sent");
    assert!(second.is_repetition);
    assert_eq!(second.message, first.message, "the first message counts");
    let other = suite.send(pair.grace, named("mine")).await.expect("sent");
    assert!(!other.is_repetition, "another sender has client ids of his own");
    suite.assert_stored(None, 2).await;
}

#[tokio::test]
async fn message_id_of_another_message_is_refused() {
    let suite = start().await;
    let pair = suite.pair().await;
    let (third, _) = suite.user().await;
    let elsewhere = suite.open(pair.ada, third).await;
    let first = SendMessageRequest {
        client_id: Some("\"c1\"".to_owned()),
        ..text(pair.conversation, "first")
    };
    suite.send(pair.ada, first.clone()).await.expect("sent");
    let other_client_id =
        SendMessageRequest { client_id: Some("\"c2\"".to_owned()), ..first.clone() };
    let without_client_id = SendMessageRequest { client_id: None, ..first.clone() };
    let in_another_conversation =
        SendMessageRequest { message_id: first.message_id.clone(), ..text(elsewhere, "first") };
    for (sender, request) in [
        (pair.grace, first.clone()),
        (pair.ada, other_client_id),
        (pair.ada, without_client_id),
        (pair.ada, in_another_conversation.clone()),
        (third, in_another_conversation),
    ] {
        let refused = suite.send(sender, request).await;
        assert_failed(refused, Code::AlreadyExists, "message_id_in_use");
    }
    suite.assert_stored(None, 1).await;
}

#[tokio::test]
async fn client_id_names_the_first_message_even_under_another_message_s_id() {
    let suite = start().await;
    let pair = suite.pair().await;
    let first = SendMessageRequest {
        client_id: Some("\"c1\"".to_owned()),
        ..text(pair.conversation, "first")
    };
    let sent = suite.send(pair.ada, first.clone()).await.expect("sent");
    let second = suite.say(pair.ada, pair.conversation, "second").await;
    let mixed = SendMessageRequest { message_id: second.id, ..first };
    let answer = suite.send(pair.ada, mixed).await.expect("sent");
    assert_eq!((answer.is_repetition, answer.message), (true, sent.message));
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_repetitions_on_two_replicas_store_one_message() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    for client_id in [None, Some("\"c1\"".to_owned())] {
        let request = SendMessageRequest { client_id, ..text(pair.conversation, "once") };
        let sends = (0..20).map(|number| {
            let mut replica = suite.replicas[number % 2].clone();
            let request = as_user(pair.ada, request.clone());
            async move { replica.send_message(request).await.expect("sent").into_inner() }
        });
        let answers: Vec<SendMessageResponse> = join_all(sends).await;
        assert_eq!(answers.iter().filter(|answer| !answer.is_repetition).count(), 1);
        let ids: BTreeSet<String> =
            answers.into_iter().map(|answer| answer.message.expect("a message").id).collect();
        assert_eq!(ids.len(), 1);
    }
    suite.assert_stored(None, 2).await;
}

#[tokio::test]
async fn repetition_is_not_announced_again() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ear = listen(pair.conversation).await;
    let request = text(pair.conversation, "once");
    for is_repetition in [false, true, true] {
        let sent = suite.send(pair.ada, request.clone()).await.expect("sent");
        assert_eq!(sent.is_repetition, is_repetition);
    }
    suite.say(pair.ada, pair.conversation, "next").await;
    assert_eq!([ear.hear().await.1.seq, ear.hear().await.1.seq], [1, 2]);
}

#[tokio::test]
async fn what_was_stored_is_answered_again_though_it_could_not_be_sent_any_more() {
    let suite = start().await;
    let pair = suite.pair().await;
    let (third, _) = suite.user().await;
    let named = |content: &str| SendMessageRequest {
        client_id: Some(format!("\"{content}\"")),
        ..text(pair.conversation, content)
    };
    let to_her = |content| {
        let target = Some(Target::UserId(pair.grace.to_string()));
        SendMessageRequest { target, ..named(content) }
    };
    let again = async |request: SendMessageRequest, first: &SendMessageResponse| {
        let request = SendMessageRequest { message_id: MessageId::new().to_string(), ..request };
        let answer = suite.send(pair.ada, request).await.expect("answered");
        assert_eq!((answer.is_repetition, &answer.message), (true, &first.message));
    };
    let first = suite.send(pair.ada, named("once")).await.expect("sent");

    let block = BlockUserRequest { user_id: pair.ada.to_string() };
    suite.conversations.clone().block_user(as_user(pair.grace, block)).await.expect("blocked");
    again(named("once"), &first).await;
    again(to_her("once"), &first).await;
    let unnamed = SendMessageRequest { client_id: None, ..named("once") };
    for request in [named("never"), to_her("never"), unnamed] {
        assert_failed(suite.send(pair.ada, request).await, Code::PermissionDenied, "forbidden");
    }
    let another_s = suite.send(pair.grace, named("once")).await;
    assert_failed(another_s, Code::PermissionDenied, "forbidden");
    let lift = UnblockUserRequest { user_id: pair.ada.to_string() };
    suite.conversations.clone().unblock_user(as_user(pair.grace, lift)).await.expect("lifted");

    make_group(&suite, pair.conversation, &[pair.ada, pair.grace, third]).await;
    let to_third =
        |content| SendMessageRequest { mention_ids: vec![third.to_string()], ..named(content) };
    let mentioned = suite.send(pair.ada, to_third("hi")).await.expect("sent");
    make_group(&suite, pair.conversation, &[pair.ada, pair.grace]).await;
    again(to_third("hi"), &mentioned).await;
    let refused = suite.send(pair.ada, to_third("ho")).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");

    make_group(&suite, pair.conversation, &[pair.grace]).await;
    for request in [named("once"), to_third("hi")] {
        let refused = suite.send(pair.ada, request).await;
        assert_failed(refused, Code::PermissionDenied, "forbidden");
    }
    suite.assert_stored(None, 2).await;
}
