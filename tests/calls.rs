//! Calls over two gateways, with time cut short: what becomes of them when nobody answers, when sockets
//! stay away or come back, and when a gateway loses NATS. The flows of clients are in `tests/clients`.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use chat_e2e::{
    harness::{PATIENCE, Person, eventually, text},
    socket::{self, Heard, Receiver, Sender},
};
use chat_kit::config::{Nats, Upstream};
use chat_local::{
    suite::Options,
    testing::{self, TestSuite},
};
use mongodb::bson::doc;
use serde_json::{Value, json};

use crate::{
    calls_missed,
    own_gateway::{OwnGateway, service, upstream},
    proxy::Proxy,
};

/// How long a bound socket counts as there without a word of its gateway, and how long a call waits for one.
const LEASE: Duration = Duration::from_secs(3);
const RENEWALS: Duration = Duration::from_millis(500);
/// How long a call to the service may take that is away.
const SHORT: Duration = Duration::from_millis(500);
/// Longer than a lease and a grace together.
const LONG: Duration = Duration::from_secs(7);

/// One connected socket, which hears of calls alone.
pub struct Line {
    sender: Sender,
    receiver: Receiver,
    heard: VecDeque<(String, Value)>,
    asked: u64,
}

impl Line {
    /// Connects as a mobile client.
    pub async fn open(person: &Person, gateway: SocketAddr) -> Self {
        Self::open_as("flutter", person, gateway).await
    }

    /// Connects and declares a client type; an empty one is no declaration.
    pub async fn open_as(client_type: &str, person: &Person, gateway: SocketAddr) -> Self {
        let (sender, receiver) = person.connect(gateway, client_type).await;
        Self { sender, receiver, heard: VecDeque::new(), asked: 0 }
    }

    /// Sends an event and returns its acknowledgement.
    pub async fn ask(&mut self, name: &str, body: Value) -> Value {
        self.asked += 1;
        let sent = self.sender.emit_with_ack(self.asked, name, &body.to_string()).await;
        sent.expect("written");
        loop {
            match tokio::time::timeout(PATIENCE, self.receiver.next()).await.expect("an answer") {
                Heard::Ack(number, answer) if number == self.asked => {
                    return serde_json::from_str(answer.body()).expect("JSON");
                }
                Heard::Event(event) => self.note(&event),
                other => panic!("{other:?} instead of an answer to {name}"),
            }
        }
    }

    /// Sends an event that must be accepted; returns its acknowledgement.
    pub async fn accepted(&mut self, name: &str, body: Value) -> Value {
        let answer = self.ask(name, body).await;
        assert_eq!(answer["ok"], true, "{name}: {answer}");
        answer
    }

    fn note(&mut self, event: &socket::Event) {
        if event.name().starts_with("call:") {
            let body = serde_json::from_str(event.body()).expect("JSON");
            self.heard.push_back((event.name().to_owned(), body));
        }
    }

    /// Returns what is heard next of calls, if anything is within a time.
    pub async fn next(&mut self, within: Duration) -> Option<(String, Value)> {
        let hear = async {
            while self.heard.is_empty() {
                match self.receiver.next().await {
                    Heard::Event(event) => self.note(&event),
                    other => panic!("{other:?} instead of an event"),
                }
            }
        };
        tokio::time::timeout(within, hear).await.ok();
        self.heard.pop_front()
    }

    /// Returns the body of what is heard next, which must have this name.
    pub async fn expect(&mut self, name: &str) -> Value {
        let (heard, body) = self.next(PATIENCE).await.unwrap_or_else(|| panic!("never {name}"));
        assert_eq!(heard, name, "{body}");
        body
    }

    /// Hears nothing of calls for a while.
    pub async fn expect_nothing(&mut self, within: Duration) {
        assert_eq!(self.next(within).await, None);
    }
}

/// A session description.
pub fn described(kind: &str) -> Value {
    json!({ "type": kind, "sdp": "v=0\r\n" })
}

/// What takes a call.
pub fn taken(id: &str) -> Value {
    json!({ "callId": id, "accept": true, "sdp": described("answer") })
}

/// Two people and a socket of each.
pub struct Scene {
    pub suite: TestSuite,
    pub caller: Person,
    pub callee: Person,
    pub one: Line,
    pub other: Line,
}

/// Cuts the time short that a call waits for its sockets.
pub fn short(options: &mut Options) {
    options.calls.lease = LEASE;
    options.calls.grace = LEASE;
    options.bound_sockets.renew_interval = RENEWALS;
}

