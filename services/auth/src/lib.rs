//! The auth service: accounts' credentials, one-time passwords, sessions and tokens. It owns the
//! account; the profile belongs to the user service.

mod config;
mod convert;
mod delivery;
mod error;
mod event;
mod grpc;
mod hashing;
mod limits;
mod login;
mod otp;
mod password;
mod register;
mod session;
mod store;
mod token;

use std::sync::Arc;

use bson::DateTime;
use chat_kit::{
    client::{self, Channel},
    mongo,
    nats::{self, Publisher},
    server,
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    auth_service_server::{AuthServiceServer, SERVICE_NAME},
    user_service_client::UserServiceClient,
};
use mongodb::event::{EventHandler, command::CommandEvent};
use tokio::net::TcpListener;
use tonic::service::Routes;

pub use config::{Config, Limits, Otp, Passwords, Provider, Token, Webhook};
pub use error::Error;

use delivery::Delivery;
use hashing::Hashing;
use store::Store;

/// Name of this service towards MongoDB and NATS, and of its database where the configuration has none.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The service; clones share everything.
#[derive(Clone)]
pub struct Service {
    store: Store,
    users: UserServiceClient<Channel>,
    publisher: Publisher,
    delivery: Arc<Delivery>,
    hashing: Hashing,
    otp: Arc<Otp>,
    otp_key: Arc<otp::Key>,
    passwords: Passwords,
    signer: Arc<token::Signer>,
    sessionless_until: Option<DateTime>,
    life: Lifecycle,
}

impl Service {
    /// Connects to MongoDB and NATS, and makes the indexes; `observer` sees every command sent to
    /// MongoDB.
    pub async fn connect(
        config: &Config,
        life: &Lifecycle,
        observer: Option<EventHandler<CommandEvent>>,
    ) -> anyhow::Result<Self> {
        let database = mongo::connect(&config.mongo, NAME, observer).await?;
        let store = Store::new(database);
        store.create_indexes().await?;
        let client = nats::connect(&config.nats, NAME).await?;
        Ok(Self {
            store,
            users: UserServiceClient::new(client::channel(&config.user)),
            publisher: Publisher::new(client, &config.nats).await?,
            delivery: Arc::new(Delivery::new(&config.otp.provider)?),
            hashing: Hashing::new(&config.password),
            otp: Arc::new(config.otp.clone()),
            otp_key: Arc::new(otp::Key::new(&config.token.secret)),
            passwords: config.password.clone(),
            signer: Arc::new(token::Signer::new(&config.token)),
            sessionless_until: config.token.sessionless_until,
            life: life.clone(),
        })
    }

    /// Serves until the soft stop, then lets open calls end.
    pub async fn serve(self, listener: TcpListener, config: &Config) -> anyhow::Result<()> {
        let life = self.life.clone();
        let served = server::Served {
            name: SERVICE_NAME,
            database: self.store.database.clone(),
            routes: Routes::new(AuthServiceServer::new(self)),
        };
        server::serve(listener, served, &config.grpc, &config.stop, &life).await
    }
}
