//! The frame of every `main`: crypto provider, runtime, signals, and the one line that says why a
//! start failed.

use std::{future::Future, io::Write as _, process::ExitCode};

use crate::{config::ConfigError, error::chain, shutdown::Lifecycle};

/// Exit code for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;

/// Runs a process until its task and its lifecycle end. An error becomes one line on standard error
/// and a non-zero code: 78 for the configuration, 1 for everything else.
pub fn run<F>(name: &str, main: impl FnOnce(Lifecycle) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return fail(name, &anyhow::anyhow!("another crypto provider is installed"));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(name, &error.into()),
    };
    let life = Lifecycle::new();
    let ended = runtime.block_on(async {
        life.listen_for_signals()?;
        main(life.clone()).await
    });
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(name, &error),
    }
}

fn fail(name: &str, error: &anyhow::Error) -> ExitCode {
    let line = chain(error.as_ref()).replace('\n', " ");
    writeln!(std::io::stderr(), "{name}: {line}").ok();
    match error.downcast_ref::<ConfigError>() {
        Some(_) => ExitCode::from(EXIT_CONFIG),
        None => ExitCode::FAILURE,
    }
}
