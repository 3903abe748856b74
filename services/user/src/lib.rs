//! The user service: profiles, and who is behind a phone, an e-mail address or an id. No passwords, no
//! tokens.

mod config;
mod convert;
mod cursor;
mod error;
mod grpc;
mod profile;
mod search;
mod store;

use chat_kit::{
    mongo,
    server::{self, Served},
    shutdown::Lifecycle,
};
use chat_proto::v1::user_service_server::{SERVICE_NAME, UserServiceServer};
use mongodb::{
    Database,
    event::{EventHandler, command::CommandEvent},
};
use tokio::net::TcpListener;
use tonic::service::Routes;

pub use crate::config::{Config, Limits};
use crate::store::Store;

/// Name of this service: the domain of its errors, and its name towards MongoDB.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The user service.
#[derive(Clone, Debug)]
pub struct Service {
    store: Store,
    limits: Limits,
}

impl Service {
    /// Puts the service together; the database's indexes must be there.
    #[must_use]
    pub fn new(database: Database, limits: Limits) -> Self {
        Self { store: Store::new(database), limits }
    }

    /// Connects to what the service needs. `observer` sees every command sent to MongoDB.
    pub async fn connect(
        config: &Config,
        observer: Option<EventHandler<CommandEvent>>,
    ) -> anyhow::Result<Self> {
        let database = mongo::connect(&config.mongo, NAME, observer).await?;
        let service = Self::new(database, config.limits.clone());
        service.store.create_indexes().await?;
        Ok(service)
    }

    /// Serves until the soft stop, then drains the open calls.
    pub async fn serve(
        self,
        listener: TcpListener,
        config: &Config,
        life: &Lifecycle,
    ) -> anyhow::Result<()> {
        let served = Served {
            name: SERVICE_NAME,
            database: self.store.database().clone(),
            routes: Routes::new(UserServiceServer::new(self)),
        };
        server::serve(listener, served, &config.grpc, &config.stop, life).await
    }
}
