//! A nats-server with JetStream that is started here.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use async_nats::ConnectOptions;

use super::fetch;
use crate::child::Child;
use crate::keep::Keep;
use crate::port;
use crate::process::Process;

/// The process, where it listens and where its streams are.
pub(super) struct Nats {
    binary: PathBuf,
    data: PathBuf,
    port: u16,
    pub(super) child: Child,
}

impl Nats {
    /// Starts the server on a free port and waits until JetStream answers.
    pub(super) async fn start(binary: PathBuf, data: PathBuf) -> Result<Self> {
        let child = Child::claim(fetch::NATS_SERVER.name, &data).await?;
        let mut nats = Self { binary, data, port: port::choose()?, child };
        let mut tries = 1;
        while let Err(error) = nats.launch().await {
            if tries == port::TRIES || port::is_free(nats.port) {
                return Err(error);
            }
            tracing::debug!(port = nats.port, "the port was taken meanwhile: {error:#}");
            tries += 1;
            nats.port = port::choose()?;
        }
        Ok(nats)
    }

    /// Returns what others may know of the process.
    pub(super) fn process(&self) -> Process {
        self.child.process((Ipv4Addr::LOCALHOST, self.port).into())
    }

    /// Starts the process on the port that was chosen and waits until JetStream answers.
    pub(super) async fn launch(&mut self) -> Result<()> {
        // Another run's server may get the port first; the name tells them apart.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let name = format!("chat-local-{}-{}", std::process::id(), now.as_nanos());
        let (port, directory) = (self.port.to_string(), self.data.join("jetstream"));
        let mut command: Vec<OsString> = vec![self.binary.clone().into(), "-js".into()];
        command.extend(["-a", "127.0.0.1", "-p", &port, "-n", &name, "-sd"].map(Into::into));
        command.push(directory.into());

        self.child.spawn(command, None).await?;
        let url = self.url();
        self.child.until_ready(|| check(&url, &name)).await
    }

    /// Returns the address of the server.
    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Keep for Nats {
    fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    async fn launch(&mut self) -> Result<()> {
        Self::launch(self).await
    }
}

async fn check(url: &str, name: &str) -> Result<()> {
    let options = ConnectOptions::new().connection_timeout(Duration::from_secs(2));
    let client = options.connect(url).await?;
    ensure!(client.server_info().server_name == name, "another nats-server listens at {url}");
    async_nats::jetstream::new(client)
        .query_account()
        .await
        .context("JetStream does not answer")?;
    Ok(())
}
