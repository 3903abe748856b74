//! Programs that stories run, and the packages of those of Node.js.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use tokio::{process::Command, sync::OnceCell};

static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();

/// Runs a command and returns what it wrote; panics with that if it fails.
pub async fn run(command: &mut Command, what: &str) -> Output {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}: is it installed?"));
    assert!(
        output.status.success(),
        "{what} failed: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// Returns a directory with the programs of `tests/clients` and their packages.
pub async fn clients() -> &'static Path {
    INSTALLED.get_or_init(install).await
}

/// Copies the programs into the build directory and installs their packages there, so that the sources
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
