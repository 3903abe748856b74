//! `cargo run`: the whole suite on this machine, with one line when it is ready.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use chat_kit::{
    config::{LogFormat, SigningSecret, Telemetry},
    process,
    shutdown::Lifecycle,
    telemetry,
};
use chat_local::{
    build_directory,
    servers::{self, Servers},
    suite::{self, Suite},
};
use clap::Parser;

/// Runs the whole chat suite on this machine.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// How many gateways to run.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=50))]
    gateways: u16,
    /// Port of the first gateway; the others follow, and the services begin 100 higher.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    port: u16,
    /// Where MongoDB, NATS and the token secret are kept [default: in the build directory].
    #[arg(long)]
    data: Option<PathBuf>,
    /// A MongoDB replica set to use instead of starting one.
    #[arg(long)]
    mongodb_uri: Option<String>,
    /// A NATS server with JetStream to use instead of starting one.
    #[arg(long)]
    nats_url: Option<String>,
    /// Which log lines are written, such as `info` or `chat_message=debug,warn`.
    #[arg(long, default_value = "warn,otp=info")]
    log: String,
}

/// How long the suite may take to end.
const DRAIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::run("chat", |life| run(arguments, life))
}

async fn run(arguments: Arguments, life: Lifecycle) -> anyhow::Result<()> {
    let format = LogFormat::Pretty;
    telemetry::init(&Telemetry { format, filter: arguments.log.clone() })?;
    let build = build_directory()?;
    let data = arguments.data.clone().unwrap_or_else(|| build.join("data"));
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let options = servers::Options {
        binaries: build.join("bin"),
        data: data.clone(),
        mongodb_uri: arguments.mongodb_uri.clone(),
        nats_url: arguments.nats_url.clone(),
    };
    let mut servers = tokio::select! {
        started = Servers::start(&options) => started?,
        () = life.stopping() => return Ok(()),
    };
    let started = Suite::start(suite_options(&arguments, &servers, &data)?, &life).await;
    let ended = match started {
        Ok(suite) => {
            write_addresses(&data, &servers)?;
            say_ready(&suite)?;
            tokio::select! {
                server = servers.ended() => life.fail(&server),
                () = life.stopping() => {}
            }
            life.ended(DRAIN).await
        }
        Err(error) => {
            life.stop();
            life.ended(DRAIN).await.ok();
            Err(error)
        }
    };
    servers.stop().await?;
    ended
}

fn suite_options(
    arguments: &Arguments,
    servers: &Servers,
    data: &Path,
) -> anyhow::Result<suite::Options> {
    Ok(suite::Options {
        gateways: arguments.gateways,
        port: Some(arguments.port),
        mongodb_uri: servers.mongodb_uri.clone(),
        nats_url: servers.nats_url.clone(),
        gateway_nats: None,
        database_prefix: "chat-".to_owned(),
        token_secret: token_secret(&data.join("token-secret"))?,
        otp: suite::development_otp(),
        message_replicas: 1,
        observer: None,
    })
}

/// Reads the secret of this data directory, or makes one, so that tokens outlive a restart.
fn token_secret(path: &Path) -> anyhow::Result<SigningSecret> {
    let named = || format!("token secret {}", path.display());
    if !path.exists() {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no random numbers"))?;
        let mut text = String::new();
        for byte in bytes {
            write!(text, "{byte:02x}")?;
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(named)?;
        file.write_all(text.as_bytes()).with_context(named)?;
    }
    let text = fs::read_to_string(path).with_context(named)?;
    SigningSecret::new(text.trim()).map_err(|error| anyhow::anyhow!("{}: {error}", named()))
}

/// Writes what a service that runs beside the suite needs to know, as variables of a shell.
fn write_addresses(data: &Path, servers: &Servers) -> anyhow::Result<()> {
    let path = data.join("env");
    let text = format!(
        "MONGODB_URI='{}'\nNATS_URL='{}'\nTOKEN_SECRET_FILE='{}'\n",
        servers.mongodb_uri,
        servers.nats_url,
        std::path::absolute(data.join("token-secret"))?.display(),
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn say_ready(suite: &Suite) -> anyhow::Result<()> {
    let gateways: Vec<String> =
        suite.gateways.iter().map(|address| format!("http://{address}")).collect();
    let services: Vec<String> =
        suite.services.iter().map(|(name, address)| format!("{name}={address}")).collect();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "one-time passwords are echoed and not limited by address: for development only"
    )?;
    writeln!(out, "READY gateways {} services {}", gateways.join(" "), services.join(" "))?;
    writeln!(
        out,
        "NEXT curl -s {}/api/auth/send-otp-login -H 'content-type: application/json' \
         -d '{{\"phone\":\"+15550000001\"}}'",
        gateways[0]
    )?;
    Ok(())
}