/// Two people who know each other, the caller on the first gateway.
pub async fn scene(suite: TestSuite) -> Scene {
    let ada = Person::new(suite.gateways[0]).await;
    let bob = Person::new(suite.gateways[1]).await;
    ada.open(&bob).await;
    let one = Line::open(&ada, suite.gateways[0]).await;
    let other = Line::open(&bob, suite.gateways[1]).await;
    Scene { suite, caller: ada, callee: bob, one, other }
}

impl Scene {
    /// Rings; returns the id of the call once both have heard of it.
    pub async fn ring(&mut self) -> String {
        let invite = json!({ "to": self.callee.id, "sdp": described("offer"), "kind": "video" });
        let placed = self.one.accepted("call:invite", invite).await;
        let id = text(&placed["call"]["id"]).to_owned();
        assert_eq!(self.one.expect("call:ringing").await["callId"], id);
        assert_eq!(self.other.expect("call:incoming").await["callId"], id);
        id
    }

    /// Rings and answers; returns the id of the call once the caller has heard of that.
    pub async fn talk(&mut self) -> String {
        let id = self.ring().await;
        self.other.accepted("call:answer", taken(&id)).await;
        assert_eq!(self.one.expect("call:answer").await["callId"], id);
        id
    }
}

/// What is heard of the end of a call.
pub fn ended(id: &str, by: &str) -> Value {
    json!({ "callId": id, "by": by })
}

