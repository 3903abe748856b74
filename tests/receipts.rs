//! Ticks: what has arrived and what has been read, said on sockets and heard in each family's own words, at
//! whichever gateway.

use std::time::Duration;

use chat_e2e::socket::{Receiver, Sender};
use chat_kit::{
    config::{Nats, Upstream},
    nats,
    nats::Publisher,
    time::to_timestamp,
};
use chat_local::testing;
use chat_proto::v1::{self as pb, event::Payload};
use mongodb::bson::{DateTime, oid::ObjectId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Person, eventually, text},
    own_gateway::{OwnGateway, service, upstream},
    proxy::Proxy,
};

/// Emits an event.
async fn say(sender: &Sender, name: &str, body: &Value) {
    sender.emit(name, &body.to_string()).await.expect("written");
}

/// Emits an event and returns the answer to it.
async fn ask(socket: &mut (Sender, Receiver), name: &str, body: &Value) -> Value {
    socket.0.emit_with_ack(1, name, &body.to_string()).await.expect("written");
    socket.1.answer(1).await
}

/// Returns a conversation as a list shows it to somebody.
async fn row(person: &Person, conversation: &str) -> Value {
    let list = person.get(&format!("/api/conversations?me={}", person.id)).await;
    let rows = list.as_array().expect("a list");
    rows.iter().find(|row| row["_id"] == conversation).expect("the conversation").clone()
}

