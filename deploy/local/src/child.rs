//! One process that is started here: its supervisor, its log, waiting for it and ending it. It knows
//! nothing of what the process does.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::lock;
use crate::process::{Process, State};

/// Runs the server named by its arguments and lives exactly as long.
///
/// Standard input carries signal names, one a line. Its end means that whoever started the server
/// is gone, by SIGKILL even, and ends the server. Standard output gets the server's pid; standard
/// error is the log.
const SUPERVISOR: &str = r#"
exec 3<&0 </dev/null
"$@" >&2 3<&- &
server=$!
(
    while read -r signal <&3; do kill -s "$signal" "$server"; done
    kill -s TERM "$server"
    left=50
    while [ "$left" -gt 0 ] && kill -s 0 "$server"; do sleep 0.2; left=$((left - 1)); done
    kill -s KILL "$server"
) >/dev/null 2>/dev/null &
watcher=$!
exec 3<&-
echo "$server"
exec >/dev/null
wait "$server" 2>/dev/null
status=$?
kill "$watcher"
exit "$status"
"#;

/// A log longer than this is begun anew with the next start.
const LOG_LIMIT: u64 = 16 << 20;
/// How long the server of a run that was killed may take to end and leave its data.
const HANDOVER: Duration = Duration::from_secs(5);
/// Characters of a log line that are reported; mongod's can be very long.
const LINE_LIMIT: usize = 400;
const SPAWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Covers the 30 s that mongod tries to reach its last port when what took it does not answer.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// Bounds one look at a server that is starting.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_PAUSE: Duration = Duration::from_millis(25);
/// How long a server may take to end by itself once asked.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// What a process runs with where it does not inherit its environment.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// A program and, while it runs, its process. Dropping it ends the process.
pub(crate) struct Child {
    name: String,
    /// Locked: by this file and by the server that writes to it, whichever lives longer.
    log: File,
    log_path: PathBuf,
    /// Where in the log the process that was started last begins.
    log_start: u64,
    running: Option<Running>,
    state: watch::Sender<State>,
    /// Whether somebody wants it to stay down once it has ended.
    kept_down: watch::Sender<bool>,
}

struct Running {
    pid: u32,
    signals: ChildStdin,
    supervisor: tokio::process::Child,
}

