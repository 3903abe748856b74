//! Answering and declining: who may, once, and what both hear.

use chat_proto::v1::{CallEndReason, CallState, event::Payload};
use tonic::Code;

use crate::{
    ear::Ear,
    support::{ANSWER, Device, assert_failed, start},
};

#[tokio::test]
async fn answer_is_heard_by_both_and_names_its_socket() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    ear.hear(&id).await;
    let call = suite.answer(1, &grace, &id).await.expect("answered");
    assert_eq!(call.state(), CallState::Answered);
    let heard = ear.hear(&id).await;
    assert_eq!(heard.recipient_ids, [ada.user.to_string(), grace.user.to_string()]);
    assert_eq!(heard.occurred_at, call.answered_at);
    let Some(Payload::CallAnswered(answered)) = heard.payload else { panic!("{heard:?}") };
    assert_eq!((answered.sdp.as_str(), &answered.socket_id), (ANSWER, &grace.socket));
    assert_eq!(answered.call, Some(call));
}

#[tokio::test]
async fn second_answer_is_refused_but_to_the_socket_that_gave_the_first() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    let call = suite.answer(1, &grace, &id).await.expect("answered");
    ear.hear_answered(&id).await;
    for device in [&grace, &grace.again(), &Device::of(grace.user)] {
        let again = suite.answer(0, device, &id).await;
        if device.socket == grace.socket {
            assert_eq!(again.expect("it heard no reply"), call);
        } else {
            assert_failed(again, Code::AlreadyExists, "already_answered");
        }
        let declined = suite.decline(device, &id).await;
        assert_failed(declined, Code::AlreadyExists, "already_answered");
    }
    suite.hang_up(&grace, &id).await.expect("ended");
    assert_eq!(ear.hear_end(&id).await, grace.user.to_string(), "it was answered once");
    assert_failed(suite.answer(0, &grace, &id).await, Code::Aborted, "call_ended");
}

#[tokio::test]
async fn callee_alone_answers_and_declines() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let joan = suite.device().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    assert_failed(suite.answer(0, &ada, &id).await, Code::PermissionDenied, "forbidden");
    assert_failed(suite.decline(&ada, &id).await, Code::PermissionDenied, "forbidden");
    // To strangers the call is not there.
    assert_failed(suite.answer(0, &joan, &id).await, Code::NotFound, "not_found");
    assert_failed(suite.decline(&joan, &id).await, Code::NotFound, "not_found");
    for unknown in ["nonsense", "0123456789abcdef0123456789abcdef"] {
        assert_failed(suite.answer(0, &grace, unknown).await, Code::NotFound, "not_found");
        assert_failed(suite.decline(&grace, unknown).await, Code::NotFound, "not_found");
    }
    suite.answer(0, &grace, &id).await.expect("answered");
}

#[tokio::test]
async fn decline_is_heard_by_both_once_and_frees_them() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    ear.hear(&id).await;
    let call = suite.decline(&Device::of(grace.user), &id).await.expect("declined");
    assert_eq!((call.state(), call.end_reason()), (CallState::Ended, CallEndReason::Declined));
    assert_eq!(call.ended_by, Some(grace.user.to_string()));
    let heard = ear.hear(&id).await;
    assert_eq!(heard.recipient_ids, [ada.user.to_string(), grace.user.to_string()]);
    let Some(Payload::CallDeclined(declined)) = heard.payload else { panic!("{heard:?}") };
    assert_eq!(declined.user_id, grace.user.to_string());
    assert_eq!(declined.call.as_ref(), Some(&call));
    assert_eq!(suite.decline(&grace, &id).await.expect("over already"), call);
    let next = suite.ring(1, &ada, &grace).await.expect("it rings").id;
    // Nothing more was said of the first.
    ear.hear(&next).await;
    assert!(!ear.has_heard(&id));
}
