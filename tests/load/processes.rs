//! What processes use, as the kernel counts it: the suite's, those behind it, and this one.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

/// Clock ticks of a second in `/proc`; Linux shows programs this number whatever its own is.
const TICKS: u32 = 100;
/// Most processes of a suite.
const MOST_PROCESSES: usize = 500;

/// Name of the shells that only wait for the servers behind the suite.
const SHELL: &str = "sh";
/// Program of a gateway that is a process of its own.
const GATEWAY: &str = "chat-gateway";

/// What a process is to the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A part of the suite.
    Suite,
    /// MongoDB.
    Mongodb,
    /// NATS.
    Nats,
    /// This program.
    Load,
}

/// A process and what it has used so far.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its program.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// CPU time.
    pub cpu: Duration,
    /// Memory in bytes.
    pub memory: u64,
}

impl Process {
    /// Says whether it is a gateway and nothing else.
    pub fn is_gateway(&self) -> bool {
        self.name == GATEWAY
    }

    /// Says whether it is a part of the suite.
    pub fn is_of_suite(&self) -> bool {
        self.role == Role::Suite
    }
}

/// What has been used at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The moment.
    pub at: Instant,
    /// The processes of the suite and this one.
    pub processes: Vec<Process>,
    /// CPU time of the whole machine.
    pub machine: Duration,
}

impl Snapshot {
    /// Looks at these processes, all their descendants, and this one, at each once.
    pub fn take(roots: &[u32]) -> anyhow::Result<Self> {
        let mut processes = vec![process(std::process::id(), Some(Role::Load))?];
        let mut waiting = roots.to_vec();
        while let Some(pid) = waiting.pop() {
            if processes.len() > MOST_PROCESSES {
                bail!("more than {MOST_PROCESSES} processes");
            }
            if processes.iter().any(|known| known.pid == pid) {
                continue;
            }
            // One that has just ended is not there any more.
            let Ok(found) = process(pid, None) else { continue };
            waiting.extend(children(pid));
            if found.name != SHELL {
                processes.push(found);
            }
        }
        Ok(Self { at: Instant::now(), processes, machine: machine()? })
    }

    /// Returns the memory of all processes of the suite.
    pub fn suite_memory(&self) -> u64 {
        let suite = self.processes.iter().filter(|process| process.role == Role::Suite);
        suite.map(|process| process.memory).sum()
    }

    /// Returns the gateways that are processes of their own.
    pub fn gateways(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.is_gateway())
    }

    /// Fails unless each of this many gateways is a process of its own.
    pub fn ensure_apart(&self, gateways: usize) -> anyhow::Result<()> {
        let found = self.gateways().count();
        ensure!(
            found == gateways,
            "{found} of {gateways} gateways are processes of their own among those of `--pid` and their descendants: run the suite \
             with `--processes`",
        );
        Ok(())
    }

    /// Returns how long all other processes have kept the machine's CPUs busy since an earlier moment.
    pub fn others_since(&self, earlier: &Self) -> Duration {
        let known: Duration = self.since(earlier).iter().map(|process| process.cpu).sum();
        self.machine.saturating_sub(earlier.machine).saturating_sub(known)
    }

    /// Returns what the processes have used since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Vec<Process> {
        let used = self.processes.iter().map(|process| {
            let before = earlier.processes.iter().find(|before| before.pid == process.pid);
            let before = before.map_or(Duration::ZERO, |before| before.cpu);
            Process { cpu: process.cpu.saturating_sub(before), ..process.clone() }
        });
        used.collect()
    }
}

fn process(pid: u32, role: Option<Role>) -> anyhow::Result<Process> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    };
    let line = read("cmdline")?;
    let program = line.split('\0').next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    let role = role.unwrap_or(match name.as_str() {
        "mongod" => Role::Mongodb,
        "nats-server" => Role::Nats,
        _ => Role::Suite,
    });
    let cpu = cpu(&read("stat")?).with_context(|| format!("no times of process {pid}"))?;
    let memory = memory(&read("status")?).unwrap_or_default();
    Ok(Process { pid, name, role, cpu, memory })
}

/// Returns user and system time from a line of `/proc/<pid>/stat`. The name, in brackets, may hold
/// anything.
fn cpu(stat: &str) -> Option<Duration> {
    const FIELDS_BEFORE: usize = 11;
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(FIELDS_BEFORE);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some(Duration::from_secs((user + system).into()) / TICKS)
}

/// Returns the resident memory, in bytes, from `/proc/<pid>/status`.
fn memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().map(|thread| thread.path().join("children"));
    let lists = lists.filter_map(|path| fs::read_to_string(path).ok());
    lists.flat_map(|list| pids(&list)).collect()
}

fn pids(list: &str) -> Vec<u32> {
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Returns how long the machine's CPUs have been busy, all together.
fn machine() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    busy(&stat).context("no times of the machine")
}

/// Returns the busy time from `/proc/stat`: all but idle and waiting.
fn busy(stat: &str) -> Option<Duration> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields = line.split_whitespace().enumerate().take(8);
    let busy = fields.filter(|(index, _)| ![3, 4].contains(index));
    let ticks: u64 = busy.filter_map(|(_, field)| field.parse::<u64>().ok()).sum();
    Some(Duration::from_secs(ticks) / TICKS)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 4 0 100 1 2";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("7 (a"), None);
    }

    #[test]
    fn machine_is_busy_while_it_neither_idles_nor_waits() {
        let stat = "cpu  100 20 30 9999 9999 10 20 20 7 7\ncpu0 1 1";
        assert_eq!(busy(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn processes_are_found_once_each() {
        let mut cat = Command::new("cat");
        let mut child = cat.stdin(Stdio::piped()).spawn().expect("a process");
        let roots = [child.id(), std::process::id(), child.id()];
        let snapshot = Snapshot::take(&roots).expect("a snapshot");
        drop(child.stdin.take());
        child.wait().expect("it ends with its input");
        let own = &snapshot.processes[0];
        assert_eq!((own.pid, own.role), (std::process::id(), Role::Load));
        assert!(own.memory > 0);
        let mut others = snapshot.processes[1..].iter().filter(|other| other.pid == child.id());
        let other = others.next().expect("the child");
        assert!(other.is_of_suite() && !other.is_gateway() && others.next().is_none());
        assert_eq!(snapshot.suite_memory(), other.memory);
        snapshot.ensure_apart(0).expect("no gateway");
        snapshot.ensure_apart(1).expect_err("no gateway");
        assert_eq!(memory("VmRSS:\t   12 kB"), Some(12 * 1024));
    }
}
