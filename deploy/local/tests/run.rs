//! The program that runs the suite: what it prints, what it serves, how it ends, and what it says when
//! it cannot start.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use chat_kit::caller::new_request_id;
use chat_local::testing;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

/// How long a start may take, the fetching of servers aside.
const START: Duration = Duration::from_secs(20);
/// How long an end may take.
const END: Duration = Duration::from_secs(10);

/// Gateways that a test may start on its ports.
const MOST_GATEWAYS: u16 = 3;
/// Distance between the first gateway's port and the first service's.
const SERVICE_PORTS: u16 = 100;
/// Auth, user, conversation and message.
const SERVICES: u16 = 4;

/// A run of the program on ports and a directory of its own. Dropping it ends it.
struct Run {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    directory: Directory,
}

/// A data directory that goes with the value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("run-{}", new_request_id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// Returns the servers that work in it: their names and processes.
    fn servers(&self) -> BTreeMap<String, u32> {
        let directory = self.0.to_str().expect("a path in UTF-8");
        let mut servers = BTreeMap::new();
        for process in fs::read_dir("/proc").expect("processes").flatten() {
            // A process may be gone meanwhile, and what is not a process has no command.
            let Ok(command) = fs::read_to_string(process.path().join("cmdline")) else { continue };
            let program = command.split('\0').next().unwrap_or_default();
            let name = program.rsplit('/').next().unwrap_or_default();
            if command.contains(directory) && ["mongod", "nats-server"].contains(&name) {
                let pid = process.file_name().to_str().and_then(|pid| pid.parse().ok());
                servers.insert(name.to_owned(), pid.expect("a number"));
            }
        }
        servers
    }

    /// Waits until no server works in it.
    async fn is_left(&self) {
        let left = async {
            while !self.servers().is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(END, left).await.is_ok(), "left behind: {:?}", self.servers());
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is in the build directory.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Where MongoDB and NATS come from.
enum Backing {
    /// The run starts its own.
    Own,
    /// The run uses those of the tests.
    Shared,
}

/// Returns the command that runs the suite on a port.
async fn command(directory: &Directory, port: u16, backing: Backing) -> Command {
    // Started in any case, so that what is measured does not include fetching.
    let servers = testing::servers().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-local"));
    command.arg("--data").arg(&directory.0).args(["--port", &port.to_string()]);
    if matches!(backing, Backing::Shared) {
        command.args(["--mongodb-uri", &servers.mongodb_uri, "--nats-url", &servers.nats_url]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Run {
    fn new(command: &mut Command, directory: Directory) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("standard output");
        Self { child, lines: BufReader::new(stdout).lines(), directory }
    }

    /// Waits for the line that says that the suite is ready; returns the addresses of gateways and of
    /// services in it.
    async fn ready(&mut self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let ready = timeout(START, async {
            while let Some(line) = self.lines.next_line().await.expect("a line") {
                if let Some(rest) = line.strip_prefix("READY gateways ") {
                    return Some(rest.to_owned());
                }
            }
            None
        });
        let Some(line) = ready.await.expect("ready in time") else {
            panic!("it ended: {}", self.errors().await)
        };
        let (gateways, services) = line.split_once(" services ").expect("services");
        let gateways = gateways.split(' ').map(|url| url.strip_prefix("http://").expect("a URL"));
        let services = services.split(' ').map(|entry| entry.split_once('=').expect("a name").1);
        let addresses = |text: &str| text.parse().expect("an address");
        (gateways.map(addresses).collect(), services.map(addresses).collect())
    }

    /// Waits until the program has ended; returns how, and what it wrote to standard error.
    async fn ended(&mut self, patience: Duration) -> (ExitStatus, String) {
        let ended = timeout(patience, async {
            let errors = self.errors().await;
            (self.child.wait().await.expect("a status"), errors)
        });
        ended.await.expect("it ends in time")
    }

    /// Returns what it writes to standard error until it ends.
    async fn errors(&mut self) -> String {
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().expect("standard error");
        stderr.read_to_string(&mut errors).await.expect("text");
        errors
    }

    /// Asks it to end.
    async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status().await;
        assert!(sent.expect("kill runs").success());
    }

    /// Asserts that it ends by itself with a failure that is one line, and leaves nothing behind;
    /// returns the line.
    async fn refusal(mut self) -> String {
        let (status, errors) = self.ended(START).await;
        assert_eq!(status.code(), Some(1), "{errors}");
        assert!(errors.starts_with("chat: ") && errors.ends_with('\n'), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        self.directory.is_left().await;
        errors
    }
}

/// Returns a port that is free like all those that a run on it takes: the next gateways', and the
/// services'. They lie below the range from which the system gives ports away.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const STEP: u16 = 200;
    const STEPS: u16 = 110;
    // Programs that test at the same time begin elsewhere.
    let first = u16::try_from(std::process::id() % u32::from(STEPS)).expect("a small number");
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in 0..STEPS {
        let step = (first + NEXT.fetch_add(1, Ordering::Relaxed)) % STEPS;
        let port = FIRST + step * STEP;
        let services = port + SERVICE_PORTS;
        if (port..port + MOST_GATEWAYS).chain(services..services + SERVICES).all(is_free) {
            return port;
        }
    }
    panic!("no free ports");
}

/// Asks a gateway how it is; returns status line and body.
async fn health(gateway: SocketAddr) -> (String, String) {
    let asked = timeout(END, async {
        let mut stream = TcpStream::connect(gateway).await.expect("a connection");
        let request =
            format!("GET /health HTTP/1.1\r\nhost: {gateway}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    });
    let answer = asked.await.expect("an answer in time");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

async fn assert_healthy(gateways: &[SocketAddr]) {
    for gateway in gateways {
        let (status, body) = health(*gateway).await;
        assert_eq!(status, "HTTP/1.1 200 OK", "{gateway}: {body}");
    }
}

fn local(ports: std::ops::Range<u16>) -> Vec<SocketAddr> {
    ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect()
}

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
    let nats = run.directory.servers()["nats-server"].to_string();
    let killed = Command::new("kill").args(["-s", "KILL", &nats]).status().await;
    assert!(killed.expect("kill runs").success());
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
    for (offset, backing) in
        [(0, Backing::Own), (1, Backing::Shared), (SERVICE_PORTS + 3, Backing::Shared)]
    {
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
