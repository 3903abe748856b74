//! The servers behind the suite, MongoDB and NATS: fetched when missing and started on loopback,
//! or used where they run already.

mod fetch;
mod given;
mod mongod;
mod nats;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::try_join;

use self::mongod::Mongod;
use self::nats::Nats;
use crate::keep::{Say, keep};
use crate::process::Process;

/// What to start, and where.
#[derive(Clone)]
pub struct Options {
    /// Directory that holds mongod and nats-server, or gets them. Files of these names that are
    /// not the pinned version are replaced.
    pub binaries: PathBuf,
    /// Directory that holds their data; one run at a time may use it.
    pub data: PathBuf,
    /// Connection string of a running MongoDB, to be used instead of starting one.
    pub mongodb_uri: Option<String>,
    /// Address of a running NATS server with JetStream, to be used instead of starting one.
    pub nats_url: Option<String>,
}

impl Options {
    /// Relative paths would be looked up differently by the programs that get them.
    fn absolute(&self) -> Result<Self> {
        let absolute = |path: &Path, what: &str| {
            std::path::absolute(path).with_context(|| format!("no directory for {what} is given"))
        };
        Ok(Self {
            binaries: absolute(&self.binaries, "the server programs")?,
            data: absolute(&self.data, "the servers' data")?,
            ..self.clone()
        })
    }
}

/// Where the backing servers are, and the processes behind them when they were started here.
/// Dropping it ends them, and so does the end of this process, by SIGKILL even.
pub struct Servers {
    /// Connection string of MongoDB.
    pub mongodb_uri: String,
    /// Address of the NATS server.
    pub nats_url: String,
    mongod: Option<Mongod>,
    nats: Option<Nats>,
}

impl Servers {
    /// Starts the servers that `options` does not name, fetching them first when they are missing,
    /// and returns when both can be used. Every failure is one line that says what to do.
    pub async fn start(options: &Options) -> Result<Self> {
        let options = &options.absolute()?;
        let ((mongodb_uri, mongod), (nats_url, nats)) =
            try_join!(start_mongodb(options), start_nats(options))?;
        Ok(Self { mongodb_uri, nats_url, mongod, nats })
    }

    /// Ends the servers that were started here, in order, and by force after some seconds.
    pub async fn stop(mut self) -> Result<()> {
        let (mongod, nats) = (self.mongod.as_mut(), self.nats.as_mut());
        let mongod = async {
            match mongod {
                Some(mongod) => mongod.child.stop().await,
                None => Ok(()),
            }
        };
        let nats = async {
            match nats {
                Some(nats) => nats.child.stop().await,
                None => Ok(()),
            }
        };
        let (mongod, nats) = tokio::join!(mongod, nats);
        mongod.and(nats)
    }

    /// Waits until a server that was started here ends by itself, and says which and what it
    /// logged last. Cancel safe.
    pub async fn ended(&mut self) -> String {
        let (mongod, nats) = (self.mongod.as_mut(), self.nats.as_mut());
        let (ended, child) = tokio::select! {
            Some(ended) = async {
                let child = &mut mongod?.child;
                Some((child.ended().await, child))
            } => ended,
            Some(ended) = async {
                let child = &mut nats?.child;
                Some((child.ended().await, child))
            } => ended,
            else => std::future::pending().await,
        };
        format!("{ended}; {}", child.last_words())
    }

    /// Says when a server that was started here ends by itself, and starts it again where `restarts`.
    /// Never returns. Cancel safe.
    pub async fn keep(&mut self, restarts: bool, say: &Say) {
        let (mongod, nats) = (self.mongod.as_mut(), self.nats.as_mut());
        let mongod = async {
            match mongod {
                Some(mongod) => keep(mongod, restarts, say).await,
                None => std::future::pending().await,
            }
        };
        let nats = async {
            match nats {
                Some(nats) => keep(nats, restarts, say).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(mongod, nats);
    }

    /// Returns the servers that were started here.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let mongod = self.mongod.as_ref().map(Mongod::process);
        mongod.into_iter().chain(self.nats.as_ref().map(Nats::process)).collect()
    }

    /// Returns the process id of the mongod that was started here.
    #[must_use]
    pub fn mongod_pid(&self) -> Option<u32> {
        self.mongod.as_ref()?.child.pid()
    }

    /// Returns the process id of the nats-server that was started here.
    #[must_use]
    pub fn nats_pid(&self) -> Option<u32> {
        self.nats.as_ref()?.child.pid()
    }

    /// Ends mongod as a crash would. `ended` does not report it.
    pub async fn kill_mongod(&mut self) -> Result<()> {
        self.own_mongod()?.child.kill().await
    }

    /// Starts mongod again, on the same port and data; ends it in order first if it runs.
    pub async fn restart_mongod(&mut self) -> Result<()> {
        let mongod = self.own_mongod()?;
        mongod.child.stop().await?;
        mongod.launch().await
    }

    /// Ends nats-server as a crash would. `ended` does not report it.
    pub async fn kill_nats(&mut self) -> Result<()> {
        self.own_nats()?.child.kill().await
    }

    /// Starts nats-server again, on the same port and data; ends it in order first if it runs.
    pub async fn restart_nats(&mut self) -> Result<()> {
        let nats = self.own_nats()?;
        nats.child.stop().await?;
        nats.launch().await
    }

    fn own_mongod(&mut self) -> Result<&mut Mongod> {
        self.mongod.as_mut().context("MongoDB was not started here")
    }

    fn own_nats(&mut self) -> Result<&mut Nats> {
        self.nats.as_mut().context("NATS was not started here")
    }
}

async fn start_mongodb(options: &Options) -> Result<(String, Option<Mongod>)> {
    if let Some(uri) = &options.mongodb_uri {
        given::reach_mongodb(uri).await?;
        return Ok((uri.clone(), None));
    }
    let binary = fetch::MONGOD.ensure(&options.binaries).await?;
    let mongod = Mongod::start(binary, options.data.join(fetch::MONGOD.name)).await?;
    Ok((mongod.uri(), Some(mongod)))
}

async fn start_nats(options: &Options) -> Result<(String, Option<Nats>)> {
    if let Some(url) = &options.nats_url {
        given::reach_nats(url).await?;
        return Ok((url.clone(), None));
    }
    let binary = fetch::NATS_SERVER.ensure(&options.binaries).await?;
    let nats = Nats::start(binary, options.data.join(fetch::NATS_SERVER.name)).await?;
    Ok((nats.url(), Some(nats)))
}
