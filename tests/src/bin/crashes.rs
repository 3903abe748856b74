//! The crash story at length: `cargo run -p chat-e2e --bin crashes -- --kills 200`.

use std::{io::Write as _, process::ExitCode};

use chat_e2e::crashes::{self, Plan};
use clap::Parser;

/// Kills processes of a suite while clients send and listen, and says which promises that broke.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many processes are killed, one every second or two.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// Repeats the random choices of an earlier run, as far as the machine's timing lets it.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut plan = Plan::new(arguments.kills);
    plan.seed = arguments.seed.unwrap_or(plan.seed);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(crashes::run(plan))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", outcome.summary)?;
    for violation in &outcome.violations {
        writeln!(out, "VIOLATED {violation}")?;
    }
    writeln!(out, "{} violations", outcome.violations.len())?;
    Ok(if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