/// Asserts that the next event has this name and this body, with whatever else stands in it.
async fn assert_next(receiver: &mut Receiver, name: &str, fields: Value) -> Value {
    let (heard, body) = receiver.event().await;
    assert_eq!(heard, name, "{body}");
    for (field, value) in fields.as_object().expect("fields") {
        assert_eq!(&body[field], value, "{field} of {body}");
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn arrival_and_reading_tick_on_the_senders_phone() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let mut own = ada.listen(a, "flutter").await;
    let (phone, mut heard) = grace.connect(b, "flutter").await;
    let message = ada.send(&conversation, "hi").await;
    let (id, created_at) = (text(&message["_id"]), text(&message["createdAt"]));
    assert_next(&mut own, "message", json!({ "_id": id })).await;
    assert_next(&mut heard, "message", json!({ "_id": id })).await;

    let arrived = json!({ "messageId": id });
    say(&phone, "delivered", &arrived).await;
    say(&phone, "delivered", &arrived).await;
    let tick = json!({
        "messageId": id, "conversationId": conversation, "by": grace.id, "at": created_at,
    });
    let body = assert_next(&mut own, "delivered", tick.clone()).await;
    assert_eq!(body, tick, "and nothing else");
    assert_eq!(row(&grace, &conversation).await["unreadCount"], 1);

    let forged = json!({
        "conversationId": conversation, "by": ada.id, "at": "2099-01-01T00:00:00.000000Z",
    });
    say(&phone, "read_up_to", &forged).await;
    let at = "2099-01-01T00:00:00.123456Z";
    let read = json!({ "conversationId": conversation, "by": grace.id, "at": at });
    for _ in 0..3 {
        say(&phone, "read_up_to", &read).await;
    }
    let tick = json!({ "conversationId": conversation, "by": grace.id, "at": created_at });
    let body = assert_next(&mut own, "read_up_to", tick.clone()).await;
    assert_eq!(body, tick, "the tick of the last message, once");

    let shown = row(&ada, &conversation).await;
    assert_eq!(shown["deliveredUpTo"], json!({ &grace.id: created_at }));
    assert_eq!(shown["readUpTo"], json!({ &grace.id: created_at }), "nobody else has read");
    assert!(text(&shown["readUpTo"][&grace.id]) >= text(&shown["lastOutgoingAt"]));
    assert_eq!(row(&grace, &conversation).await["unreadCount"], 0);
    // Whatever else had been said of it would have come before this.
    let next = ada.send(&conversation, "again").await;
    assert_next(&mut own, "message", json!({ "_id": next["_id"] })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_meanwhile_ticks_when_its_reader_connects_and_nobody_else() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let (joan, edith) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let theirs = edith.open(&joan).await;
    ada.send(&conversation, "1").await;
    let last = ada.send(&conversation, "2").await;
    let foreign = edith.send(&theirs, "hi").await;
    let mut own = ada.listen(a, "").await;
    let mut other = edith.listen(b, "electron").await;
    for listener in [&mut own, &mut other] {
        listener.expect("connected").await;
    }

    // A stranger connects, and is caught up with his own conversations alone.
    let _joan = joan.listen(a, "flutter").await;
    assert_next(&mut other, "delivered", json!({ "messageId": foreign["_id"] })).await;
    assert_eq!(row(&ada, &conversation).await["deliveredUpTo"], json!({}));

    let before = row(&ada, &conversation).await;
    let _grace = grace.listen(b, "electron").await;
    let tick = json!({
        "messageId": last["_id"], "conversationId": conversation, "by": grace.id,
        "at": last["createdAt"],
    });
    assert_next(&mut own, "delivered", tick).await;
    let after = row(&ada, &conversation).await;
    assert_eq!(after["deliveredUpTo"], json!({ &grace.id: last["createdAt"] }));
    assert_eq!(after["updatedAt"], before["updatedAt"], "the list keeps its order");
    assert_eq!(row(&grace, &conversation).await["unreadCount"], 2, "delivered is not read");

    // Again: there is nothing new to tick.
    let _second = grace.listen(a, "flutter").await;
    let next = ada.send(&conversation, "3").await;
    assert_next(&mut own, "message", json!({ "_id": next["_id"] })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_meanwhile_ticks_as_soon_as_the_service_that_was_away_is_back() {
    let suite = testing::suite(|_| {}).await;
    let (ada, grace) = (Person::new(suite.gateways[0]).await, Person::new(suite.gateways[1]).await);
    let conversation = ada.open(&grace).await;
    let sent = ada.send(&conversation, "hi").await;
    let mut own = ada.listen(suite.gateways[0], "flutter").await;
    let proxy = Proxy::new(&format!("http://{}", service(&suite, "message"))).await;
    proxy.close();
    let nats = &testing::servers().await.nats_url;
    let gateway = OwnGateway::start(&suite, nats, |config| {
        let timeout = Duration::from_millis(500);
        config.message = Upstream { timeout, ..upstream(proxy.address) };
    })
    .await;
    let mut heard = grace.listen(gateway.address, "").await;
    heard.expect("connected").await;
    // As long as that takes, it has failed to say what arrived.
    let history = format!("/api/messages/conversation/{conversation}");
    for _ in 0..2 {
        let asked = grace.at(gateway.address).request(Method::GET, &history, Value::Null).await;
        assert_eq!(asked.0, StatusCode::SERVICE_UNAVAILABLE, "{}", asked.1);
    }
    proxy.open();
    let tick = json!({ "messageId": sent["_id"], "conversationId": conversation, "by": grace.id });
    assert_next(&mut own, "delivered", tick).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn desktop_reads_all_or_some_and_each_sender_hears_of_his_own() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let elsewhere = Person::new(a).await;
    let other = elsewhere.open(&grace).await;
    elsewhere.send(&other, "unread").await;
    let mut own = ada.listen(a, "electron").await;
    own.expect("connected").await;
    let mut sent = Vec::new();
    for content in ["1", "2", "3"] {
        sent.push(ada.send(&conversation, content).await);
        own.expect("message-sent").await;
    }
    let ids: Vec<&Value> = sent.iter().map(|message| &message["_id"]).collect();
    let (desk, mut reader) = grace.connect(b, "electron").await;
    let mut second = grace.listen(a, "").await;
    let mut phone = grace.listen(a, "flutter").await;
    for listener in [&mut reader, &mut second] {
        listener.expect("connected").await;
    }

    say(&desk, "mark-read", &json!({ "conversationId": conversation })).await;
    let receipt = own.expect("messages:read-receipt").await;
    assert_eq!((&receipt["messageIds"], &receipt["readBy"]), (&json!(ids), &json!(grace.id)));
    assert_eq!(receipt["conversationId"], json!(conversation));
    assert!(receipt["readAt"].is_string());
    for listener in [&mut reader, &mut second] {
        let read = listener.expect("messages-read").await;
        assert_eq!(read, json!({ "conversationId": conversation }));
    }
    let shown = row(&grace, &conversation).await;
    assert_eq!(shown["unreadCount"], 0);
    assert_eq!(shown["readUpTo"][&grace.id], sent[2]["createdAt"]);
    assert_eq!(row(&grace, &other).await["unreadCount"], 1, "only that conversation is read");

    // Again: the one who asks hears that it is so, nobody else anything.
    say(&desk, "mark-read", &json!({ "conversationId": conversation })).await;
    assert_eq!(reader.expect("messages-read").await["conversationId"], json!(conversation));

    let fourth = ada.send(&conversation, "4").await;
    ada.send(&conversation, "5").await;
    for listener in [&mut reader, &mut second] {
        listener.expect("receive-message").await;
    }
    second.expect("message").await;
    let foreign = other_message(&elsewhere, &other).await;
    let some = json!({ "conversationId": conversation, "messageIds": [fourth["_id"], foreign] });
    say(&desk, "mark-read", &some).await;
    for _ in ["4", "5"] {
        own.expect("message-sent").await;
    }
    let receipt = own.expect("messages:read-receipt").await;
    assert_eq!(receipt["messageIds"], json!([fourth["_id"]]));
    assert_eq!(row(&grace, &conversation).await["unreadCount"], 1);
    // The phone of the reader was told nothing but messages.
    for content in ["4", "5"] {
        assert_eq!(phone.expect("message").await["text"], content);
    }

    let mut stranger = Person::new(a).await.connect(a, "electron").await;
    stranger.1.expect("connected").await;
    for body in [
        json!({ "conversationId": conversation }),
        json!({ "conversationId": conversation, "messageIds": [fourth["_id"]] }),
        json!({ "conversationId": "nonsense" }),
        Value::Null,
    ] {
        say(&stranger.0, "mark-read", &body).await;
        let refused = stranger.1.expect("error").await;
        assert!(!text(&refused["message"]).is_empty(), "{refused}");
    }
    assert_eq!(row(&ada, &conversation).await["readUpTo"].as_object().expect("cursors").len(), 1);
}

/// Returns the id of a new message of another conversation.
async fn other_message(sender: &Person, conversation: &str) -> Value {
    sender.send(conversation, "elsewhere").await["_id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_group_only_the_sender_hears_of_arrival_and_unread_stays_everybodys_own() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace, joan) = (Person::new(a).await, Person::new(b).await, Person::new(a).await);
    let group = ada.group(&[&grace, &joan]).await;
    let mut sender = ada.listen(a, "electron").await;
    let (phone, mut heard) = grace.connect(b, "flutter").await;
    let mut third = joan.listen(b, "electron").await;
    for listener in [&mut sender, &mut third] {
        listener.expect("connected").await;
    }
    let message = ada.send(&group, "hi").await;
    let id = &message["_id"];
    sender.expect("message-sent").await;
    third.expect("receive-message").await;
    let got = heard.expect("message").await;
    assert_eq!((&got["_id"], &got["to"]), (id, &json!(grace.id)));

    say(&phone, "delivered", &json!({ "messageId": id })).await;
    assert_next(&mut sender, "delivered", json!({ "messageId": id, "by": grace.id })).await;
    say(&phone, "read_up_to", &json!({ "conversationId": group, "by": grace.id })).await;
    let read = json!({ "messageIds": [id], "readBy": grace.id });
    assert_next(&mut sender, "messages:read-receipt", read).await;
    assert_eq!(row(&joan, &group).await["unreadCount"], 1);
    assert_eq!(row(&grace, &group).await["unreadCount"], 0);

    // Who is removed changes nothing any more, and is told nothing.
    let removal = json!({ "groupId": group, "userId": grace.id });
    ada.ok(Method::POST, "/api/groups/remove-participant", removal).await;
    let next = ada.send(&group, "without you").await;
    let mut former = grace.connect(a, "unified").await;
    let arrived = json!({ "messageIds": [next["_id"]] });
    let refused = ask(&mut former, "receipt:delivered", &arrived).await;
    assert_eq!((&refused["ok"], &refused["error"]), (&json!(false), &json!("not_found")));
    let read = json!({ "conversationId": group });
    let refused = ask(&mut former, "receipt:read", &read).await;
    assert_eq!((&refused["ok"], &refused["error"]), (&json!(false), &json!("forbidden")));
    let joined = row(&joan, &group).await;
    for cursors in ["deliveredUpTo", "readUpTo"] {
        assert_eq!(joined[cursors][&grace.id], Value::Null, "{joined}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_clients_tick_by_numbers_and_are_answered() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let mut sent = Vec::new();
    for content in ["1", "2", "3"] {
        sent.push(ada.send(&conversation, content).await);
    }
    let mut reader = grace.connect(b, "unified").await;
    let mut second = grace.listen(a, "unified").await;
    let shown = async || row(&ada, &conversation).await["deliveredUpTo"][&grace.id].clone();
    eventually("she is caught up", async || shown().await == sent[2]["createdAt"]).await;
    let mut own = ada.listen(a, "unified").await;

    let read = json!({ "conversationId": conversation, "seq": 2 });
    let answer = ask(&mut reader, "receipt:read", &read).await;
    assert_eq!(answer, json!({ "ok": true, "conversationId": conversation, "seq": 2 }));
    for listener in [&mut own, &mut second] {
        let told = listener.expect("receipt:read").await;
        assert_eq!((&told["seq"], &told["userId"]), (&json!(2), &json!(grace.id)));
        assert_eq!(told["messageCreatedAt"], sent[1]["createdAt"]);
    }
    assert_eq!(row(&grace, &conversation).await["unreadCount"], 1);
    let all = json!({ "conversationId": conversation });
    assert_eq!(ask(&mut reader, "receipt:read", &all).await["seq"], 3);
    own.expect("receipt:read").await;

    let fourth = ada.send(&conversation, "4").await;
    own.expect("message:created").await;
    let arrived = json!({ "messageId": fourth["_id"] });
    assert_eq!(ask(&mut reader, "receipt:delivered", &arrived).await, json!({ "ok": true }));
    let (name, told) = own.event().await;
    assert_eq!(name, "receipt:delivered");
    assert_eq!((&told["seq"], &told["userId"]), (&json!(4), &json!(grace.id)));
    assert_eq!(told["messageCreatedAt"], fourth["createdAt"]);
    let own_message = json!({ "messageId": fourth["_id"] });
    let mut sender = ada.connect(b, "unified").await;
    let refused = ask(&mut sender, "receipt:delivered", &own_message).await;
    assert_eq!(refused["error"], "not_found", "nobody receives his own");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_while_nats_is_dead_is_heard_by_the_connected_sender_once_it_is_back() {
    let mut servers = testing::own_servers().await;
    let suite = testing::suite_on(&servers, |_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let (desk, mut reader) = grace.connect(b, "electron").await;
    let mut own = ada.listen(a, "electron").await;
    let mut phone = ada.listen(a, "flutter").await;
    for listener in [&mut reader, &mut own] {
        listener.expect("connected").await;
    }
    let mut sent = Vec::new();
    for content in ["1", "2", "3"] {
        sent.push(ada.send(&conversation, content).await);
        own.expect("message-sent").await;
        phone.expect("message").await;
        reader.expect("receive-message").await;
    }

    servers.kill_nats().await.expect("killed");
    say(&desk, "mark-read", &json!({ "conversationId": conversation })).await;
    let unread = async || row(&grace, &conversation).await["unreadCount"].clone();
    eventually("it is read", async || unread().await == 0).await;
    servers.restart_nats().await.expect("restarted");

    let receipt = own.expect("messages:read-receipt").await;
    let ids: Vec<&Value> = sent.iter().map(|message| &message["_id"]).collect();
    assert_eq!((&receipt["messageIds"], &receipt["readBy"]), (&json!(ids), &json!(grace.id)));
    let tick = phone.expect("read_up_to").await;
    assert_eq!((&tick["by"], &tick["at"]), (&json!(grace.id), &sent[2]["createdAt"]));
    let read = reader.expect("messages-read").await;
    assert_eq!(read, json!({ "conversationId": conversation }));
    // Whatever else had been said of it would have come before this.
    let next = ada.send(&conversation, "4").await;
    assert_eq!(own.expect("message-sent").await["_id"], next["_id"]);
    assert_eq!(phone.expect("message").await["_id"], next["_id"]);
    assert_eq!(reader.expect("receive-message").await["_id"], next["_id"]);
}

/// Publishes what a replica says of receipts, in this order.
async fn publish(recipients: &[&Person], payloads: Vec<Payload>) {
    let config = Nats::new(&testing::servers().await.nats_url);
    let client = nats::connect(&config, "test").await.expect("nats");
    let publisher = Publisher::new(client, &config).await.expect("a stream");
    for payload in payloads {
        let event = pb::Event {
            id: ObjectId::new().to_hex(),
            recipient_ids: recipients.iter().map(|person| person.id.clone()).collect(),
            payload: Some(payload),
            ..Default::default()
        };
        publisher.publish(&event, "test").await.expect("published");
    }
}

/// Returns a time of its own for each number.
fn stored_at(seq: i64) -> DateTime {
    DateTime::from_millis(1_769_847_330_000 + seq)
}

fn is_of(seq: i64, time: &Value) -> bool {
    text(time).ends_with(&format!("{seq:03}Z"))
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_that_is_heard_late_takes_no_tick_back_and_names_its_messages() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let conversation = ada.open(&grace).await;
    let (mut own, mut reader) =
        (ada.listen(a, "electron").await, grace.listen(b, "electron").await);
    let (mut phone, mut new) = (ada.listen(b, "flutter").await, ada.listen(a, "unified").await);
    for listener in [&mut own, &mut reader] {
        listener.expect("connected").await;
    }
    let read = |previous_seq: i64, seq: i64| {
        let ids = (previous_seq + 1..=seq).map(|seq| format!("m{seq}")).collect();
        Payload::ReadAdvanced(pb::ReadAdvanced {
            conversation_id: conversation.clone(),
            user_id: grace.id.clone(),
            seq,
            read_at: Some(to_timestamp(stored_at(seq))),
            advanced_at: Some(to_timestamp(stored_at(seq))),
            previous_seq,
            messages: vec![pb::ReadMessages { sender_id: ada.id.clone(), message_ids: ids }],
        })
    };
    publish(&[&ada, &grace], vec![read(3, 5), read(0, 3), read(5, 6)]).await;
    for ids in [&["m4", "m5"][..], &["m1", "m2", "m3"], &["m6"]] {
        assert_eq!(own.expect("messages:read-receipt").await["messageIds"], json!(ids));
    }
    for seq in [5, 6] {
        let tick = phone.expect("read_up_to").await;
        assert!(is_of(seq, &tick["at"]), "{tick}");
        assert_eq!(new.expect("receipt:read").await["seq"], seq);
        reader.expect("messages-read").await;
    }
    let next = ada.send(&conversation, "next").await;
    assert_eq!(reader.expect("receive-message").await["_id"], next["_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_that_is_heard_late_is_told_to_those_alone_who_know_of_no_later_one() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace, joan) = (Person::new(a).await, Person::new(b).await, Person::new(a).await);
    let group = ada.group(&[&grace, &joan]).await;
    let (mut phone, mut new) = (ada.listen(a, "flutter").await, ada.listen(b, "unified").await);
    let mut third = joan.listen(b, "flutter").await;
    let delivered = |(previous_seq, seq): (i64, i64), of: &[(&Person, i64)]| {
        let messages = of.iter().map(|(person, seq)| pb::DeliveredMessage {
            sender_id: person.id.clone(),
            message_id: format!("m{seq}"),
            created_at: Some(to_timestamp(stored_at(*seq))),
        });
        Payload::DeliveredAdvanced(pb::DeliveredAdvanced {
            conversation_id: group.clone(),
            user_id: grace.id.clone(),
            seq,
            delivered_at: Some(to_timestamp(stored_at(seq))),
            advanced_at: Some(to_timestamp(stored_at(seq))),
            previous_seq,
            messages: messages.collect(),
        })
    };
    publish(&[&ada], vec![delivered((3, 5), &[(&ada, 5)])]).await;
    let late = delivered((0, 3), &[(&ada, 3), (&joan, 2)]);
    publish(&[&ada, &joan], vec![late, delivered((5, 7), &[(&joan, 7), (&ada, 6)])]).await;
    for id in ["m5", "m6"] {
        assert_next(&mut phone, "delivered", json!({ "messageId": id })).await;
    }
    for seq in [5, 7] {
        assert_next(&mut new, "receipt:delivered", json!({ "seq": seq })).await;
    }
    for id in ["m2", "m7"] {
        assert_next(&mut third, "delivered", json!({ "messageId": id })).await;
    }
}
