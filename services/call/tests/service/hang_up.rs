//! Hanging up, and the hang-ups that forgotten screens send in groups.

use std::time::Duration;

use bson::{DateTime, doc};
use chat_proto::v1::{Call, CallEndReason, CallState};
use tonic::Code;

use crate::{
    ear::Ear,
    support::{Device, Suite, assert_failed, eventually, start, start_with},
};

#[tokio::test]
async fn either_bound_socket_ends_an_answered_call_for_both() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    for by in [&ada, &grace] {
        let id = suite.answered(&ada, &grace).await;
        ear.hear_answered(&id).await;
        let call = suite.hang_up(by, &id).await.expect("ended");
        assert_eq!((call.state(), call.end_reason()), (CallState::Ended, CallEndReason::HungUp));
        assert_eq!(ear.hear_end(&id).await, by.user.to_string());
        let again = suite.hang_up(by, &id).await.expect("over already");
        assert_eq!(again, call);
        let next = suite.ring(0, &ada, &grace).await.expect("both are free").id;
        ear.hear(&next).await;
        assert!(!ear.has_heard(&id), "nothing more is said of the first");
        suite.decline(&grace, &next).await.expect("declined");
    }
}

#[tokio::test]
async fn other_devices_and_strangers_do_not_hang_up() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let joan = suite.device().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    assert_failed(suite.hang_up(&joan, &id).await, Code::NotFound, "not_found");
    suite.answer(0, &grace, &id).await.expect("answered");
    for device in [&Device::of(ada.user), &Device::of(grace.user), &grace.again()] {
        assert_failed(suite.hang_up(device, &id).await, Code::PermissionDenied, "forbidden");
    }
    assert_failed(suite.hang_up(&joan, &id).await, Code::NotFound, "not_found");
    let unknown = suite.hang_up(&ada, "nonsense").await;
    assert_failed(unknown, Code::NotFound, "not_found");
}

#[tokio::test]
async fn hang_up_while_it_rings_cancels_or_declines() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    for (by, reason) in [
        (ada.clone(), CallEndReason::Cancelled),
        // Any device of both.
        (Device::of(ada.user), CallEndReason::Cancelled),
        (Device::of(grace.user), CallEndReason::Declined),
    ] {
        let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
        ear.hear(&id).await;
        let call = suite.hang_up_as(&by, &id, true).await.expect("ended");
        assert_eq!(call.end_reason(), reason);
        assert_eq!(ear.hear_end(&id).await, by.user.to_string());
    }
}

/// A call that was placed a while ago and answered ten seconds after that.
async fn placed_ago(suite: &Suite, ada: &Device, grace: &Device, millis: i64) -> String {
    let id = suite.answered(ada, grace).await;
    let now = DateTime::now().timestamp_millis();
    let placed_at = DateTime::from_millis(now - millis);
    let answered_at = DateTime::from_millis(now - millis + 10_000);
    let change = doc! { "$set": { "placed_at": placed_at, "answered_at": answered_at } };
    suite.alter(&id, change).await;
    id
}

async fn screen(suite: &Suite, grace: &Device, id: &str) -> Call {
    suite.hang_up_as(grace, id, true).await.expect("taken")
}

#[tokio::test]
async fn single_hang_up_a_minute_after_the_invite_takes_effect_three_seconds_later() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = placed_ago(&suite, &ada, &grace, 60_000).await;
    ear.hear_answered(&id).await;
    let before = DateTime::now().timestamp_millis();
    assert_eq!(screen(&suite, &grace, &id).await.state(), CallState::Answered);
    assert_eq!(ear.hear_end(&id).await, grace.user.to_string());
    let ended = suite.document(&id).await.get_datetime("ended_at").expect("an end").to_owned();
    let span = ended.timestamp_millis() - before;
    assert!((3000..4500).contains(&span), "{span} ms");
}

