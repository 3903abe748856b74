//! What a delivery costs where the gateways are processes of their own: a row of the documents' table.

use std::{fmt, time::Duration};

use crate::{
    processes::{Process, Role, Snapshot},
    report::per,
    tally::Tally,
};

/// The costs of a run's deliveries.
pub struct Costs<'a> {
    /// How many gateways.
    pub gateways: usize,
    /// The counts.
    pub tally: &'a Tally,
    /// What had been used before the first message that counts.
    pub before: &'a Snapshot,
    /// What had been used when everything had been heard.
    pub after: &'a Snapshot,
}

impl fmt::Display for Costs<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.tally.plan();
        let deliveries = self.tally.receive.count();
        let used = self.after.since(self.before);
        let cost = |counts: fn(&Process) -> bool| {
            let used = used.iter().filter(|process| counts(process));
            let cpu = used.map(|process| process.cpu).sum::<Duration>();
            format!("{:.1} us", per(cpu.as_secs_f64() * 1e6, deliveries))
        };
        let span = self.after.at.duration_since(self.before.at);
        let others = self.after.others_since(self.before).as_secs_f64() / span.as_secs_f64();
        writeln!(
            out,
            "\nCPU time of a delivery, the sends included:\n\n\
             | Members | Gateways | Messages a second | Deliveries | Gateways' time | Suite's time, theirs \
             included | MongoDB's | NATS' | Taken by others |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n\
             | {} | {} | {} | {deliveries} | {} | {} | {} | {} | {others:.2} cores |",
            plan.members,
            self.gateways,
            plan.rate,
            cost(Process::is_gateway),
            cost(Process::is_of_suite),
            cost(|process| process.role == Role::Mongodb),
            cost(|process| process.role == Role::Nats),
        )
    }
}
