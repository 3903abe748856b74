//! The auth service: accounts' credentials, one-time passwords, sessions and tokens. It owns the
//! account; the profile belongs to the user service.

mod config;
mod convert;
mod delivery;
mod error;
mod grpc;
mod limits;
mod login;
mod otp;
mod register;
mod session;
mod store;
mod token;

use std::sync::Arc;

use bson::DateTime;
use chat_kit::{
    client::{self, Channel},
    mongo, server,
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    auth_service_server::{AuthServiceServer, SERVICE_NAME},
    user_service_client::UserServiceClient,
};
use mongodb::{
    Database,
    event::{EventHandler, command::CommandEvent},
};
use tokio::net::TcpListener;
use tonic::service::Routes;

pub use config::{Config, Limits, Otp, Provider, Token};
pub use error::Error;

use store::Store;

/// The service; clones share everything.
#[derive(Clone)]
pub struct Service {
    store: Store,
    users: UserServiceClient<Channel>,
    otp: Arc<Otp>,
    otp_key: Arc<otp::Key>,
    signer: Arc<token::Signer>,
    sessionless_until: Option<DateTime>,
}

impl Service {
    /// Assembles the service of its parts: its database and the channel to the user service.
    #[must_use]
    pub fn new(database: Database, users: Channel, config: &Config) -> Self {
        Self {
            store: Store::new(database),
            users: UserServiceClient::new(users),
            otp: Arc::new(config.otp.clone()),
            otp_key: Arc::new(otp::Key::new(&config.token.secret)),
            signer: Arc::new(token::Signer::new(&config.token)),
            sessionless_until: config.token.sessionless_until,
        }
    }

    /// Connects to MongoDB and makes the indexes; `observer` sees every command sent.
    pub async fn connect(
        config: &Config,
        observer: Option<EventHandler<CommandEvent>>,
    ) -> anyhow::Result<Self> {
        let database = mongo::connect(&config.mongo, env!("CARGO_PKG_NAME"), observer).await?;
        let service = Self::new(database, client::channel(&config.user), config);
        service.store.create_indexes().await?;
        delivery::warn_of_development(config.otp.provider);
        Ok(service)
    }

    /// Serves until the soft stop of `life`, then lets open calls end.
    pub async fn serve(
        self,
        listener: TcpListener,
        config: &Config,
        life: &Lifecycle,
    ) -> anyhow::Result<()> {
        let served = server::Served {
            name: SERVICE_NAME,
            database: self.store.database.clone(),
            routes: Routes::new(AuthServiceServer::new(self)),
        };
        server::serve(listener, served, &config.grpc, &config.stop, life).await
    }
}
