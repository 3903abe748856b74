//! Receipts whose announcement failed, or never was begun: the relay of any replica announces them, each once.

use std::{process::Command, time::Duration};

use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_kit::{
    config::Nats,
    id::{ConversationId, UserId},
    nats,
    time::to_timestamp,
};
use chat_local::testing;
use chat_message::config::Limits;
use chat_proto::{
    subject,
    v1::{
        DeliveredAdvanced, Event, MarkDeliveredRequest, MarkReadRequest, ReadAdvanced,
        event::Payload, mark_read_request::Target,
    },
};
use prost::Message as _;

use crate::support::{
    Ear, Pair, Suite, as_user, at, eventually, listen, make_group, start, start_on, start_two,
};

async fn read_all(suite: &Suite, pair: &Pair) {
    let target = Some(Target::ConversationId(pair.conversation.to_string()));
    let request = as_user(pair.grace, MarkReadRequest { target });
    let read = suite.messages().mark_read(request).await.expect("read").into_inner();
    assert!(read.has_advanced);
}

/// Returns an advance as it waits in a receipt whose process has died.
fn advance(cursor: &str, after: i64, to: i64) -> Document {
    let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000);
    doc! {
        "_id": ObjectId::new(), "cursor": cursor, "after": after, "to": to, "to_at": at(to),
        "moved_at": long_ago, "at": long_ago,
    }
}

/// Stores a receipt of somebody who has read to a number, and of whom this is still to be announced.
async fn leave(
    suite: &Suite,
    conversation: ConversationId,
    user: UserId,
    to: i64,
    outbox: Vec<Document>,
) {
    let receipt = doc! {
        "conversation_id": conversation, "user_id": user, "delivered_seq": to,
        "delivered_at": at(to), "read_seq": to, "read_at": at(to), "outbox": outbox,
    };
    suite.receipts().insert_one(receipt).await.expect("left behind");
}

async fn outbox_empties(suite: &Suite) {
    let receipts = suite.receipts();
    eventually("every receipt is announced", async || {
        let waiting = doc! { "outbox.at": { "$exists": true } };
        receipts.count_documents(waiting).await.expect("a count") == 0
    })
    .await;
}

async fn hear_read(ear: &mut Ear, conversation: ConversationId) -> (Event, ReadAdvanced) {
    let conversation = conversation.to_string();
    ear.hear_of(|event| match &event.payload {
        Some(Payload::ReadAdvanced(read)) if read.conversation_id == conversation => {
            Some((event.clone(), read.clone()))
        }
        _ => None,
    })
    .await
}

async fn hear_delivered(ear: &mut Ear, user: UserId) -> (Event, DeliveredAdvanced) {
    let user = user.to_string();
    ear.hear_of(|event| match &event.payload {
        Some(Payload::DeliveredAdvanced(delivered)) if delivered.user_id == user => {
            Some((event.clone(), delivered.clone()))
        }
        _ => None,
    })
    .await
}

/// Returns what the stream holds of receipts: whose, from where and to where.
async fn in_stream(nats_url: &str) -> Vec<(&'static str, String, i64, i64)> {
    let connection = nats::connect(&Nats::new(nats_url), "test").await.expect("nats answers");
    let context = async_nats::jetstream::new(connection);
    let stream = context.get_stream(subject::LOG_STREAM).await.expect("a stream");
    let state = stream.get_info().await.expect("its state").state;
    let mut receipts = Vec::new();
    for number in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(number).await.expect("a message");
        match Event::decode(message.payload).expect("an event").payload {
            Some(Payload::ReadAdvanced(read)) => {
                receipts.push(("read", read.user_id, read.previous_seq, read.seq));
            }
            Some(Payload::DeliveredAdvanced(delivered)) => {
                let DeliveredAdvanced { user_id, previous_seq, seq, .. } = delivered;
                receipts.push(("delivered", user_id, previous_seq, seq));
            }
            _ => {}
        }
    }
    receipts.sort();
    receipts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_nats_is_away_is_announced_once_when_it_is_back() {
    let mut servers = testing::own_servers().await;
    let suite = start_on(&servers.nats_url, Limits::default()).await;
    let (pair, other) = (suite.pair().await, suite.pair().await);
    suite.seed(&pair, 3).await;
    let arrived = suite.say(other.ada, other.conversation, "hi").await;
    servers.kill_nats().await.expect("killed");
    read_all(&suite, &pair).await;
    let request = MarkDeliveredRequest { message_ids: vec![arrived.id] };
    suite.messages().mark_delivered(as_user(other.grace, request)).await.expect("delivered");
    let waiting = doc! { "outbox.at": { "$exists": true } };
    assert_eq!(suite.receipts().count_documents(waiting).await.expect("a count"), 2);
    servers.restart_nats().await.expect("restarted");
    outbox_empties(&suite).await;
    let read = ("read", pair.grace.to_string(), 0, 3);
    let delivered = ("delivered", other.grace.to_string(), 0, 1);
    assert_eq!(in_stream(&servers.nats_url).await, [delivered, read]);
}

