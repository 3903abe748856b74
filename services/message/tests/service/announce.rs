//! Announcements: what they say, to whom, in which order, and what is left when they are out.

use bson::{doc, oid::ObjectId};
use chat_message::store::messages::{Message, OutboxEntry, OutboxKind};
use chat_proto::v1::SendMessageRequest;
use futures_util::future::join_all;

use crate::support::{Pair, Suite, at, eventually, listen, start, start_two, stored_message, text};

async fn outbox_empties(suite: &Suite) {
    let stored = suite.stored();
    eventually("the outbox is empty", async || {
        let open = stored.count_documents(doc! { "outbox": { "$exists": true, "$ne": [] } }).await;
        open.expect("a count") == 0
    })
    .await;
}

#[tokio::test]
async fn stored_message_is_announced_with_its_audience() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ear = listen(pair.conversation).await;
    let request = SendMessageRequest {
        client_id: Some("7".to_owned()),
        origin_id: Some(ObjectId::new().to_hex()),
        ..text(pair.conversation, "hear me")
    };
    let sent = suite.send(pair.ada, request).await.expect("sent").message.expect("a message");
    let (event, heard) = ear.hear().await;
    assert_eq!(heard, sent);
    assert_eq!(event.id, format!("{}:created:0", sent.id));
    assert_eq!(event.occurred_at, sent.created_at);
    let mut members = [pair.ada.to_string(), pair.grace.to_string()];
    members.sort();
    let mut recipients = event.recipient_ids;
    recipients.sort();
    assert_eq!(recipients, members);
}

#[tokio::test]
async fn outbox_is_empty_after_announcement() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ear = listen(pair.conversation).await;
    for number in 1..=10 {
        suite.say(pair.ada, pair.conversation, &number.to_string()).await;
    }
    ear.hear_numbers(10).await;
    outbox_empties(&suite).await;
    suite.assert_stored(None, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_leave_in_the_order_of_numbers() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ear = listen(pair.conversation).await;
    for number in 1..=100 {
        suite.say(pair.ada, pair.conversation, &number.to_string()).await;
    }
    assert_eq!(ear.hear_numbers(100).await, (1..=100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_of_parallel_senders_leave_in_the_order_of_numbers() {
    const SENDERS: i64 = 20;
    const EACH: i64 = 5;
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ear = listen(pair.conversation).await;
    let senders = (0..SENDERS).map(|number| {
        let sender = if number % 2 == 0 { pair.ada } else { pair.grace };
        let (suite, conversation) = (&suite, pair.conversation);
        async move {
            for _ in 0..EACH {
                suite.say(sender, conversation, "now me").await;
            }
        }
    });
    join_all(senders).await;
    let heard = ear.hear_numbers(100).await;
    assert_eq!(heard, (1..=SENDERS * EACH).collect::<Vec<_>>());
}

/// Returns a message as a process leaves it that dies before it announces.
fn left_behind(pair: &Pair, seq: i64) -> Message {
    let mut message = stored_message(pair.conversation, pair.ada, seq);
    let event_id = format!("{}:created:0", message.id);
    message.outbox = vec![OutboxEntry { event_id, kind: OutboxKind::Created, at: at(seq) }];
    message
}

#[tokio::test]
async fn relay_announces_what_was_left_behind_to_those_who_are_members_now() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ear = listen(pair.conversation).await;
    let removal = doc! { "$pull": { "member_ids": pair.grace }, "$set": { "status": "declined" } };
    suite.change_conversation(pair.conversation, removal).await;
    let left = left_behind(&pair, 1);
    suite.stored().insert_one(&left).await.expect("inserted");
    let (event, message) = ear.hear().await;
    assert_eq!((event.id, message.seq), (left.outbox[0].event_id.clone(), 1));
    assert_eq!(event.recipient_ids, [pair.ada.to_string()]);
    outbox_empties(&suite).await;
}

#[tokio::test]
async fn relay_goes_on_past_what_it_cannot_announce() {
    let suite = start().await;
    let (lost, pair) = (suite.pair().await, suite.pair().await);
    let mut ear = listen(pair.conversation).await;
    let away = doc! { "$set": { "status": "unheard of" } };
    suite.change_conversation(lost.conversation, away).await;
    // The oldest is the one that fails.
    let left = [left_behind(&lost, 1), left_behind(&pair, 2)];
    suite.stored().insert_many(left).await.expect("inserted");
    assert_eq!(ear.hear().await.1.seq, 2);
}

#[tokio::test]
async fn relays_of_two_replicas_share_what_was_left_behind() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    let mut ear = listen(pair.conversation).await;
    let left = (1..=50).map(|seq| left_behind(&pair, seq));
    suite.stored().insert_many(left).await.expect("inserted");
    let mut heard = ear.hear_numbers(50).await;
    heard.sort_unstable();
    assert_eq!(heard, (1..=50).collect::<Vec<_>>());
    outbox_empties(&suite).await;
}
