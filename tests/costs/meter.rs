//! Counts the commands that services send to MongoDB and the calls that they answer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use chat_e2e::harness::eventually;
use mongodb::event::{EventHandler, command::CommandEvent};

use crate::world::Databases;

/// How many of each: commands by service, name and collection, and calls by method.
pub type Cost = BTreeMap<String, u64>;

/// Metric of the calls that services have answered.
const CALLS: &str = "chat_grpc_request_duration_seconds_count{";
/// Looks in a row that find nothing new, until all is quiet.
const QUIET: usize = 2;
/// Stand in the looks of relays and sweeps, which come at times of their own: for what is not announced, for
/// who has left, and for calls with which time has something to do.
const LOOKS: [&str; 3] = ["outbox.at", "look_at", r#""due_at": { "$lte""#];
/// Other commands that come at times of their own: probes, what is known of sessions and their accounts for
/// some seconds, how many are online, and what many sockets together have written of them.
const OWN_TIME: [&str; 9] = [
    " ping ",
    "auth find sessions",
    "auth find credentials",
    " sockets",
    " gateways",
    " sweeps",
    "user aggregate presences",
    "user update presences",
    "user insert presences",
];
/// Calls that come at times of their own.
const PROBES: [&str; 5] = [
    "Health/",
    "AuthService/CheckSession",
    "UserService/RegisterSockets",
    "UserService/UnregisterSockets",
    "UserService/RenewGateway",
];

#[derive(Default)]
struct Seen {
    commands: Vec<String>,
    under_way: i64,
}

/// Sees all commands of a suite, and the metrics of the process.
pub struct Meter {
    seen: Arc<Mutex<Seen>>,
    metrics: SocketAddr,
}

/// What had been counted at some time.
pub struct Mark {
    commands: usize,
    calls: Cost,
}

impl Meter {
    pub fn new(metrics: SocketAddr) -> Self {
        Self { seen: Arc::default(), metrics }
    }

    /// Returns what is to see the commands of the suite.
    pub fn observer(&self) -> EventHandler<CommandEvent> {
        let seen = Arc::clone(&self.seen);
        EventHandler::callback(move |event| {
            let mut seen = seen.lock().expect("not poisoned");
            match event {
                CommandEvent::Started(started) => {
                    seen.under_way += 1;
                    let service = started.db.rsplit('-').next().unwrap_or_default();
                    let name = &started.command_name;
                    let target = match name.as_str() {
                        "getMore" => started.command.get_str("collection").unwrap_or_default(),
                        _ => started.command.get_str(name).unwrap_or_default(),
                    };
                    let command = format!("{service} {name} {target}");
                    let text = started.command.to_string();
                    let is_look = LOOKS.iter().any(|look| text.contains(look));
                    if !is_look && !OWN_TIME.iter().any(|own| command.contains(own)) {
                        seen.commands.push(command);
                    }
                }
                CommandEvent::Succeeded(_) | CommandEvent::Failed(_) => seen.under_way -= 1,
                _ => {}
            }
        })
    }

    /// Waits until everything that was begun is done, also what no answer waits for, and marks that.
    pub async fn mark(&self, databases: &Databases) -> Mark {
        let (mut last, mut quiet) = (0, 0);
        eventually("all is quiet", async || {
            let (count, under_way) = {
                let seen = self.seen.lock().expect("not poisoned");
                (seen.commands.len(), seen.under_way)
            };
            let is_same = count == last && under_way == 0 && databases.are_settled().await;
            quiet = if is_same { quiet + 1 } else { 0 };
            last = count;
            quiet > QUIET
        })
        .await;
        let commands = self.seen.lock().expect("not poisoned").commands.len();
        Mark { commands, calls: self.calls().await }
    }

    /// Returns what was counted between two marks.
    pub fn between(&self, begin: &Mark, end: &Mark) -> Cost {
        let mut cost = Cost::new();
        for command in
            &self.seen.lock().expect("not poisoned").commands[begin.commands..end.commands]
        {
            *cost.entry(command.clone()).or_default() += 1;
        }
        let calls = end.calls.iter();
        for (call, count) in
            calls.filter(|(call, _)| !PROBES.iter().any(|own| call.starts_with(own)))
        {
            let before = begin.calls.get(call).copied().unwrap_or_default();
            if *count > before {
                cost.insert(call.clone(), count - before);
            }
        }
        cost
    }

    /// Returns how often every method was called.
    pub async fn calls(&self) -> Cost {
        let url = format!("http://{}/metrics", self.metrics);
        let dump = reqwest::get(url).await.expect("an answer").text().await.expect("metrics");
        let mut calls = Cost::new();
        for labels in dump.lines().filter_map(|line| line.strip_prefix(CALLS)) {
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\"")).expect("a label");
                rest.split_once('"').expect("its end").0.to_owned()
            };
            let service = label("service");
            let service = service.rsplit('.').next().unwrap_or_default();
            let call = format!("{service}/{}", label("method"));
            let count = labels.rsplit(' ').next().and_then(|count| count.parse().ok());
            *calls.entry(call).or_default() += count.unwrap_or(0_u64);
        }
        calls
    }
}
