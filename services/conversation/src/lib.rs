//! The conversation service: conversations, their members, and who may do what in them. No message
//! bodies beyond the preview.

mod activity;
mod announce;
mod audience;
mod block;
mod clearing;
mod config;
mod convert;
mod cursor;
mod direct;
mod error;
mod group;
mod grpc;
mod invite;
mod list;
mod marks;
mod partners;
mod request;
mod store;

use chat_kit::{
    client::{self, Channel},
    mongo,
    nats::{self, Publisher},
    outbox::Outbox,
    server::{self, Served},
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    conversation_service_server::{ConversationServiceServer, SERVICE_NAME},
    message_service_client::MessageServiceClient,
    user_service_client::UserServiceClient,
};
use mongodb::event::{EventHandler, command::CommandEvent};
use tokio::net::TcpListener;
use tonic::service::Routes;

pub use crate::config::{Config, Invite, Limits};
use crate::{
    announce::{Change, note::Notes},
    invite::Links,
    store::Store,
};

/// Name of this service: the domain of its errors, and its name towards MongoDB.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The conversation service.
#[derive(Clone, Debug)]
pub struct Service {
    store: Store,
    users: UserServiceClient<Channel>,
    outbox: Outbox<Change>,
    blocks: Outbox<block::Change>,
    links: Links,
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
        let users = UserServiceClient::new(client::channel(&config.user));
        let messages = MessageServiceClient::new(client::channel(&config.message));
        let notes = Notes::new(users.clone(), messages);
        let documents = store.conversations().documents();
        Ok(Self {
            outbox: announce::outbox(documents, publisher, notes, life),
            blocks: block::outbox(&store, users.clone(), life),
            store,
            users,
            links: Links::new(&config.invite.secret),
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
        life.spawn("relay of blocks", self.blocks.clone().relay());
        let served = Served {
            name: SERVICE_NAME,
            database: self.store.database().clone(),
            routes: Routes::new(ConversationServiceServer::new(self)),
        };
        server::serve(listener, served, &config.grpc, &config.stop, life).await
    }
}
