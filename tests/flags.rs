//! Mute, pin and archive: what one sets of a conversation at one gateway, all of one's clients know at any.

use std::time::{Duration, SystemTime};

use chat_local::testing;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Person, eventually, text};

fn path(conversation: &str, mark: &str) -> String {
    format!("/api/conversations/{conversation}/{mark}")
}

async fn set(person: &Person, conversation: &str, mark: &str) -> Value {
    person.ok(Method::PUT, &path(conversation, mark), json!({})).await
}

async fn take_back(person: &Person, conversation: &str, mark: &str) -> Value {
    person.ok(Method::DELETE, &path(conversation, mark), json!({})).await
}

/// Returns what a row or an answer says is set: muted, pinned, archived.
fn flags(shown: &Value) -> [bool; 3] {
    ["isMuted", "isPinned", "isArchived"]
        .map(|field| shown[field].as_bool().unwrap_or_else(|| panic!("no {field}: {shown}")))
}

/// Returns the ids in a person's list of new clients.
async fn listed(person: &Person, query: &str) -> Vec<String> {
    let list = person.get(&format!("/api/conversations?clientType=unified&{query}")).await;
    let rows = list["conversations"].as_array().expect("a list");
    rows.iter().map(|row| text(&row["id"]).to_owned()).collect()
}

