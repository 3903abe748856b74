//! The gateway: the only process that clients reach. It speaks HTTP and Socket.IO in the dialects of
//! its clients, and gRPC and NATS with the services. No database, no rules of the domain.

pub mod auth;
pub mod clients;
pub mod config;
pub mod error;
pub mod fanout;
pub mod http;
pub mod limits;
mod metrics;
pub mod openapi;
pub mod router;
pub mod routes;
pub mod socket;
pub mod state;
pub mod wire;

use chat_kit::{nats, shutdown::Lifecycle};
use chat_proto::subject;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::{config::Config, state::AppState};

/// A gateway that hears events and does not accept clients yet.
pub struct Gateway {
    state: AppState,
    source: fanout::Source,
}

/// Connects to NATS. The services are connected when they are first needed.
pub async fn connect(config: Config) -> anyhow::Result<Gateway> {
    metrics::init();
    let (client, interruptions) =
        nats::connect_watched(&config.nats, env!("CARGO_PKG_NAME")).await?;
    let since = nats::end(&client, &config.nats).await?;
    let events = nats::subscribe(&client, subject::LOG_WILDCARD).await?;
    let live = nats::subscribe(&client, subject::LIVE_WILDCARD).await?;
    let state = AppState { nats: Some(client.clone()), ..AppState::new(config) };
    let source = fanout::Source { events, live, client, interruptions, since };
    Ok(Gateway { state, source })
}

impl Gateway {
    /// Serves clients until the soft stop, which health tells at once. After the pause it accepts no
    /// more, ends the sockets so that their clients come back elsewhere, and waits for requests under way.
    pub async fn serve(self, listener: TcpListener, life: &Lifecycle) -> anyhow::Result<()> {
        let Self { state, source } = self;
        let (pause, connections) = (state.config.stop.pause, state.config.http.connections.get());
        // Side by side: deadlines and body limits would break long polling.
        let (routes, sockets) = socket::routes(&state);
        let app = routes.fallback_service(router::router(state.clone()));
        // Sockets hear all until they end.
        let ended = CancellationToken::new();
        let stopping = state.stopping.clone();
        life.spawn("sessions", socket::watch(state.clone(), sockets.clone(), life.clone()));
        let presence = sockets.presence().clone();
        life.spawn("presence", socket::presence::keep(state.clone(), presence, ended.clone()));
        life.spawn("calls", socket::renew_calls(state.clone(), ended.clone()));
        life.spawn("fan-out", fanout::run(state, sockets.clone(), source, ended.clone()));
        let stop = async {
            life.stopping().await;
            stopping.cancel();
            tokio::time::sleep(pause).await;
        };
        let open = chat_kit::http::accept(listener, app, connections, stop).await;
        sockets.end_all().await;
        ended.cancel();
        open.drained(life).await;
        Ok(())
    }
}
