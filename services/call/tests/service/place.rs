//! Placing calls: who may ring whom, and what both hear.

use std::time::Duration;

use bson::doc;
use chat_kit::{
    id::UserId,
    time::{after, from_timestamp},
};
use chat_proto::v1::{
    BlockUserRequest, CallKind, CallState, PlaceCallRequest, RequestChatRequest, event::Payload,
    request_chat_request::Peer,
};
use tonic::{Code, Request};

use crate::{
    ear::Ear,
    support::{Device, OFFER, assert_failed, start, start_with},
};

#[tokio::test]
async fn call_rings_and_both_hear_of_it() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let call = suite.ring(0, &ada, &grace).await.expect("it rings");
    assert_eq!((call.id.len(), call.state()), (32, CallState::Ringing));
    assert_eq!(call.kind(), CallKind::Video);
    assert_eq!(
        (&call.caller_id, &call.callee_id),
        (&ada.user.to_string(), &grace.user.to_string())
    );
    let heard = ear.hear(&call.id).await;
    assert_eq!(heard.recipient_ids, [ada.user.to_string(), grace.user.to_string()]);
    assert_eq!(heard.occurred_at, call.placed_at);
    let Some(Payload::CallPlaced(placed)) = heard.payload else { panic!("{heard:?}") };
    assert_eq!((placed.sdp.as_str(), &placed.socket_id), (OFFER, &ada.socket));
    let placed_at = from_timestamp(call.placed_at.as_ref().expect("a time"));
    let rings_until = from_timestamp(placed.rings_until.as_ref().expect("an end"));
    assert_eq!(rings_until, after(placed_at, Duration::from_secs(40)));
    assert_eq!(placed.call, Some(call));
}

#[tokio::test]
async fn who_is_in_a_call_is_busy_on_both_sides() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let joan = suite.device().await;
    suite.connect(&joan, &ada).await;
    suite.connect(&joan, &grace).await;
    let ringing = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    for (by, to) in [(&joan, &ada), (&joan, &grace), (&ada, &joan), (&grace, &joan), (&grace, &ada)]
    {
        assert_failed(suite.ring(1, by, to).await, Code::AlreadyExists, "busy");
    }
    suite.answer(1, &grace, &ringing).await.expect("answered");
    assert_failed(suite.ring(0, &joan, &grace).await, Code::AlreadyExists, "busy");
    suite.hang_up(&ada, &ringing).await.expect("ended");
    suite.ring(0, &joan, &grace).await.expect("it rings: the other call is over");
}

#[tokio::test]
async fn nobody_rings_himself_a_stranger_or_somebody_who_does_not_exist() {
    let suite = start().await;
    let (ada, grace) = (suite.device().await, suite.device().await);
    assert_failed(suite.ring(0, &ada, &ada).await, Code::InvalidArgument, "validation_error");
    assert_failed(suite.ring(0, &ada, &grace).await, Code::PermissionDenied, "forbidden");
    let nobody = Device::of(UserId::new());
    assert_failed(suite.ring(0, &ada, &nobody).await, Code::NotFound, "user_not_found");
    assert_eq!(suite.stored().count_documents(doc! {}).await.expect("a count"), 0);
}

#[tokio::test]
async fn request_that_is_not_accepted_and_block_keep_from_ringing() {
    let suite = start().await;
    let (ada, grace) = (suite.device().await, suite.device().await);
    let peer = Some(Peer::UserId(grace.user.to_string()));
    let request = ada.request(RequestChatRequest { peer });
    suite.conversations.clone().request_chat(request).await.expect("asked");
    for (by, to) in [(&ada, &grace), (&grace, &ada)] {
        assert_failed(suite.ring(0, by, to).await, Code::PermissionDenied, "forbidden");
    }
    let (ada, grace) = suite.pair().await;
    let request = grace.request(BlockUserRequest { user_id: ada.user.to_string() });
    suite.conversations.clone().block_user(request).await.expect("blocked");
    for (by, to) in [(&ada, &grace), (&grace, &ada)] {
        assert_failed(suite.ring(0, by, to).await, Code::PermissionDenied, "forbidden");
    }
}

