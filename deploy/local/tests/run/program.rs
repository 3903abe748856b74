//! A run of the program, in a directory and on ports of its own.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use chat_kit::caller::new_request_id;
use chat_local::{processes::METRICS_PORTS, testing};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

/// How long a start may take, the fetching of servers aside.
pub const START: Duration = Duration::from_secs(20);
/// How long an end may take.
pub const END: Duration = Duration::from_secs(10);

/// Gateways that a test may start on its ports.
pub const MOST_GATEWAYS: u16 = 3;
/// Distance between the first gateway's port and the first service's.
pub const SERVICE_PORTS: u16 = 100;
/// Auth, user, conversation and message.
pub const SERVICES: u16 = 5;
/// Replicas of them that a test may start.
pub const MOST_REPLICAS: u16 = 2;

/// A run of the program on ports and a directory of its own. Dropping it ends it.
pub struct Run {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub directory: Directory,
    /// The lines that it has printed before it was ready.
    pub said: Vec<String>,
}

/// A data directory that goes with the value.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("run-{}", new_request_id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// Returns the servers that work in it: their names and processes.
    pub fn servers(&self) -> BTreeMap<String, u32> {
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
    pub async fn is_left(&self) {
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
pub enum Backing {
    /// The run starts its own.
    Own,
    /// The run uses those of the tests.
    Shared,
}

/// Returns the command that runs the suite on a port.
pub async fn command(directory: &Directory, port: u16, backing: Backing) -> Command {
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
    pub fn new(command: &mut Command, directory: Directory) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("standard output");
        Self { child, lines: BufReader::new(stdout).lines(), directory, said: Vec::new() }
    }

    /// Waits for the line that says that the suite is ready; returns the addresses of gateways and of
    /// services in it.
    pub async fn ready(&mut self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let ready = timeout(START, async {
            while let Some(line) = self.lines.next_line().await.expect("a line") {
                if let Some(rest) = line.strip_prefix("READY gateways ") {
                    return Some(rest.to_owned());
                }
                self.said.push(line);
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

    /// Returns the next line that it prints.
    pub async fn line(&mut self) -> String {
        let line = timeout(END, self.lines.next_line()).await.expect("a line in time");
        line.expect("text").expect("not the end")
    }

    /// Waits until the program has ended; returns how, and what it wrote to standard error.
    pub async fn ended(&mut self, patience: Duration) -> (ExitStatus, String) {
        let ended = timeout(patience, async {
            let errors = self.errors().await;
            (self.child.wait().await.expect("a status"), errors)
        });
        ended.await.expect("it ends in time")
    }

    /// Returns what it writes to standard error until it ends.
    pub async fn errors(&mut self) -> String {
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().expect("standard error");
        stderr.read_to_string(&mut errors).await.expect("text");
        errors
    }

    /// Sends it a signal.
    pub async fn signal(&self, name: &str) {
        signal(self.child.id().expect("it runs"), name).await;
    }

    /// Asserts that it ends by itself with a failure that is one line, and leaves nothing behind;
    /// returns the line.
    pub async fn refusal(mut self) -> String {
        let (status, errors) = self.ended(START).await;
        assert_eq!(status.code(), Some(1), "{errors}");
        assert!(errors.starts_with("chat: ") && errors.ends_with('\n'), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        self.directory.is_left().await;
        errors
    }
}

/// Sends a process a signal.
pub async fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().await;
    assert!(sent.expect("kill runs").success());
}

/// Returns a port that is free like all those that a run on it takes: the next gateways', and the
/// services', and those of metrics. They lie below the range from which the system gives ports away.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const STEP: u16 = 400;
    const STEPS: u16 = 55;
    // Programs that test at the same time begin elsewhere.
    let first = u16::try_from(std::process::id() % u32::from(STEPS)).expect("a small number");
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in 0..STEPS {
        let step = (first + NEXT.fetch_add(1, Ordering::Relaxed)) % STEPS;
        let port = FIRST + step * STEP;
        let services = port + SERVICE_PORTS;
        let mut ports =
            (port..port + MOST_GATEWAYS).chain(services..services + SERVICES * MOST_REPLICAS);
        if ports.all(|port| is_free(port) && is_free(port + METRICS_PORTS)) {
            return port;
        }
    }
    panic!("no free ports");
}

/// Asks a gateway how it is; returns status line and body.
pub async fn health(gateway: SocketAddr) -> (String, String) {
    get(gateway, "/health").await
}

/// Asks a server for a path; returns status line and body.
pub async fn get(server: SocketAddr, path: &str) -> (String, String) {
    let asked = timeout(END, async {
        let mut stream = TcpStream::connect(server).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    });
    let answer = asked.await.expect("an answer in time");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

pub async fn assert_healthy(gateways: &[SocketAddr]) {
    for gateway in gateways {
        let (status, body) = health(*gateway).await;
        assert_eq!(status, "HTTP/1.1 200 OK", "{gateway}: {body}");
    }
}

pub fn local(ports: std::ops::Range<u16>) -> Vec<SocketAddr> {
    ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect()
}
