//! Runs the suite on one machine: fetches and starts real MongoDB and NATS servers where none are given,
//! and all services and gateways, in one process or each in its own. `cargo run` and the tests use it;
//! nothing in production does.

mod child;
pub mod keep;
mod lock;
mod port;
pub mod process;
pub mod processes;
pub mod servers;
pub mod suite;
pub mod testing;

use std::path::PathBuf;

use anyhow::Context as _;

/// Returns a directory of the build's own for what is fetched and stored, beside the programs.
pub fn build_directory() -> anyhow::Result<PathBuf> {
    let programs = program_directory()?;
    let target = programs.parent();
    Ok(target.context("this program is not in a build directory")?.join("local"))
}

/// Returns the directory of the build's profile, which the programs are in.
fn program_directory() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("where is this program")?;
    let profile = program
        .ancestors()
        .find(|directory| directory.ends_with("debug") || directory.ends_with("release"));
    Ok(profile.context("this program is not in a build directory")?.to_owned())
}
