//! The load command counts rightly on a suite that loses nothing, and tells its processes apart.

use std::{net::SocketAddr, process::Stdio, sync::Arc};

use chat_local::{keep::Say, process::Process, testing};
use tokio::process::Command;

/// Runs the command on a suite; returns whether it succeeded, and what it printed.
async fn load(gateways: &[SocketAddr], arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    for gateway in gateways {
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
    let (succeeded, report) =
        load(&suite.gateways, &[&sends[..], &groups, &["--pid", &pid]].concat()).await;
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
    let (_, report) =
        load(&suite.gateways, &["--lists", "24", "--depth", "2", "--reads", "12"]).await;
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

/// Returns the cells of the only row of the table that begins with this heading.
fn cells<'a>(report: &'a str, heading: &str) -> Vec<&'a str> {
    let mut lines = report.lines().skip_while(|line| !line.starts_with(&format!("| {heading} |")));
    let row = lines.nth(2).unwrap_or_else(|| panic!("no table of {heading}: {report}"));
    assert_eq!(lines.next(), None, "{report}");
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// Returns the number that a cell begins with, which is more than nothing.
fn amount(cell: &str) -> f64 {
    let number = cell.split_whitespace().next().and_then(|number| number.parse().ok());
    number.filter(|number| *number > 0.0).unwrap_or_else(|| panic!("{cell:?} is no amount"))
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_of_their_own_are_measured_apart() {
    let say: Say = Arc::new(|_: &str| {});
    let suite = Box::pin(testing::processes(1, &say)).await;
    let gateways: Vec<SocketAddr> =
        suite.suite.gateways.iter().map(|gateway| gateway.address).collect();
    let pids: Vec<String> =
        suite.all().filter_map(Process::pid).map(|pid| format!("--pid={pid}")).collect();
    let load = async |arguments: &[&str], dialect: &str| {
        let mut all = arguments.to_vec();
        all.extend(["--dialect", dialect]);
        all.extend(pids.iter().map(String::as_str));
        let (succeeded, report) = load(&gateways, &all).await;
        assert!(succeeded, "{report}");
        report
    };

    let report = load(&["--idle", "200", "--seconds", "2"], "undeclared").await;
    let row = cells(&report, "Sockets");
    assert_eq!((row.len(), &row[..2]), (8, &["200", "undeclared"][..]), "{report}");
    let [before, occupied, socket] = [2, 3, 4].map(|cell| amount(row[cell]));
    let grown = (occupied - before) * f64::from(1 << 20) / 200.0;
    assert!((grown - socket).abs() < 1000.0, "{grown} bytes a socket: {report}");

    let group = ["--group", "20", "--rate", "20", "--seconds", "2", "--warm-up", "1"];
    let arguments = [&group[..], &["--first-user", "1000"]].concat();
    // The mobile client hears under other names.
    for dialect in ["unified", "flutter"] {
        let report = load(&arguments, dialect).await;
        let row = cells(&report, "Members");
        assert_eq!((row.len(), &row[..4]), (9, &["20", "2", "20", "760"][..]), "{report}");
        let [gateways, suite] = [4, 5].map(|cell| amount(row[cell]));
        assert!(gateways < suite, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_is_no_process_of_its_own_is_not_measured() {
    let suite = testing::suite(|_| {}).await;
    for arguments in [["--idle", "10"], ["--group", "3"]] {
        let (succeeded, report) = load(&suite.gateways, &arguments).await;
        assert!(!succeeded, "{report}");
        assert!(report.starts_with("load: 0 of 2 gateways are processes of their own"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn load_fails_before_it_starts_where_it_may_open_too_few_files() {
    let program = env!("CARGO_BIN_EXE_load");
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 100 && exec \"$0\" --idle 5000", program]);
    let run =
        shell.stdin(Stdio::null()).kill_on_drop(true).output().await.expect("the command runs");
    assert!(!run.status.success());
    let error = String::from_utf8_lossy(&run.stderr);
    assert_eq!(
        error,
        "load: 5000 sockets need 5300 open files, and this program may have 100: say `ulimit -n 5300` \
         before it starts\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn load_fails_where_a_gateway_is_gone() {
    let suite = testing::suite(|_| {}).await;
    let arguments = ["--rate", "20", "--seconds", "2", "--warm-up", "0", "--conversations", "2"];
    let mut gone = testing::suite(|_| {}).await;
    gone.stop();
    gone.gateways.extend(&suite.gateways);
    let (succeeded, report) = load(&gone.gateways, &arguments).await;
    assert!(!succeeded, "{report}");
}
