//! The hang-ups of screens that the mobile client has forgotten, a minute after a call was placed, and all
//! others, which take effect at once. What would take a minute is set back in the store.

use std::time::Duration;

use chat_e2e::harness::eventually;
use chat_local::testing;
use mongodb::bson::{DateTime, doc};
use serde_json::json;

use crate::{
    calls::{Line, Scene, ended, scene},
    calls_missed::stored,
};

/// As long as a hang-up is held, less what it takes to be heard of.
const HELD: Duration = Duration::from_millis(2500);
/// Shorter than that.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Places a call this many seconds ago that was answered that many seconds ago; returns its id.
async fn talk_since(scene: &mut Scene, placed: i64, answered: i64) -> String {
    let id = scene.talk().await;
    set_back(scene, &id, placed, answered).await;
    id
}

async fn set_back(scene: &Scene, id: &str, placed: i64, answered: i64) {
    let ago = |seconds| DateTime::from_millis(DateTime::now().timestamp_millis() - seconds * 1000);
    let times = doc! { "placed_at": ago(placed), "answered_at": ago(answered) };
    let calls = stored(&scene.suite).await;
    let set = calls.update_one(doc! { "_id": id }, doc! { "$set": times }).await.expect("set");
    assert_eq!(set.matched_count, 1);
}

async fn hang_up(line: &mut Line, id: &str) {
    line.accepted("call:hangup", json!({ "callId": id })).await;
}

/// Waits until both hear the end of a call, at once.
async fn over_at_once(scene: &mut Scene, id: &str, by: &str, what: &str) {
    for line in [&mut scene.one, &mut scene.other] {
        let (name, body) = line.next(AT_ONCE).await.unwrap_or_else(|| panic!("{what} is held"));
        assert_eq!((name.as_str(), body), ("call:ended", ended(id, by)), "{what}");
    }
}

/// Two people whose callee declares nothing, as the mobile client does.
async fn mobile(hold_hang_ups: bool) -> Scene {
    let suite = testing::suite(|options| options.calls.hold_hang_ups = hold_hang_ups).await;
    let mut scene = scene(suite).await;
    scene.one = Line::open_as("", &scene.caller, scene.suite.gateways[0]).await;
    scene.other = Line::open_as("", &scene.callee, scene.suite.gateways[1]).await;
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn single_hang_up_of_the_callee_a_minute_after_the_invite_is_held() {
    let mut scene = mobile(true).await;
    let id = talk_since(&mut scene, 60, 50).await;
    hang_up(&mut scene.other, &id).await;
    scene.one.expect_nothing(HELD).await;
    for line in [&mut scene.one, &mut scene.other] {
        assert_eq!(line.expect("call:ended").await, ended(&id, &scene.callee.id));
    }
    hang_up(&mut scene.other, &id).await;
    scene.one.expect_nothing(AT_ONCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hang_ups_that_come_in_a_group_are_dropped_and_the_call_lives() {
    let mut scene = mobile(true).await;
    let calls = stored(&scene.suite).await;
    for count in [2, 3] {
        let id = talk_since(&mut scene, 60, 50).await;
        for _ in 0..count {
            hang_up(&mut scene.other, &id).await;
        }
        let held = doc! { "_id": &id, "held_hang_up": { "$exists": true } };
        assert_eq!(calls.count_documents(held.clone()).await.expect("a count"), 1);
        eventually("the hold is over", async || {
            calls.count_documents(held.clone()).await.expect("a count") == 0
        })
        .await;
        scene.one.expect_nothing(AT_ONCE / 4).await;
        scene.other.expect_nothing(AT_ONCE / 4).await;
        set_back(&scene, &id, 80, 70).await;
        hang_up(&mut scene.other, &id).await;
        let by = scene.callee.id.clone();
        over_at_once(&mut scene, &id, &by, "a hang-up after 80 seconds").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_hang_up_takes_effect_at_once() {
    let mut scene = mobile(true).await;
    let (one, other) = (scene.caller.id.clone(), scene.callee.id.clone());
    for (placed, answered, what) in [(50, 40, "one after 50 seconds"), (60, 3, "one of a new call")]
    {
        let id = talk_since(&mut scene, placed, answered).await;
        hang_up(&mut scene.other, &id).await;
        over_at_once(&mut scene, &id, &other, what).await;
    }
    let id = talk_since(&mut scene, 60, 50).await;
    hang_up(&mut scene.one, &id).await;
    over_at_once(&mut scene, &id, &one, "one of the caller").await;

    // The desktop client has no such screens.
    let id = talk_since(&mut scene, 60, 50).await;
    scene.other.accepted("call_end", json!({ "callId": id })).await;
    over_at_once(&mut scene, &id, &other, "one by the older name").await;
    scene.other.accepted("call_end", json!({ "callId": id })).await;
    scene.one.expect_nothing(AT_ONCE / 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hang_up_of_the_caller_ends_a_call_while_one_of_the_callee_is_held() {
    let mut scene = mobile(true).await;
    let id = talk_since(&mut scene, 60, 50).await;
    hang_up(&mut scene.other, &id).await;
    hang_up(&mut scene.one, &id).await;
    let by = scene.caller.id.clone();
    over_at_once(&mut scene, &id, &by, "one of the caller").await;
    scene.other.expect_nothing(HELD + AT_ONCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_held_where_the_rule_is_off() {
    let mut scene = mobile(false).await;
    let id = talk_since(&mut scene, 60, 50).await;
    hang_up(&mut scene.other, &id).await;
    let by = scene.callee.id.clone();
    over_at_once(&mut scene, &id, &by, "one of the callee").await;
}
