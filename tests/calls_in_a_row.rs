//! Calls that follow each other so quickly that the news of one come after the beginning of the next.

use std::time::Duration;

use chat_e2e::harness::{eventually, text};
use chat_local::testing;
use mongodb::bson::{DateTime, doc};
use serde_json::json;

use crate::{
    calls::{Line, Scene, again, described, ended, scene, taken},
    calls_missed::stored,
};

/// Longer than it takes to tell of what was announced.
const MOMENT: Duration = Duration::from_secs(1);

/// Lets nobody announce what becomes of a call from now on, or everybody again.
async fn hold_announcements(scene: &Scene, id: &str, is_held: bool) {
    let calls = stored(&scene.suite).await;
    let all_announced = doc! { "_id": id, "outbox": { "$exists": false } };
    if is_held {
        eventually("all is announced", async || {
            calls.count_documents(all_announced.clone()).await.expect("a count") == 1
        })
        .await;
    }
    let until = if is_held { DateTime::MAX } else { DateTime::from_millis(0) };
    let held = doc! { "$set": { "outbox_until": until } };
    let held = calls.update_one(doc! { "_id": id }, held).await.expect("an answer");
    assert_eq!(held.matched_count, 1);
    if !is_held {
        eventually("all is announced", async || {
            calls.count_documents(all_announced.clone()).await.expect("a count") == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_end_of_a_call_leaves_the_next_one_alone() {
    let mut scene = scene(testing::suite(|_| {}).await).await;
    let elsewhere = again(&scene.caller, &scene.suite).await;
    let mut tablet = Line::open_as("electron", &elsewhere, scene.suite.gateways[1]).await;
    let mut new = Line::open_as("unified", &scene.callee, scene.suite.gateways[0]).await;
    let first = scene.talk().await;
    for name in ["call:ringing", "call:answer"] {
        assert_eq!(tablet.expect(name).await["callId"], first);
    }
    assert_eq!(new.expect("call:incoming").await["callId"], first);
    assert_eq!(new.expect("call:ended").await, ended(&first, "answered_elsewhere"));
    hold_announcements(&scene, &first, true).await;
    scene.one.accepted("call:hangup", json!({ "callId": first })).await;
    let invite = json!({ "to": scene.callee.id, "sdp": described("offer"), "kind": "audio" });
    let second = scene.one.accepted("call:invite", invite).await;
    let second = text(&second["call"]["id"]);
    // The device that has placed it shows it by now.
    assert_eq!(scene.one.expect("call:ringing").await["callId"], second);
    for (line, name) in [(&mut scene.other, "call:incoming"), (&mut tablet, "call:ringing")] {
        assert_eq!(line.expect("call:ended").await, ended(&first, "disconnect"));
        assert_eq!(line.expect(name).await["callId"], second);
    }
    assert_eq!(new.expect("call:incoming").await["callId"], second);
    // One that comes meanwhile does not know the first.
    let mut late =
        Line::open(&again(&scene.callee, &scene.suite).await, scene.suite.gateways[0]).await;
    assert_eq!(late.expect("call:incoming").await["callId"], second);
    hold_announcements(&scene, &first, false).await;
    // New clients know calls by their ids.
    assert_eq!(new.expect("call:ended").await, ended(&first, &scene.caller.id));
    for line in [&mut scene.one, &mut scene.other, &mut tablet, &mut late] {
        line.expect_nothing(MOMENT).await;
    }
    scene.other.accepted("call:answer", taken(second)).await;
    assert_eq!(scene.one.expect("call:answer").await["callId"], second);
    scene.one.accepted("call:hangup", json!({ "callId": second })).await;
    for line in [&mut scene.one, &mut scene.other] {
        assert_eq!(line.expect("call:ended").await, ended(second, &scene.caller.id));
    }
}
