//! The suite under load: one that runs already, or one that is started for the run and ended with it.

use std::{fs::File, net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// The program that runs a suite, built beside this one.
const RUNNER: &str = "chat-local";
/// How long a suite may take to start, MongoDB and NATS among it.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// How long it may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// The suite under load. It ends with this value where it was started for it.
pub struct Suite {
    /// The gateways' addresses.
    pub gateways: Vec<SocketAddr>,
    /// The processes that it is, or whose descendants it is.
    pub pids: Vec<u32>,
    /// The file that holds what it complained about, where it was started for the run.
    pub log: Option<PathBuf>,
    started: Option<Started>,
}

struct Started {
    runner: Child,
    data: PathBuf,
}

impl Suite {
    /// Takes a running suite.
    pub fn given(gateways: Vec<SocketAddr>, pids: Vec<u32>) -> anyhow::Result<Self> {
        for gateway in &gateways {
            ensure!(gateway.ip().is_loopback(), "{gateway} is not on this machine");
        }
        Ok(Self { gateways, pids, log: None, started: None })
    }

    /// Starts a suite on data of its own.
    pub async fn start(port: u16, arguments: &[String]) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot tell where this program is")?;
        let program = own.with_file_name(RUNNER);
        ensure!(
            program.exists(),
            "{} is missing: `cargo build --release --workspace --bins` makes it",
            program.display(),
        );
        let build = chat_local::build_directory()?;
        let data = build.join(format!("load-{}", std::process::id()));
        let log = build.join("load.log");
        let complaints = File::create(&log).with_context(|| format!("{}", log.display()))?;
        let mut runner = Command::new(&program)
            .args(["--log", "error", "--port", &port.to_string(), "--data"])
            .arg(&data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let out = runner.stdout.take().context("no output of the suite")?;
        let gateways = timeout(START_TIMEOUT, ready(out)).await;
        let gateways = gateways.context("the suite is not ready in time").flatten();
        let gateways = gateways.with_context(|| format!("see {}", log.display()))?;
        let mut suite = Self::given(gateways, runner.id().into_iter().collect())?;
        suite.log = Some(log);
        suite.started = Some(Started { runner, data });
        Ok(suite)
    }

    /// Ends a suite that was started here.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Some(Started { mut runner, data }) = self.started else { return Ok(()) };
        if let Some(pid) = runner.id() {
            let mut kill = Command::new("kill");
            kill.args(["-s", "TERM", &pid.to_string()]).status().await.context("kill")?;
        }
        if timeout(STOP_TIMEOUT, runner.wait()).await.is_err() {
            runner.kill().await.context("the suite does not end")?;
        }
        std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))
    }
}

/// Waits for the line that says that the suite is ready, and lets the rest of its output pass.
async fn ready(out: ChildStdout) -> anyhow::Result<Vec<SocketAddr>> {
    let mut lines = BufReader::new(out).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(addresses) = line.strip_prefix("READY gateways ") {
            let gateways = gateways(addresses)?;
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(gateways);
        }
    }
    bail!("the suite ended before it was ready")
}

fn gateways(addresses: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses = addresses.split_whitespace().map_while(|word| word.strip_prefix("http://"));
    let gateways = addresses.map(str::parse).collect::<Result<Vec<SocketAddr>, _>>()?;
    ensure!(!gateways.is_empty(), "a suite without a gateway");
    Ok(gateways)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_read_up_to_the_services() {
        let line = "http://127.0.0.1:1 http://127.0.0.1:2 services auth=127.0.0.1:3";
        let ports: Vec<u16> = gateways(line).expect("two").iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [1, 2]);
        gateways("services").expect_err("none");
    }

    #[test]
    fn suite_on_another_machine_is_refused() {
        let there = "192.0.2.1:3000".parse().expect("an address");
        assert!(Suite::given(vec![there], Vec::new()).is_err());
    }
}
