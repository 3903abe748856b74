//! What is known of a process that is started here, and what may be done to it from outside.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{process::Command, sync::watch, time::timeout};

/// What happens to a process at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    pub(crate) pid: Option<u32>,
    /// How often it was started.
    pub(crate) starts: u32,
    /// Whether it has answered since it was started last.
    pub(crate) is_ready: bool,
}

/// A process that is started here, again and again maybe.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its name, such as `message-2`.
    pub name: String,
    /// Where it listens; the same after every start.
    pub address: SocketAddr,
    state: watch::Receiver<State>,
    kept_down: watch::Sender<bool>,
}

/// What a process can be told by its system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End at once, as in a crash.
    Kill,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
}

impl Process {
    pub(crate) fn new(
        name: String,
        address: SocketAddr,
        state: watch::Receiver<State>,
        kept_down: watch::Sender<bool>,
    ) -> Self {
        Self { name, address, state, kept_down }
    }

    /// Says whether it stays down once it has ended, although it would be started again.
    pub fn keep_down(&self, is_kept_down: bool) {
        self.kept_down.send_replace(is_kept_down);
    }

    /// Returns its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.state.borrow().pid
    }

    /// Returns how often it was started.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.state.borrow().starts
    }

    /// Sends it a signal.
    pub async fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.name))?.to_string();
        let name = match signal {
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        let mut kill = Command::new("kill");
        // What it says of a process that has just ended is said here.
        let sent = kill.args(["-s", name, &pid]).stderr(Stdio::null()).status().await?;
        ensure!(sent.success(), "{} (process {pid}) could not be sent SIG{name}", self.name);
        Ok(())
    }

    /// Waits until it has been started this often, and answers.
    pub async fn ready(&self, starts: u32, within: Duration) -> anyhow::Result<()> {
        let mut state = self.state.clone();
        let is_ready = state.wait_for(|state| state.is_ready && state.starts >= starts);
        let waited = timeout(within, is_ready).await;
        let seen = waited.with_context(|| format!("{} does not answer", self.name))?;
        seen.with_context(|| format!("{} is not started any more", self.name))?;
        Ok(())
    }
}
