//! The suite with every service and gateway in a process of its own.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use chat_local::processes::{self, METRICS_PORTS};
use tokio::{
    net::TcpStream,
    sync::OnceCell,
    time::{Instant, sleep, timeout},
};

use crate::program::{
    Backing, Directory, END, Run, SERVICE_PORTS, SERVICES, assert_healthy, command, free_port, get,
    local, signal,
};

/// How long a process that is started again may take until it answers.
const RESTART: Duration = Duration::from_secs(5);

type Found = BTreeMap<String, (u32, SocketAddr)>;

/// Starts the suite as processes with more arguments; returns the processes by their names.
async fn start(backing: Backing, more: &[&str]) -> (Run, u16, Found) {
    // Here, so that what is measured does not include building.
    static BUILT: OnceCell<()> = OnceCell::const_new();
    BUILT.get_or_try_init(processes::build).await.expect("the programs are built");
    let (directory, port) = (Directory::new(), free_port());
    let mut command = command(&directory, port, backing).await;
    let mut run = Run::new(command.arg("--processes").args(more), directory);
    let (gateways, _) = run.ready().await;
    assert_healthy(&gateways).await;
    let listed = run.said.iter().find_map(|line| line.strip_prefix("PROCESSES "));
    let entry = |entry: &str| {
        let (name, rest) = entry.split_once('=').expect("a name");
        let (pid, address) = rest.split_once('@').expect("an address");
        let place = (pid.parse().expect("a number"), address.parse().expect("an address"));
        (name.to_owned(), place)
    };
    let found = listed.expect("a list of processes").split(' ').map(entry).collect();
    // The hint where to begin.
    run.line().await;
    (run, port, found)
}

fn runs(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Waits until none of the processes runs.
async fn are_gone(found: &Found) {
    let gone = async {
        while found.values().any(|(pid, _)| runs(*pid)) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(END, gone).await.is_ok(), "some of {found:?} are left behind");
}

/// Waits until somebody listens at an address.
async fn answers(address: SocketAddr) {
    let answering = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(RESTART, answering).await.is_ok(), "nobody listens at {address}");
}

#[tokio::test]
async fn every_service_and_gateway_is_a_process_that_ends_with_the_suite() {
    let (mut run, port, found) = start(Backing::Own, &["--replicas", "2"]).await;
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let expected = [
        "auth-1",
        "auth-2",
        "call-1",
        "call-2",
        "conversation-1",
        "conversation-2",
        "gateway-1",
        "gateway-2",
        "message-1",
        "message-2",
        "mongod",
        "nats-server",
        "user-1",
        "user-2",
    ];
    assert_eq!(names, expected);
    for (name, (pid, _)) in &found {
        let program = fs::read_link(format!("/proc/{pid}/exe")).expect("it runs");
        let program = program.file_name().expect("a name").to_string_lossy().into_owned();
        let own = name.split('-').next().expect("a name");
        assert!(program == *name || program == format!("chat-{own}"), "{name} is {program}");
    }
    let mut addresses: Vec<SocketAddr> = found
        .iter()
        .filter(|(name, _)| !["mongod", "nats-server"].contains(&name.as_str()))
        .map(|(_, (_, address))| *address)
        .collect();
    addresses.sort();
    let services = port + SERVICE_PORTS..port + SERVICE_PORTS + 2 * SERVICES;
    assert_eq!(addresses, [local(port..port + 2), local(services)].concat());

    for address in &addresses {
        let metrics = (address.ip(), address.port() + METRICS_PORTS).into();
        let (status, body) = get(metrics, "/metrics").await;
        assert_eq!(status, "HTTP/1.1 200 OK", "{metrics}");
        assert!(body.contains("chat_build_info{process=\"chat-"), "{body}");
    }

    // One that stands still must not hold up the end.
    signal(found["user-1"].0, "STOP").await;
    run.signal("INT").await;
    let (status, errors) = run.ended(END).await;
    assert_eq!(status.code(), Some(0), "{errors}");
    are_gone(&found).await;
    for address in addresses {
        TcpListener::bind(address).expect("its port is free again");
    }
}

#[tokio::test]
async fn process_that_dies_is_reported_and_the_others_live_on() {
    let (mut run, port, found) = start(Backing::Shared, &[]).await;
    let (pid, address) = found["user-1"];
    signal(pid, "KILL").await;
    assert_eq!(run.line().await, format!("user-1 (process {pid}) ended (signal 9)"));
    let (pid, _) = found["auth-1"];
    signal(pid, "TERM").await;
    assert_eq!(run.line().await, format!("auth-1 (process {pid}) ended (exit status: 0)"));
    assert!(TcpStream::connect(address).await.is_err(), "nobody starts it again");
    TcpStream::connect(local(port..port + 1)[0]).await.expect("the gateway lives on");
    run.signal("TERM").await;
    let (status, errors) = run.ended(END).await;
    assert_eq!(status.code(), Some(0), "{errors}");
    are_gone(&found).await;
}

#[tokio::test]
async fn whatever_dies_is_started_again_at_once_where_that_is_asked_for() {
    let (mut run, port, found) = start(Backing::Own, &["--restart"]).await;
    for name in ["message-1", "gateway-1", "mongod", "nats-server"] {
        let (pid, address) = found[name];
        let begun = Instant::now();
        signal(pid, "KILL").await;
        let said = run.line().await;
        let expected = format!("{name} (process {pid}) ended (signal 9), starting it again");
        assert_eq!(said, expected);
        answers(address).await;
        assert!(begun.elapsed() < RESTART, "{name} took {:?}", begun.elapsed());
    }
    let healthy = async {
        while crate::program::health(local(port..port + 1)[0]).await.0 != "HTTP/1.1 200 OK" {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(END, healthy).await.is_ok(), "the suite does not recover");
}

#[tokio::test]
async fn processes_end_with_a_runner_that_is_killed() {
    let (mut run, _, found) = start(Backing::Own, &[]).await;
    signal(found["message-1"].0, "STOP").await;
    run.signal("KILL").await;
    run.ended(END).await;
    // The one that stands still is ended by force, later than the others.
    let others = found.iter().filter(|(name, _)| *name != "message-1");
    are_gone(&others.map(|(name, place)| (name.clone(), *place)).collect()).await;
    are_gone(&found).await;
}
