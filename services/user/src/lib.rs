//! The user service: profiles, who is behind a phone, an e-mail address or an id, and who is online. No
//! passwords, no tokens.

mod announce;
mod config;
mod convert;
mod cursor;
mod error;
mod grpc;
mod presence;
mod profile;
mod search;
mod store;
mod visibility;

use chat_kit::{
    client::{self, Channel},
    mongo,
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

pub use crate::config::{Config, Limits, Presence};
use crate::{
    announce::Change,
    store::{Store, presences::Transition},
};

/// Name of this service: the domain of its errors, and its name towards MongoDB.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The user service.
#[derive(Clone, Debug)]
pub struct Service {
    store: Store,
    outbox: Outbox<Change>,
    transitions: Outbox<Transition>,
    conversations: ConversationServiceClient<Channel>,
    limits: Limits,
    presence: Presence,
    life: Lifecycle,
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
        let transitions = presence::outbox(&store, conversations.clone(), publisher.clone(), life);
        let (told, asked) = (transitions.clone(), conversations.clone());
        Ok(Self {
            outbox: announce::outbox(&store, told, asked, publisher, life),
            transitions,
            conversations,
            store,
            limits: config.limits.clone(),
            presence: config.presence.clone(),
            life: life.clone(),
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
        life.spawn("relay of presences", self.transitions.clone().relay());
        life.spawn("sweep", self.clone().sweep());
        let served = Served {
            name: SERVICE_NAME,
            database: self.store.database().clone(),
            routes: Routes::new(UserServiceServer::new(self)),
        };
        server::serve(listener, served, &config.grpc, &config.stop, life).await
    }
}
