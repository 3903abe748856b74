//! The official Socket.IO client of npm walks through the flows of both client families.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use chat_local::testing;
use tokio::process::Command;

/// Runs a command in a directory and panics with its output if it fails.
async fn run(command: &mut Command, what: &str) {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}: is Node.js installed?"));
    assert!(
        output.status.success(),
        "{what} failed: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// Copies the flows into the build directory and installs their packages there, so that the sources
/// stay as they are.
async fn install() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let installed = chat_local::build_directory().expect("a build directory").join("clients");
    std::fs::create_dir_all(&installed).expect("a directory");
    for entry in std::fs::read_dir(&sources).expect("the flows") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::copy(&path, installed.join(path.file_name().expect("a name")))
                .expect("copied");
        }
    }
    let locked = std::fs::read(installed.join("package-lock.json")).expect("a lock file");
    let stamp = installed.join("node_modules/.installed");
    if std::fs::read(&stamp).is_ok_and(|stamp| stamp == locked) {
        return installed;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&installed);
    run(&mut npm, "npm ci").await;
    std::fs::write(stamp, locked).expect("a stamp");
    installed
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_of_both_client_families_pass() {
    let suite = testing::suite(|_| {}).await;
    let directory = install().await;
    let mut node = Command::new("node");
    node.args(["--test"])
        .current_dir(directory)
        .env("GATEWAY_A", format!("http://{}", suite.gateways[0]))
        .env("GATEWAY_B", format!("http://{}", suite.gateways[1]))
        .env("CHAT_TEST_TOKEN_SECRET", &suite.token_secret);
    run(&mut node, "node --test").await;
}
