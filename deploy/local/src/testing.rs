//! What tests share: one MongoDB and one NATS for all tests of a program, and suites on databases of
//! their own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use chat_kit::{
    config::{Secret, SigningSecret},
    shutdown::Lifecycle,
};
use tokio::sync::OnceCell;

use crate::{
    build_directory,
    keep::Say,
    process::Process,
    processes::{self, Processes},
    servers::{self, Servers},
    suite::{self, Suite},
};

static SERVERS: OnceCell<Servers> = OnceCell::const_new();

/// Returns the servers of this test program, started by the first test that asks. They end with it.
///
/// # Panics
///
/// If they cannot be started; the message says what to do.
pub async fn servers() -> &'static Servers {
    let started = SERVERS.get_or_try_init(async || start_servers("shared").await);
    started.await.unwrap_or_else(|error| panic!("mongodb and nats for the tests: {error:#}"))
}

/// Starts servers of a test's own, for tests that break them.
///
/// # Panics
///
/// If they cannot be started; the message says what to do.
pub async fn own_servers() -> Servers {
    let started = start_servers(&chat_kit::caller::new_request_id()).await;
    started.unwrap_or_else(|error| panic!("mongodb and nats for a test: {error:#}"))
}

async fn start_servers(name: &str) -> anyhow::Result<Servers> {
    let build = build_directory()?;
    sweep(&build.join("test"));
    let options = servers::Options {
        binaries: build.join("bin"),
        data: test_directory(name)?,
        mongodb_uri: None,
        nats_url: None,
    };
    Servers::start(&options).await
}

/// Returns a directory of this test program.
fn test_directory(name: &str) -> anyhow::Result<PathBuf> {
    Ok(build_directory()?.join("test").join(std::process::id().to_string()).join(name))
}

