//! Candidates: kept until the answer, told at once after it, and never too many.

use std::num::NonZeroU32;

use chat_proto::v1::event::Payload;
use tonic::Code;

use crate::{
    ear::Ear,
    support::{Device, assert_failed, start, start_with},
};

fn candidate(number: usize) -> String {
    format!(r#"{{"candidate":"{number}"}}"#)
}

#[tokio::test]
async fn candidates_before_the_answer_travel_with_it() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let tablet = Device::of(grace.user);
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    ear.hear(&id).await;
    for number in 0..3 {
        suite.add(&ada, &id, &candidate(number)).await.expect("added");
        suite.add(&grace, &id, &candidate(10 + number)).await.expect("added");
        suite.add(&tablet, &id, &candidate(20 + number)).await.expect("added");
    }
    suite.answer(0, &tablet, &id).await.expect("answered");
    let heard = ear.hear(&id).await.payload;
    let Some(Payload::CallAnswered(answered)) = heard else { panic!("{heard:?}") };
    let texts = |from: usize| (from..from + 3).map(candidate).collect::<Vec<_>>();
    assert_eq!(answered.caller_candidates, texts(0));
    assert_eq!(answered.callee_candidates, texts(20), "those of the device that answered");
}

#[tokio::test]
async fn candidate_after_the_answer_is_heard_by_the_other_side_alone() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    suite.add(&ada, &id, &candidate(0)).await.expect("added");
    suite.answer(1, &grace, &id).await.expect("answered");
    ear.hear_answered(&id).await;
    for (by, to, number) in [(&ada, &grace, 2), (&grace, &ada, 1), (&ada, &grace, 3)] {
        suite.add(by, &id, &candidate(7)).await.expect("added");
        let heard = ear.hear(&id).await;
        assert_eq!(heard.recipient_ids, [to.user.to_string()]);
        let Some(Payload::CandidateAdded(added)) = heard.payload else { panic!("{heard:?}") };
        assert_eq!((&added.call_id, &added.user_id), (&id, &by.user.to_string()));
        assert_eq!((added.socket_id, added.candidate), (to.socket.clone(), candidate(7)));
        assert_eq!(added.number, number);
    }
}

#[tokio::test]
async fn bound_sockets_alone_add_candidates() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let joan = suite.device().await;
    let add = async |device: &Device, id: &str| suite.add(device, id, &candidate(1)).await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    assert_failed(add(&ada.again(), &id).await, Code::PermissionDenied, "forbidden");
    assert_failed(add(&joan, &id).await, Code::NotFound, "not_found");
    add(&Device::of(grace.user), &id).await.expect("who will answer is not known yet");
    suite.answer(0, &grace, &id).await.expect("answered");
    for device in [&ada.again(), &grace.again(), &Device::of(grace.user)] {
        assert_failed(add(device, &id).await, Code::PermissionDenied, "forbidden");
    }
    assert_failed(add(&joan, &id).await, Code::NotFound, "not_found");
    suite.hang_up(&ada, &id).await.expect("ended");
    assert_failed(add(&ada, &id).await, Code::Aborted, "call_ended");
}

#[tokio::test]
async fn candidates_of_a_side_are_bounded() {
    let suite = start_with(|options| {
        options.limits.candidates_in_all = NonZeroU32::new(66).expect("not zero");
    })
    .await;
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    for number in 0..64 {
        suite.add(&ada, &id, &candidate(number)).await.expect("added");
    }
    let more = suite.add(&ada, &id, &candidate(64)).await;
    assert_failed(more, Code::ResourceExhausted, "too_many_candidates");
    suite.add(&grace, &id, &candidate(0)).await.expect("the other side has its own");
    suite.answer(0, &grace, &id).await.expect("answered");
    for number in 64..66 {
        suite.add(&ada, &id, &candidate(number)).await.expect("added");
    }
    let more = suite.add(&ada, &id, &candidate(66)).await;
    assert_failed(more, Code::ResourceExhausted, "too_many_candidates");
    for odd in [String::new(), "candidate:1".to_owned(), format!("\"{}\"", "x".repeat(4095))] {
        let refused = suite.add(&grace, &id, &odd).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}
