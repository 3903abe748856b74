//! Reading on: whom it moves, how far, and who hears of it.

use bson::{DateTime, doc};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{
    Event, MarkReadRequest, MarkReadResponse, ReadAdvanced, ReadMessageSet, ReadNumber, ReadUntil,
    event::Payload, mark_read_request::Target,
};
use futures_util::TryStreamExt as _;
use tonic::{Code, Status};

use crate::support::{
    Ear, Suite, as_user, assert_failed, at, listen, make_group, start, start_two, stored_message,
};

async fn marked(suite: &Suite, reader: UserId, target: Target) -> Result<MarkReadResponse, Status> {
    let request = MarkReadRequest { target: Some(target) };
    Ok(suite.messages().mark_read(as_user(reader, request)).await?.into_inner())
}

async fn mark(suite: &Suite, reader: UserId, target: Target) -> Result<i64, Status> {
    Ok(marked(suite, reader, target).await?.read_seq)
}

fn set(conversation: ConversationId, ids: &[&str]) -> Target {
    let message_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    Target::Messages(ReadMessageSet { conversation_id: conversation.to_string(), message_ids })
}

fn until(conversation: ConversationId, at: DateTime) -> Target {
    let at = Some(to_timestamp(at));
    Target::Until(ReadUntil { conversation_id: conversation.to_string(), at })
}

fn number(conversation: ConversationId, seq: i64) -> Target {
    Target::Number(ReadNumber { conversation_id: conversation.to_string(), seq })
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
async fn reading_of_many_messages_names_them_all_in_parts() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 450).await;
    let mut ear = listen(pair.conversation).await;
    let to_the_end = Target::ConversationId(pair.conversation.to_string());
    assert_eq!(mark(&suite, pair.grace, to_the_end).await.expect("read"), 450);
    let mut named = Vec::new();
    for (previous, seq) in [(0, 200), (200, 400), (400, 450)] {
        let (_, advanced) = hear(&mut ear, pair.grace).await;
        assert_eq!((advanced.previous_seq, advanced.seq), (previous, seq));
        assert_eq!(advanced.read_at, Some(to_timestamp(at(seq))));
        let [read] = &advanced.messages[..] else { panic!("one sender") };
        assert_eq!(read.sender_id, pair.ada.to_string());
        named.extend(read.message_ids.clone());
    }
    let in_order = suite.stored().find(doc! {}).sort(doc! { "seq": 1 }).await.expect("messages");
    let stored: Vec<_> = in_order.try_collect().await.expect("messages");
    assert_eq!(named, stored.iter().map(|stored| stored.id.to_string()).collect::<Vec<_>>());
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
    for target in [
        message(&sent.id),
        Target::ConversationId(pair.conversation.to_string()),
        set(pair.conversation, &[&sent.id]),
        until(pair.conversation, DateTime::now()),
        number(pair.conversation, 1),
    ] {
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
    assert_failed(mark(&suite, pair.ada, nowhere).await, Code::NotFound, "conversation_not_found");
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

#[tokio::test]
async fn reading_to_a_time_goes_to_the_newest_message_of_it() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 5).await;
    let mut ear = listen(pair.conversation).await;
    let second = DateTime::from_millis(at(3).timestamp_millis() - 1);
    for (time, read_seq, has_advanced) in [
        (at(0), 0, false),
        (second, 2, true),
        (at(3), 3, true),
        (second, 3, false),
        (DateTime::from_millis(i64::MAX / 2), 5, true),
    ] {
        let read = marked(&suite, pair.grace, until(pair.conversation, time)).await.expect("read");
        assert_eq!((read.read_seq, read.has_advanced), (read_seq, has_advanced), "{time}");
    }
    for (previous, seq) in [(0, 2), (2, 3), (3, 5)] {
        let (_, advanced) = hear(&mut ear, pair.grace).await;
        assert_eq!((advanced.previous_seq, advanced.seq), (previous, seq));
        assert_eq!(
            advanced.read_at,
            Some(to_timestamp(at(seq))),
            "of the message, not of the call"
        );
    }
}

#[tokio::test]
async fn reading_to_a_number_goes_no_further_than_the_last() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 3).await;
    for (seq, read_seq) in [(-1, 0), (0, 0), (2, 2), (1, 2), (i64::MAX, 3)] {
        let read = mark(&suite, pair.grace, number(pair.conversation, seq)).await;
        assert_eq!(read.expect("read"), read_seq);
    }
}

#[tokio::test]
async fn reading_of_named_messages_goes_to_the_newest_that_counts() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ids = Vec::new();
    for sender in [pair.ada, pair.ada, pair.ada, pair.grace] {
        ids.push(suite.say(sender, pair.conversation, "hi").await.id);
    }
    let elsewhere = suite.open(pair.grace, suite.user().await.0).await;
    let foreign = suite.say(pair.grace, elsewhere, "there").await.id;
    let unknown = MessageId::new().to_string();
    let named = set(pair.conversation, &[&ids[1], &ids[0], &ids[3], &foreign, &unknown]);
    let read = marked(&suite, pair.grace, named).await.expect("read");
    assert_eq!((read.read_seq, read.has_advanced), (2, true), "her own counts for nothing");
    for none in [set(pair.conversation, &[&foreign, &unknown]), set(pair.conversation, &[])] {
        let read = marked(&suite, pair.grace, none).await.expect("nothing to read");
        assert_eq!((read.read_seq, read.has_advanced), (2, false));
    }
    let too_many = vec![&*unknown; 1001];
    let refused = mark(&suite, pair.grace, set(pair.conversation, &too_many)).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}
