//! The soak story: many clients whose connections are cut again and again, while a steady stream of
//! messages is sent; NATS is killed under it where that is wanted. In the end every client knows exactly
//! the messages of its conversations, and heard each once and in order.

use std::{fmt::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use chat_local::{
    keep::Say,
    process::{Process, Signal},
    testing,
};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Cast, Outcome, REPLICAS, Size,
    client::{Habits, Phase},
    keep_logs,
    random::Random,
    record::{Record, summary},
};
use crate::proxy::Proxy;

/// Mean time for which a client stays connected.
const STAY: Duration = Duration::from_secs(15);
/// How long it is away then.
const AWAY: Duration = Duration::from_secs(2);
/// One client in so many is of the old families.
const OLD: usize = 4;
/// Members of a group.
const MEMBERS: usize = 10;
/// One client in so many does not leave by itself: the way of all of them breaks at once.
const BEHIND_PROXIES: usize = 3;
/// NATS is killed so often.
const NATS_KILLS: u32 = 3;
/// How long NATS may take to run again.
const BACK: Duration = Duration::from_mins(1);

/// What is to happen.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many clients there are.
    pub clients: usize,
    /// How long they send.
    pub time: Duration,
    /// Messages a second, of all clients together.
    pub rate: u32,
    /// Whether NATS is killed meanwhile, and started again.
    pub restarts_nats: bool,
    /// Decides who is cut when, and what clients do.
    pub seed: u64,
}

/// Runs the story. An error means that it could not be told.
pub async fn run(plan: Plan) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let deaths: Arc<Mutex<Vec<String>>> = Arc::default();
    let reported = Arc::clone(&deaths);
    let say: Say = Arc::new(move |line| {
        reported.lock().push(format!("{:8.3} {line}", begun.elapsed().as_secs_f64()));
    });
    let suite = Box::pin(testing::processes(REPLICAS, &say)).await;
    let gateways = [suite.suite.gateways[0].address, suite.suite.gateways[1].address];
    let size = Size {
        clients: plan.clients,
        old_clients: plan.clients / OLD,
        groups: plan.clients / MEMBERS,
    };
    let cast = Cast::new(gateways, size).await?;
    let proxies = [proxy(gateways[0]).await, proxy(gateways[1]).await];
    let behind = [proxies[0].address, proxies[1].address];
    let pace = Duration::from_secs(plan.clients.try_into()?) / plan.rate;
    let part = |number: usize| -> ([SocketAddr; 2], Habits) {
        let habits = Habits { pace: Some(pace), stay: Some((STAY, AWAY)) };
        if number.is_multiple_of(BEHIND_PROXIES) {
            (behind, Habits { stay: None, ..habits })
        } else {
            (gateways, habits)
        }
    };

    let mut random = Random::new(plan.seed);
    let (phase, phases) = watch::channel(Phase::Sending);
    // Times of records count from here.
    let start = Instant::now();
    let clients = cast.start(start, &phases, &mut random, part);
    let end = start + plan.time;
    let nats = suite.servers.iter().find(|process| process.name == "nats-server");
    let nats = nats.filter(|_| plan.restarts_nats);
    let (breaks, kills) = tokio::join!(break_ways(&proxies, end), kill_nats(nats, plan.time));
    kills?;
    phase.send_replace(Phase::Finishing);
    let acknowledged = cast.records().iter().map(Record::acknowledged).sum::<usize>();
    let (violations, course) = cast.recovered().await;
    phase.send_replace(Phase::Over);
    for client in join_all(clients).await {
        client?;
    }

    let mut summary = summary(&cast.records());
    let wanted = plan.time.as_secs() * u64::from(plan.rate);
    writeln!(
        summary,
        "{acknowledged} of {wanted} messages were acknowledged while they were sent"
    )?;
    writeln!(summary, "{breaks} times all connections of one client in {BEHIND_PROXIES} broke")?;
    writeln!(summary, "{course}seed {}", plan.seed)?;
    let deaths = deaths.lock().join("\n");
    writeln!(summary, "deaths: {deaths}")?;
    if !violations.is_empty() {
        writeln!(summary, "logs {}", keep_logs(&suite.logs, "soak", plan.seed)?.display())?;
    }
    Ok(Outcome { summary, violations })
}

async fn proxy(gateway: SocketAddr) -> Proxy {
    Proxy::new(&format!("http://{gateway}")).await
}

/// Breaks all connections through the proxies every now and then, and lets none through for a while.
/// Returns how often.
async fn break_ways(proxies: &[Proxy; 2], end: Instant) -> usize {
    let mut count = 0;
    loop {
        sleep_until(end.min(Instant::now() + STAY)).await;
        if Instant::now() >= end {
            return count;
        }
        proxies.iter().for_each(Proxy::close);
        sleep(AWAY).await;
        proxies.iter().for_each(Proxy::open);
        count += 1;
    }
}

/// Kills NATS in even distances, and waits each time until it runs again.
async fn kill_nats(nats: Option<&Process>, time: Duration) -> anyhow::Result<()> {
    let Some(nats) = nats else { return Ok(()) };
    for _ in 0..NATS_KILLS {
        sleep(time / (NATS_KILLS + 1)).await;
        let starts = nats.starts();
        nats.signal(Signal::Kill).await?;
        nats.ready(starts + 1, BACK).await.context("after its kill")?;
    }
    Ok(())
}
