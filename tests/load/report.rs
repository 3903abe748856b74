//! The figures of a run, as a table.

use std::{fmt, time::Duration};

use crate::{
    processes::{Process, Role, Snapshot},
    tally::{Tally, Times},
};

/// Everything that a run found out.
pub struct Report<'a> {
    /// How many gateways.
    pub gateways: usize,
    /// The counts.
    pub tally: &'a Tally,
    /// From the first message that counts to the last acknowledgement; without messages, to the end.
    pub took: Duration,
    /// What had been used before the first message that counts.
    pub before: &'a Snapshot,
    /// What had been used when everything had been heard.
    pub after: &'a Snapshot,
    /// Idle sockets.
    pub idle: u64,
    /// Memory that the suite took for them, in bytes.
    pub idle_memory: u64,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_scenario(out)?;
        self.write_times(out)?;
        self.write_counts(out)?;
        self.write_usage(out)?;
        if self.idle > 0 {
            let memory = per(mebibytes(self.idle_memory) * 1024.0, self.idle);
            writeln!(out, "\nmemory of the suite per idle socket {memory:.1} KiB")?;
        }
        Ok(())
    }
}

impl Report<'_> {
    fn write_scenario(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.tally.plan();
        writeln!(
            out,
            "{} messages/s for {} s after {} s, {} bytes each, in {} conversations of {}; {} idle \
             sockets; {} gateways",
            plan.rate,
            plan.measured.as_secs(),
            plan.warm_up.as_secs(),
            plan.size,
            plan.conversations,
            plan.members,
            self.idle,
            self.gateways,
        )
    }

    fn write_times(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\n{:<16}{:>10}{:>11}{:>11}{:>11}{:>11}",
            "ms", "count", "p50", "p99", "p99.9", "max"
        )?;
        let tally = self.tally;
        for (name, times) in [
            ("acknowledged", &tally.ack),
            ("received", &tally.receive),
            ("connected", &tally.connect),
            ("history page", &tally.page),
        ] {
            write_row(out, name, times)?;
        }
        Ok(())
    }

    fn write_counts(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, .. } = self;
        let rate = |times: &Times| float(times.count()) / self.took.as_secs_f64();
        writeln!(
            out,
            "\nacknowledged {:.1}/s, received {:.1}/s",
            rate(&tally.ack),
            rate(&tally.receive)
        )?;
        writeln!(
            out,
            "lost {}, doubled {}, out of order {}, failed {}",
            tally.lost,
            tally.doubled,
            tally.out_of_order,
            tally.failed()
        )?;
        for (what, count) in &tally.failures {
            writeln!(out, "  {count} x {what}")?;
        }
        Ok(())
    }

    fn write_usage(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\n{:<34}{:>9}{:>9}{:>13}{:>14}{:>9}",
            "", "CPU s", "cores", "us/message", "us/delivery", "MiB"
        )?;
        let mut used = self.after.since(self.before);
        used.sort_by_key(|process| std::cmp::Reverse(process.cpu));
        for process in &used {
            let name = format!("{} ({})", process.name, process.pid);
            self.write_process(out, &name, process.cpu, Some(process.memory))?;
        }
        let all = |role| used.iter().filter(move |process: &&Process| process.role == role);
        let cpu = |role| all(role).map(|process| process.cpu).sum::<Duration>();
        writeln!(out)?;
        for (name, role) in [
            ("suite", Role::Suite),
            ("MongoDB", Role::Mongodb),
            ("NATS", Role::Nats),
            ("load", Role::Load),
        ] {
            let memory = all(role).map(|process| process.memory).sum();
            self.write_process(out, name, cpu(role), Some(memory))?;
        }
        let others = self.after.others_since(self.before);
        self.write_process(out, "all else on this machine", others, None)
    }

    fn write_process(
        &self,
        out: &mut fmt::Formatter<'_>,
        name: &str,
        cpu: Duration,
        memory: Option<u64>,
    ) -> fmt::Result {
        let seconds = cpu.as_secs_f64();
        let span = self.after.at.duration_since(self.before.at).as_secs_f64();
        write!(out, "{name:<34}{seconds:>9.2}{:>9.2}", seconds / span)?;
        for (width, times) in [(13, &self.tally.ack), (14, &self.tally.receive)] {
            match times.count() {
                0 => write!(out, "{:>width$}", "-")?,
                count => write!(out, "{:>width$.1}", per(seconds * 1e6, count))?,
            }
        }
        match memory {
            Some(memory) => writeln!(out, "{:>9.1}", mebibytes(memory)),
            None => writeln!(out, "{:>9}", "-"),
        }
    }
}

fn write_row(out: &mut fmt::Formatter<'_>, name: &str, times: &Times) -> fmt::Result {
    let count = times.count();
    if count == 0 {
        return Ok(());
    }
    write!(out, "{name:<16}{count:>10}")?;
    for percentile in [50.0, 99.0, 99.9, 100.0] {
        write!(out, "{:>11.2}", times.millis(percentile))?;
    }
    writeln!(out)
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Returns the share of one of so many.
pub fn per(amount: f64, count: u64) -> f64 {
    amount / float(count)
}

/// Returns bytes as mebibytes.
pub fn mebibytes(bytes: u64) -> f64 {
    float(bytes) / f64::from(1 << 20)
}
