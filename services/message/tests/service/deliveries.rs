//! What has reached somebody: whose messages it says so of, how far, and who hears of it.

use std::{collections::BTreeMap, time::Duration};

use bson::{DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    time::after,
};
use chat_message::store::messages::{OutboxEntry, OutboxKind};
use chat_proto::v1::{
    CatchUpDeliveredRequest, DeleteMessageRequest, DeliveredAdvanced, Event, GetListStatesRequest,
    ListRow, MarkDeliveredRequest, MarkReadRequest, ReceiptCursor, event::Payload,
    mark_read_request::Target,
};
use tonic::{Code, Status};

use crate::support::{
    Ear, Suite, as_user, assert_failed, eventually, listen, make_group, start, start_two,
    stored_message,
};

async fn mark(suite: &Suite, user: UserId, ids: &[&str]) -> Result<Vec<String>, Status> {
    let message_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let request = as_user(user, MarkDeliveredRequest { message_ids });
    let mut delivered = suite.messages().mark_delivered(request).await?.into_inner().message_ids;
    delivered.sort();
    Ok(delivered)
}

/// Waits until lists show a message, which an answer awaits for a moment alone: by lists it is known what
/// came meanwhile.
async fn until_shown(suite: &Suite, conversation: ConversationId, seq: i64) {
    eventually("the list shows it", async || {
        let shown = suite.conversation(conversation).await;
        let last = shown.get_document("last_message").ok();
        last.is_some_and(|last| last.get_i64("seq").is_ok_and(|shown| shown == seq))
    })
    .await;
}

async fn catch_up(suite: &Suite, user: UserId) -> u32 {
    let request = as_user(user, CatchUpDeliveredRequest {});
    let answer = suite.messages().catch_up_delivered(request).await.expect("an answer");
    answer.into_inner().advanced_count
}

/// Waits for the next delivery to somebody.
async fn hear(ear: &mut Ear, user: UserId) -> (Event, DeliveredAdvanced) {
    let user = user.to_string();
    ear.hear_of(|event| match &event.payload {
        Some(Payload::DeliveredAdvanced(advanced)) if advanced.user_id == user => {
            Some((event.clone(), advanced.clone()))
        }
        _ => None,
    })
    .await
}

async fn cursor(
    suite: &Suite,
    conversation: ConversationId,
    user: UserId,
) -> Option<ReceiptCursor> {
    let row = ListRow {
        conversation_id: conversation.to_string(),
        with_all_cursors: false,
        ..ListRow::default()
    };
    let request = as_user(user, GetListStatesRequest { rows: vec![row] });
    let states = suite.messages().get_list_states(request).await.expect("states").into_inner();
    states.rows.into_iter().next().expect("a row").cursors.into_iter().next()
}

/// Asserts that the next delivery to somebody that is heard of is this one, and none came before.
async fn assert_next(ear: &mut Ear, user: UserId, expected: (i64, i64)) {
    let (_, advanced) = hear(ear, user).await;
    assert_eq!((advanced.previous_seq, advanced.seq), expected);
}

#[tokio::test]
async fn delivery_reaches_the_sender_with_the_time_of_his_message_and_once() {
    let suite = start().await;
    let pair = suite.pair().await;
    let first = suite.say(pair.ada, pair.conversation, "1").await;
    let second = suite.say(pair.ada, pair.conversation, "2").await;
    let own = suite.say(pair.grace, pair.conversation, "3").await;
    let mut ear = listen(pair.conversation).await;
    let arrived = mark(&suite, pair.grace, &[&second.id]).await.expect("it");
    assert_eq!(arrived, std::slice::from_ref(&second.id));
    let (event, advanced) = hear(&mut ear, pair.grace).await;
    assert_eq!((advanced.previous_seq, advanced.seq), (0, 2));
    assert_eq!(advanced.delivered_at, second.created_at);
    assert_eq!(advanced.conversation_id, pair.conversation.to_string());
    let [newest] = &advanced.messages[..] else { panic!("one sender") };
    assert_eq!((&newest.message_id, newest.created_at), (&second.id, second.created_at));
    assert_eq!(newest.sender_id, pair.ada.to_string());
    assert_eq!(event.recipient_ids, [pair.ada.to_string()]);
    // Again, earlier, and her own: nothing moves, so that the next one heard of is the fourth.
    mark(&suite, pair.grace, &[&second.id, &second.id]).await.expect("it");
    mark(&suite, pair.grace, &[&first.id]).await.expect("it");
    assert!(mark(&suite, pair.grace, &[&own.id]).await.expect("none").is_empty());
    let fourth = suite.say(pair.ada, pair.conversation, "4").await;
    mark(&suite, pair.grace, &[&fourth.id]).await.expect("it");
    assert_next(&mut ear, pair.grace, (2, 4)).await;
    let cursor = cursor(&suite, pair.conversation, pair.grace).await.expect("a cursor");
    assert_eq!((cursor.delivered_seq, cursor.delivered_at), (4, fourth.created_at));
    assert_eq!((cursor.read_seq, cursor.read_at), (0, None), "delivered is not read");
}

