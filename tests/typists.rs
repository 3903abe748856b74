//! Who hears that somebody types is known for a while, and not for longer than it is so; and nobody hears of
//! what has ended before it could be told.

use std::time::Duration;

use chat_e2e::socket::{Receiver, Sender};
use chat_local::testing::{self, TestSuite};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Person, eventually},
    own_gateway::{OwnGateway, service, upstream},
    proxy::Proxy,
};

/// Pause between two words of a client that goes on typing.
const PAUSE: Duration = Duration::from_millis(200);

struct Scene {
    suite: TestSuite,
    gateway: OwnGateway,
    /// Between the gateway and the conversation service.
    conversations: Proxy,
    /// Between the gateway and NATS.
    nats: Proxy,
    ada: Person,
    grace: Person,
}

/// Ada at a gateway that can be cut off, and Grace at another.
async fn scene() -> Scene {
    let suite = testing::suite(|_| {}).await;
    let conversations = Proxy::new(&format!("http://{}", service(&suite, "conversation"))).await;
    let nats = Proxy::new(&testing::servers().await.nats_url).await;
    let url = format!("nats://{}", nats.address);
    let gateway = OwnGateway::start(&suite, &url, |config| {
        config.conversation = upstream(conversations.address);
    })
    .await;
    let ada = Person::new(gateway.address).await;
    let grace = Person::new(suite.gateways[0]).await;
    Scene { suite, gateway, conversations, nats, ada, grace }
}

/// Says that one types until that is answered with success, or not; returns the answer.
async fn type_until(
    (sender, receiver): &mut (Sender, Receiver),
    place: &Value,
    is_expected: impl Fn(&Value) -> bool,
) -> Value {
    let mut answered = Value::Null;
    eventually("such an answer", async || {
        sender.emit_with_ack(7, "typing", &place.to_string()).await.expect("written");
        answered = receiver.answer(7).await;
        is_expected(&answered)
    })
    .await;
    answered
}

/// Asserts that the next that is heard of typing is that it begins or goes on.
async fn assert_typing(receiver: &mut Receiver) {
    assert_eq!(receiver.expect("typing").await["isTyping"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_that_goes_on_is_told_without_asking_who_hears() {
    let scene = scene().await;
    let conversation = scene.ada.open(&scene.grace).await;
    let (typist, _own) = scene.ada.connect(scene.gateway.address, "flutter").await;
    let mut shown = scene.grace.listen(scene.suite.gateways[0], "unified").await;
    let place = json!({ "conversationId": conversation }).to_string();
    typist.emit("typing", &place).await.expect("written");
    assert_typing(&mut shown).await;
    scene.conversations.freeze();
    // What is said within a second is not told again.
    for _ in 0..2 {
        let told_again = async {
            loop {
                typist.emit("typing", &place).await.expect("written");
                if tokio::time::timeout(PAUSE, assert_typing(&mut shown)).await.is_ok() {
                    break;
                }
            }
        };
        told_again.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_that_ended_before_it_could_be_told_is_not_told() {
    let scene = scene().await;
    let conversation = scene.ada.open(&scene.grace).await;
    let mut typist = scene.ada.connect(scene.gateway.address, "unified").await;
    let mut own = scene.ada.listen(scene.gateway.address, "unified").await;
    let mut shown = scene.grace.listen(scene.suite.gateways[0], "unified").await;
    scene.conversations.freeze();
    let place = json!({ "conversationId": conversation });
    typist.0.emit_with_ack(7, "typing", &place.to_string()).await.expect("written");
    scene.conversations.until_holding().await;
    let ada = scene.ada.at(scene.suite.gateways[0]);
    let sent = ada.send(&conversation, "sent").await;
    assert_eq!(own.expect("message:created").await["id"], sent["_id"]);
    scene.conversations.thaw();
    assert_eq!(typist.1.answer(7).await["ok"], true);
    let next = ada.send(&conversation, "next").await;
    for message in [sent, next] {
        assert_eq!(shown.expect("message:created").await["id"], message["_id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_user_is_soon_not_seen_typing() {
    let scene = scene().await;
    let conversation = scene.ada.open(&scene.grace).await;
    let mut typist = scene.ada.connect(scene.gateway.address, "unified").await;
    let mut shown = scene.grace.listen(scene.suite.gateways[0], "unified").await;
    let place = json!({ "conversationId": conversation });
    type_until(&mut typist, &place, |answer| answer["ok"] == true).await;
    assert_typing(&mut shown).await;
    let path = format!("/api/users/{}/block", scene.grace.id);
    // Whoever of the two does it.
    let ada = scene.ada.at(scene.suite.gateways[1]);
    ada.ok(Method::PUT, &path, json!({})).await;
    let refused = type_until(&mut typist, &place, |answer| answer["ok"] == false).await;
    assert_eq!(refused["error"], "forbidden");
    ada.ok(Method::DELETE, &path, json!({})).await;
    let message = ada.send(&conversation, "still here").await;
    // Of the block itself nobody was told.
    let next = loop {
        match shown.event().await {
            (name, _) if name == "typing" => {}
            next => break next,
        }
    };
    assert_eq!((&*next.0, &next.1["id"]), ("message:created", &message["_id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn member_who_was_removed_while_nats_was_away_sees_nobody_type() {
    let scene = scene().await;
    let joan = Person::new(scene.suite.gateways[1]).await;
    let group = scene.ada.group(&[&scene.grace, &joan]).await;
    let mut typist = scene.ada.connect(scene.gateway.address, "unified").await;
    let mut former = scene.grace.listen(scene.suite.gateways[0], "unified").await;
    let mut third = joan.listen(scene.suite.gateways[1], "unified").await;
    let place = json!({ "conversationId": group });
    type_until(&mut typist, &place, |answer| answer["ok"] == true).await;
    assert_typing(&mut former).await;
    assert_typing(&mut third).await;
    scene.nats.close();
    let ada = scene.ada.at(scene.suite.gateways[1]);
    let removal = json!({ "groupId": group, "userId": scene.grace.id });
    ada.ok(Method::POST, "/api/groups/remove-participant", removal).await;
    former.expect("conversation:member-removed").await;
    // While it is away, nobody is told anything.
    type_until(&mut typist, &place, |answer| answer["ok"] == false).await;
    scene.nats.open();
    type_until(&mut typist, &place, |answer| answer["ok"] == true).await;
    let direct = ada.open(&scene.grace).await;
    let message = ada.send(&direct, "still here").await;
    assert_eq!(former.expect("message:created").await["id"], message["_id"]);
}
