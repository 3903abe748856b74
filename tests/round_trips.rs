//! What a send costs at MongoDB, counted by the driver.

use std::sync::{Arc, Mutex};

use chat_local::testing;
use mongodb::{
    bson::Document,
    event::{EventHandler, command::CommandEvent},
};

use crate::harness::{Person, eventually};

/// Commands of health checks and of the outbox, which no answer waits for.
const BESIDE_THE_ANSWER: [&str; 2] = ["ping", "hello"];

#[tokio::test(flavor = "multi_thread")]
async fn warm_send_costs_three_round_trips() {
    let commands: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let seen = Arc::clone(&commands);
    let suite = testing::suite(|options| {
        options.observer = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Started(started) = event
                && !BESIDE_THE_ANSWER.contains(&started.command_name.as_str())
                && !is_swept(&started.command)
            {
                let database = started.db.rsplit('-').next().unwrap_or_default().to_owned();
                seen.lock().expect("not poisoned").push((database, started.command_name));
            }
        }));
    })
    .await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let conversation = one.open(&other).await;
    one.send(&conversation, "warms the caches").await;
    // The relay looks for what was left behind, and announced changes are pulled, at their own times; so is
    // the sweep of presences claimed.
    let is_outbox = |(database, name): &(String, String)| {
        ["message", "user"].contains(&database.as_str())
            && ["update", "findAndModify"].contains(&name.as_str())
    };
    eventually("the first message is announced", async || {
        let commands = commands.lock().expect("not poisoned");
        commands.iter().any(|(database, name)| database == "message" && name == "update")
    })
    .await;

    commands.lock().expect("not poisoned").clear();
    one.send(&conversation, "measured").await;
    let mut sent = commands.lock().expect("not poisoned").clone();
    sent.retain(|command| !is_outbox(command));
    let names: Vec<String> = sent.iter().map(|(db, name)| format!("{db} {name}")).collect();
    assert!(names.len() <= 3, "{names:?}");
    assert!(names.contains(&"message insert".to_owned()), "{names:?}");
}

/// Says whether a command is one of those that look, at their own times, for who is not online any more.
fn is_swept(command: &Document) -> bool {
    let collection = command.iter().next().and_then(|(_, name)| name.as_str());
    let is_due = command.get_document("filter").is_ok_and(|filter| filter.contains_key("look_at"));
    collection.is_some_and(|name| ["gateways", "sockets"].contains(&name)) || is_due
}

/// Commands that answer a request for a list, and those of no relay.
const READS: [&str; 3] = ["find", "aggregate", "getMore"];

#[tokio::test(flavor = "multi_thread")]
async fn list_costs_the_same_however_long_it_is() {
    let commands: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&commands);
    let suite = testing::suite(|options| {
        options.observer = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Started(started) = event
                && READS.contains(&started.command_name.as_str())
                && !is_swept(&started.command)
            {
                let database = started.db.rsplit('-').next().unwrap_or_default();
                let command = format!("{database} {}", started.command_name);
                seen.lock().expect("not poisoned").push(command);
            }
        }));
    })
    .await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let bare = format!("/api/conversations?me={}", one.id);
    let paths = [bare.as_str(), "/api/conversations", "/conversations?clientType=unified"];
    let mut costs = Vec::new();
    for count in [5, 50] {
        let listed = one.get(&bare).await.as_array().expect("a list").len();
        for _ in listed..count {
            let conversation = one.group(&[&other]).await;
            other.send(&conversation, "hi").await;
        }
        for path in paths {
            commands.lock().expect("not poisoned").clear();
            let list = one.get(path).await;
            let mut read = commands.lock().expect("not poisoned").clone();
            let rows = list.as_array().or(list["conversations"].as_array()).expect("a list");
            assert_eq!(rows.len(), count, "{path}");
            // Who asks is looked up at his own times.
            read.retain(|command| !command.starts_with("auth"));
            read.sort();
            costs.push(read);
        }
    }
    let (few, many) = costs.split_at(paths.len());
    assert_eq!(few, many);
    assert!(few[0].len() <= 6, "{:?}", few[0]);
    assert!(few[0].iter().any(|command| command.starts_with("message")), "{:?}", few[0]);
}
