//! What a send costs at MongoDB, counted by the driver.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use chat_local::testing;
use mongodb::event::{
    EventHandler,
    command::{CommandEvent, CommandStartedEvent},
};

use crate::harness::{Person, eventually};

/// Commands of health checks.
const PROBES: [&str; 2] = ["ping", "hello"];
/// Collections that sweeps and gateways keep.
const SWEPT: [&str; 4] = ["sockets", "gateways", "sweeps", "presences"];
/// Collections that say who asks.
const WHO_ASKS: [&str; 2] = ["sessions", "credentials"];
/// Stand in the looks of sweeps.
const LOOKS: [&str; 2] = ["look_at", r#""due_at": { "$lte""#];

#[tokio::test(flavor = "multi_thread")]
async fn warm_send_costs_three_round_trips() {
    let commands: Arc<Mutex<Vec<String>>> = Arc::default();
    let announced = Arc::new(AtomicBool::new(false));
    let (seen, heard) = (Arc::clone(&commands), Arc::clone(&announced));
    let suite = testing::suite(|options| {
        options.observer = Some(EventHandler::callback(move |event| {
            let CommandEvent::Started(started) = event else { return };
            let database = started.db.rsplit('-').next().unwrap_or_default();
            let command = format!("{database} {}", started.command_name);
            if command == "message update" {
                heard.store(true, Ordering::Relaxed);
            }
            if !is_beside(&started) {
                seen.lock().expect("not poisoned").push(command);
            }
        }));
    })
    .await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let conversation = one.open(&other).await;
    one.send(&conversation, "warms the caches").await;
    eventually("the first message is announced", async || announced.load(Ordering::Relaxed)).await;

    commands.lock().expect("not poisoned").clear();
    one.send(&conversation, "measured").await;
    let sent = commands.lock().expect("not poisoned").clone();
    assert!(sent.len() <= 3, "{sent:?}");
    assert!(sent.contains(&"message insert".to_owned()), "{sent:?}");
}

/// Says whether a command comes at a time of its own: from relays, which look for what was left behind and
/// take out what is announced, from sweeps, and for who asks, which is known for some seconds.
fn is_beside(started: &CommandStartedEvent) -> bool {
    let name = started.command_name.as_str();
    let command = started.command.to_string();
    let target = started.command.get_str(name).unwrap_or_default();
    PROBES.contains(&name)
        || SWEPT.contains(&target)
        || (name != "insert" && command.contains("outbox"))
        || (name == "find" && WHO_ASKS.contains(&target))
        || LOOKS.iter().any(|look| command.contains(look))
}
