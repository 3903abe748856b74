//! Typing: the other members see it in their families' words while it lasts, and nobody else does.

use std::time::{Duration, Instant};

use chat_e2e::socket::{Receiver, Sender};
use chat_local::testing;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Person;

/// How long what is not said again lasts.
const LIFE: Duration = Duration::from_secs(5);

/// Emits an event.
async fn say(sender: &Sender, name: &str, body: Value) {
    sender.emit(name, &body.to_string()).await.expect("written");
}

/// Asserts that the next event says of somebody that he types, or does no more, under this name.
async fn assert_typing(receiver: &mut Receiver, name: &str, by: &Person, in_: &str, typing: bool) {
    let (heard, body) = receiver.event().await;
    assert_eq!(heard, name, "{body}");
    assert!(body["at"].is_string());
    let expected = json!({
        "from": by.id, "conversationId": in_, "typing": typing, "at": body["at"],
    });
    assert_eq!(body, expected);
}

/// Asserts that the next that a new client hears of typing is that somebody does, or does no more.
async fn assert_shown(receiver: &mut Receiver, by: &Person, typing: bool) {
    loop {
        let (name, body) = receiver.event().await;
        if name == "typing" {
            return assert_eq!(
                (&body["userId"], &body["isTyping"]),
                (&json!(by.id), &json!(typing))
            );
        }
    }
}

/// Asserts that nothing of typing was heard: the next event is that of a new message.
async fn assert_quiet(receiver: &mut Receiver, message: &Value) {
    let (name, body) = receiver.event().await;
    assert_eq!(body["_id"], message["_id"], "{name} {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn families_see_each_other_type() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let (phone, mut own) = ada.connect(a, "flutter").await;
    let (desk, mut desktop) = grace.connect(b, "electron").await;
    let mut undeclared = grace.listen(a, "").await;
    let mut new = grace.listen(b, "unified").await;
    for listener in [&mut desktop, &mut undeclared] {
        listener.expect("connected").await;
    }

    let typing =
        |typing: bool| json!({ "to": grace.id, "conversationId": conversation, "typing": typing });
    say(&phone, "typing", typing(true)).await;
    for listener in [&mut desktop, &mut undeclared] {
        assert_typing(listener, "typing", &ada, &conversation, true).await;
    }
    let (name, body) = new.event().await;
    assert_eq!(
        (&*name, &body["isTyping"], &body["userId"]),
        ("typing", &json!(true), &json!(ada.id))
    );
    for _ in ["once", "twice"] {
        say(&phone, "typing", typing(false)).await;
    }
    assert_typing(&mut desktop, "typing-stopped", &ada, &conversation, false).await;
    assert_typing(&mut undeclared, "typing", &ada, &conversation, false).await;
    assert_typing(&mut undeclared, "typing-stopped", &ada, &conversation, false).await;
    assert_eq!(new.event().await.1["isTyping"], false);

    // The conversation need not be known.
    for nothing in [Value::Null, json!("undefined")] {
        let to = json!({ "to": grace.id, "conversationId": nothing, "typing": true });
        say(&phone, "typing", to).await;
        assert_typing(&mut desktop, "typing", &ada, &conversation, true).await;
        let to = json!({ "to": grace.id, "conversationId": nothing, "typing": false });
        say(&phone, "typing", to).await;
        assert_typing(&mut desktop, "typing-stopped", &ada, &conversation, false).await;
    }

    say(&desk, "typing", json!({ "conversationId": conversation })).await;
    assert_typing(&mut own, "typing", &grace, &conversation, true).await;
    say(&desk, "typing-stopped", json!({ "conversationId": conversation })).await;
    assert_typing(&mut own, "typing", &grace, &conversation, false).await;
    // The typist's own devices have seen nothing of it, and nothing was said twice.
    let message = grace.send(&conversation, "done").await;
    assert_quiet(&mut own, &message).await;
    assert_quiet(&mut desktop, &message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_ends_by_itself_with_the_message_and_with_the_socket() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let mut own = ada.listen(a, "electron").await;
    own.expect("connected").await;
    let (desk, mut desktop) = grace.connect(b, "electron").await;
    desktop.expect("connected").await;
    let here = || json!({ "conversationId": conversation });

    let begun = Instant::now();
    say(&desk, "typing", here()).await;
    assert_typing(&mut own, "typing", &grace, &conversation, true).await;
    assert_typing(&mut own, "typing-stopped", &grace, &conversation, false).await;
    let lasted = begun.elapsed();
    assert!(lasted >= LIFE && lasted < 2 * LIFE, "{lasted:?}");

    say(&desk, "typing", here()).await;
    assert_typing(&mut own, "typing", &grace, &conversation, true).await;
    let message = grace.send(&conversation, "done").await;
    assert_quiet(&mut own, &message).await;
    assert_typing(&mut own, "typing-stopped", &grace, &conversation, false).await;
    // Who does not type does not stop.
    let message = grace.send(&conversation, "once more").await;
    assert_quiet(&mut own, &message).await;
    say(&desk, "typing-stopped", here()).await;

    say(&desk, "typing", here()).await;
    assert_typing(&mut own, "typing", &grace, &conversation, true).await;
    let gone = Instant::now();
    drop((desk, desktop));
    assert_typing(&mut own, "typing-stopped", &grace, &conversation, false).await;
    assert!(gone.elapsed() < LIFE, "with the socket, and not by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_former_members_neither_type_nor_see_it() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace, joan) = (Person::new(a).await, Person::new(b).await, Person::new(b).await);
    let group = ada.group(&[&grace, &joan]).await;
    let mut third = joan.connect(a, "unified").await;
    let (desk, _desktop) = ada.connect(b, "electron").await;
    let mut former = grace.connect(b, "unified").await;
    let here = json!({ "conversationId": group });
    let stranger = Person::new(a).await;
    let mut outside = stranger.connect(b, "unified").await;
    let at_nobody = json!({ "to": ada.id });
    let (forbidden, unknown) = ((&here, "forbidden"), (&at_nobody, "conversation_not_found"));
    for (body, error) in [forbidden, unknown, unknown] {
        outside.0.emit_with_ack(7, "typing", &body.to_string()).await.expect("written");
        let answer = outside.1.answer(7).await;
        assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!(error)));
    }

    say(&desk, "typing", here.clone()).await;
    for listener in [&mut third.1, &mut former.1] {
        assert_shown(listener, &ada, true).await;
    }
    say(&former.0, "typing", here.clone()).await;
    assert_shown(&mut third.1, &grace, true).await;
    let removal = json!({ "groupId": group, "userId": grace.id });
    ada.ok(Method::POST, "/api/groups/remove-participant", removal).await;
    former.1.expect("conversation:member-removed").await;
    // The one who was removed types no more, as those see who are left.
    assert_shown(&mut third.1, &grace, false).await;
    former.0.emit_with_ack(7, "typing", &here.to_string()).await.expect("written");
    let answer = former.1.answer(7).await;
    assert_eq!(answer["error"], "forbidden");

    say(&desk, "typing-stopped", here.clone()).await;
    assert_shown(&mut third.1, &ada, false).await;
    // Nothing of the end came to the former member, and nothing of his to the others.
    let direct = ada.open(&grace).await;
    let message = ada.send(&direct, "still here").await;
    assert_eq!(former.1.expect("message:created").await["id"], message["_id"]);
    say(&desk, "typing", here).await;
    assert_shown(&mut third.1, &ada, true).await;
}