#[tokio::test]
async fn what_is_read_has_been_delivered_and_is_not_told_again() {
    let suite = start().await;
    let pair = suite.pair().await;
    let first = suite.say(pair.ada, pair.conversation, "1").await;
    let target = Target::MessageId(first.id.clone());
    let request = MarkReadRequest { target: Some(target) };
    suite.messages().mark_read(as_user(pair.grace, request)).await.expect("read");
    let mut ear = listen(pair.conversation).await;
    mark(&suite, pair.grace, &[&first.id]).await.expect("it");
    let second = suite.say(pair.ada, pair.conversation, "2").await;
    mark(&suite, pair.grace, &[&second.id]).await.expect("it");
    assert_next(&mut ear, pair.grace, (1, 2)).await;
}

#[tokio::test]
async fn every_sender_hears_of_his_newest_message_unless_he_has_left_or_deleted_it() {
    let suite = start().await;
    let (pair, [joan, edith]) = (suite.pair().await, [suite.user().await.0, suite.user().await.0]);
    let (ada, grace) = (pair.ada, pair.grace);
    make_group(&suite, pair.conversation, &[ada, grace, joan, edith]).await;
    let mut sent = Vec::new();
    for sender in [ada, joan, edith, ada, grace, ada] {
        sent.push(suite.say(sender, pair.conversation, "hi").await);
    }
    let deletion = DeleteMessageRequest { message_id: sent[5].id.clone(), for_caller_alone: false };
    suite.messages().delete_message(as_user(ada, deletion)).await.expect("deleted");
    make_group(&suite, pair.conversation, &[ada, grace, joan]).await;
    let mut ear = listen(pair.conversation).await;
    let ids: Vec<&str> = sent.iter().map(|message| &*message.id).collect();
    assert_eq!(mark(&suite, grace, &ids).await.expect("all but her own").len(), 5);
    let (event, advanced) = hear(&mut ear, grace).await;
    assert_eq!((advanced.previous_seq, advanced.seq), (0, 4), "the last two do not count");
    let told: BTreeMap<_, _> = advanced
        .messages
        .iter()
        .map(|message| (message.sender_id.clone(), message.message_id.clone()))
        .collect();
    let expected = [(ada, 3), (joan, 1), (edith, 2)];
    let expected = expected.map(|(sender, place)| (sender.to_string(), sent[place].id.clone()));
    assert_eq!(told, BTreeMap::from(expected));
    let mut recipients = event.recipient_ids;
    recipients.sort();
    let mut expected = [ada.to_string(), joan.to_string()];
    expected.sort();
    assert_eq!(recipients, expected, "who has left hears nothing");
}

