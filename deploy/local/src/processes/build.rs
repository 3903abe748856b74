//! The programs of the suite, built like this program.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::GATEWAY;
use crate::{program_directory, suite::SERVICES};

/// The cargo that built this program.
const CARGO: &str = env!("CARGO");
/// The directory of this crate, in the workspace.
const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// Builds the programs with the profile of this one, unless they are up to date. Cancelling ends the
/// build.
pub async fn build() -> anyhow::Result<()> {
    let programs = program_directory()?;
    let target = programs.parent().context("the programs are in no build directory")?;
    let mut command = Command::new(CARGO);
    // With this program among them, so that they share its dependencies' build.
    command
        .args(["build", "--quiet", "--bins", "--package", "chat-local"])
        .args(SERVICES.iter().chain([&GATEWAY]).map(|name| format!("--package=chat-{name}")))
        .arg("--manifest-path")
        .arg(Path::new(CRATE).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target);
    if programs.ends_with("release") {
        command.arg("--release");
    }
    let built = command.stdin(Stdio::null()).kill_on_drop(true).status().await;
    ensure!(built.context("cannot run cargo")?.success(), "the programs cannot be built");
    Ok(())
}
