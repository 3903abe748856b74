//! What sockets cost a gateway that neither send nor hear a message: its memory, and the CPU time of its
//! pings and checks. Each socket is of a user of its own.

use std::{
    collections::VecDeque,
    fmt,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::time::sleep;

use crate::{
    Arguments, files,
    people::Api,
    processes::{Process, Snapshot},
    report::{mebibytes, per},
    sockets::{Dialect, Run},
    suite::Suite,
    tally::Tally,
};

/// Pause between two looks at the gateways' memory.
const LOOK: Duration = Duration::from_millis(500);
/// Looks in a row between which a memory that has settled changes by less than a hundredth.
const LOOKS: usize = 11;
/// How long it may take to settle.
const MOST_SETTLING: Duration = Duration::from_mins(1);

/// The gateways' memory, once it has settled.
struct Settled {
    bytes: u64,
    took: Duration,
    /// Whether it stayed as it is.
    is_steady: bool,
}

/// Everything that a run found out.
struct Report<'a> {
    gateways: usize,
    dialect: Dialect,
    tally: &'a Tally,
    logged_in: Duration,
    connected: Duration,
    alone: Settled,
    occupied: Settled,
    before: Snapshot,
    after: Snapshot,
}

/// Connects the sockets, watches the gateways and prints what they took; says whether every socket lived and
/// the memory settled.
pub async fn measure(arguments: &Arguments, suite: &Suite) -> anyhow::Result<bool> {
    let sockets = arguments.idle;
    let gateways = suite.gateways.len();
    let first = Snapshot::take(&suite.pids)?;
    first.ensure_apart(gateways)?;
    for gateway in first.gateways() {
        let own = sockets.div_ceil(u64::try_from(gateways)?);
        files::ensure_enough(gateway.pid, &gateway.name, own)?;
    }
    let began = Instant::now();
    let people = Api::new()?.log_in(&suite.gateways, arguments.first_user, sockets).await?;
    let logged_in = began.elapsed();
    let alone = settle(suite).await?;

    let run = Run::new(arguments.dialect, Tally::new(arguments.plan()?));
    let began = Instant::now();
    let _idle = run.idle(&people, arguments.connect_rate).await;
    let connecting = began.elapsed();
    let occupied = settle(suite).await?;
    let before = Snapshot::take(&suite.pids)?;
    sleep(Duration::from_secs(arguments.seconds)).await;
    let after = Snapshot::take(&suite.pids)?;
    after.ensure_apart(gateways).context("a gateway has ended")?;
    let tally = run.tally();
    let report = Report {
        gateways,
        dialect: arguments.dialect,
        tally: &tally,
        logged_in,
        connected: connecting,
        alone,
        occupied,
        before,
        after,
    };
    write!(std::io::stdout(), "{report}")?;
    let is_steady = report.alone.is_steady && report.occupied.is_steady;
    Ok(is_steady && tally.failed() == 0 && tally.connect.count() == sockets)
}

/// Looks at the gateways' memory until it has settled, or it has had its time.
async fn settle(suite: &Suite) -> anyhow::Result<Settled> {
    let began = Instant::now();
    let mut seen = VecDeque::with_capacity(LOOKS);
    loop {
        if seen.len() == LOOKS {
            seen.pop_front();
        }
        let bytes = Snapshot::take(&suite.pids)?.gateways().map(|gateway| gateway.memory).sum();
        seen.push_back(bytes);
        let is_steady = is_steady(&seen);
        let took = began.elapsed();
        if is_steady || took >= MOST_SETTLING {
            return Ok(Settled { bytes, took, is_steady });
        }
        sleep(LOOK).await;
    }
}

fn is_steady(seen: &VecDeque<u64>) -> bool {
    let (Some(least), Some(most)) = (seen.iter().min(), seen.iter().max()) else { return false };
    seen.len() == LOOKS && (most - least) * 100 < *most
}

impl fmt::Display for Settled {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_steady { "settled" } else { "NOT SETTLED" };
        write!(out, "{how} after {:.1} s", self.took.as_secs_f64())
    }
}

impl Report<'_> {
    fn write_course(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connect = &self.tally.connect;
        let span = self.after.at.duration_since(self.before.at).as_secs_f64();
        let others = self.after.others_since(&self.before).as_secs_f64() / span;
        writeln!(
            out,
            "{} idle sockets of {} clients, each of a user of its own; gateways: {}",
            connect.count(),
            self.dialect.name(),
            self.gateways,
        )?;
        writeln!(out, "logged in within {:.1} s", self.logged_in.as_secs_f64())?;
        writeln!(
            out,
            "connected within {:.1} s; each: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            self.connected.as_secs_f64(),
            connect.millis(50.0),
            connect.millis(99.0),
            connect.millis(100.0),
        )?;
        writeln!(out, "memory without sockets {}, with them {}", self.alone, self.occupied)?;
        writeln!(out, "CPU time of {span:.0} s, in which others took {others:.2} cores")?;
        writeln!(out, "failed {}", self.tally.failed())?;
        for (what, count) in &self.tally.failures {
            writeln!(out, "  {count} x {what}")?;
        }
        Ok(())
    }

    /// Returns the CPU seconds of the processes that count, in a minute of idling.
    fn cpu_of_a_minute(&self, counts: fn(&Process) -> bool) -> f64 {
        let span = self.after.at.duration_since(self.before.at);
        let used = self.after.since(&self.before);
        let used = used.iter().filter(|process| counts(process));
        let cpu: Duration = used.map(|process| process.cpu).sum();
        cpu.as_secs_f64() * 60.0 / span.as_secs_f64()
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_course(out)?;
        let sockets = self.tally.connect.count();
        let grown = self.occupied.bytes.saturating_sub(self.alone.bytes);
        writeln!(
            out,
            "\n| Sockets | Clients | Gateways' memory before | With the sockets | Bytes of a socket | CPU \
             seconds of a minute, gateways | Whole suite | Connected within |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n\
             | {sockets} | {} | {:.1} MiB | {:.1} MiB | {:.0} | {:.2} | {:.2} | {:.1} s |",
            self.dialect.name(),
            mebibytes(self.alone.bytes),
            mebibytes(self.occupied.bytes),
            per(mebibytes(grown) * f64::from(1 << 20), sockets.max(1)),
            self.cpu_of_a_minute(Process::is_gateway),
            self.cpu_of_a_minute(Process::is_of_suite),
            self.connected.as_secs_f64(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_steady_when_it_changes_by_less_than_a_hundredth() {
        let mut seen: VecDeque<u64> = [1000; LOOKS - 1].into();
        assert!(!is_steady(&seen), "too few looks");
        seen.push_back(1009);
        assert!(is_steady(&seen));
        seen[3] = 998;
        assert!(!is_steady(&seen), "it changes by more");
    }
}
