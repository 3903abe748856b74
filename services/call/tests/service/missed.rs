//! What a device hears that comes while a call rings, or comes back to one.

use std::time::Duration;

use bson::{DateTime, doc};
use chat_kit::{caller::Caller, session::SessionHash};
use chat_proto::v1::{CallEndReason, CallState, MissedCall, NoteRungRequest};
use tonic::{Code, Status};

use crate::support::{ANSWER, Device, OFFER, Suite, assert_failed, eventually, start_with};

/// Starts the services; no lease ends before a test does.
async fn start_patient() -> Suite {
    start_with(|options| {
        options.calls.lease = Duration::from_mins(10);
        options.calls.grace = Duration::from_mins(10);
    })
    .await
}

/// Says that a call has rung on devices, as their gateway does.
pub async fn note_rung(suite: &Suite, id: &str, on: &[&Device]) -> Result<(), Status> {
    let hash = |device: &&Device| {
        let session = device.session.as_deref();
        session.map(|session| SessionHash::of(session).bytes().to_vec()).unwrap_or_default()
    };
    note(suite, id, on.iter().map(hash).collect()).await
}

async fn note(suite: &Suite, id: &str, session_hashes: Vec<Vec<u8>>) -> Result<(), Status> {
    let request = NoteRungRequest { call_id: id.to_owned(), session_hashes };
    let request = Caller::service("gateway", "request-1").request(request);
    suite.calls[1].clone().note_rung(request).await.map(drop)
}

/// What a device that comes has missed, if it does not know calls by their ids.
async fn missed(suite: &Suite, device: &Device) -> Option<MissedCall> {
    suite.attach_by(0, device, false).await.missed
}

#[track_caller]
fn assert_rings(missed: Option<MissedCall>, id: &str) {
    let missed = missed.expect("it rings");
    let call = missed.call.as_ref().expect("a call");
    assert_eq!((call.id.as_str(), call.state()), (id, CallState::Ringing));
    assert_eq!((missed.sdp.as_str(), missed.by.as_str()), (OFFER, ""));
    assert!(missed.candidates.is_empty(), "{missed:?}");
}

fn told(missed: &MissedCall) -> (&str, Vec<&str>) {
    (&missed.sdp, missed.candidates.iter().map(String::as_str).collect())
}

#[tokio::test]
async fn device_that_comes_while_it_rings_hears_so_once_a_session() {
    let suite = start_patient().await;
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    suite.add(&ada, &id, "1").await.expect("added");
    let late = Device::of(grace.user);
    assert_rings(missed(&suite, &late).await, &id);
    assert_rings(suite.attach_by(1, &late, false).await.missed, &id);
    assert_eq!(missed(&suite, &late.again()).await, None, "it has heard so before");
    assert_rings(missed(&suite, &Device::of(grace.user)).await, &id);
    for replica in [0, 1] {
        assert_rings(suite.attach_by(replica, &late.again(), true).await.missed, &id);
    }
    for other in [&Device::of(ada.user), &suite.device().await] {
        assert_eq!(suite.attach_by(0, other, true).await.missed, None);
    }
    suite.answer(0, &grace, &id).await.expect("answered");
    for (replica, may_repeat) in [(0, true), (1, false)] {
        let attached = suite.attach_by(replica, &Device::of(grace.user), may_repeat).await;
        assert_eq!(attached.call, None, "another device has answered");
        let missed = attached.missed.expect("that one has");
        assert_eq!((told(&missed), missed.by.as_str()), (("", vec![]), ""));
        let call = missed.call.expect("a call");
        assert_eq!((call.id.as_str(), call.state()), (id.as_str(), CallState::Answered));
    }
    let document = suite.document(&id).await;
    assert!(!document.get_document("callee").expect("a side").contains_key("rung"));
}

#[tokio::test]
async fn device_on_which_it_has_rung_does_not_hear_so_when_it_comes_back() {
    let suite = start_patient().await;
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    let old = Device { session: None, ..Device::of(grace.user) };
    for _ in 0..2 {
        note_rung(&suite, &id, &[&grace, &old]).await.expect("noted");
    }
    for device in [&grace, &old] {
        assert_eq!(missed(&suite, &device.again()).await, None);
        assert_rings(suite.attach_by(0, &device.again(), true).await.missed, &id);
    }
    let rung = suite.document(&id).await.get_document("callee").expect("a side").clone();
    assert_eq!(rung.get_array("rung").expect("sessions").len(), 2);
    suite.decline(&grace, &id).await.expect("declined");
    note_rung(&suite, &id, &[&grace]).await.expect("nothing to note");
    note_rung(&suite, "nonsense", &[&grace]).await.expect("nothing to note");
    let callee = suite.document(&id).await.get_document("callee").expect("a side").clone();
    assert!(!callee.contains_key("rung"));
}

