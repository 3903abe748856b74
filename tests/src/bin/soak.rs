//! The soak story at length: `cargo run --release -p chat-e2e --bin soak -- --clients 300 --seconds 120 --rate 30`.

use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chat_e2e::crashes::soak::{self, Plan};
use clap::Parser;

/// Cuts the connections of many clients again and again while they send, and says which promises that
/// broke.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many clients there are; at least 20.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(20..))]
    clients: u16,
    /// How long they send.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Messages a second, of all clients together.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Kills NATS three times meanwhile.
    #[arg(long)]
    restart_nats: bool,
    /// Repeats the random choices of an earlier run, as far as the machine's timing lets it.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let plan = Plan {
        clients: arguments.clients.into(),
        time: Duration::from_secs(arguments.seconds),
        rate: arguments.rate,
        restarts_nats: arguments.restart_nats,
        seed: arguments.seed.unwrap_or_else(|| now.subsec_nanos().into()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(soak::run(plan))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", outcome.summary)?;
    for violation in &outcome.violations {
        writeln!(out, "VIOLATED {violation}")?;
    }
    writeln!(out, "{} violations", outcome.violations.len())?;
    Ok(if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