impl Child {
    /// Claims the data directory for a server that logs to `<name>.log` in it, creating it.
    pub(crate) async fn claim(name: &str, data: &Path) -> Result<Self> {
        tokio::fs::create_dir_all(data)
            .await
            .with_context(|| format!("cannot create the directory {}", data.display()))?;
        let log_path = data.join(format!("{name}.log"));
        let Some(log) = lock::acquire(&log_path, HANDOVER).await? else {
            bail!(
                "data directory {} is in use by another run: end that run or choose another \
                 directory",
                data.display()
            );
        };
        if log.metadata().is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
            log.set_len(0).with_context(|| format!("cannot empty {}", log_path.display()))?;
        }
        let (name, state, kept_down) =
            (name.to_owned(), watch::Sender::default(), watch::Sender::default());
        Ok(Self { name, log, log_path, log_start: 0, running: None, state, kept_down })
    }

    /// Returns what others may know of the process, and do with it.
    pub(crate) fn process(&self, address: SocketAddr) -> Process {
        let (name, state) = (self.name.clone(), self.state.subscribe());
        Process::new(name, address, state, self.kept_down.clone())
    }

    /// Waits until nobody wants the process to stay down.
    pub(crate) async fn may_start(&self) {
        // This value has a sender itself: the wait does not fail.
        self.kept_down.subscribe().wait_for(|is_kept_down| !is_kept_down).await.ok();
    }

    /// Starts the process; `command` is the program with its arguments. It gets the variables and
    /// nothing else, or inherits the environment of this process.
    pub(crate) async fn spawn(
        &mut self,
        command: Vec<OsString>,
        variables: Option<&Variables>,
    ) -> Result<()> {
        let log = self.log.try_clone().context("cannot share the log")?;
        self.log_start = log.metadata().context("cannot measure the log")?.len();
        // A process group of its own keeps the terminal's Ctrl-C from the server: the suite has to
        // be drained first.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SUPERVISOR, &self.name])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0);
        if let Some(variables) = variables {
            shell.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
        }
        let mut supervisor =
            shell.spawn().with_context(|| format!("cannot run sh to start {}", self.name))?;
        let signals = supervisor.stdin.take().context("sh has no standard input")?;
        let output = supervisor.stdout.take().context("sh has no standard output")?;
        let mut pid = String::new();
        timeout(SPAWN_TIMEOUT, BufReader::new(output).read_line(&mut pid))
            .await
            .with_context(|| format!("sh does not start {}", self.name))??;
        let pid = pid.trim().parse();
        let pid = pid.with_context(|| format!("sh does not say which process {} is", self.name))?;
        self.running = Some(Running { pid, signals, supervisor });
        self.state.send_modify(|state| {
            *state = State { pid: Some(pid), starts: state.starts + 1, is_ready: false };
        });
        Ok(())
    }

    /// Returns the process id of the server itself.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// Calls `attempt` until it succeeds. When it does not in time, or the process ends, the
    /// process is stopped and the error says what was last seen.
    pub(crate) async fn until_ready<F: Future<Output = Result<()>>>(
        &mut self,
        attempt: impl FnMut() -> F,
    ) -> Result<()> {
        let ready = tokio::select! {
            ready = repeat(attempt) => {
                ready.with_context(|| {
                    format!("{} did not start, see {}", self.name, self.log_path.display())
                })
            }
            status = self.status() => Err(anyhow::anyhow!(
                "{} ended while it started ({status}); {} has: {}",
                self.name,
                self.log_path.display(),
                self.cause(),
            )),
        };
        match &ready {
            Ok(()) => self.state.send_modify(|state| state.is_ready = true),
            Err(_) => self.stop().await?,
        }
        ready
    }

    /// Waits for the process to end; says how, in one line. Never returns when none was started, or
    /// when it was ended on purpose or its end was said. Cancel safe.
    pub(crate) async fn ended(&mut self) -> String {
        let pid = self.pid().unwrap_or_default();
        let status = self.status().await;
        self.gone();
        format!("{} (process {pid}) ended ({status})", self.name)
    }

    /// Returns where the log is and what the process that was started last has logged last.
    pub(crate) fn last_words(&self) -> String {
        let mut words = format!("the end of {}:", self.log_path.display());
        for line in self.last_lines(5) {
            words.push_str("\n  ");
            words.push_str(&line);
        }
        words
    }

    fn gone(&mut self) {
        self.running = None;
        self.state.send_modify(|state| *state = State { pid: None, is_ready: false, ..*state });
    }

    async fn status(&mut self) -> String {
        match &mut self.running {
            Some(running) => describe(running.supervisor.wait().await),
            None => std::future::pending().await,
        }
    }

    /// Ends the process without warning, as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.end(&["KILL"]).await
    }

    /// Ends the process in order; without warning when it takes too long.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.end(&["TERM", "KILL"]).await
    }

    async fn end(&mut self, signals: &[&str]) -> Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        for signal in signals {
            let line = format!("{signal}\n");
            // The supervisor of a server that has just ended by itself reads no more.
            if let Err(error) = running.signals.write_all(line.as_bytes()).await {
                tracing::debug!(server = %self.name, %error, "the server has ended already");
            }
            if timeout(STOP_TIMEOUT, running.supervisor.wait()).await.is_ok() {
                self.gone();
                return Ok(());
            }
            tracing::warn!(server = %self.name, signal, "the server has not ended in time");
        }
        bail!("{} (process {}) does not end: kill it by hand", self.name, running.pid)
    }

    /// The first error that the process logged, or what it logged last.
    fn cause(&self) -> String {
        let text = self.end_of_log();
        let cause = text.lines().find(|line| is_error(line)).or(text.lines().next_back());
        cause.map_or_else(|| "nothing".to_owned(), shortened)
    }

    /// The last lines that the process logged, without what mongod marks as less than an error,
    /// unless there is nothing else.
    fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.end_of_log();
        let is_telling = |line: &&str| !line.starts_with('{') || is_error(line);
        let mut last: Vec<&str> = text.lines().rev().filter(is_telling).take(count).collect();
        if last.is_empty() {
            last = text.lines().rev().take(count).collect();
        }
        last.into_iter().rev().map(shortened).collect()
    }

    /// What the process that was started last has logged, or the end of that.
    fn end_of_log(&self) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.log_path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(64 << 10).max(self.log_start)))?;
            let mut end = Vec::new();
            file.read_to_end(&mut end)?;
            Ok(end)
        };
        match read() {
            Ok(end) => String::from_utf8_lossy(&end).into_owned(),
            Err(error) => format!("cannot be read: {error}"),
        }
    }
}

/// Knows how mongod, then how nats-server, marks errors and fatal errors.
fn is_error(line: &str) -> bool {
    [r#""s":"E""#, r#""s":"F""#, "[ERR]", "[FTL]"].iter().any(|mark| line.contains(mark))
}

fn shortened(line: &str) -> String {
    line.chars().take(LINE_LIMIT).collect()
}

async fn repeat<F: Future<Output = Result<()>>>(mut attempt: impl FnMut() -> F) -> Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let outcome = timeout(ATTEMPT_TIMEOUT, attempt()).await;
        let error = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("no answer in {} s", ATTEMPT_TIMEOUT.as_secs()),
        };
        if Instant::now() > deadline {
            return Err(error.context(format!("not ready in {} s", READY_TIMEOUT.as_secs())));
        }
        sleep(ATTEMPT_PAUSE).await;
    }
}

/// A shell reports a signal as its number above 128.
fn describe(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match status.code() {
            Some(code) if code > 128 => format!("signal {}", code - 128),
            _ => status.to_string(),
        },
        Err(error) => format!("status unknown: {error}"),
    }
}
