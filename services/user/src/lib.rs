//! The user service: profiles, and who is behind a phone, an e-mail address or an id. No passwords, no
//! tokens.

mod announce;
mod config;
mod convert;
mod cursor;
mod error;
mod grpc;
mod profile;
mod search;
mod store;

use chat_kit::{
    client, mongo,
    nats::{self, Publisher},
    outbox::Outbox,
    server::{self, Served},
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    conversation_service_client::ConversationServiceClient,
    user_service_server::{SERVICE_NAME, UserServiceServer},
};
use mongodb::event::{EventHandler, command::CommandEvent};
use tokio::net::TcpListener;
use tonic::service::Routes;

pub use crate::config::{Config, Limits};
use crate::{announce::Change, store::Store};

/// Name of this service: the domain of its errors, and its name towards MongoDB.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The user service.
#[derive(Clone, Debug)]
pub struct Service {
    store: Store,
    outbox: Outbox<Change>,
    limits: Limits,
}

impl Service {
    /// Connects to what the service needs. `observer` sees every command sent to MongoDB.
    pub async fn connect(
        config: &Config,
        life: &Lifecycle,
        observer: Option<EventHandler<CommandEvent>>,
    ) -> anyhow::Result<Self> {
        let database = mongo::connect(&config.mongo, NAME, observer).await?;
        let store = Store::new(database);
        store.create_indexes().await?;
        let client = nats::connect(&config.nats, NAME).await?;
        let publisher = Publisher::new(client, &config.nats).await?;
        let conversations = ConversationServiceClient::new(client::channel(&config.conversation));
        let documents = store.users().documents();
        Ok(Self {
            outbox: announce::outbox(documents, conversations, publisher, life),
            store,
            limits: config.limits.clone(),
        })
    }

    /// Serves until the soft stop, then drains the open calls.
    pub async fn serve(
        self,
        listener: TcpListener,
        config: &Config,
        life: &Lifecycle,
    ) -> anyhow::Result<()> {
        life.spawn("relay", self.outbox.clone().relay());
        let served = Served {
            name: SERVICE_NAME,
            database: self.store.database().clone(),
            routes: Routes::new(UserServiceServer::new(self)),
        };
        server::serve(listener, served, &config.grpc, &config.stop, life).await
    }
}
