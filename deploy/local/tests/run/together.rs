//! The suite in one process.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use chat_local::processes::METRICS_PORTS;
use tokio::time::{sleep, timeout};

use crate::program::{
    Backing, Directory, END, Run, SERVICE_PORTS, SERVICES, START, assert_healthy, command,
    free_port, local, signal,
};

#[tokio::test]
async fn suite_is_ready_soon_and_ends_in_order_with_its_servers() {
    let (directory, port) = (Directory::new(), free_port());
    let mut run = Run::new(&mut command(&directory, port, Backing::Own).await, directory);
    let (gateways, services) = run.ready().await;
    assert_eq!(gateways, local(port..port + 2), "two where nothing else is asked for");
    assert_eq!(services, local(port + SERVICE_PORTS..port + SERVICE_PORTS + SERVICES));
    assert_healthy(&gateways).await;
    let servers: Vec<String> = run.directory.servers().into_keys().collect();
    assert_eq!(servers, ["mongod", "nats-server"]);

    run.signal("TERM").await;
    let (status, errors) = run.ended(END).await;
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    run.directory.is_left().await;
    for address in gateways.into_iter().chain(services) {
        TcpListener::bind(address).expect("its port is free again");
    }
}

#[tokio::test]
async fn suite_that_is_told_to_end_while_it_starts_leaves_nothing_behind() {
    let directory = Directory::new();
    let mut command = command(&directory, free_port(), Backing::Own).await;
    let mut run = Run::new(&mut command, directory);
    let started = async {
        while run.directory.servers().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(START, started).await.expect("a server starts");
    run.signal("TERM").await;
    let (status, errors) = run.ended(END).await;
    assert_eq!(status.code(), Some(0), "{errors}");
    run.directory.is_left().await;
}

#[tokio::test]
async fn server_that_dies_ends_the_suite_with_its_name() {
    let directory = Directory::new();
    let mut command = command(&directory, free_port(), Backing::Own).await;
    let mut run = Run::new(&mut command, directory);
    run.ready().await;
    let nats = run.directory.servers()["nats-server"];
    signal(nats, "KILL").await;
    let (status, errors) = run.ended(END).await;
    assert_eq!(status.code(), Some(1), "{errors}");
    let last = errors.lines().last().unwrap_or_default();
    let expected = format!("chat: nats-server (process {nats}) ended (signal 9)");
    assert!(last.starts_with(&expected), "{errors}");
    run.directory.is_left().await;
}

#[tokio::test]
async fn as_many_gateways_run_as_asked_for() {
    let (directory, port) = (Directory::new(), free_port());
    let mut command = command(&directory, port, Backing::Shared).await;
    let mut run = Run::new(command.args(["--gateways", "3"]), directory);
    let (gateways, _) = run.ready().await;
    assert_eq!(gateways, local(port..port + 3));
    assert_healthy(&gateways).await;
    assert_eq!(run.directory.servers(), BTreeMap::new(), "given servers are used");
    // As Ctrl-C does.
    run.signal("INT").await;
    let (status, errors) = run.ended(END).await;
    assert_eq!(status.code(), Some(0), "{errors}");
}

#[tokio::test]
async fn every_service_has_as_many_replicas_as_asked_for() {
    let (directory, port) = (Directory::new(), free_port());
    let mut command = command(&directory, port, Backing::Shared).await;
    let mut run = Run::new(command.args(["--replicas", "2"]), directory);
    let (gateways, services) = run.ready().await;
    assert_eq!(services, local(port + SERVICE_PORTS..port + SERVICE_PORTS + 2 * SERVICES));
    assert_healthy(&gateways).await;
    run.signal("TERM").await;
    let (status, errors) = run.ended(END).await;
    assert_eq!(status.code(), Some(0), "{errors}");
}

#[tokio::test]
async fn server_that_dies_is_started_again_where_that_is_asked_for() {
    let directory = Directory::new();
    let mut command = command(&directory, free_port(), Backing::Own).await;
    let mut run = Run::new(command.arg("--restart"), directory);
    let (gateways, _) = run.ready().await;
    let nats = run.directory.servers()["nats-server"];
    signal(nats, "KILL").await;
    // What comes before it is the hint where to begin.
    run.line().await;
    let said = run.line().await;
    let expected = format!("nats-server (process {nats}) ended (signal 9), starting it again");
    assert_eq!(said, expected);
    let started = async {
        while run.directory.servers().get("nats-server").is_none_or(|pid| *pid == nats) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(END, started).await.expect("it is started again");
    assert_healthy(&gateways).await;
}

#[tokio::test]
async fn token_secret_is_made_once_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut directory, port) = (Directory::new(), free_port());
    let mut secrets = Vec::new();
    for _ in 0..2 {
        let path = directory.0.join("token-secret");
        let mut run = Run::new(&mut command(&directory, port, Backing::Shared).await, directory);
        run.ready().await;
        secrets.push(fs::read_to_string(&path).expect("a secret"));
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        run.signal("TERM").await;
        assert!(run.ended(END).await.0.success());
        directory = run.directory;
    }
    assert!(secrets[0].len() >= 64 && secrets[0] == secrets[1], "tokens outlive a restart");
}

#[tokio::test]
async fn taken_port_is_named_in_one_line_and_nothing_is_left_behind() {
    for (offset, backing) in [
        (0, Backing::Own),
        (1, Backing::Shared),
        (SERVICE_PORTS + 3, Backing::Shared),
        (METRICS_PORTS, Backing::Shared),
    ] {
        let (directory, port) = (Directory::new(), free_port());
        let taken = local(port + offset..port + offset + 1)[0];
        let _taken = TcpListener::bind(taken).expect("a free port");
        let run = Run::new(&mut command(&directory, port, backing).await, directory);
        let line = run.refusal().await;
        assert!(line.contains(&format!("cannot listen on {taken}")), "{line}");
    }
}

#[tokio::test]
async fn unreachable_servers_are_named_in_one_line_without_their_password() {
    // Port 1 is never listened on.
    for (argument, value, named) in [
        ("--mongodb-uri", "mongodb://anna:hidden@127.0.0.1:1/", "MongoDB at mongodb://127.0.0.1:1"),
        ("--nats-url", "nats://anna:hidden@127.0.0.1:1", "NATS at nats://127.0.0.1:1"),
    ] {
        let (directory, port) = (Directory::new(), free_port());
        let begun = Instant::now();
        let mut command = command(&directory, port, Backing::Own).await;
        let run = Run::new(command.args([argument, value]), directory);
        let line = run.refusal().await;
        assert!(line.contains(named) && line.contains("does not answer"), "{line}");
        assert!(!line.contains("anna") && !line.contains("hidden"), "{line}");
        assert!(begun.elapsed() < START);
    }
}