/// Removes what test programs that are gone have left.
fn sweep(tests: &Path) {
    let Ok(entries) = std::fs::read_dir(tests) else { return };
    for entry in entries.flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            // What cannot be removed now can the next time.
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// A suite of a test's own; it ends when this value is dropped.
pub struct TestSuite {
    /// Addresses of the gateways.
    pub gateways: Vec<SocketAddr>,
    /// Name and gRPC address of every service.
    pub services: Vec<(&'static str, SocketAddr)>,
    /// The secret that its tokens are signed with.
    pub token_secret: String,
    database_prefix: String,
    life: Lifecycle,
}

impl TestSuite {
    /// Returns the name of a service's database.
    #[must_use]
    pub fn database(&self, service: &str) -> String {
        format!("{}{service}", self.database_prefix)
    }

    /// Begins to end everything.
    pub fn stop(&self) {
        self.life.stop();
    }

    /// Waits until everything has ended; what has not by then is aborted.
    ///
    /// # Panics
    ///
    /// If something failed before; the message says what.
    pub async fn ended(&self, within: Duration) {
        let ended = self.life.ended(within).await;
        ended.unwrap_or_else(|error| panic!("the suite failed: {error:#}"));
    }
}

impl Drop for TestSuite {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// Returns options for a suite on fresh databases, with free ports and two gateways.
fn options(servers: &Servers, token_secret: &str) -> suite::Options {
    suite::Options {
        gateways: 2,
        port: None,
        mongodb_uri: servers.mongodb_uri.clone(),
        nats_url: servers.nats_url.clone(),
        gateway_nats: None,
        database_prefix: format!("t{}-", chat_kit::caller::new_request_id()),
        token_secret: SigningSecret::new(token_secret).expect("long and no sample"),
        invite: invite(),
        otp: suite::development_otp(),
        calls: chat_call::Calls::default(),
        bound_sockets: chat_gateway::config::Calls::default(),
        call_limits: suite::development_call_limits(),
        ice: chat_call::Ice::default(),
        limits: suite::development_limits(),
        session_checks: chat_gateway::config::Sessions::default().check_interval,
        presence: chat_user::Presence::default(),
        replicas: 1,
        observer: None,
    }
}

/// Returns a secret of invite links.
#[must_use]
pub fn invite() -> chat_conversation::Invite {
    let secret = Secret::new(&random_secret());
    chat_conversation::Invite::new(secret).expect("long enough")
}

fn random_secret() -> String {
    format!("{}{}", chat_kit::caller::new_request_id(), "0123456789abcdef")
}

/// Starts a suite on the shared servers, with the options changed by `change`.
///
/// # Panics
///
/// If it cannot be started; the message says why.
pub async fn suite(change: impl FnOnce(&mut suite::Options)) -> TestSuite {
    suite_on(servers().await, change).await
}

/// Starts a suite on the given servers, with the options changed by `change`.
///
/// # Panics
///
/// If it cannot be started; the message says why.
pub async fn suite_on(servers: &Servers, change: impl FnOnce(&mut suite::Options)) -> TestSuite {
    let token_secret = random_secret();
    let mut options = options(servers, &token_secret);
    change(&mut options);
    let database_prefix = options.database_prefix.clone();
    let life = Lifecycle::new();
    // Boxed: the future of everything that starts is large.
    let started = Box::pin(Suite::start(options, &life)).await;
    let Suite { gateways, services } =
        started.unwrap_or_else(|error| panic!("the suite does not start: {error:#}"));
    TestSuite { gateways, services, token_secret, database_prefix, life }
}

/// A suite of processes of a test's own, on servers of its own, of which everything that ends is started
/// again. It ends with this value.
pub struct TestProcesses {
    /// Its services and gateways.
    pub suite: Processes,
    /// MongoDB and NATS.
    pub servers: Vec<Process>,
    /// Directory with the logs of services and gateways.
    pub logs: PathBuf,
    life: Lifecycle,
}

impl TestProcesses {
    /// Returns all processes, MongoDB and NATS too.
    pub fn all(&self) -> impl Iterator<Item = &Process> {
        self.suite.all().chain(&self.servers)
    }
}

impl Drop for TestProcesses {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// Starts a suite of processes, after it has built their programs, with two gateways and this many
/// replicas of every service. `say` is told what ends by itself.
///
/// # Panics
///
/// If it cannot be started; the message says why.
pub async fn processes(replicas: u16, say: &Say) -> TestProcesses {
    let started = start_processes(replicas, say).await;
    started.unwrap_or_else(|error| panic!("the suite does not start: {error:#}"))
}

async fn start_processes(replicas: u16, say: &Say) -> anyhow::Result<TestProcesses> {
    processes::build().await?;
    let mut servers = own_servers().await;
    let logs = test_directory(&chat_kit::caller::new_request_id())?;
    tokio::fs::create_dir_all(&logs).await?;
    let token_secret_file = logs.join("token-secret");
    let token_secret = random_secret();
    tokio::fs::write(&token_secret_file, token_secret).await?;
    let invite_secret_file = logs.join("invite-secret");
    tokio::fs::write(&invite_secret_file, random_secret()).await?;
    let options = processes::Options {
        gateways: 2,
        replicas,
        port: None,
        mongodb_uri: servers.mongodb_uri.clone(),
        nats_url: servers.nats_url.clone(),
        database_prefix: "chat-".to_owned(),
        token_secret_file,
        invite_secret_file,
        logs: logs.clone(),
        filter: "info".to_owned(),
        otlp: None,
        restarts: true,
    };
    let life = Lifecycle::new();
    let suite = Processes::start(&options, say, &life).await?;
    let handles = servers.processes();
    let (own, say) = (life.clone(), say.clone());
    life.spawn("servers", async move {
        tokio::select! {
            () = servers.keep(true, &say) => {}
            () = own.stopping() => {}
        }
        servers.stop().await
    });
    Ok(TestProcesses { suite, servers: handles, logs, life })
}