#[tokio::test]
async fn stranger_and_removed_member_deliver_nothing() {
    let suite = start().await;
    let (pair, (stranger, _)) = (suite.pair().await, suite.user().await);
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    assert!(mark(&suite, stranger, &[&sent.id]).await.expect("none").is_empty());
    let unknown = MessageId::new().to_string();
    assert!(mark(&suite, pair.grace, &[&unknown]).await.expect("none").is_empty());
    assert!(mark(&suite, pair.grace, &[]).await.expect("none").is_empty());
    make_group(&suite, pair.conversation, &[pair.ada]).await;
    assert!(mark(&suite, pair.grace, &[&sent.id]).await.expect("none").is_empty());
    for user in [stranger, pair.grace] {
        assert_eq!(catch_up(&suite, user).await, 0);
        assert_eq!(cursor(&suite, pair.conversation, user).await, None);
    }
    let refused = mark(&suite, pair.grace, &["m1"]).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_id");
    let refused = mark(&suite, pair.grace, &vec![&*unknown; 201]).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn catching_up_delivers_what_came_meanwhile_in_own_conversations_alone() {
    let suite = start().await;
    let pair = suite.pair().await;
    let other = suite.open(pair.grace, suite.user().await.0).await;
    let quiet = suite.open(pair.grace, suite.user().await.0).await;
    let foreign = suite.pair().await;
    suite.say(foreign.ada, foreign.conversation, "theirs").await;
    suite.say(pair.grace, other, "her own").await;
    let mut newest = None;
    for number in 0..3 {
        newest = Some(suite.say(pair.ada, pair.conversation, &number.to_string()).await);
    }
    suite.say(pair.grace, pair.conversation, "an answer").await;
    until_shown(&suite, pair.conversation, 4).await;
    let mut ear = listen(pair.conversation).await;
    assert_eq!(catch_up(&suite, pair.grace).await, 1);
    let (event, advanced) = hear(&mut ear, pair.grace).await;
    assert_eq!(event.recipient_ids, [pair.ada.to_string()], "of one's own nobody is told");
    assert_eq!((advanced.previous_seq, advanced.seq), (0, 3), "up to the newest of others");
    assert_eq!(advanced.messages.len(), 1);
    assert_eq!(advanced.messages[0].message_id, newest.expect("three").id);
    for (conversation, seq) in [(pair.conversation, 3), (other, 0), (quiet, 0)] {
        let cursor = cursor(&suite, conversation, pair.grace).await.unwrap_or_default();
        assert_eq!((cursor.delivered_seq, cursor.delivered_at.is_some()), (seq, seq > 0));
    }
    assert_eq!(cursor(&suite, foreign.conversation, pair.grace).await, None);
    assert_eq!(catch_up(&suite, pair.grace).await, 0, "nothing is new");
    suite.say(pair.ada, pair.conversation, "5").await;
    until_shown(&suite, pair.conversation, 5).await;
    assert_eq!(catch_up(&suite, pair.grace).await, 1);
    assert_next(&mut ear, pair.grace, (3, 5)).await;
}

#[tokio::test]
async fn catching_up_delivers_what_no_list_shows_yet() {
    let suite = start().await;
    let (pair, foreign) = (suite.pair().await, suite.pair().await);
    // As another replica has just stored them, which is about to announce them.
    for pair in [&pair, &foreign] {
        let mut message = stored_message(pair.conversation, pair.ada, 1);
        let event_id = format!("{}:created:0", message.id);
        let at = after(DateTime::now(), Duration::from_mins(1));
        message.outbox = vec![OutboxEntry { event_id, kind: OutboxKind::Created, at }];
        suite.stored().insert_one(&message).await.expect("inserted");
    }
    let mut ear = listen(pair.conversation).await;
    assert_eq!(catch_up(&suite, pair.grace).await, 1);
    assert_next(&mut ear, pair.grace, (0, 1)).await;
    assert_eq!(cursor(&suite, foreign.conversation, pair.grace).await, None);
}

#[tokio::test]
async fn catching_up_leaves_the_order_of_the_list_alone() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.say(pair.ada, pair.conversation, "1").await;
    until_shown(&suite, pair.conversation, 1).await;
    let before = suite.conversation(pair.conversation).await;
    assert_eq!(catch_up(&suite, pair.grace).await, 1);
    assert_eq!(suite.conversation(pair.conversation).await, before);
}

#[tokio::test]
async fn of_many_deliveries_at_once_every_part_is_announced_once() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    let messages: Vec<_> =
        (1..=20).map(|seq| stored_message(pair.conversation, pair.ada, seq)).collect();
    suite.stored().insert_many(&messages).await.expect("inserted");
    let shown = doc! { "$set": { "replaced_seq": 20_i64 } };
    suite.change_conversation(pair.conversation, shown).await;
    let mut ear = listen(pair.conversation).await;
    let marks = messages.iter().enumerate().map(async |(at, stored)| {
        let mut replica = suite.replicas[at % 2].clone();
        if at % 5 == 4 {
            let request = as_user(pair.grace, CatchUpDeliveredRequest {});
            return replica.catch_up_delivered(request).await.map(drop);
        }
        let message_ids = vec![stored.id.to_string()];
        let request = as_user(pair.grace, MarkDeliveredRequest { message_ids });
        replica.mark_delivered(request).await.map(drop)
    });
    for outcome in futures_util::future::join_all(marks).await {
        outcome.expect("delivered");
    }
    let mut parts = Vec::new();
    while parts.iter().map(|(from, to)| to - from).sum::<i64>() < 20 {
        let (_, advanced) = hear(&mut ear, pair.grace).await;
        parts.push((advanced.previous_seq, advanced.seq));
    }
    parts.sort_unstable();
    let ends: Vec<i64> = parts.iter().map(|(_, to)| *to).collect();
    let begins: Vec<i64> = parts.iter().map(|(from, _)| *from).collect();
    assert_eq!((begins[0], ends[ends.len() - 1]), (0, 20));
    assert_eq!(begins[1..], ends[..ends.len() - 1], "no part twice, none left out");
}

