//! The gateway: the only process that clients reach. It speaks HTTP and Socket.IO in the dialects of
//! its clients, and gRPC and NATS with the services. No database, no rules of the domain.

pub mod auth;
pub mod clients;
pub mod config;
pub mod error;
pub mod fanout;
pub mod http;
pub mod router;
pub mod socket;
pub mod state;
pub mod wire;

use chat_kit::{nats, shutdown::Lifecycle};
use chat_proto::subject;
use tokio::net::TcpListener;

pub use crate::{config::Config, state::AppState};

/// A gateway that hears events and does not accept clients yet.
pub struct Gateway {
    state: AppState,
    source: fanout::Source,
}

/// Connects to NATS. The services are connected when they are first needed.
pub async fn connect(config: Config) -> anyhow::Result<Gateway> {
    let (client, interruptions) =
        nats::connect_watched(&config.nats, env!("CARGO_PKG_NAME")).await?;
    let events = nats::subscribe(&client, subject::LOG_WILDCARD).await?;
    let source = fanout::Source { events, client, interruptions };
    Ok(Gateway { state: AppState::new(config), source })
}

impl Gateway {
    /// Serves clients until the soft stop. Then it accepts no more, cuts the sockets so that their
    /// clients come back elsewhere, and waits for requests under way.
    pub async fn serve(self, listener: TcpListener, life: &Lifecycle) -> anyhow::Result<()> {
        let Self { state, source } = self;
        let (pause, connections) = (state.config.stop.pause, state.config.http.connections.get());
        // Side by side: deadlines and body limits would break long polling.
        let (routes, sockets) = socket::routes(&state);
        let app = routes.fallback_service(router::router(state.clone()));
        life.spawn("fan-out", fanout::run(state.clone(), sockets.clone(), source, life.clone()));
        life.spawn("sessions", socket::watch(state, sockets.clone(), life.clone()));
        let stop = async {
            life.stopping().await;
            tokio::time::sleep(pause).await;
        };
        let open = chat_kit::http::accept(listener, app, connections, stop).await;
        sockets.cut_all().await;
        open.drained(life).await;
        Ok(())
    }
}
