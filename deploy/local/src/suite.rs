//! The whole suite in one process: every service and any number of gateways, wired together by
//! addresses on loopback as they would be across machines.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use anyhow::Context as _;
use chat_kit::{
    config::{Grpc, Mongo, Nats, Secret, SigningSecret, Stop, Telemetry, Upstream},
    server,
    shutdown::Lifecycle,
};
use mongodb::event::{EventHandler, command::CommandEvent};
use tokio::net::TcpListener;

/// Distance between the first gateway's port and the first service's.
pub(crate) const SERVICE_PORTS: u16 = 100;

/// The services, in the order of their ports.
pub(crate) const SERVICES: [&str; 5] = ["auth", "user", "conversation", "message", "call"];

/// What to start, and with what.
#[derive(Clone)]
pub struct Options {
    /// How many gateways.
    pub gateways: u16,
    /// Port of the first gateway, the others follow; services begin 100 higher. Free ports where absent.
    pub port: Option<u16>,
    /// Connection string of MongoDB.
    pub mongodb_uri: String,
    /// Address of NATS.
    pub nats_url: String,
    /// How the gateways reach NATS, where it is not as the services do.
    pub gateway_nats: Option<Nats>,
    /// Put before the name of every database, so that several suites can share one MongoDB.
    pub database_prefix: String,
    /// Signs and verifies tokens.
    pub token_secret: SigningSecret,
    /// Makes the invite links of groups.
    pub invite: chat_conversation::Invite,
    /// How one-time passwords behave.
    pub otp: chat_auth::Otp,
    /// How calls go.
    pub calls: chat_call::Calls,
    /// How the gateways keep the sockets that calls are bound to.
    pub bound_sockets: chat_gateway::config::Calls,
    /// How often calls may be placed.
    pub call_limits: chat_call::Limits,
    /// Servers that help devices reach each other.
    pub ice: chat_call::Ice,
    /// How often clients may ask.
    pub limits: chat_gateway::config::Limits,
    /// How often the gateways ask whether the sessions of their sockets live.
    pub session_checks: Duration,
    /// When somebody is online.
    pub presence: chat_user::Presence,
    /// How many replicas of every service.
    pub replicas: u16,
    /// Sees every command that the services send to MongoDB.
    pub observer: Option<EventHandler<CommandEvent>>,
}

/// A running suite.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Addresses of the gateways.
    pub gateways: Vec<SocketAddr>,
    /// Name and gRPC address of every service.
    pub services: Vec<(&'static str, SocketAddr)>,
}

/// Where the services of a suite are to listen.
struct Ports {
    next: Option<u16>,
}

impl Ports {
    async fn bind(&mut self) -> anyhow::Result<TcpListener> {
        let port = self.next.unwrap_or(0);
        self.next = self.next.map(|port| port.saturating_add(1));
        server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
    }

    /// Binds the replicas of a service; returns where they listen, too.
    async fn bind_all(
        &mut self,
        count: u16,
    ) -> anyhow::Result<(Vec<SocketAddr>, Vec<TcpListener>)> {
        let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let listener = self.bind().await?;
            addresses.push(listener.local_addr()?);
            listeners.push(listener);
        }
        Ok((addresses, listeners))
    }
}

/// The parts of a configuration that all services share.
struct Shared {
    options: Options,
    stop: Stop,
}

