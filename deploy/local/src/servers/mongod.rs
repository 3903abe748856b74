//! A mongod that is started here: a replica set of one member on loopback, which is the least that
//! change streams and majority writes work with.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{ClientOptions, ServerAddress};
use tokio::net::TcpStream;

use super::fetch;
use crate::child::Child;
use crate::keep::Keep;
use crate::port;
use crate::process::Process;

const REPLICA_SET: &str = "rs0";
/// The server's code for "there is no replica set configuration yet".
const NOT_YET_INITIALIZED: i32 = 94;

/// The process, where it listens and where its data is.
pub(super) struct Mongod {
    binary: PathBuf,
    data: PathBuf,
    port: u16,
    pub(super) child: Child,
}

impl Mongod {
    /// Starts the server on the port that `data` was used with last, or on another if that is
    /// taken, and waits until it is primary.
    pub(super) async fn start(binary: PathBuf, data: PathBuf) -> Result<Self> {
        let child = Child::claim(fetch::MONGOD.name, &data).await?;
        let remembered = data.join("port");
        let last = tokio::fs::read_to_string(&remembered).await.ok();
        let port = match last.and_then(|text| text.trim().parse().ok()) {
            Some(last) if port::is_free(last) => last,
            Some(last) => {
                tracing::info!(port = last, "mongod moves, its last port is taken");
                port::choose()?
            }
            None => port::choose()?,
        };
        let mut mongod = Self { binary, data, port, child };
        let mut tries = 1;
        while let Err(error) = mongod.launch().await {
            if tries == port::TRIES || port::is_free(mongod.port) {
                return Err(error);
            }
            tracing::debug!(port = mongod.port, "the port was taken meanwhile: {error:#}");
            tries += 1;
            mongod.port = port::choose()?;
        }
        tokio::fs::write(&remembered, mongod.port.to_string())
            .await
            .with_context(|| format!("cannot write {}", remembered.display()))?;
        Ok(mongod)
    }

    /// Returns what others may know of the process.
    pub(super) fn process(&self) -> Process {
        self.child.process((Ipv4Addr::LOCALHOST, self.port).into())
    }

    /// Starts the process on the port that was chosen and waits until it is primary.
    pub(super) async fn launch(&mut self) -> Result<()> {
        self.child.spawn(self.command().await?, None).await?;
        let port = self.port;
        let listening = || async move {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
            Ok(())
        };
        if let Err(error) = self.child.until_ready(listening).await {
            let remedy = fetch::missing_libraries(&self.binary).await;
            return Err(remedy.map_or(error, anyhow::Error::msg));
        }
        let client = direct_client(port)?;
        let pid = self.child.pid();
        let outcome = self.child.until_ready(|| check_primary(&client, port, pid)).await;
        client.shutdown().immediate(true).await;
        outcome
    }

    async fn command(&self) -> Result<Vec<OsString>> {
        let db = self.data.join("db");
        tokio::fs::create_dir_all(&db)
            .await
            .with_context(|| format!("cannot create the directory {}", db.display()))?;
        let mut command = vec![self.binary.clone().into_os_string(), "--dbpath".into(), db.into()];
        let port = self.port.to_string();
        // Without --logpath the log goes to standard output, which is the child's log. The small
        // cache leaves room for the suite and its tests on the same machine; the small journal
        // makes new data 20 MB instead of 300.
        let flags = [
            "--port",
            &port,
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
            "--replSet",
            REPLICA_SET,
            "--wiredTigerCacheSizeGB",
            "0.25",
            "--oplogSize",
            "64",
            "--quiet",
            "--wiredTigerEngineConfigString",
            "log=(prealloc=false,file_max=16MB)",
        ];
        command.extend(flags.map(Into::into));
        Ok(command)
    }

    /// Returns the connection string of the replica set.
    pub(super) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?replicaSet={REPLICA_SET}", self.port)
    }
}

impl Keep for Mongod {
    fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    async fn launch(&mut self) -> Result<()> {
        Self::launch(self).await
    }
}

fn direct_client(port: u16) -> Result<Client> {
    let address = ServerAddress::Tcp { host: Ipv4Addr::LOCALHOST.to_string(), port: Some(port) };
    let options = ClientOptions::builder()
        .hosts(vec![address])
        .direct_connection(true)
        .server_selection_timeout(Duration::from_secs(2))
        .build();
    Client::with_options(options).context("cannot make a client for mongod")
}

/// Succeeds when the server is primary; otherwise does what brings it nearer to that.
async fn check_primary(client: &Client, port: u16, pid: Option<u32>) -> Result<()> {
    let admin = client.database("admin");
    // Another run's server may have got the port first; ours is about to end then.
    let status = admin.run_command(doc! { "serverStatus": 1, "metrics": 0 }).await?;
    let answering = status.get_i64("pid").ok().and_then(|pid| u32::try_from(pid).ok());
    ensure!(answering == pid, "another mongod listens on port {port}");

    let own = format!("127.0.0.1:{port}");
    let hello = admin.run_command(doc! { "hello": 1 }).await?;
    let is_own = hello.get_str("me").is_ok_and(|me| me == own);
    if is_own && hello.get_bool("isWritablePrimary").unwrap_or(false) {
        return Ok(());
    }
    let command = match admin.run_command(doc! { "replSetGetConfig": 1 }).await {
        Ok(answer) => {
            let config = answer.get_document("config").context("no replica set configuration")?;
            if is_only_member(config, &own) {
                bail!("it has not become primary yet");
            }
            // The data was used on another port. Its set is REMOVED until it is forced to itself.
            let version = config.get_i32("version").unwrap_or(1) + 1;
            doc! { "replSetReconfig": replica_set(&own, version), "force": true }
        }
        // Also the answer of a server that has not read its configuration yet: it refuses to be
        // initiated a second time, and the next attempt finds the configuration.
        Err(error) if code(&error) == Some(NOT_YET_INITIALIZED) => {
            doc! { "replSetInitiate": replica_set(&own, 1) }
        }
        Err(error) => return Err(error.into()),
    };
    admin.run_command(command).await?;
    bail!("its replica set has just been set up")
}

fn replica_set(own: &str, version: i32) -> Document {
    doc! { "_id": REPLICA_SET, "version": version, "members": [{ "_id": 0, "host": own }] }
}

fn is_only_member(config: &Document, own: &str) -> bool {
    let members = config.get_array("members").map(Vec::as_slice).unwrap_or_default();
    let hosts = members.iter().map(|member| member.as_document()?.get_str("host").ok());
    hosts.eq([Some(own)])
}

fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}
