//! What tests share: one MongoDB and one NATS for all tests of a program, and suites on databases of
//! their own.

use std::{net::SocketAddr, path::Path};

use chat_kit::{config::SigningSecret, shutdown::Lifecycle};
use tokio::sync::OnceCell;

use crate::{
    build_directory,
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
        data: build.join("test").join(std::process::id().to_string()).join(name),
        mongodb_uri: None,
        nats_url: None,
    };
    Servers::start(&options).await
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
        otp: suite::development_otp(),
        message_replicas: 1,
        observer: None,
    }
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
    let token_secret = format!("{}{}", chat_kit::caller::new_request_id(), "0123456789abcdef");
    let mut options = options(servers, &token_secret);
    change(&mut options);
    let database_prefix = options.database_prefix.clone();
    let life = Lifecycle::new();
    let started = Suite::start(options, &life).await;
    let Suite { gateways, services } =
        started.unwrap_or_else(|error| panic!("the suite does not start: {error:#}"));
    TestSuite { gateways, services, token_secret, database_prefix, life }
}