#[tokio::test]
async fn request_that_says_too_little_or_too_much_is_refused() {
    type Change = fn(&mut PlaceCallRequest);
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let changes: [(Change, &str); 8] = [
        (|request| request.callee_id = "nobody".to_owned(), "invalid_id"),
        (|request| request.sdp.clear(), "validation_error"),
        (|request| request.sdp = "v=0".to_owned(), "validation_error"),
        (|request| request.sdp = format!("\"{}\"", "x".repeat(65_535)), "validation_error"),
        (|request| request.kind = CallKind::Unspecified.into(), "validation_error"),
        (|request| request.kind = 7, "validation_error"),
        (|request| request.socket_id.clear(), "validation_error"),
        (|request| request.socket_id = "x".repeat(65), "validation_error"),
    ];
    for (change, reason) in changes {
        let refused = suite.ring_with(0, &ada, &grace, change).await;
        assert_failed(refused, Code::InvalidArgument, reason);
    }
    let nobody = suite.calls[0].clone().place_call(Request::new(PlaceCallRequest::default())).await;
    assert_eq!(nobody.expect_err("no identity").code(), Code::Unauthenticated);
}

#[tokio::test]
async fn what_looks_like_an_expression_is_handed_on_as_it_is() {
    let (suite, mut ear) = (start().await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let (odd, grace) = ("\"$caller\"", Device { socket: "$$NOW".to_owned(), ..grace });
    let ring = suite.ring_with(0, &ada, &grace, |request| request.sdp = odd.to_owned());
    let id = ring.await.expect("it rings").id;
    let Some(Payload::CallPlaced(placed)) = ear.hear(&id).await.payload else { panic!("placed") };
    assert_eq!(placed.sdp, odd);
    suite.add(&grace, &id, odd).await.expect("added");
    suite.answer(0, &grace, &id).await.expect("answered");
    let heard = ear.hear(&id).await.payload;
    let Some(Payload::CallAnswered(answered)) = heard else { panic!("{heard:?}") };
    assert_eq!(answered.socket_id, "$$NOW");
    assert_eq!(answered.callee_candidates, [odd]);
    suite.hang_up(&grace, &id).await.expect("ended: the socket is bound");
}

#[tokio::test]
async fn call_to_somebody_offline_rings_until_its_time_is_over() {
    let suite = start_with(|options| {
        options.calls.ring_timeout = Duration::from_millis(700);
    })
    .await;
    let mut ear = Ear::open().await;
    let (ada, grace) = suite.pair().await;
    let call = suite.ring(0, &ada, &grace).await.expect("it rings");
    ear.hear(&call.id).await;
    // The replica that placed it is gone: any other ends it.
    suite.replicas[0].stop();
    assert_eq!(ear.hear_end(&call.id).await, "timeout");
    let ended = suite.document(&call.id).await;
    let span = ended.get_datetime("ended_at").expect("an end").timestamp_millis()
        - ended.get_datetime("placed_at").expect("a beginning").timestamp_millis();
    assert!((700..2000).contains(&span), "{span} ms");
    assert_eq!(ended.get_str("end_reason").expect("a reason"), "timeout");
}

#[tokio::test]
async fn call_that_cannot_be_read_keeps_no_other_from_ending() {
    let suite = start_with(|options| {
        options.calls.ring_timeout = Duration::from_secs(1);
    })
    .await;
    let mut ear = Ear::open().await;
    let broken = doc! { "_id": "broken", "is_live": true, "due_at": bson::DateTime::MIN };
    suite.stored().insert_one(broken).await.expect("stored");
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    ear.hear(&id).await;
    assert_eq!(ear.hear_end(&id).await, "timeout");
}