#[tokio::test]
async fn catching_up_costs_as_many_commands_whatever_there_is_to_deliver() {
    let suite = start().await;
    let grace = suite.user().await.0;
    for _ in 0..12 {
        let partner = suite.user().await.0;
        let conversation = suite.open(grace, partner).await;
        suite.say(partner, conversation, "hi").await;
        suite.say(grace, conversation, "hi yourself").await;
        until_shown(&suite, conversation, 2).await;
    }
    suite.take_commands("");
    assert_eq!(catch_up(&suite, grace).await, 12);
    let commands = waited_for(&suite);
    let names: Vec<_> = commands.iter().filter_map(|command| command.keys().next()).collect();
    assert_eq!(names, ["find", "update"]);
    assert_eq!(commands[1].get_array("updates").expect("statements").len(), 12);
    assert_eq!(catch_up(&suite, grace).await, 0);
    assert_eq!(waited_for(&suite).len(), 1, "nothing is new");
}

/// Returns the commands on receipts since the last call, but for those of relays, and those that take out what
/// is announced, for which no call waits.
fn waited_for(suite: &Suite) -> Vec<Document> {
    let mut commands = suite.take_commands("receipts");
    commands.retain(|command| {
        let text = command.to_string();
        !text.contains("outbox.at") && !text.contains("$pull")
    });
    commands
}

#[tokio::test]
async fn sender_behind_many_messages_of_others_hears_of_his_own() {
    let suite = start().await;
    let (pair, joan) = (suite.pair().await, suite.user().await.0);
    make_group(&suite, pair.conversation, &[pair.ada, pair.grace, joan]).await;
    let by = |seq| if seq == 1 { joan } else { pair.ada };
    let messages: Vec<_> =
        (1..=150).map(|seq| stored_message(pair.conversation, by(seq), seq)).collect();
    suite.stored().insert_many(&messages).await.expect("inserted");
    let mut ear = listen(pair.conversation).await;
    mark(&suite, pair.grace, &[&messages[149].id.to_string()]).await.expect("it");
    let (event, advanced) = hear(&mut ear, pair.grace).await;
    let told: Vec<_> = advanced.messages.iter().map(|told| told.message_id.clone()).collect();
    assert_eq!(told, [messages[149].id.to_string(), messages[0].id.to_string()]);
    assert_eq!(event.recipient_ids, [pair.ada.to_string(), joan.to_string()]);
}

#[tokio::test]
async fn all_senders_of_a_large_group_hear_of_their_messages() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut members: Vec<UserId> = (0..300).map(|_| UserId::new()).collect();
    let messages: Vec<_> = (1..)
        .zip(&members)
        .map(|(seq, &sender)| stored_message(pair.conversation, sender, seq))
        .collect();
    suite.stored().insert_many(&messages).await.expect("inserted");
    members.push(pair.grace);
    make_group(&suite, pair.conversation, &members).await;
    let mut ear = listen(pair.conversation).await;
    mark(&suite, pair.grace, &[&messages[299].id.to_string()]).await.expect("it");
    let (event, advanced) = hear(&mut ear, pair.grace).await;
    assert_eq!((event.recipient_ids.len(), advanced.messages.len()), (300, 300));
}

#[tokio::test]
async fn of_many_conversations_at_once_the_newest_messages_alone_are_told() {
    let suite = start().await;
    let (pair, joan) = (suite.pair().await, suite.user().await.0);
    make_group(&suite, pair.conversation, &[pair.ada, pair.grace, joan]).await;
    // 200 conversations share 100,000 messages.
    let by = |seq| if seq <= 100 { joan } else { pair.ada };
    let mut messages: Vec<_> =
        (1..=600).map(|seq| stored_message(pair.conversation, by(seq), seq)).collect();
    messages.extend((1..200).map(|_| stored_message(ConversationId::new(), pair.ada, 1)));
    suite.stored().insert_many(&messages).await.expect("inserted");
    let mut ear = listen(pair.conversation).await;
    let ids: Vec<String> = messages[599..].iter().map(|message| message.id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(mark(&suite, pair.grace, &ids).await.expect("it"), ids[..1], "she is in one alone");
    let (event, advanced) = hear(&mut ear, pair.grace).await;
    assert_eq!((advanced.previous_seq, advanced.seq), (0, 600));
    let told: Vec<_> = advanced.messages.iter().map(|told| told.message_id.as_str()).collect();
    assert_eq!((told, event.recipient_ids), (vec![ids[0]], vec![pair.ada.to_string()]));
    let cursor = cursor(&suite, pair.conversation, pair.grace).await.expect("a cursor");
    assert_eq!(cursor.delivered_seq, 600, "of Joan's messages lists know it all the same");
}