#[tokio::test(flavor = "multi_thread")]
async fn call_that_nobody_answers_ends_for_both() {
    let suite = testing::suite(|options| {
        options.calls.ring_timeout = Duration::from_secs(1);
    })
    .await;
    let mut scene = scene(suite).await;
    let id = scene.ring().await;
    for line in [&mut scene.one, &mut scene.other] {
        assert_eq!(line.expect("call:ended").await, ended(&id, "timeout"));
    }
    assert_eq!(scene.other.ask("call:answer", taken(&id)).await["error"], "call_ended");
    // Who asks for no acknowledgement hears so, too.
    assert_eq!(scene.other.expect("call:error").await["error"], "call_ended");
    scene.ring().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_lives_as_long_as_its_sockets_are_there() {
    let mut scene = scene(testing::suite(short).await).await;
    let id = scene.talk().await;
    scene.one.expect_nothing(LONG).await;
    scene.other.expect_nothing(Duration::from_millis(100)).await;
    scene.one.accepted("call:hangup", json!({ "callId": id })).await;
    for line in [&mut scene.one, &mut scene.other] {
        assert_eq!(line.expect("call:ended").await, ended(&id, &scene.caller.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn call_ends_for_all_when_a_bound_socket_stays_away() {
    let mut scene = scene(testing::suite(short).await).await;
    let mut idle = Line::open(&scene.callee, scene.suite.gateways[0]).await;
    let id = scene.talk().await;
    idle.expect("call:incoming").await;
    assert_eq!(idle.expect("call:ended").await, ended(&id, "answered_elsewhere"));
    // Another session is no substitute.
    let elsewhere = again(&scene.callee, &scene.suite).await;
    drop(scene.other);
    let mut stranger = Line::open(&elsewhere, scene.suite.gateways[1]).await;
    assert_eq!(stranger.expect("call:ended").await, ended(&id, "answered_elsewhere"));
    for line in [&mut scene.one, &mut idle, &mut stranger] {
        assert_eq!(line.expect("call:ended").await, ended(&id, "disconnect"));
    }
}

/// Logs a person in again, which makes another session.
pub async fn again(person: &Person, suite: &TestSuite) -> Person {
    let phone = json!({ "phone": person.phone });
    let mut person = person.at(suite.gateways[0]);
    let sent = person.ok(reqwest::Method::POST, "/api/auth/send-otp-login", phone).await;
    let given = json!({ "otp": sent["otp"], "sessionId": sent["sessionId"] });
    let login = person.ok(reqwest::Method::POST, "/api/auth/verify-otp-login", given).await;
    text(&login["token"]).clone_into(&mut person.token);
    person
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_comes_back_takes_the_call_over_on_either_side() {
    let mut scene = scene(testing::suite(short).await).await;
    let id = scene.talk().await;
    // To the other gateway than before; and the caller, too.
    drop(scene.other);
    let mut other = Line::open(&scene.callee, scene.suite.gateways[0]).await;
    drop(scene.one);
    let calls = calls_missed::stored(&scene.suite).await;
    eventually("it is known that the caller is gone", async || {
        let gone = doc! { "caller.bound.is_detached": true };
        calls.find_one(gone).await.expect("an answer").is_some()
    })
    .await;
    let mut one = Line::open(&scene.caller, scene.suite.gateways[1]).await;
    // What he heard just before he went may not have reached him.
    assert_eq!(one.expect("call:answer").await["callId"], id);
    one.expect_nothing(LONG).await;
    let candidate = json!({ "callId": id, "candidate": { "candidate": "a" } });
    one.accepted("call:candidate", candidate.clone()).await;
    let heard = other.expect("call:candidate").await;
    assert_eq!(
        (&heard["from"], &heard["candidate"]["candidate"]),
        (&json!(scene.caller.id), &json!("a"))
    );
    other.accepted("call:candidate", candidate).await;
    assert_eq!(one.expect("call:candidate").await["from"], json!(scene.callee.id));
    other.accepted("call:hangup", json!({ "callId": id })).await;
    for line in [&mut one, &mut other] {
        assert_eq!(line.expect("call:ended").await, ended(&id, &scene.callee.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_comes_back_while_the_call_service_is_away_takes_over_later() {
    let suite = testing::suite(|_| {}).await;
    let proxy = Proxy::new(&format!("http://{}", service(&suite, "call"))).await;
    let nats = &testing::servers().await.nats_url;
    let gateway = OwnGateway::start(&suite, nats, |config| {
        config.call = Upstream { timeout: SHORT, ..upstream(proxy.address) };
    })
    .await;
    let mut scene = scene(suite).await;
    let id = scene.talk().await;
    proxy.close();
    drop(scene.other);
    let mut other = Line::open(&scene.callee, gateway.address).await;
    let candidate = json!({ "callId": id, "candidate": { "candidate": "a" } });
    let refused = other.ask("call:candidate", candidate.clone()).await;
    assert_eq!(refused["ok"], false, "{refused}");
    assert_eq!(other.expect("call:error").await["error"], refused["error"]);
    proxy.open();
    let mut tries = 0;
    let heard = loop {
        scene.one.accepted("call:candidate", candidate.clone()).await;
        if let Some((heard, _)) = other.next(SHORT).await {
            break heard;
        }
        tries += 1;
        assert!(tries < 20, "it has not taken over");
    };
    assert_eq!(heard, "call:candidate");
    other.accepted("call:candidate", candidate).await;
    assert_eq!(scene.one.expect("call:candidate").await["callId"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_who_stays_away_while_it_rings_ends_the_call() {
    let mut scene = scene(testing::suite(short).await).await;
    let id = scene.ring().await;
    drop(scene.one);
    assert_eq!(scene.other.expect("call:ended").await, ended(&id, "disconnect"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_lost_nats_tell_each_step_once_and_in_order() {
    let servers = testing::own_servers().await;
    let proxy = Proxy::new(&servers.nats_url).await;
    let through = Nats::new(&format!("nats://{}", proxy.address));
    let suite = testing::suite_on(&servers, |options| options.gateway_nats = Some(through)).await;
    let mut scene = scene(suite).await;
    let first = scene.talk().await;
    proxy.close();
    // All of this happens while neither gateway hears of it.
    scene.one.accepted("call:hangup", json!({ "callId": first })).await;
    let invite = json!({ "to": scene.callee.id, "sdp": described("offer") });
    let placed = scene.one.accepted("call:invite", invite).await;
    let id = text(&placed["call"]["id"]).to_owned();
    let candidate = json!({ "callId": id, "candidate": { "candidate": "early" } });
    scene.other.accepted("call:candidate", candidate).await;
    scene.other.accepted("call:answer", taken(&id)).await;
    scene.one.expect_nothing(Duration::from_millis(200)).await;
    proxy.open();
    assert_eq!(scene.one.expect("call:ended").await, ended(&first, &scene.caller.id));
    assert_eq!(scene.one.expect("call:ringing").await["callId"], id);
    assert_eq!(scene.one.expect("call:answer").await["callId"], id);
    let heard = scene.one.expect("call:candidate").await;
    assert_eq!(heard["candidate"]["candidate"], "early");
    // Nobody rings for what was answered meanwhile.
    assert_eq!(scene.other.expect("call:ended").await, ended(&first, &scene.caller.id));
    scene.other.accepted("call:hangup", json!({ "callId": id })).await;
    for line in [&mut scene.one, &mut scene.other] {
        assert_eq!(line.expect("call:ended").await, ended(&id, &scene.callee.id));
        line.expect_nothing(Duration::from_secs(1)).await;
    }
}
