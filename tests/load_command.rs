//! The load command counts rightly on a suite that loses nothing.

use std::process::Stdio;

use chat_local::testing::{self, TestSuite};
use tokio::process::Command;

/// Runs the command on a suite; returns whether it succeeded, and what it printed.
async fn load(suite: &TestSuite, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    for gateway in &suite.gateways {
        command.args(["--gateway", &gateway.to_string()]);
    }
    let run = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = run.await.expect("the command runs");
    let error = String::from_utf8_lossy(&output.stderr);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &error)
}

/// Returns the number that stands behind a name in the table of times.
fn count(report: &str, name: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn load_finds_nothing_lost_and_nothing_doubled() {
    let suite = testing::suite(|_| {}).await;
    let sends = ["--rate", "30", "--seconds", "2", "--warm-up", "1"];
    let groups = ["--conversations", "3", "--members", "4", "--idle", "12", "--pages", "5"];
    let pid = std::process::id().to_string();
    let (succeeded, report) = load(&suite, &[&sends[..], &groups, &["--pid", &pid]].concat()).await;
    assert!(succeeded, "{report}");
    assert!(report.contains("lost 0, doubled 0, out of order 0, failed 0\n"), "{report}");
    for (name, expected) in
        [("acknowledged", 60), ("received", 180), ("connected", 24), ("history page", 10)]
    {
        assert_eq!(count(&report, name), Some(expected), "{name}: {report}");
    }
    for shown in ["suite ", "MongoDB ", "NATS ", "memory of the suite per idle socket "] {
        assert!(report.lines().any(|line| line.starts_with(shown)), "{shown}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_many_and_of_few_are_compared() {
    let suite = testing::suite(|_| {}).await;
    let (_, report) = load(&suite, &["--lists", "24", "--depth", "2", "--reads", "12"]).await;
    assert!(
        report.contains("24 conversations and 48 messages beside one of 20 and 40;"),
        "{report}"
    );
    for (name, expected) in [
        ("page of 20, of 24", 12),
        ("page of 20, of 20", 12),
        ("bare list of 24", 2),
        ("bare list of 20", 2),
    ] {
        assert_eq!(count(&report, name), Some(expected), "{name}: {report}");
    }
    assert!(report.contains("a page of many takes "), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_fails_where_a_gateway_is_gone() {
    let suite = testing::suite(|_| {}).await;
    let arguments = ["--rate", "20", "--seconds", "2", "--warm-up", "0", "--conversations", "2"];
    let mut gone = testing::suite(|_| {}).await;
    gone.stop();
    gone.gateways.extend(&suite.gateways);
    let (succeeded, report) = load(&gone, &arguments).await;
    assert!(!succeeded, "{report}");
}
