//! `cargo run`: the whole suite on this machine, with one line when it is ready.

mod ready;

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::Ipv4Addr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use chat_kit::{
    config::{self, LogFormat, Metrics, Otlp, Secret, SigningSecret, Telemetry},
    process,
    shutdown::Lifecycle,
    telemetry,
};
use chat_local::{
    build_directory,
    keep::Say,
    processes::{self, METRICS_PORTS, Processes},
    servers::{self, Servers},
    suite::{self, Suite},
};
use clap::Parser;
use http::Uri;
use ready::Ready;

/// Runs the whole chat suite on this machine.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// How many gateways to run.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=50))]
    gateways: u16,
    /// How many replicas of every service to run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10))]
    replicas: u16,
    /// Port of the first gateway; the others follow, the services begin 100 higher, and metrics are 200
    /// above the port of a process.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    port: u16,
    /// Build and run every service and gateway as a process of its own, and print which they are.
    #[arg(long)]
    processes: bool,
    /// Start again what ends by itself: processes, and MongoDB and NATS where they were started here.
    #[arg(long)]
    restart: bool,
    /// Where MongoDB, NATS, the token secret and the logs of processes are kept [default: in the build
    /// directory].
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
    /// A collector for traces (OTLP over gRPC), such as `http://localhost:4317`.
    #[arg(long, value_parser = config::collector)]
    otlp: Option<Uri>,
}

/// How long the suite may take to end in one process.
const DRAIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::run("chat", |life| run(arguments, life))
}

async fn run(arguments: Arguments, life: Lifecycle) -> anyhow::Result<()> {
    let telemetry = telemetry_config(&arguments);
    let _reporting = telemetry::start("chat", &telemetry).await?;
    let build = build_directory()?;
    let data = arguments.data.clone().unwrap_or_else(|| build.join("data"));
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let options = servers::Options {
        binaries: build.join("bin"),
        data: data.clone(),
        mongodb_uri: arguments.mongodb_uri.clone(),
        nats_url: arguments.nats_url.clone(),
    };
    let starting = async {
        if arguments.processes {
            writeln!(std::io::stderr(), "building the programs of the suite")?;
            processes::build().await?;
        }
        Servers::start(&options).await
    };
    let mut servers = tokio::select! {
        started = starting => started?,
        () = life.stopping() => return Ok(()),
    };
    let drain = if arguments.processes { processes::STOP_TIMEOUT } else { DRAIN };
    let say: Say = Arc::new(|line| {
        writeln!(std::io::stdout().lock(), "{line}").ok();
    });
    let ended = match start(&arguments, &servers, &data, &say, &life).await {
        Ok(ready) => {
            write_addresses(&data, &servers)?;
            ready.say()?;
            let watching = async {
                if arguments.processes || arguments.restart {
                    servers.keep(arguments.restart, &say).await;
                } else {
                    life.fail(&servers.ended().await);
                }
            };
            tokio::select! {
                () = watching => {}
                () = life.stopping() => {}
            }
            life.ended(drain).await
        }
        Err(error) => {
            life.stop();
            life.ended(drain).await.ok();
            Err(error)
        }
    };
    servers.stop().await?;
    ended
}

/// What this process tells about itself. Where it is not the suite, there is nothing to trace or measure.
fn telemetry_config(arguments: &Arguments) -> Telemetry {
    let port = arguments.port.saturating_add(METRICS_PORTS);
    let (otlp, listen) = if arguments.processes {
        (None, None)
    } else {
        (arguments.otlp.clone(), Some((Ipv4Addr::LOCALHOST, port).into()))
    };
    Telemetry {
        format: LogFormat::Pretty,
        filter: arguments.log.clone(),
        otlp: Otlp { endpoint: otlp, ..Otlp::default() },
        metrics: Metrics { listen },
    }
}

/// Starts the suite; it ends with `life`.
async fn start(
    arguments: &Arguments,
    servers: &Servers,
    data: &Path,
    say: &Say,
    life: &Lifecycle,
) -> anyhow::Result<Ready> {
    let database_prefix = "chat-".to_owned();
    let (token_secret, token_secret_file) =
        secret(&data.join("token-secret"), |secret| SigningSecret::new(secret.expose()))?;
    let (invite, invite_secret_file) =
        secret(&data.join("invite-secret"), chat_conversation::Invite::new)?;
    if !arguments.processes {
        let options = suite::Options {
            gateways: arguments.gateways,
            replicas: arguments.replicas,
            port: Some(arguments.port),
            mongodb_uri: servers.mongodb_uri.clone(),
            nats_url: servers.nats_url.clone(),
            gateway_nats: None,
            database_prefix,
            token_secret,
            invite,
            otp: suite::development_otp(),
            calls: chat_call::Calls::default(),
            bound_sockets: chat_gateway::config::Calls::default(),
            call_limits: suite::development_call_limits(),
            ice: chat_call::Ice::default(),
            limits: suite::development_limits(),
            session_checks: chat_gateway::config::Sessions::default().check_interval,
            presence: chat_user::Presence::default(),
            observer: None,
        };
        let suite = Box::pin(Suite::start(options, life)).await?;
        return Ok(Ready::together(&suite, arguments.port.saturating_add(METRICS_PORTS)));
    }
    let options = processes::Options {
        gateways: arguments.gateways,
        replicas: arguments.replicas,
        port: Some(arguments.port),
        mongodb_uri: servers.mongodb_uri.clone(),
        nats_url: servers.nats_url.clone(),
        database_prefix,
        token_secret_file,
        invite_secret_file,
        logs: std::path::absolute(data.join("processes"))?,
        filter: arguments.log.clone(),
        otlp: arguments.otlp.clone(),
        restarts: arguments.restart,
    };
    let starting = Processes::start(&options, say, life);
    let started = tokio::select! {
        started = starting => started?,
        () = life.stopping() => anyhow::bail!("told to end before it was ready"),
    };
    Ok(Ready::apart(&started, servers.processes(), options.logs))
}

/// Reads a secret of this data directory, or makes one, so that tokens and invite links outlive a restart.
/// Returns it checked, and where it is.
fn secret<T>(
    path: &Path,
    check: impl FnOnce(Secret) -> Result<T, String>,
) -> anyhow::Result<(T, PathBuf)> {
    let named = || format!("secret {}", path.display());
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
    let secret = check(Secret::new(text.trim()));
    let secret = secret.map_err(|error| anyhow::anyhow!("{}: {error}", named()))?;
    Ok((secret, std::path::absolute(path)?))
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
