//! The whole suite, every service and every gateway a process of its own from its own program: what can
//! crash alone does. They are told by `CHAT_*` variables and nothing else.

mod build;
mod variables;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use chat_kit::shutdown::Lifecycle;
use futures_util::future::try_join_all;
use http::Uri;
use tokio::net::TcpStream;

pub use self::build::build;
use crate::{
    child::{Child, Variables},
    keep::{Keep, Say, keep},
    port,
    process::Process,
    program_directory,
    suite::{SERVICE_PORTS, SERVICES},
};

/// Distance between the port of a process and that of its metrics.
pub const METRICS_PORTS: u16 = 200;

const GATEWAY: &str = "gateway";

/// How long the processes may take to end, those that must be ended by force included.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(9);

/// What to start, and with what.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many gateways.
    pub gateways: u16,
    /// How many replicas of every service.
    pub replicas: u16,
    /// Port of the first gateway, the others follow; services begin 100 higher, and metrics are 200 above
    /// the port of their process. Free ports, and no metrics, where absent.
    pub port: Option<u16>,
    /// Connection string of MongoDB.
    pub mongodb_uri: String,
    /// Address of NATS.
    pub nats_url: String,
    /// Put before the name of every database, so that several suites can share one MongoDB.
    pub database_prefix: String,
    /// File with the secret that signs and verifies tokens.
    pub token_secret_file: PathBuf,
    /// File with the secret that makes the invite links of groups.
    pub invite_secret_file: PathBuf,
    /// Directory for the logs of the processes; one run at a time may use it.
    pub logs: PathBuf,
    /// Which log lines are written.
    pub filter: String,
    /// Where traces go, if they do.
    pub otlp: Option<Uri>,
    /// Whether a process that ends is started again.
    pub restarts: bool,
}

/// A running suite of processes.
#[derive(Clone, Debug)]
pub struct Processes {
    /// The gateways.
    pub gateways: Vec<Process>,
    /// The service's name and each of its processes.
    pub services: Vec<(&'static str, Process)>,
}

/// A program of the suite with what it is told.
struct Program {
    path: PathBuf,
    variables: Variables,
    address: SocketAddr,
    child: Child,
}

impl Processes {
    /// Starts everything, from programs that are built; returns when all answer. The processes end with
    /// `life`, and with this process however it ends. `say` is told of those that end by themselves.
    pub async fn start(options: &Options, say: &Say, life: &Lifecycle) -> anyhow::Result<Self> {
        let addresses = Addresses::choose(options)?;
        let mut programs = Vec::new();
        for (service, own) in SERVICES.iter().zip(&addresses.services) {
            for (number, address) in own.iter().enumerate() {
                let variables = variables::service(service, *address, options, &addresses);
                programs.push(Program::new(service, number, *address, variables, options).await?);
            }
        }
        for (number, address) in addresses.gateways.iter().enumerate() {
            let variables = variables::gateway(*address, options, &addresses);
            programs.push(Program::new(GATEWAY, number, *address, variables, options).await?);
        }
        try_join_all(programs.iter_mut().map(Program::launch)).await?;

        let mut processes = programs.iter().map(|program| program.child.process(program.address));
        let names = SERVICES.iter().flat_map(|name| (0..options.replicas).map(|_| *name));
        let services = names.zip(processes.by_ref()).collect();
        let started = Self { services, gateways: processes.collect() };
        for program in programs {
            life.spawn("process", program.run(options.restarts, say.clone(), life.clone()));
        }
        Ok(started)
    }

    /// Returns all processes, the services first.
    pub fn all(&self) -> impl Iterator<Item = &Process> {
        self.services.iter().map(|(_, process)| process).chain(&self.gateways)
    }
}

/// Where everything listens.
struct Addresses {
    gateways: Vec<SocketAddr>,
    /// Of each of [`SERVICES`], its replicas.
    services: [Vec<SocketAddr>; SERVICES.len()],
}

impl Addresses {
    fn choose(options: &Options) -> anyhow::Result<Self> {
        let gateways = ports(options.port, options.gateways)?;
        let first = options.port.map(|port| port.saturating_add(SERVICE_PORTS));
        let count = u16::try_from(SERVICES.len())?.saturating_mul(options.replicas);
        let mut all = ports(first, count)?.into_iter();
        let services =
            SERVICES.map(|_| all.by_ref().take(options.replicas.into()).collect::<Vec<_>>());
        Ok(Self { gateways, services })
    }

    /// Returns the replicas of a service, as its callers are told of them.
    fn urls(&self, service: &str) -> String {
        let position = SERVICES.iter().position(|name| *name == service);
        let own = &self.services[position.expect("one of the services")];
        let urls: Vec<String> = own.iter().map(|address| format!("http://{address}")).collect();
        urls.join(",")
    }
}

/// Returns addresses on loopback, from a port on or with free ports.
fn ports(first: Option<u16>, count: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for number in 0..count {
        let port = match first {
            Some(first) => first.checked_add(number).context("there are no more ports")?,
            None => port::choose()?,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        ensure!(port::is_free(port), "cannot listen on {address}");
        addresses.push(address);
    }
    Ok(addresses)
}

impl Program {
    async fn new(
        name: &str,
        number: usize,
        address: SocketAddr,
        variables: Variables,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let child = Child::claim(&format!("{name}-{}", number + 1), &options.logs).await?;
        let path = program_directory()?.join(format!("chat-{name}"));
        Ok(Self { path, variables, address, child })
    }

    /// Lives with its process until the soft stop, and ends it.
    async fn run(mut self, restarts: bool, say: Say, life: Lifecycle) -> anyhow::Result<()> {
        tokio::select! {
            () = keep(&mut self, restarts, &say) => {}
            () = life.stopping() => {}
        }
        self.child.stop().await
    }
}

impl Keep for Program {
    fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// A process listens when it can do its work.
    async fn launch(&mut self) -> anyhow::Result<()> {
        self.child.spawn(vec![self.path.clone().into()], Some(&self.variables)).await?;
        let address = self.address;
        let listening = || async move {
            TcpStream::connect(address).await?;
            Ok(())
        };
        self.child.until_ready(listening).await
    }
}