#[tokio::test]
async fn gateways_alone_note_where_it_has_rung_and_not_without_bounds() {
    let suite = start_patient().await;
    let id = "0123456789abcdef0123456789abcdef";
    for odd in [vec![vec![7; 31]], vec![vec![7; 33]], vec![vec![7; 32]; 101]] {
        let refused = note(&suite, id, odd).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
    let request = suite.device().await.request(NoteRungRequest::default());
    let user = suite.calls[0].clone().note_rung(request).await;
    assert_eq!(user.expect_err("a user").code(), Code::PermissionDenied);
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    for round in 0..4_u8 {
        let hash = |place: u8| [vec![round; 31], vec![place]].concat();
        note(&suite, &id, (0..100).map(hash).collect()).await.expect("noted");
    }
    let callee = suite.document(&id).await.get_document("callee").expect("a side").clone();
    assert_eq!(callee.get_array("rung").expect("sessions").len(), 300);
}

#[tokio::test]
async fn of_two_sockets_of_a_session_that_come_at_once_one_hears_that_it_rings() {
    let suite = start_patient().await;
    let (ada, grace) = suite.pair().await;
    for _ in 0..10 {
        let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
        let (one, other) = (Device::of(grace.user), Device::of(grace.user));
        let other = Device { session: one.session.clone(), ..other };
        // A gateway asks again where it waits for long: the same socket on both replicas.
        let (first, again, second) = tokio::join!(
            suite.attach_by(0, &one, false),
            suite.attach_by(1, &one, false),
            suite.attach_by(1, &other, false),
        );
        assert_eq!(first.missed, again.missed);
        assert_ne!(first.missed.is_some(), second.missed.is_some());
        suite.decline(&grace, &id).await.expect("declined");
    }
}

#[tokio::test]
async fn caller_who_was_away_hears_the_answer_and_every_candidate() {
    let suite = start_patient().await;
    let (ada, grace) = suite.pair().await;
    let tablet = Device::of(grace.user);
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    suite.add(&ada, &id, "1").await.expect("added");
    suite.detach(&ada).await;
    suite.add(&grace, &id, "2").await.expect("added");
    suite.add(&tablet, &id, "3").await.expect("added");
    suite.answer(0, &grace, &id).await.expect("answered");
    suite.add(&grace, &id, "4").await.expect("added");
    let back = ada.again();
    for replica in [0, 1] {
        let attached = suite.attach_by(replica, &back, true).await;
        assert_eq!(attached.call.expect("it takes over").id, id);
        let missed = attached.missed.expect("the answer");
        assert_eq!(missed.call.as_ref().expect("a call").state(), CallState::Answered);
        assert_eq!(told(&missed), (ANSWER, vec!["2", "4"]), "those of the device that answered");
    }
    // Whoever left later has heard the answer.
    suite.detach(&back).await;
    let answered_at = DateTime::from_millis(DateTime::now().timestamp_millis() - 2000);
    suite.alter(&id, doc! { "$set": { "answered_at": answered_at } }).await;
    let missed = missed(&suite, &back.again()).await.expect("candidates");
    assert_eq!(told(&missed), ("", vec!["2", "4"]));
}

#[tokio::test]
async fn caller_whose_lost_socket_was_noticed_late_hears_the_answer() {
    let suite = start_patient().await;
    let ago = |millis| DateTime::from_millis(DateTime::now().timestamp_millis() - millis);
    for (unheard, may_repeat, hears) in
        [(0, false, false), (20_000, false, true), (0, true, true), (20_000, true, true)]
    {
        let (ada, grace) = suite.pair().await;
        let id = suite.answered(&ada, &grace).await;
        suite.add(&grace, &id, "1").await.expect("added");
        suite.alter(&id, doc! { "$set": { "answered_at": ago(10_000) } }).await;
        suite.detach_unheard(&ada, unheard).await;
        let bound = suite.document(&id).await.get_document("caller").expect("a side").clone();
        let bound = bound.get_document("bound").expect("a socket").clone();
        let waits = bound.get_datetime("held_until").expect("a time");
        assert!(*waits > ago(-590_000), "it is waited for from now on: {waits}");
        let attached = suite.attach_by(0, &ada.again(), may_repeat).await;
        assert_eq!(attached.call.expect("it takes over").id, id);
        let answer = if hears { ANSWER } else { "" };
        assert_eq!(told(&attached.missed.expect("candidates")), (answer, vec!["1"]));
    }
}

#[tokio::test]
async fn candidates_of_the_other_side_are_kept_for_who_comes_back() {
    let suite = start_patient().await;
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    suite.add(&ada, &id, "0").await.expect("added");
    suite.answer(1, &grace, &id).await.expect("answered");
    suite.detach(&grace).await;
    for number in 1..=66 {
        suite.add(&ada, &id, &number.to_string()).await.expect("added");
    }
    let missed = missed(&suite, &grace.again()).await.expect("candidates");
    let newest: Vec<String> = (3..=66).map(|number: u32| number.to_string()).collect();
    let newest = newest.iter().map(String::as_str);
    assert_eq!(told(&missed), ("", ["0"].into_iter().chain(newest).collect()));
    // One that stands by hears of them, too.
    let standing_by = suite.attach_by(1, &grace.again(), false).await.missed;
    assert_eq!(standing_by.expect("candidates").candidates, missed.candidates);
    // The caller's other side has added none. That he has heard the answer is not certain: it is told again
    // to those alone who may hear it twice.
    let standing_by = suite.attach_by(1, &ada.again(), true).await.missed;
    assert_eq!(told(&standing_by.expect("the answer")), (ANSWER, vec![]));
    assert_eq!(suite.attach_by(1, &ada.again(), false).await.missed, None);
    let answered_at = DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000);
    suite.alter(&id, doc! { "$set": { "answered_at": answered_at } }).await;
    assert_eq!(suite.attach_by(1, &ada.again(), true).await.missed, None);
}

