//! What a device hears of calls that comes back, or comes while one rings: what it has missed, once, and
//! before what happens since.

use std::time::Duration;

use chat_e2e::harness::{self, Person, eventually, text};
use chat_kit::config::{Nats, Upstream};
use chat_local::testing::{self, TestSuite};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use crate::{
    calls::{Line, again, described, ended, scene, short, taken},
    own_gateway::{OwnGateway, service, upstream},
    proxy::Proxy,
};

/// Longer than it takes to tell a socket what it has missed.
const MOMENT: Duration = Duration::from_secs(1);

/// Longer than a gateway waits before it pings a socket, and shorter than a call rings.
const UNTIL_PING: Duration = Duration::from_secs(34);

/// Returns the calls of a suite, as they are stored.
pub async fn stored(suite: &TestSuite) -> mongodb::Collection<Document> {
    harness::stored(&testing::servers().await.mongodb_uri, suite, "call", "calls").await
}

fn candidate(id: &str, text: &str) -> Value {
    json!({ "callId": id, "candidate": { "candidate": text } })
}

async fn expect_candidates(line: &mut Line, expected: &[&str]) {
    for expected in expected {
        let heard = line.expect("call:candidate").await;
        assert_eq!(heard["candidate"]["candidate"], **expected);
    }
}