impl Suite {
    /// Starts everything; the tasks end with `life`.
    pub async fn start(options: Options, life: &Lifecycle) -> anyhow::Result<Self> {
        let mut gateway_ports = Ports { next: options.port };
        let mut listeners = Vec::new();
        for _ in 0..options.gateways {
            listeners.push(gateway_ports.bind().await?);
        }
        let first_service = options.port.map(|port| port.saturating_add(SERVICE_PORTS));
        let mut ports = Ports { next: first_service };
        let stop = Stop { pause: Duration::ZERO, drain: Duration::from_secs(5) };
        let shared = Shared { options, stop };

        let replicas = shared.options.replicas;
        let (auth, auths) = ports.bind_all(replicas).await?;
        let (user, users) = ports.bind_all(replicas).await?;
        let (conversation, conversations) = ports.bind_all(replicas).await?;
        let (message, messages) = ports.bind_all(replicas).await?;
        let (call, calls) = ports.bind_all(replicas).await?;
        let upstreams = [&auth, &user, &conversation, &message, &call].map(|own| upstream(own));
        let [_, of_users, of_conversations, of_messages, _] = &upstreams;
        let starting_users = async {
            for listener in users {
                shared.start_user(listener, of_conversations.clone(), life).await?;
            }
            anyhow::Ok(())
        };
        let starting_auths = async {
            for listener in auths {
                shared.start_auth(listener, of_users.clone(), life).await?;
            }
            Ok(())
        };
        let starting_conversations = async {
            for listener in conversations {
                let upstreams = [of_users.clone(), of_messages.clone()];
                shared.start_conversation(listener, upstreams, life).await?;
            }
            Ok(())
        };
        let starting_messages = async {
            for listener in messages {
                shared.start_message(listener, of_conversations.clone(), life).await?;
            }
            Ok(())
        };
        let starting_calls = async {
            for listener in calls {
                let upstreams = [of_users.clone(), of_conversations.clone()];
                shared.start_call(listener, upstreams, life).await?;
            }
            Ok(())
        };
        tokio::try_join!(
            starting_users,
            starting_auths,
            starting_conversations,
            starting_messages,
            starting_calls
        )?;
        let mut gateways = Vec::new();
        for listener in listeners {
            gateways.push(listener.local_addr()?);
            shared.start_gateway(listener, upstreams.clone(), life).await?;
        }
        let services = SERVICES.into_iter().zip([auth, user, conversation, message, call]);
        let services = services.flat_map(|(name, own)| own.into_iter().map(move |at| (name, at)));
        Ok(Self { gateways, services: services.collect() })
    }
}

fn upstream(addresses: &[SocketAddr]) -> Upstream {
    let url = |address: &SocketAddr| format!("http://{address}").parse();
    Upstream::replicas(addresses.iter().map(url).collect::<Result<_, _>>().expect("URLs"))
}

impl Shared {
    async fn start_auth(
        &self,
        listener: TcpListener,
        user: Upstream,
        life: &Lifecycle,
    ) -> anyhow::Result<()> {
        let config = chat_auth::Config {
            grpc: Grpc::default(),
            stop: self.stop.clone(),
            mongo: self.mongo("auth"),
            nats: self.nats(),
            telemetry: Telemetry::default(),
            token: chat_auth::Token::new(self.options.token_secret.clone()),
            otp: self.options.otp.clone(),
            password: chat_auth::Passwords::default(),
            user,
        };
        let observer = self.options.observer.clone();
        let service =
            chat_auth::Service::connect(&config, life, observer).await.context("auth service")?;
        life.spawn("auth service", async move { service.serve(listener, &config).await });
        Ok(())
    }

    async fn start_user(
        &self,
        listener: TcpListener,
        conversation: Upstream,
        life: &Lifecycle,
    ) -> anyhow::Result<()> {
        let config = chat_user::Config {
            grpc: Grpc::default(),
            stop: self.stop.clone(),
            mongo: self.mongo("user"),
            nats: self.nats(),
            conversation,
            telemetry: Telemetry::default(),
            limits: chat_user::Limits::default(),
            presence: self.options.presence.clone(),
        };
        let service = chat_user::Service::connect(&config, life, self.options.observer.clone())
            .await
            .context("user service")?;
        let own = life.clone();
        life.spawn("user service", async move { service.serve(listener, &config, &own).await });
        Ok(())
    }

    async fn start_conversation(
        &self,
        listener: TcpListener,
        [user, message]: [Upstream; 2],
        life: &Lifecycle,
    ) -> anyhow::Result<()> {
        let config = chat_conversation::Config {
            grpc: Grpc::default(),
            stop: self.stop.clone(),
            mongo: self.mongo("conversation"),
            nats: self.nats(),
            telemetry: Telemetry::default(),
            limits: chat_conversation::Limits::default(),
            invite: self.options.invite.clone(),
            user,
            message,
        };
        let observer = self.options.observer.clone();
        let service = chat_conversation::Service::connect(&config, life, observer)
            .await
            .context("conversation service")?;
        let own = life.clone();
        let serve = async move { service.serve(listener, &config, &own).await };
        life.spawn("conversation service", serve);
        Ok(())
    }

