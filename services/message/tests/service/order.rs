//! Numbers and times: dense, growing, whoever sends where.

use std::time::Duration;

use bson::DateTime;
use chat_kit::time::{after, from_timestamp, to_timestamp};
use chat_proto::v1::Message;
use futures_util::future::join_all;

use crate::support::{as_user, start, start_two, stored_message, text};

#[tokio::test]
async fn created_at_grows_by_number_while_the_clock_stands_still() {
    let suite = start().await;
    let pair = suite.pair().await;
    // The clock seems to stand still until it reaches the time of the last message.
    let ahead = after(DateTime::now(), Duration::from_hours(1));
    let mut last = stored_message(pair.conversation, pair.ada, 1);
    last.created_at = ahead;
    suite.stored().insert_one(&last).await.expect("inserted");
    for step in 1..=5 {
        let message = suite.say(pair.grace, pair.conversation, "tick").await;
        let expected = |step| Some(to_timestamp(after(ahead, Duration::from_millis(step))));
        assert_eq!(message.created_at, expected(step));
        assert_eq!(message.previous_created_at, expected(step - 1));
    }
}

#[tokio::test]
async fn created_at_is_now_where_nothing_holds_it_up() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 1).await;
    let begun = DateTime::now();
    let message = suite.say(pair.ada, pair.conversation, "now").await;
    let created_at = from_timestamp(&message.created_at.expect("a time"));
    assert!(begun <= created_at && created_at <= DateTime::now(), "{created_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_sends_over_two_replicas_are_numbered_densely_in_the_order_of_their_times() {
    const SENDS: usize = 60;
    let suite = start_two().await;
    let pair = suite.pair().await;
    let sends = (0..SENDS).map(|number| {
        let mut replica = suite.replicas[number % 2].clone();
        let sender = if number % 4 < 2 { pair.ada } else { pair.grace };
        let request = as_user(sender, text(pair.conversation, &number.to_string()));
        async move {
            let sent = replica.send_message(request).await.expect("sent").into_inner();
            sent.message.expect("a message")
        }
    });
    let mut messages: Vec<Message> = join_all(sends).await;
    messages.sort_by_key(|message| message.seq);
    let numbers: Vec<i64> = messages.iter().map(|message| message.seq).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
    let times: Vec<_> = messages
        .iter()
        .map(|message| message.created_at.map(|at| (at.seconds, at.nanos)))
        .collect();
    assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");
    for pair in messages.windows(2) {
        assert_eq!(pair[1].previous_created_at, pair[0].created_at);
    }
    suite.assert_stored(Some(pair.conversation), 60).await;
}

#[tokio::test]
async fn replica_goes_on_where_another_one_was() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    // Each remembers a last number that is not the last any more.
    for seq in 1..=6 {
        let mut replica = suite.replicas[seq % 2].clone();
        let request = as_user(pair.ada, text(pair.conversation, "hi"));
        let sent = replica.send_message(request).await.expect("sent").into_inner();
        assert_eq!(sent.message.map(|message| message.seq), i64::try_from(seq).ok());
    }
}