/// Rings without waiting for the callee; returns the id of the call.
async fn invite(one: &mut Line, callee: &Person) -> String {
    let invite = json!({ "to": callee.id, "sdp": described("offer"), "kind": "audio" });
    text(&one.accepted("call:invite", invite).await["call"]["id"]).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_who_comes_back_hears_the_answer_before_the_candidates_and_once() {
    let mut scene = scene(testing::suite(short).await).await;
    let id = scene.ring().await;
    drop(scene.one);
    for early in ["1", "2"] {
        scene.other.accepted("call:candidate", candidate(&id, early)).await;
    }
    scene.other.accepted("call:answer", taken(&id)).await;
    scene.other.accepted("call:candidate", candidate(&id, "3")).await;
    let mut one = Line::open(&scene.caller, scene.suite.gateways[1]).await;
    let answer = one.expect("call:answer").await;
    assert_eq!((&answer["callId"], &answer["sdp"]), (&json!(id), &described("answer")));
    expect_candidates(&mut one, &["1", "2", "3"]).await;
    one.expect_nothing(MOMENT).await;
    one.accepted("call:candidate", candidate(&id, "mine")).await;
    expect_candidates(&mut scene.other, &["mine"]).await;
    scene.other.accepted("call:candidate", candidate(&id, "4")).await;
    expect_candidates(&mut one, &["4"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_who_comes_back_while_it_rings_hears_that_it_does() {
    let mut scene = scene(testing::suite(short).await).await;
    let id = scene.ring().await;
    drop(scene.one);
    let mut one = Line::open(&scene.caller, scene.suite.gateways[1]).await;
    assert_eq!(one.expect("call:ringing").await["callId"], id);
    scene.other.accepted("call:answer", taken(&id)).await;
    assert_eq!(one.expect("call:answer").await["callId"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_whose_lost_socket_did_not_answer_a_ping_hears_the_answer() {
    let mut scene = scene(testing::suite(|_| {}).await).await;
    let proxy = Proxy::new(&format!("http://{}", scene.suite.gateways[0])).await;
    scene.one = Line::open(&scene.caller, proxy.address).await;
    let id = scene.ring().await;
    proxy.abandon();
    scene.other.expect_nothing(UNTIL_PING).await;
    scene.other.accepted("call:answer", taken(&id)).await;
    let calls = stored(&scene.suite).await;
    let gone = doc! { "_id": &id, "caller.bound.is_detached": true };
    eventually("it is noticed that the caller is gone", async || {
        calls.find_one(gone.clone()).await.expect("an answer").is_some()
    })
    .await;
    let mut one = Line::open(&scene.caller, scene.suite.gateways[0]).await;
    let answer = one.expect("call:answer").await;
    assert_eq!((&answer["callId"], &answer["sdp"]), (&json!(id), &described("answer")));
    one.accepted("call:hangup", json!({ "callId": id })).await;
    assert_eq!(scene.other.expect("call:ended").await, ended(&id, &scene.caller.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn callee_who_connects_while_it_rings_hears_of_it_once() {
    let suite = testing::suite(|_| {}).await;
    let ada = Person::new(suite.gateways[0]).await;
    let callee = Person::new(suite.gateways[1]).await;
    ada.open(&callee).await;
    let mut one = Line::open(&ada, suite.gateways[0]).await;
    let id = invite(&mut one, &callee).await;
    assert_eq!(one.expect("call:ringing").await["callId"], id);
    for (number, client_type) in ["", "flutter"].into_iter().enumerate() {
        let person = if number == 0 { callee.clone() } else { again(&callee, &suite).await };
        let mut line = Line::open_as(client_type, &person, suite.gateways[number]).await;
        let heard = line.expect("call:incoming").await;
        assert_eq!((&heard["callId"], &heard["sdp"]), (&json!(id), &described("offer")));
        line.expect_nothing(MOMENT).await;
        drop(line);
        // It would take the same call for another one.
        let mut back = Line::open_as(client_type, &person, suite.gateways[1 - number]).await;
        back.expect_nothing(MOMENT).await;
    }
    // A new client knows calls by their ids.
    for _ in 0..2 {
        let mut line = Line::open_as("unified", &callee, suite.gateways[1]).await;
        assert_eq!(line.expect("call:incoming").await["callId"], id);
    }
    let mut line = Line::open(&callee, suite.gateways[0]).await;
    line.accepted("call:answer", taken(&id)).await;
    assert_eq!(one.expect("call:answer").await["callId"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn device_on_which_it_has_rung_does_not_ring_again_when_it_comes_back() {
    let mut scene = scene(testing::suite(|_| {}).await).await;
    let id = scene.ring().await;
    let calls = stored(&scene.suite).await;
    let rung = doc! { "_id": &id, "callee.rung.0": { "$exists": true } };
    eventually("where it has rung is noted", async || {
        calls.count_documents(rung.clone()).await.expect("a count") == 1
    })
    .await;
    drop(scene.other);
    let mut other = Line::open(&scene.callee, scene.suite.gateways[0]).await;
    other.expect_nothing(MOMENT).await;
    let mut elsewhere =
        Line::open(&again(&scene.callee, &scene.suite).await, scene.suite.gateways[1]).await;
    assert_eq!(elsewhere.expect("call:incoming").await["callId"], id);
    other.accepted("call:answer", taken(&id)).await;
    assert_eq!(scene.one.expect("call:answer").await["callId"], id);
    assert_eq!(elsewhere.expect("call:ended").await, ended(&id, "answered_elsewhere"));
    other.expect_nothing(MOMENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_that_was_away_when_another_answered_hears_so_when_it_comes_back() {
    let mut scene = scene(testing::suite(|_| {}).await).await;
    let [first, second] = [scene.suite.gateways[0], scene.suite.gateways[1]];
    let elsewhere = again(&scene.callee, &scene.suite).await;
    let tablet = Line::open(&elsewhere, first).await;
    let id = scene.talk().await;
    drop(tablet);
    for (gateway, client_type) in [(second, "electron"), (first, "flutter"), (second, "unified")] {
        let mut back = Line::open_as(client_type, &elsewhere, gateway).await;
        assert_eq!(back.expect("call:ended").await, ended(&id, "answered_elsewhere"));
        back.expect_nothing(MOMENT).await;
    }
    // The call goes on.
    scene.one.accepted("call:candidate", candidate(&id, "1")).await;
    expect_candidates(&mut scene.other, &["1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_a_call_is_heard_by_whoever_comes_back() {
    let mut scene = scene(testing::suite(|_| {}).await).await;
    let id = scene.talk().await;
    drop(scene.other);
    scene.one.accepted("call:hangup", json!({ "callId": id })).await;
    assert_eq!(scene.one.expect("call:ended").await, ended(&id, &scene.caller.id));
    let mut other = Line::open(&scene.callee, scene.suite.gateways[0]).await;
    assert_eq!(other.expect("call:ended").await, ended(&id, &scene.caller.id));
    other.expect_nothing(MOMENT).await;
    // Who hung up knows it.
    let mut one = Line::open(&scene.caller, scene.suite.gateways[1]).await;
    one.expect_nothing(MOMENT).await;

    let id = invite(&mut one, &scene.callee).await;
    assert_eq!(other.expect("call:incoming").await["callId"], id);
    drop((one, scene.one));
    other.accepted("call:answer", json!({ "callId": id, "accept": false })).await;
    let mut one = Line::open(&scene.caller, scene.suite.gateways[0]).await;
    let declined = one.expect("call:declined").await;
    assert_eq!(declined, json!({ "callId": id, "from": scene.callee.id }));
    one.expect_nothing(MOMENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_that_came_while_a_party_was_away_are_heard_on_return() {
    let mut scene = scene(testing::suite(|_| {}).await).await;
    let id = scene.talk().await;
    drop(scene.other);
    for number in ["1", "2"] {
        scene.one.accepted("call:candidate", candidate(&id, number)).await;
    }
    let mut other = Line::open(&scene.callee, scene.suite.gateways[0]).await;
    expect_candidates(&mut other, &["1", "2"]).await;
    other.expect_nothing(MOMENT).await;
    scene.one.accepted("call:candidate", candidate(&id, "3")).await;
    expect_candidates(&mut other, &["3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hang_up_that_met_a_failure_takes_effect_later() {
    let suite = testing::suite(|_| {}).await;
    let proxy = Proxy::new(&format!("http://{}", service(&suite, "call"))).await;
    let nats = &testing::servers().await.nats_url;
    let gateway = OwnGateway::start(&suite, nats, |config| {
        config.call = Upstream { timeout: MOMENT / 2, ..upstream(proxy.address) };
    })
    .await;
    let mut scene = scene(suite).await;
    scene.other = Line::open(&scene.callee, gateway.address).await;
    let id = scene.talk().await;
    proxy.close();
    let refused = scene.other.ask("call:hangup", json!({ "callId": id })).await;
    assert_eq!(refused["ok"], false, "{refused}");
    proxy.open();
    assert_eq!(scene.one.expect("call:ended").await, ended(&id, &scene.callee.id));
    assert_eq!(scene.other.expect("call:error").await["error"], refused["error"]);
    assert_eq!(scene.other.expect("call:ended").await, ended(&id, &scene.callee.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_a_gateway_had_lost_nats_rings_only_if_it_still_does() {
    let servers = testing::own_servers().await;
    let proxy = Proxy::new(&servers.nats_url).await;
    let through = Nats::new(&format!("nats://{}", proxy.address));
    let suite = testing::suite_on(&servers, |options| options.gateway_nats = Some(through)).await;
    let mut scene = scene(suite).await;
    proxy.close();
    let first = invite(&mut scene.one, &scene.callee).await;
    scene.one.accepted("call:hangup", json!({ "callId": first })).await;
    // Each call is announced by itself: only then does the stream have the first one whole before the second.
    let calls = harness::stored(&servers.mongodb_uri, &scene.suite, "call", "calls").await;
    eventually("all of the first call is announced", async || {
        let waiting = doc! { "outbox": { "$exists": true } };
        calls.find_one(waiting).await.expect("an answer").is_none()
    })
    .await;
    let second = invite(&mut scene.one, &scene.callee).await;
    proxy.open();
    assert_eq!(scene.one.expect("call:ringing").await["callId"], first);
    assert_eq!(scene.one.expect("call:ended").await, ended(&first, &scene.caller.id));
    assert_eq!(scene.one.expect("call:ringing").await["callId"], second);
    assert_eq!(scene.other.expect("call:ended").await, ended(&first, &scene.caller.id));
    assert_eq!(scene.other.expect("call:incoming").await["callId"], second);

    // The answering socket goes, and one comes in its place, before anybody hears of the answer.
    proxy.close();
    scene.other.accepted("call:answer", taken(&second)).await;
    drop(scene.other);
    let mut other = Line::open(&scene.callee, scene.suite.gateways[1]).await;
    other.accepted("call:candidate", candidate(&second, "1")).await;
    proxy.open();
    assert_eq!(scene.one.expect("call:answer").await["callId"], second);
    other.expect_nothing(MOMENT).await;
    scene.one.accepted("call:candidate", candidate(&second, "2")).await;
    expect_candidates(&mut other, &["2"]).await;
}
