//! Two between whom a block stands do not see each other: they are told so when it comes and when it goes.

use std::time::Duration;

use chat_e2e::socket::Receiver;
use chat_local::testing::TestSuite;
use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::Value;

use crate::{
    harness::{Person, eventually, text},
    presence::{database, hear_of, heard, listen, suite},
};

/// Two partners who see each other online: the sockets of one in every dialect, and one of the other.
struct Pair {
    suite: TestSuite,
    one: Person,
    other: Person,
    conversation: String,
    ears: Vec<(Receiver, &'static str)>,
    phone: Receiver,
}

async fn pair() -> Pair {
    let suite = suite(Duration::from_mins(1), Duration::from_millis(200)).await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let (one, other) = (Person::new(first).await, Person::new(second).await);
    let conversation = one.open(&other).await;
    let mut phone = listen(&other, second, "flutter").await;
    // What was announced before is no news to those who come now.
    let presences = database(&suite, "user").await.collection::<Document>("presences");
    let waiting = doc! { "outbox.at": { "$exists": true } };
    eventually("announced", async || {
        presences.count_documents(waiting.clone()).await.expect("a count") == 0
    })
    .await;
    let mut ears = Vec::new();
    for dialect in ["flutter", "electron", "unified", "none"] {
        ears.push((listen(&one, first, dialect).await, dialect));
    }
    hear_of(&mut phone, "flutter", &one.id, true).await;
    Pair { suite, one, other, conversation, ears, phone }
}

/// Returns when an account was made: when somebody was last seen whose presence is hidden.
async fn made(person: &Person) -> String {
    text(&person.get("/api/auth/me").await["user"]["createdAt"]).to_owned()
}

async fn block(method: Method, by: &Person, person: &Person) {
    by.ok(method, &format!("/api/users/{}/block", person.id), Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_are_kept_apart_are_offline_to_each_other_at_once_and_until_the_last_block_is_lifted() {
    let Pair { suite, one, other, mut ears, phone: mut old, .. } = pair().await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let third = Person::new(second).await;
    let theirs = third.open(&other).await;
    let mut near = listen(&third, first, "flutter").await;
    hear_of(&mut old, "flutter", &third.id, true).await;
    let (one_made, other_made) = (made(&one).await, made(&other).await);

    block(Method::PUT, &one, &other).await;
    for (ear, dialect) in &mut ears {
        assert_eq!(hear_of(ear, dialect, &other.id, false).await, other_made, "{dialect}");
    }
    assert_eq!(hear_of(&mut old, "flutter", &one.id, false).await, one_made);
    // Neither a repetition nor the block of the other side is noticed, nor what happens behind it.
    block(Method::PUT, &one, &other).await;
    block(Method::PUT, &other, &one).await;
    drop(old);
    hear_of(&mut near, "flutter", &other.id, false).await;
    let mut phone = listen(&other, second, "flutter").await;
    let since = hear_of(&mut near, "flutter", &other.id, true).await;
    block(Method::DELETE, &one, &other).await;
    block(Method::DELETE, &one, &other).await;
    block(Method::DELETE, &other, &one).await;
    for (ear, dialect) in &mut ears {
        assert_eq!(hear_of(ear, dialect, &other.id, true).await, since, "{dialect}");
    }
    hear_of(&mut phone, "flutter", &one.id, true).await;
    // Others heard nothing of it, and both hear each other again.
    other.send(&theirs, "still here").await;
    assert_eq!(heard::<1>(&mut near).await[0].0, "message");
    drop(phone);
    for (ear, dialect) in &mut ears {
        hear_of(ear, dialect, &other.id, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn block_of_a_replica_that_died_is_seen_all_the_same() {
    let Pair { suite, one, other, conversation, mut ears, mut phone } = pair().await;
    let database = database(&suite, "conversation").await;
    let id = |person: &Person| ObjectId::parse_str(&person.id).expect("an id");
    let made_at = DateTime::now();
    let entry = doc! { "_id": ObjectId::new(), "at": made_at, "change": "made" };
    let stored = doc! {
        "blocker_id": id(&one), "blocked_id": id(&other), "created_at": made_at, "outbox": [entry],
    };
    // It died when it had stored the block.
    database.collection::<Document>("blocks").insert_one(stored).await.expect("stored");
    for (ear, dialect) in &mut ears {
        assert_eq!(hear_of(ear, dialect, &other.id, false).await, made(&other).await, "{dialect}");
    }
    assert_eq!(hear_of(&mut phone, "flutter", &one.id, false).await, made(&one).await);
    let rows = other.get("/conversations?status=blocked").await;
    assert_eq!(rows[0]["_id"], conversation.as_str());
}
