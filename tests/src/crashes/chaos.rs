//! Who is killed, and when.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::Context as _;
use chat_local::{
    process::{Process, Signal},
    testing::TestProcesses,
};
use tokio::time::{Instant, sleep};

use super::random::Random;

/// What is killed, each as often as the others: whichever of its processes runs.
const KINDS: [&str; 8] =
    ["message", "conversation", "auth", "user", "call", "gateway", "nats-server", "mongod"];
/// Shortest pause between two kills, and how much longer it may be, in milliseconds.
const PAUSE: (usize, usize) = (1000, 1000);
/// How long a process may take to run again, the longest pause before its start included.
const BACK: Duration = Duration::from_mins(1);

/// The kills that happened: when, whom, and his process id.
#[derive(Debug, Default)]
pub(super) struct Kills(Vec<(Duration, String, u32)>);

/// Kills this many processes, one after the other, and waits until all run again.
pub(super) async fn kill(
    suite: &TestProcesses,
    count: usize,
    start: Instant,
    random: &mut Random,
) -> anyhow::Result<Kills> {
    let mut kills = Kills::default();
    while kills.0.len() < count {
        let pause = PAUSE.0 + random.below(PAUSE.1);
        sleep(Duration::from_millis(u64::try_from(pause)?)).await;
        let kind = KINDS[random.below(KINDS.len())];
        let is_kind = |process: &&Process| {
            process.name.trim_end_matches(|end: char| end == '-' || end.is_ascii_digit()) == kind
        };
        let running: Vec<&Process> =
            suite.all().filter(is_kind).filter(|process| process.pid().is_some()).collect();
        if running.is_empty() {
            continue;
        }
        let victim = running[random.below(running.len())];
        let Some(pid) = victim.pid() else { continue };
        if victim.signal(Signal::Kill).await.is_ok() {
            kills.0.push((start.elapsed(), victim.name.clone(), pid));
        }
    }
    for process in suite.all() {
        let is_back = process.ready(process.starts(), BACK).await;
        is_back.with_context(|| format!("{} does not come back", process.name))?;
    }
    Ok(kills)
}

impl Kills {
    /// Says how often each kind was killed.
    pub(super) fn summary(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, name, _) in &self.0 {
            *counts.entry(name).or_default() += 1;
        }
        let mut text = self.0.len().to_string();
        for (name, count) in counts {
            // Writing to a text cannot fail.
            write!(text, " {name} {count}").ok();
        }
        text
    }

    /// Lists them, one a line.
    pub(super) fn lines(&self) -> String {
        let line = |(at, name, pid): &(Duration, String, u32)| {
            format!("{:8.3} {name} (process {pid})", at.as_secs_f64())
        };
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
