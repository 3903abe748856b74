//! The sockets that calls are bound to: what becomes of a call whose socket has left.

use std::time::Duration;

use chat_kit::caller::Caller;
use chat_proto::v1::{CallSocket, RenewCallsRequest};
use tonic::Code;

use crate::{
    ear::Ear,
    support::{Device, Options, Suite, assert_failed, start, start_with},
};

/// A lease and a grace that tests can wait for.
const SHORT: Duration = Duration::from_millis(1500);
/// Longer than any test waits.
const LONG: Duration = Duration::from_mins(10);

fn short_lease(options: &mut Options) {
    options.calls.lease = SHORT;
    options.calls.grace = LONG;
}

fn short_grace(options: &mut Options) {
    options.calls.lease = LONG;
    options.calls.grace = SHORT;
}

async fn state(suite: &Suite, id: &str) -> String {
    suite.document(id).await.get_str("state").expect("a state").to_owned()
}

#[tokio::test]
async fn call_whose_gateways_died_ends_when_its_lease_runs_out() {
    let (suite, mut ear) = (start_with(short_lease).await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.answered(&ada, &grace).await;
    ear.hear_answered(&id).await;
    assert_eq!(ear.hear_end(&id).await, "disconnect");
    let ringing = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    ear.hear(&ringing).await;
    assert_eq!(ear.hear_end(&ringing).await, "disconnect", "the caller's gateway died");
}

#[tokio::test]
async fn renewed_call_lives_and_one_side_is_not_enough() {
    let (suite, mut ear) = (start_with(short_lease).await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.answered(&ada, &grace).await;
    ear.hear_answered(&id).await;
    let began = std::time::Instant::now();
    while began.elapsed() < 2 * SHORT {
        assert_eq!(suite.renew(&[(&id, &ada), (&id, &grace)]).await, []);
        assert_eq!(state(&suite, &id).await, "answered");
    }
    let renewing = async {
        loop {
            suite.renew(&[(&id, &ada)]).await;
        }
    };
    let by = tokio::select! {
        by = ear.hear_end(&id) => by,
        () = renewing => unreachable!("it renews for ever"),
    };
    assert_eq!(by, "disconnect");
}

#[tokio::test]
async fn renewal_releases_what_no_call_needs() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let id = suite.answered(&ada, &grace).await;
    let stranger = Device::of(grace.user);
    let released = suite.renew(&[(&id, &ada), (&id, &stranger), ("nonsense", &ada)]).await;
    let socket = |id: &str, device: &Device| CallSocket {
        call_id: id.to_owned(),
        socket_id: device.socket.clone(),
    };
    assert_eq!(released, [socket(&id, &stranger), socket("nonsense", &ada)]);
    suite.hang_up(&ada, &id).await.expect("ended");
    assert_eq!(suite.renew(&[(&id, &ada)]).await, [socket(&id, &ada)]);
    assert_eq!(suite.renew(&[]).await, []);
    let request = ada.request(RenewCallsRequest::default());
    let user = suite.calls[0].clone().renew_calls(request).await;
    assert_eq!(user.expect_err("a user").code(), Code::PermissionDenied);
    let sockets = vec![socket(&id, &ada); 1001];
    let request = RenewCallsRequest { gateway_id: "g".to_owned(), sockets };
    let request = Caller::service("gateway", "r").request(request);
    let many = suite.calls[0].clone().renew_calls(request).await;
    assert_failed(many, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn call_ends_when_its_socket_does_not_come_back() {
    let (suite, mut ear) = (start_with(short_grace).await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    for gone in [&ada, &grace] {
        let id = suite.answered(&ada, &grace).await;
        ear.hear_answered(&id).await;
        suite.detach(gone).await;
        // A renewal that was on its way does not bring it back.
        assert_eq!(suite.renew(&[(&id, gone)]).await, []);
        assert_eq!(state(&suite, &id).await, "answered");
        assert_eq!(ear.hear_end(&id).await, "disconnect");
    }
    let ringing = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    ear.hear(&ringing).await;
    suite.detach(&ada).await;
    assert_eq!(ear.hear_end(&ringing).await, "disconnect");
}

#[tokio::test]
async fn next_socket_of_the_session_takes_over_within_the_grace() {
    let suite = start_with(|options| {
        options.calls.lease = LONG;
        options.calls.grace = LONG;
    })
    .await;
    let (ada, grace) = suite.pair().await;
    for (device, is_answered) in [(&ada, false), (&ada, true), (&grace, true)] {
        let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
        if is_answered {
            suite.answer(0, &grace, &id).await.expect("answered");
        }
        suite.detach(device).await;
        assert_eq!(suite.attach(&Device::of(device.user)).await, None, "another session");
        let back = device.again();
        assert_eq!(suite.attach(&back).await.as_ref(), Some(&id));
        assert_eq!(suite.attach(&back).await.as_ref(), Some(&id), "said twice");
        assert_failed(suite.add(device, &id, "1").await, Code::PermissionDenied, "forbidden");
        suite.add(&back, &id, "2").await.expect("added by the one that took over");
        if is_answered {
            let old = suite.hang_up(device, &id).await;
            assert_failed(old, Code::PermissionDenied, "forbidden");
        }
        suite.hang_up(&back, &id).await.expect("ended by the one that took over");
    }
}

#[tokio::test]
async fn sockets_without_a_session_are_of_one_user() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let [ada, grace] = [ada, grace].map(|device| Device { session: None, ..device });
    let id = suite.answered(&ada, &grace).await;
    suite.detach(&ada).await;
    assert_eq!(suite.attach(&Device::of(ada.user)).await, None);
    assert_eq!(suite.attach(&ada.again()).await, Some(id));
}

#[tokio::test]
async fn socket_that_comes_before_the_other_is_missed_stands_by() {
    let (suite, mut ear) = (start_with(short_grace).await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.answered(&ada, &grace).await;
    ear.hear_answered(&id).await;
    let back = grace.again();
    assert_eq!(suite.attach(&back).await.as_ref(), Some(&id));
    assert_eq!(suite.renew(&[(&id, &grace), (&id, &back)]).await, []);
    suite.add(&back, &id, "1").await.expect("it acts like the bound one");
    suite.detach(&grace).await;
    let released = suite.renew(&[(&id, &grace), (&id, &back)]).await;
    assert_eq!(released.len(), 1, "{released:?}");
    assert_eq!(released[0].socket_id, grace.socket);
    ear.hear(&id).await;
    // One that stood by and went leaves the call as it was; the bound one is missed.
    let other = back.again();
    assert_eq!(suite.attach(&other).await.as_ref(), Some(&id));
    suite.detach(&other).await;
    suite.detach(&back).await;
    assert_eq!(ear.hear_end(&id).await, "disconnect");
}

#[tokio::test]
async fn gateway_that_died_is_replaced_by_the_socket_that_stands_by() {
    let suite = start_with(short_lease).await;
    let (ada, grace) = suite.pair().await;
    let id = suite.answered(&ada, &grace).await;
    let back = grace.again();
    assert_eq!(suite.attach(&back).await.as_ref(), Some(&id));
    let began = std::time::Instant::now();
    while began.elapsed() < 2 * SHORT {
        suite.renew(&[(&id, &ada), (&id, &back)]).await;
    }
    assert_eq!(state(&suite, &id).await, "answered");
    let old = suite.hang_up(&grace, &id).await;
    assert_failed(old, Code::PermissionDenied, "forbidden");
    suite.hang_up(&back, &id).await.expect("ended");
}

#[tokio::test]
async fn idle_devices_come_and_go_without_a_trace() {
    let suite = start_with(short_grace).await;
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    for device in [&Device::of(ada.user), &Device::of(grace.user), &grace, &suite.device().await] {
        assert_eq!(suite.attach(device).await, None);
        suite.detach(device).await;
    }
    suite.answer(0, &grace, &id).await.expect("answered");
    let before = suite.document(&id).await;
    for device in [&Device::of(ada.user), &Device::of(grace.user)] {
        assert_eq!(suite.attach(device).await, None);
        suite.detach(device).await;
    }
    assert_eq!(suite.document(&id).await.get("revision"), before.get("revision"));
}