#[tokio::test]
async fn who_comes_back_after_the_end_hears_of_it_unless_he_made_it() {
    let suite = start_patient().await;
    let (ada, grace) = suite.pair().await;
    let id = suite.answered(&ada, &grace).await;
    suite.hang_up(&grace, &id).await.expect("ended");
    for device in [&ada.again(), &Device::of(ada.user)] {
        let attached = suite.attach_by(1, device, false).await;
        assert_eq!(attached.call, None, "there is nothing to take over");
        let missed = attached.missed.expect("the end");
        assert_eq!(missed.by, grace.user.to_string());
        assert_eq!(told(&missed), ("", vec![]));
        let call = missed.call.expect("a call");
        assert_eq!((call.id.as_str(), call.end_reason()), (id.as_str(), CallEndReason::HungUp));
    }
    assert_eq!(missed(&suite, &grace.again()).await, None);
    let elsewhere = missed(&suite, &Device::of(grace.user)).await.expect("it may ring on there");
    assert_eq!((elsewhere.call.expect("a call").id, elsewhere.by), (id, grace.user.to_string()));
    let declined = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    suite.decline(&grace, &declined).await.expect("declined");
    let told = missed(&suite, &ada.again()).await.expect("the end").call.expect("a call");
    assert_eq!((told.id.as_str(), told.end_reason()), (declined.as_str(), CallEndReason::Declined));
    // Nobody made that one.
    let nobody = doc! {
        "$set": { "end_reason": "timeout" },
        "$unset": { "ended_by": "" },
    };
    suite.alter(&declined, nobody).await;
    for device in [&ada, &grace] {
        assert_eq!(missed(&suite, &device.again()).await.expect("the end").by, "timeout");
    }
    let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000);
    suite.alter(&declined, doc! { "$set": { "ended_at": long_ago } }).await;
    assert_eq!(missed(&suite, &ada.again()).await, None);
    assert_eq!(missed(&suite, &suite.device().await).await, None);
}

#[tokio::test]
async fn device_that_was_away_when_its_user_ended_the_call_elsewhere_hears_so() {
    let suite = start_patient().await;
    let (ada, grace) = suite.pair().await;
    let old = Device { session: None, ..Device::of(grace.user) };
    for by in [&ada, &grace, &old] {
        for declines in [false, true] {
            if declines && by.user == ada.user {
                continue;
            }
            let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
            let ended =
                if declines { suite.decline(by, &id).await } else { suite.hang_up(by, &id).await };
            ended.expect("ended");
            let is_stripped = async || !suite.document(&id).await.contains_key("offer");
            eventually("its end is announced", is_stripped).await;
            assert_eq!(missed(&suite, &by.again()).await, None, "he knows it here");
            let elsewhere = missed(&suite, &Device::of(by.user)).await.expect("the end");
            let call = elsewhere.call.expect("a call");
            assert_eq!((call.id, elsewhere.by), (id.clone(), by.user.to_string()));
            // One that has ended before it was kept on which device.
            suite.alter(&id, doc! { "$unset": { "ended_by_session": "" } }).await;
            let told = missed(&suite, &by.again()).await;
            assert_eq!(told.is_some(), by.session.is_some());
        }
    }
}
