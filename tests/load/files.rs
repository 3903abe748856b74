//! Open files: a socket is one at each of its ends.

use std::fs;

use anyhow::{Context as _, ensure};

/// Files that a process opens besides its sockets.
const BESIDES: u64 = 300;

/// Fails where a process may not open the files that so many sockets need.
pub fn ensure_enough(pid: u32, name: &str, sockets: u64) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/limits");
    let limits = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let most = most(&limits).with_context(|| format!("no open files in {path}"))?;
    let needed = sockets + BESIDES;
    ensure!(
        needed <= most,
        "{sockets} sockets need {needed} open files, and {name} may have {most}: say `ulimit -n {needed}` \
         before it starts",
    );
    Ok(())
}

/// Returns how many files a process may open for now, from `/proc/<pid>/limits`.
fn most(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limit_counts() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\n\
                      Max processes             7                    7                    processes\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(most(limits), Some(1024));
        assert_eq!(most("Max open files   unlimited   unlimited   files"), Some(u64::MAX));
        assert_eq!(most("Max processes   7   7   processes"), None);
    }

    #[test]
    fn too_few_files_are_told_with_what_helps() {
        let own = std::process::id();
        ensure_enough(own, "this", 1).expect("a test may open some files");
        let error = ensure_enough(own, "this", 1 << 40).expect_err("nobody may open so many");
        assert!(error.to_string().contains("`ulimit -n 1099511628076`"), "{error}");
    }
}
