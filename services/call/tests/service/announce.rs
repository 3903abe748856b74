//! What becomes of a call is announced: once it is stored, in order, whatever dies.

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use chat_proto::v1::{CallState, event::Payload};

use crate::{
    ear::Ear,
    support::{ANSWER, OFFER, eventually, start},
};

fn long_ago() -> DateTime {
    DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000)
}

/// An announcement that somebody who died left behind.
fn left(kind: &str, socket: Option<&str>) -> Document {
    let mut change = doc! { "kind": kind };
    if let Some(socket) = socket {
        change.insert("socket_id", socket);
    }
    doc! { "_id": ObjectId::new(), "at": long_ago(), "change": change }
}

#[tokio::test]
async fn what_a_crash_left_behind_is_announced_whole_and_in_order() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    suite.add(&ada, &id, "1").await.expect("added");
    suite.add(&grace, &id, "2").await.expect("added");
    suite.answer(0, &grace, &id).await.expect("answered");
    ear.hear_answered(&id).await;
    let is_settled = async || !suite.document(&id).await.contains_key("outbox_until");
    eventually("both are announced", is_settled).await;

    // All three steps were stored, and everybody who would have announced them has died.
    let entries =
        [left("placed", None), left("answered", Some(&grace.socket)), left("ended", None)];
    suite
        .alter(
            &id,
            doc! {
                "$set": {
                    "state": "ended",
                    "is_live": false,
                    "ended_at": DateTime::now(),
                    "end_reason": "hung_up",
                    "ended_by": ada.user,
                    "outbox": entries.clone().map(Bson::from).to_vec(),
                    "outbox_until": long_ago(),
                },
                "$unset": { "due_at": "" },
            },
        )
        .await;
    let mut heard = Vec::new();
    // Nobody is to ring for it any more.
    for entry in &entries[1..] {
        let event = ear.hear(&id).await;
        let change = entry.get_object_id("_id").expect("an id");
        assert_eq!(event.id, format!("{id}:changed:{change}"));
        heard.push(event.payload.expect("a payload"));
    }
    let [Payload::CallAnswered(answered), Payload::CallEnded(ended)] = heard.as_slice() else {
        panic!("{heard:?}")
    };
    assert_eq!((answered.sdp.as_str(), &answered.socket_id), (ANSWER, &grace.socket));
    assert_eq!(answered.caller_candidates, ["1"]);
    assert_eq!(answered.callee_candidates, ["2"]);
    assert_eq!(ended.by, ada.user.to_string());
    // Each says what the call was then.
    let states = [&answered.call, &ended.call].map(|call| call.as_ref().expect("it").state());
    assert_eq!(states, [CallState::Answered, CallState::Ended]);
    assert_eq!(answered.call.as_ref().expect("it").ended_at, None);
    let is_stripped = async || {
        let document = suite.document(&id).await;
        !document.contains_key("outbox") && !document.contains_key("offer")
    };
    eventually("nothing is left", is_stripped).await;
}

#[tokio::test]
async fn call_is_announced_late_while_it_rings_and_not_after_it() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    for is_over in [false, true] {
        let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
        ear.hear(&id).await;
        let is_settled = async || !suite.document(&id).await.contains_key("outbox_until");
        eventually("it is announced", is_settled).await;
        // Whoever would have announced it has died.
        let entry = left("placed", Some(&ada.socket));
        let mut waits = doc! { "outbox": [entry], "outbox_until": long_ago() };
        if is_over {
            waits.insert("outbox_until", DateTime::MAX);
        }
        suite.alter(&id, doc! { "$set": waits }).await;
        if is_over {
            // Its end is stored before its beginning is announced.
            suite.decline(&grace, &id).await.expect("declined");
            suite.alter(&id, doc! { "$set": { "outbox_until": long_ago() } }).await;
            let heard = ear.hear(&id).await.payload;
            assert!(matches!(heard, Some(Payload::CallDeclined(_))), "{heard:?}");
        } else {
            let heard = ear.hear(&id).await.payload;
            let Some(Payload::CallPlaced(placed)) = heard else { panic!("{heard:?}") };
            assert_eq!((placed.sdp.as_str(), &placed.socket_id), (OFFER, &ada.socket));
            assert!(placed.rings_until.is_some());
            suite.decline(&grace, &id).await.expect("declined");
            let heard = ear.hear(&id).await.payload;
            assert!(matches!(heard, Some(Payload::CallDeclined(_))), "{heard:?}");
        }
        assert!(!ear.has_heard(&id));
    }
}

#[tokio::test]
async fn call_of_a_replica_that_died_is_announced_and_ended_by_another() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    ear.hear(&id).await;
    let is_settled = async || !suite.document(&id).await.contains_key("outbox_until");
    eventually("it is announced", is_settled).await;
    suite.replicas[0].stop();
    suite.replicas[0].ended(std::time::Duration::from_secs(5)).await.expect("ended");
    // It stored the end that time brought, and died before it had said so; and it rang too long.
    suite.alter(&id, doc! { "$set": { "ring_until": long_ago(), "due_at": long_ago() } }).await;
    assert_eq!(ear.hear_end(&id).await, "timeout");
    suite.ring(1, &grace, &ada).await.expect("it rings: both are free");
}

#[tokio::test]
async fn replica_that_dies_holds_an_announcement_for_five_seconds_at_most() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    ear.hear(&id).await;
    let latest = DateTime::now().timestamp_millis() + 5000;
    let commands = suite.commands.lock().expect("not poisoned");
    let claim = |command: &Document| {
        let set = command.get_document("update").ok()?.get_document("$set").ok()?;
        set.get_datetime("outbox_until").ok().map(|until| until.timestamp_millis())
    };
    let held: Vec<i64> = commands.iter().filter_map(claim).collect();
    assert!(!held.is_empty() && held.iter().all(|until| *until <= latest), "{held:?} {latest}");
}