#[tokio::test(flavor = "multi_thread")]
async fn announcement_goes_on_when_the_caller_goes_away() {
    let servers = testing::own_servers().await;
    // So that no relay does what is left.
    let limits = Limits { relay_after: Duration::from_mins(10), ..Limits::default() };
    let suite = start_on(&servers.nats_url, limits).await;
    let pair = suite.pair().await;
    suite.seed(&pair, 3).await;
    let signal = |name: &str| {
        let pid = servers.nats_pid().expect("started here").to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("a program").success());
    };
    signal("STOP");
    let target = Some(Target::ConversationId(pair.conversation.to_string()));
    let (mut client, grace) = (suite.messages(), pair.grace);
    let call =
        tokio::spawn(
            async move { client.mark_read(as_user(grace, MarkReadRequest { target })).await },
        );
    let receipts = suite.receipts();
    eventually("it is read", async || {
        let read = doc! { "user_id": grace, "read_seq": 3 };
        receipts.count_documents(read).await.expect("a count") == 1
    })
    .await;
    call.abort();
    signal("CONT");
    outbox_empties(&suite).await;
    assert_eq!(in_stream(&servers.nats_url).await, [("read", grace.to_string(), 0, 3)]);
}

#[tokio::test]
async fn reading_of_a_process_that_died_is_announced_with_its_messages() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 5).await;
    let mut ear = listen(pair.conversation).await;
    let waits = advance("read", 2, 5);
    let moved_at = *waits.get_datetime("moved_at").expect("a time");
    leave(&suite, pair.conversation, pair.grace, 5, vec![waits]).await;
    let (event, read) = hear_read(&mut ear, pair.conversation).await;
    assert_eq!((read.previous_seq, read.seq), (2, 5));
    assert_eq!(read.read_at, Some(to_timestamp(at(5))));
    assert_eq!(read.advanced_at, Some(to_timestamp(moved_at)), "when it was read, not announced");
    assert_eq!((read.messages.len(), read.messages[0].message_ids.len()), (1, 3));
    assert_eq!(read.messages[0].sender_id, pair.ada.to_string());
    assert_eq!(event.id, format!("{}:{}:read:2:5", pair.conversation, pair.grace));
    assert_eq!(event.recipient_ids.len(), 2);
    outbox_empties(&suite).await;
}

#[tokio::test]
async fn delivery_of_a_process_that_died_is_announced_unless_its_user_has_left() {
    let suite = start().await;
    let (pair, former) = (suite.pair().await, suite.pair().await);
    for pair in [&pair, &former] {
        suite.seed(pair, 5).await;
    }
    make_group(&suite, former.conversation, &[former.ada]).await;
    let mut ear = listen(pair.conversation).await;
    // The oldest is that of which nobody may hear any more.
    for pair in [&former, &pair] {
        let outbox = vec![advance("delivered", 1, 5)];
        leave(&suite, pair.conversation, pair.grace, 5, outbox).await;
    }
    let (event, delivered) = hear_delivered(&mut ear, pair.grace).await;
    assert_eq!((delivered.previous_seq, delivered.seq), (1, 5));
    assert_eq!(delivered.delivered_at, Some(to_timestamp(at(5))));
    assert_eq!(delivered.messages.len(), 1);
    assert_eq!(event.recipient_ids, [pair.ada.to_string()]);
    outbox_empties(&suite).await;
}

#[tokio::test]
async fn reader_who_has_left_meanwhile_does_not_hear_of_his_own_reading() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 1).await;
    make_group(&suite, pair.conversation, &[pair.ada]).await;
    let mut ear = listen(pair.conversation).await;
    leave(&suite, pair.conversation, pair.grace, 1, vec![advance("read", 0, 1)]).await;
    let (event, _) = hear_read(&mut ear, pair.conversation).await;
    assert_eq!(event.recipient_ids, [pair.ada.to_string()]);
}

#[tokio::test]
async fn receipt_of_a_conversation_that_is_gone_is_given_up() {
    let suite = start().await;
    let pair = suite.pair().await;
    let outbox = vec![advance("read", 0, 1), advance("delivered", 0, 1)];
    leave(&suite, ConversationId::new(), pair.grace, 1, outbox).await;
    outbox_empties(&suite).await;
}

#[tokio::test]
async fn receipt_that_cannot_be_announced_holds_up_no_other() {
    let suite = start().await;
    let (lost, pair) = (suite.pair().await, suite.pair().await);
    suite.seed(&pair, 1).await;
    let away = doc! { "$set": { "status": "unheard of" } };
    suite.change_conversation(lost.conversation, away).await;
    let mut ear = listen(pair.conversation).await;
    for pair in [&lost, &pair] {
        let outbox = vec![advance("read", 0, 1)];
        leave(&suite, pair.conversation, pair.grace, 1, outbox).await;
    }
    hear_read(&mut ear, pair.conversation).await;
}

#[tokio::test]
async fn relays_of_two_replicas_share_the_receipts_that_were_left_behind() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 1).await;
    let mut ear = listen(pair.conversation).await;
    let mut expected = Vec::new();
    for _ in 0..50 {
        let user = UserId::new();
        leave(&suite, pair.conversation, user, 1, vec![advance("read", 0, 1)]).await;
        expected.push(user.to_string());
    }
    let mut heard = Vec::new();
    for _ in 0..50 {
        heard.push(hear_read(&mut ear, pair.conversation).await.1.user_id);
    }
    heard.sort();
    expected.sort();
    assert_eq!(heard, expected, "each once");
    outbox_empties(&suite).await;
}

#[tokio::test]
async fn cursor_of_an_old_receipt_counts_as_announced() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 4).await;
    let mut ear = listen(pair.conversation).await;
    let old = doc! {
        "conversation_id": pair.conversation, "user_id": pair.grace, "delivered_seq": 2_i64,
        "delivered_at": at(2), "read_seq": 2_i64, "read_at": at(2),
    };
    suite.receipts().insert_one(old).await.expect("inserted");
    read_all(&suite, &pair).await;
    let (_, read) = hear_read(&mut ear, pair.conversation).await;
    assert_eq!((read.previous_seq, read.seq), (2, 4));
}
