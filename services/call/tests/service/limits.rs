//! How often calls may be placed, over both replicas together.

use std::num::NonZeroU32;

use bson::doc;
use chat_call::Limits;
use tonic::{Code, Status};

use crate::support::{Device, Suite, assert_failed, start_with};

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

/// Rings and hangs up.
async fn try_out(suite: &Suite, turn: usize, by: &Device, to: &Device) -> Result<(), Status> {
    let call = suite.ring(turn % 2, by, to).await?;
    suite.hang_up(by, &call.id).await.map(drop)
}

#[tokio::test]
async fn caller_has_so_many_calls_a_minute_and_in_ten() {
    type Change = fn(&mut Limits);
    let changes: [Change; 2] = [
        |limits| limits.calls_per_minute = number(3),
        |limits| limits.calls_per_ten_minutes = number(3),
    ];
    for change in changes {
        let suite = start_with(|options| change(&mut options.limits)).await;
        let (ada, grace) = suite.pair().await;
        let joan = suite.device().await;
        suite.connect(&ada, &joan).await;
        for turn in 0..3 {
            try_out(&suite, turn, &ada, if turn == 1 { &joan } else { &grace })
                .await
                .expect("rings");
        }
        for (turn, to) in [&grace, &joan].into_iter().enumerate() {
            let more = try_out(&suite, turn, &ada, to).await;
            assert_failed(more, Code::ResourceExhausted, "too_many_calls");
        }
        try_out(&suite, 0, &grace, &ada).await.expect("everybody has his own");
    }
}

#[tokio::test]
async fn one_cannot_keep_another_busy() {
    let suite = start_with(|options| options.limits.calls_per_pair = number(2)).await;
    let (ada, grace) = suite.pair().await;
    let joan = suite.device().await;
    suite.connect(&ada, &joan).await;
    for turn in 0..2 {
        try_out(&suite, turn, &ada, &grace).await.expect("rings");
    }
    let more = try_out(&suite, 1, &ada, &grace).await;
    assert_failed(more, Code::ResourceExhausted, "too_many_calls");
    try_out(&suite, 0, &ada, &joan).await.expect("others are not concerned");
    try_out(&suite, 0, &grace, &ada).await.expect("nor is the other direction");
}

#[tokio::test]
async fn calls_that_fail_count() {
    let suite = start_with(|options| options.limits.calls_per_minute = number(2)).await;
    let (ada, grace) = (suite.device().await, suite.device().await);
    for turn in 0..2 {
        let stranger = try_out(&suite, turn, &ada, &grace).await;
        assert_failed(stranger, Code::PermissionDenied, "forbidden");
    }
    let more = try_out(&suite, 0, &ada, &grace).await;
    assert_failed(more, Code::ResourceExhausted, "too_many_calls");
}

#[tokio::test]
async fn nobody_calls_while_nothing_can_be_counted_or_asked() {
    let suite = start_with(|_| ()).await;
    let (ada, grace) = suite.pair().await;
    suite.conversation_life.stop();
    suite.conversation_life.ended(std::time::Duration::from_secs(5)).await.expect("ended");
    assert_failed(suite.ring(0, &ada, &grace).await, Code::Unavailable, "unavailable");
    assert_eq!(suite.stored().count_documents(doc! {}).await.expect("a count"), 0);

    let suite = start_with(|_| ()).await;
    let (ada, grace) = suite.pair().await;
    // A count that cannot be read lets nobody through.
    let limits = suite.database.collection::<bson::Document>("limits");
    let key = format!("calls:pair:{}:{}", ada.user, grace.user);
    limits.insert_one(doc! { "_id": key, "count": "many" }).await.expect("stored");
    let refused = suite.ring(0, &ada, &grace).await.expect_err("not counted");
    assert_eq!(refused.code(), Code::Internal, "{refused}");
    assert_eq!(suite.stored().count_documents(doc! {}).await.expect("a count"), 0);
}
