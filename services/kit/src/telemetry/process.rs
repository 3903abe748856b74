//! What the kernel says of this process, under the names that Prometheus gives it.

use std::{fmt::Write as _, fs};

/// Ticks a second in `/proc`; the kernel's interface fixes it.
const TICKS: f64 = 100.0;

/// Returns the metrics of this process as text. What the kernel does not say is left out.
pub fn text() -> String {
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n").ok();
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let cpu = "User and system CPU time spent in seconds.";
    add("process_cpu_seconds_total", "counter", cpu, cpu_seconds(&stat));
    let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
    let begun = "Start time of the process since unix epoch in seconds.";
    add("process_start_time_seconds", "gauge", begun, start_seconds(&stat, &machine));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = "Resident memory size in bytes.";
    add("process_resident_memory_bytes", "gauge", resident, bytes(&status, "VmRSS:"));
    let reserved = "Virtual memory size in bytes.";
    add("process_virtual_memory_bytes", "gauge", reserved, bytes(&status, "VmSize:"));
    let threads = "Number of OS threads in the process.";
    add("process_threads", "gauge", threads, number(&status, "Threads:"));
    // Reading the directory opens it, too.
    let open = fs::read_dir("/proc/self/fd").ok().map(|open| open.count().saturating_sub(1));
    let open = open.and_then(|open| u32::try_from(open).ok()).map(f64::from);
    add("process_open_fds", "gauge", "Number of open file descriptors.", open);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = "Maximum number of open file descriptors.";
    add("process_max_fds", "gauge", most, number(&limits, "Max open files"));
    text
}

/// Returns a field of `/proc/self/stat` by its number in proc(5). The second field, the program's name,
/// may have blanks in it, and ends with the last bracket.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn start_seconds(stat: &str, machine: &str) -> Option<f64> {
    Some(number(machine, "btime")? + field(stat, 22)? / TICKS)
}

/// Returns the number behind a word at the beginning of a line.
fn number(text: &str, word: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn bytes(status: &str, word: &str) -> Option<f64> {
    number(status, word).map(|kibibytes| kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a (b) c) S 1 7 7 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 3 0 1000 9 9";

    #[test]
    fn times_are_read_behind_the_name_of_the_program() {
        assert_eq!(cpu_seconds(STAT), Some(3.0));
        assert_eq!(start_seconds(STAT, "cpu 1\nbtime 1700000000\n"), Some(1_700_000_010.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn every_metric_of_this_process_is_known() {
        let text = text();
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_threads",
            "process_open_fds",
            "process_max_fds",
        ] {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            let value: f64 = line.expect(name).parse().expect("a number");
            assert!(value >= 0.0, "{name} {value}");
        }
    }
}