/// Returns an instant some time from now, as clients write it.
fn in_a_while(seconds: u64) -> String {
    let instant = SystemTime::now() + Duration::from_secs(seconds);
    let instant = mongodb::bson::DateTime::from_system_time(instant);
    instant.try_to_rfc3339_string().expect("an instant")
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_are_shown_to_whoever_set_them_in_every_vocabulary() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let id = ada.open(&grace).await;
    let until = in_a_while(3600);
    let answer = ada.ok(Method::PUT, &path(&id, "mute"), json!({ "until": until })).await;
    assert_eq!((&answer["conversationId"], flags(&answer)), (&json!(id), [true, false, false]));
    let muted_until = text(&answer["mutedUntil"]).to_owned();
    assert_eq!(muted_until[..19], until[..19]);
    set(&ada, &id, "pin").await;
    for query in ["", "clientType=electron", "clientType=flutter", "clientType=unified"] {
        for list in ["/api/conversations", "/conversations"] {
            let list = ada.at(b).get(&format!("{list}?{query}")).await;
            let row = list.get(0).unwrap_or_else(|| &list["conversations"][0]);
            assert_eq!(
                (flags(row), &row["mutedUntil"]),
                ([true, true, false], &json!(muted_until))
            );
        }
        let one = ada.at(b).get(&format!("/api/conversations/{id}?{query}")).await;
        assert_eq!(flags(&one["conversation"]), [true, true, false], "{query}");
    }
    let other = grace.get(&format!("/api/conversations/{id}")).await;
    assert_eq!(flags(&other["conversation"]), [false; 3], "it is nobody else's");
    // Without a time, it is for ever.
    let answer = set(&ada, &id, "mute").await;
    assert_eq!((flags(&answer), answer.get("mutedUntil")), ([true, true, false], None));
    assert_eq!(flags(&take_back(&ada.at(b), &id, "mute").await), [false, true, false]);
    assert_eq!(flags(&take_back(&ada.at(b), &id, "pin").await), [false; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_of_the_same_person_hear_it_and_nobody_else_does() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let id = ada.open(&grace).await;
    let mut own = ada.listen(b, "unified").await;
    let mut old = ada.listen(b, "flutter").await;
    let mut foreign = grace.listen(a, "unified").await;
    for (mark, expected) in [
        ("pin", [false, true, false]),
        ("archive", [false, false, true]),
        ("mute", [true, false, true]),
    ] {
        set(&ada, &id, mark).await;
        let heard = own.expect("conversation:updated").await;
        let ids = (&heard["conversationId"], &heard["actorId"]);
        assert_eq!((ids, flags(&heard)), ((&json!(id), &json!(ada.id)), expected), "{mark}");
        assert_eq!(heard.get("conversation"), None);
    }
    take_back(&ada, &id, "archive").await;
    assert_eq!(flags(&own.expect("conversation:updated").await), [true, false, false]);
    // Whatever came before would have been heard before.
    grace.send(&id, "hi").await;
    assert_eq!(foreign.expect("message:created").await["content"], "hi");
    assert_eq!(old.expect("message").await["text"], "hi", "muting is for clients to heed");
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_conversation_is_put_away_where_that_is_asked_for_and_stays_so() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace, alan) = (Person::new(a).await, Person::new(b).await, Person::new(b).await);
    let (first, second) = (ada.open(&grace).await, ada.open(&alan).await);
    let group = ada.group(&[&grace]).await;
    set(&ada, &first, "archive").await;
    set(&ada, &group, "pin").await;
    let rows = async |query: &str| listed(&ada.at(b), query).await;
    assert_eq!(rows("archived=true").await, [first.as_str()]);
    assert_eq!(rows("archived=false&pinned=true").await, [group.as_str()]);
    assert_eq!(rows("archived=false&pinned=false").await, [second.as_str()]);
    assert_eq!(rows("archived=true&pinned=true").await, [""; 0]);
    // Old clients know no archive: they see all, but for what they ask themselves.
    let whole = ada.get(&format!("/api/conversations?me={}&status=active", ada.id)).await;
    assert_eq!(whole.as_array().expect("a bare list").len(), 3);
    for family in ["electron", "flutter", ""] {
        let list = ada.get(&format!("/api/conversations?clientType={family}&archived=true")).await;
        assert_eq!(list["conversations"][0]["_id"], first.as_str(), "{family}");
    }
    assert_eq!(rows("").await.len(), 3);
    // A new message comes in without taking it out.
    grace.send(&first, "are you there?").await;
    eventually("the message leads the whole list", async || rows("").await.first() == Some(&first))
        .await;
    assert_eq!(rows("archived=true").await, [first.as_str()]);
    // What is pinned is not archived, and the other way round.
    assert_eq!(flags(&set(&ada, &first, "pin").await), [false, true, false]);
    assert_eq!(flags(&set(&ada, &group, "archive").await), [false, false, true]);
    // Clearing takes it out of both.
    for id in [&first, &group] {
        ada.ok(Method::DELETE, &format!("/api/conversations/{id}"), json!({})).await;
        let one = ada.get(&format!("/api/conversations/{id}")).await;
        assert_eq!(flags(&one["conversation"]), [false; 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_conversations_are_pinned_at_two_gateways_and_no_more() {
    let suite = testing::suite(|options| options.replicas = 2).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let mut groups = Vec::new();
    for _ in 0..54 {
        groups.push(ada.group(&[&grace]).await);
    }
    let sides = [ada.clone(), ada.at(b)];
    let pin = async |(number, id): (usize, &String)| {
        sides[number % 2].request(Method::PUT, &path(id, "pin"), json!({})).await
    };
    let answers = join_all(groups.iter().enumerate().map(pin)).await;
    let mut refused = 0;
    for (status, answer) in answers {
        if status == StatusCode::OK {
            assert_eq!(flags(&answer), [false, true, false]);
            continue;
        }
        let found = (status, &answer["error"]);
        assert_eq!(found, (StatusCode::CONFLICT, &json!("too_many_pinned")), "{answer}");
        refused += 1;
    }
    assert_eq!(refused, 4);
    let pinned = listed(&ada, "pinned=true&limit=100").await;
    assert_eq!(pinned.len(), 50);
    let rest = listed(&ada, "pinned=false&limit=100").await;
    assert_eq!(rest.len(), 4);
    // One more has room where another one has gone.
    take_back(&ada, &pinned[0], "pin").await;
    set(&ada.at(b), &rest[0], "pin").await;
    let (status, _) = ada.request(Method::PUT, &path(&rest[1], "pin"), json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_marks_say_what_is_wrong_and_change_nothing() {
    let suite = testing::suite(|_| {}).await;
    let [a, b] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(a).await, Person::new(b).await);
    let stranger = Person::new(b).await;
    let id = ada.open(&grace).await;
    let nowhere = "65f0c0ffee0123456789abcd";
    for mark in ["mute", "pin", "archive"] {
        for method in [Method::PUT, Method::DELETE] {
            for (who, id, status, error) in [
                (&stranger, id.as_str(), 403, "forbidden"),
                (&ada, nowhere, 404, "not_found"),
                (&ada, "zzz", 400, "invalid_id"),
            ] {
                let asked = who.request(method.clone(), &path(id, mark), json!({})).await;
                assert_eq!(
                    (asked.0.as_u16(), &asked.1["error"]),
                    (status, &json!(error)),
                    "{mark}"
                );
            }
        }
    }
    for until in [json!("2020-01-01T00:00:00Z"), json!("soon"), json!(7), json!({ "$gt": "" })] {
        let body = json!({ "until": until });
        let (status, answer) = ada.request(Method::PUT, &path(&id, "mute"), body).await;
        let found = (status.as_u16(), &answer["error"]);
        assert_eq!(found, (400, &json!("validation_error")), "{until}: {answer}");
        assert!(text(&answer["message"]).contains("until"), "{answer}");
    }
    for query in ["archived=maybe", "pinned=1"] {
        let list = format!("/api/conversations?{query}");
        let (status, _) = ada.request(Method::GET, &list, Value::Null).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
    let one = ada.get(&format!("/api/conversations/{id}")).await;
    assert_eq!(flags(&one["conversation"]), [false; 3]);
}