    async fn start_message(
        &self,
        listener: TcpListener,
        conversation: Upstream,
        life: &Lifecycle,
    ) -> anyhow::Result<()> {
        let config = chat_message::Config {
            grpc: Grpc::default(),
            stop: self.stop.clone(),
            mongo: self.mongo("message"),
            nats: self.nats(),
            telemetry: Telemetry::default(),
            conversation,
            message: chat_message::config::Limits::default(),
        };
        let service = chat_message::connect(&config, life, self.options.observer.clone())
            .await
            .context("message service")?;
        life.spawn("message service", async move { service.serve(listener, &config).await });
        Ok(())
    }

    async fn start_call(
        &self,
        listener: TcpListener,
        [user, conversation]: [Upstream; 2],
        life: &Lifecycle,
    ) -> anyhow::Result<()> {
        let config = chat_call::Config {
            grpc: Grpc::default(),
            stop: self.stop.clone(),
            mongo: self.mongo("call"),
            nats: self.nats(),
            telemetry: Telemetry::default(),
            conversation,
            user,
            call: self.options.calls.clone(),
            limits: self.options.call_limits.clone(),
            ice: self.options.ice.clone(),
        };
        let observer = self.options.observer.clone();
        let service =
            chat_call::Service::connect(&config, life, observer).await.context("call service")?;
        let own = life.clone();
        life.spawn("call service", async move { service.serve(listener, &config, &own).await });
        Ok(())
    }

    async fn start_gateway(
        &self,
        listener: TcpListener,
        [auth, user, conversation, message, call]: [Upstream; 5],
        life: &Lifecycle,
    ) -> anyhow::Result<()> {
        let config = chat_gateway::Config {
            listen: listener.local_addr()?,
            stop: self.stop.clone(),
            telemetry: Telemetry::default(),
            nats: self.options.gateway_nats.clone().unwrap_or_else(|| self.nats()),
            token: chat_gateway::config::Token::new(self.options.token_secret.clone()),
            auth,
            user,
            conversation,
            message,
            call,
            http: chat_gateway::config::Http::default(),
            limits: self.options.limits.clone(),
            sessions: chat_gateway::config::Sessions {
                check_interval: self.options.session_checks,
            },
            calls: self.options.bound_sockets.clone(),
        };
        let gateway = chat_gateway::connect(config).await.context("gateway")?;
        let own = life.clone();
        life.spawn("gateway", async move { gateway.serve(listener, &own).await });
        Ok(())
    }

    fn nats(&self) -> Nats {
        Nats::new(&self.options.nats_url)
    }

    fn mongo(&self, service: &str) -> Mongo {
        Mongo {
            uri: Secret::new(&self.options.mongodb_uri),
            database: Some(format!("{}{service}", self.options.database_prefix)),
        }
    }
}

/// Returns how often clients may ask on a developer's machine: as often as they like, since all that is
/// tried out comes from few users and one address.
#[must_use]
pub fn development_limits() -> chat_gateway::config::Limits {
    let rate = chat_gateway::limits::unlimited();
    chat_gateway::config::Limits {
        requests: rate,
        messages: rate,
        contacts: rate,
        addresses: rate,
        events: rate,
        handshakes: rate,
        connects: rate,
    }
}

/// Returns how one-time passwords behave on a developer's machine: written to the log, echoed in the
/// answer, and not limited by address, since all clients have the same one.
#[must_use]
pub fn development_otp() -> chat_auth::Otp {
    let mut otp = chat_auth::Otp::new(chat_auth::Provider::Log);
    otp.echo = true;
    otp.limits.sends_per_address = NonZeroU32::MAX;
    otp.limits.failures_per_address = NonZeroU32::MAX;
    otp
}

/// Returns how often calls may be placed on a developer's machine: as often as they like, like all else.
#[must_use]
pub fn development_call_limits() -> chat_call::Limits {
    let unlimited = NonZeroU32::MAX;
    chat_call::Limits {
        calls_per_minute: unlimited,
        calls_per_ten_minutes: unlimited,
        calls_per_pair: unlimited,
        ..chat_call::Limits::default()
    }
}
