//! Reading on: whom it moves, how far, and who hears of it.

use chat_kit::id::{MessageId, UserId};
use chat_proto::v1::{
    Event, MarkReadRequest, ReadAdvanced, event::Payload, mark_read_request::Target,
};
use tonic::{Code, Status};

use crate::support::{
    Ear, Suite, as_user, assert_failed, listen, make_group, start, start_two, stored_message,
};

async fn mark(suite: &Suite, reader: UserId, target: Target) -> Result<i64, Status> {
    let request = MarkReadRequest { target: Some(target) };
    Ok(suite.messages().mark_read(as_user(reader, request)).await?.into_inner().read_seq)
}

fn message(id: &str) -> Target {
    Target::MessageId(id.to_owned())
}

async fn hear(ear: &mut Ear, reader: UserId) -> (Event, ReadAdvanced) {
    let reader = reader.to_string();
    ear.hear_of(|event| match &event.payload {
        Some(Payload::ReadAdvanced(advanced)) if advanced.user_id == reader => {
            Some((event.clone(), advanced.clone()))
        }
        _ => None,
    })
    .await
}

#[tokio::test]
async fn reading_advances_to_the_message_and_its_senders_hear_which() {
    let suite = start().await;
    let pair = suite.pair().await;
    let first = suite.say(pair.ada, pair.conversation, "1").await;
    suite.say(pair.grace, pair.conversation, "2").await;
    let third = suite.say(pair.ada, pair.conversation, "3").await;
    let fourth = suite.say(pair.ada, pair.conversation, "4").await;
    let mut ear = listen(pair.conversation).await;

    let read = mark(&suite, pair.grace, message(&third.id)).await;
    assert_eq!(read.expect("read"), 3);
    let (event, advanced) = hear(&mut ear, pair.grace).await;
    assert_eq!((advanced.previous_seq, advanced.seq), (0, 3));
    assert_eq!(advanced.read_at, third.created_at);
    assert_eq!(advanced.conversation_id, pair.conversation.to_string());
    assert_eq!(advanced.messages.len(), 1, "of one's own nobody is told");
    assert_eq!(advanced.messages[0].sender_id, pair.ada.to_string());
    assert_eq!(advanced.messages[0].message_ids, [first.id.clone(), third.id]);
    assert_eq!(event.recipient_ids.len(), 2);

    let to_the_end = Target::ConversationId(pair.conversation.to_string());
    assert_eq!(mark(&suite, pair.grace, to_the_end).await.expect("read"), 4);
    let (_, advanced) = hear(&mut ear, pair.grace).await;
    assert_eq!((advanced.previous_seq, advanced.seq), (3, 4));
    assert_eq!(advanced.messages[0].message_ids, [fourth.id]);
    assert_eq!(mark(&suite, pair.grace, message(&first.id)).await.expect("read"), 4, "never back");
}

#[tokio::test]
async fn reading_of_several_senders_is_told_to_each() {
    let suite = start().await;
    let (pair, (joan, _)) = (suite.pair().await, suite.user().await);
    make_group(&suite, pair.conversation, &[pair.ada, pair.grace, joan]).await;
    let mut expected = Vec::new();
    for sender in [pair.ada, pair.grace, pair.ada] {
        let sent = suite.say(sender, pair.conversation, "hi").await;
        expected.push((sender.to_string(), sent.id));
    }
    let mut ear = listen(pair.conversation).await;
    mark(&suite, joan, message(&expected[2].1)).await.expect("read");
    let (_, advanced) = hear(&mut ear, joan).await;
    let mut told: Vec<_> = advanced
        .messages
        .iter()
        .flat_map(|read| read.message_ids.iter().map(|id| (read.sender_id.clone(), id.clone())))
        .collect();
    told.sort_by(|one, other| one.1.cmp(&other.1));
    expected.sort_by(|one, other| one.1.cmp(&other.1));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn receipt_names_the_newest_messages_where_there_are_many() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 450).await;
    let mut ear = listen(pair.conversation).await;
    let to_the_end = Target::ConversationId(pair.conversation.to_string());
    assert_eq!(mark(&suite, pair.grace, to_the_end).await.expect("read"), 450);
    let (_, advanced) = hear(&mut ear, pair.grace).await;
    assert_eq!(advanced.messages[0].message_ids.len(), 200);
}

#[tokio::test]
async fn own_message_is_read_without_effect() {
    let suite = start().await;
    let pair = suite.pair().await;
    let own = suite.say(pair.ada, pair.conversation, "1").await;
    assert_eq!(mark(&suite, pair.ada, message(&own.id)).await.expect("no failure"), 0);
    assert_eq!(mark(&suite, pair.grace, message(&own.id)).await.expect("read"), 1);
}

#[tokio::test]
async fn stranger_and_removed_member_read_nothing() {
    let suite = start().await;
    let (pair, (stranger, _)) = (suite.pair().await, suite.user().await);
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    for target in [message(&sent.id), Target::ConversationId(pair.conversation.to_string())] {
        let refused = mark(&suite, stranger, target).await;
        assert_failed(refused, Code::PermissionDenied, "forbidden");
    }
    make_group(&suite, pair.conversation, &[pair.ada]).await;
    let refused = mark(&suite, pair.grace, message(&sent.id)).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
}

#[tokio::test]
async fn what_does_not_exist_is_not_read() {
    let suite = start().await;
    let pair = suite.pair().await;
    let nothing = mark(&suite, pair.ada, message(&MessageId::new().to_string())).await;
    assert_failed(nothing, Code::NotFound, "not_found");
    let nowhere = Target::ConversationId(MessageId::new().to_string());
    assert_failed(mark(&suite, pair.ada, nowhere).await, Code::NotFound, "not_found");
    let refused = mark(&suite, pair.ada, message("m1")).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_id");
    let empty = suite.messages().mark_read(as_user(pair.ada, MarkReadRequest::default())).await;
    assert_failed(empty, Code::InvalidArgument, "validation_error");
    let empty = Target::ConversationId(pair.conversation.to_string());
    assert_eq!(mark(&suite, pair.ada, empty).await.expect("nothing to read"), 0);
}

#[tokio::test]
async fn of_many_readings_at_once_every_part_is_announced_once() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    let messages: Vec<_> =
        (1..=20).map(|seq| stored_message(pair.conversation, pair.ada, seq)).collect();
    suite.stored().insert_many(&messages).await.expect("inserted");
    let mut ear = listen(pair.conversation).await;
    let marks = messages.iter().enumerate().map(async |(at, stored)| {
        let target = Some(message(&stored.id.to_string()));
        let mut replica = suite.replicas[at % 2].clone();
        replica.mark_read(as_user(pair.grace, MarkReadRequest { target })).await.expect("read")
    });
    futures_util::future::join_all(marks).await;
    let mut parts = Vec::new();
    while parts.iter().map(|(from, to)| to - from).sum::<i64>() < 20 {
        let (_, advanced) = hear(&mut ear, pair.grace).await;
        parts.push((advanced.previous_seq, advanced.seq));
    }
    parts.sort_unstable();
    let ends: Vec<i64> = parts.iter().map(|(_, to)| *to).collect();
    let begins: Vec<i64> = parts.iter().map(|(from, _)| *from).collect();
    assert_eq!(begins[0], 0);
    assert_eq!(begins[1..], ends[..ends.len() - 1], "no part twice, none left out");
}