#[tokio::test]
async fn hang_ups_in_a_group_are_dropped_and_the_call_lives() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    for count in [2, 3] {
        let (ada, grace) = suite.pair().await;
        let id = placed_ago(&suite, &ada, &grace, 60_000).await;
        ear.hear_answered(&id).await;
        for _ in 0..count {
            assert_eq!(screen(&suite, &grace, &id).await.state(), CallState::Answered);
        }
        let is_over = async || !suite.document(&id).await.contains_key("held_hang_up");
        eventually("the hold is over", is_over).await;
        let document = suite.document(&id).await;
        assert_eq!(document.get_str("state").expect("a state"), "answered");
        // Later than any screen: at once.
        let now = DateTime::now().timestamp_millis();
        let placed_at = DateTime::from_millis(now - 80_000);
        suite.alter(&id, doc! { "$set": { "placed_at": placed_at } }).await;
        assert_eq!(screen(&suite, &grace, &id).await.state(), CallState::Ended);
        assert_eq!(ear.hear_end(&id).await, grace.user.to_string());
    }
}

#[tokio::test]
async fn every_other_hang_up_takes_effect_at_once() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let id = placed_ago(&suite, &ada, &grace, 50_000).await;
    assert_eq!(screen(&suite, &grace, &id).await.state(), CallState::Ended, "too early");
    let id = placed_ago(&suite, &ada, &grace, 60_000).await;
    let now = DateTime::from_millis(DateTime::now().timestamp_millis() - 4000);
    suite.alter(&id, doc! { "$set": { "answered_at": now } }).await;
    assert_eq!(screen(&suite, &grace, &id).await.state(), CallState::Ended, "just answered");
    let id = placed_ago(&suite, &ada, &grace, 60_000).await;
    assert_eq!(screen(&suite, &ada, &id).await.state(), CallState::Ended, "the caller");
    let id = placed_ago(&suite, &ada, &grace, 60_000).await;
    let desktop = suite.hang_up(&grace, &id).await.expect("ended");
    assert_eq!(desktop.state(), CallState::Ended, "no such screens");
}

#[tokio::test]
async fn hang_up_of_the_caller_cancels_a_hold() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = placed_ago(&suite, &ada, &grace, 60_000).await;
    ear.hear_answered(&id).await;
    assert_eq!(screen(&suite, &grace, &id).await.state(), CallState::Answered);
    assert_eq!(screen(&suite, &ada, &id).await.state(), CallState::Ended);
    assert_eq!(ear.hear_end(&id).await, ada.user.to_string());
}

#[tokio::test]
async fn call_whose_hang_up_was_lost_ends_when_it_has_gone_on_for_too_long() {
    let suite = start_with(|options| options.calls.max_duration = Duration::from_millis(700)).await;
    let mut ear = Ear::open().await;
    let (ada, grace) = suite.pair().await;
    let id = suite.answered(&ada, &grace).await;
    ear.hear_answered(&id).await;
    // Its sockets are there, and are renewed.
    let renewing = async {
        loop {
            suite.renew(&[(&id, &ada), (&id, &grace)]).await;
        }
    };
    let by = tokio::select! {
        by = ear.hear_end(&id) => by,
        () = renewing => unreachable!("it renews for ever"),
    };
    assert_eq!(by, "disconnect");
    let ended = suite.document(&id).await;
    let span = ended.get_datetime("ended_at").expect("an end").timestamp_millis()
        - ended.get_datetime("answered_at").expect("an answer").timestamp_millis();
    assert!((700..2000).contains(&span), "{span} ms");
}

#[tokio::test]
async fn nothing_is_held_where_the_rule_is_off() {
    let suite = start_with(|options| options.calls.hold_hang_ups = false).await;
    let (ada, grace) = suite.pair().await;
    let id = placed_ago(&suite, &ada, &grace, 60_000).await;
    assert_eq!(screen(&suite, &grace, &id).await.state(), CallState::Ended);
}
