//! The call service: who rings whom, who has answered, and what both sides tell each other until their
//! media flow. No media, and no state in memory: any replica may die, and any replica may answer.

mod announce;
mod answer;
mod change;
mod config;
mod convert;
mod end;
mod error;
mod expire;
mod grpc;
mod history;
mod ice;
mod limits;
mod missed;
mod place;
mod pulse;
mod signal;
mod socket;
mod state;
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
    call_service_server::{CallServiceServer, SERVICE_NAME},
    conversation_service_client::ConversationServiceClient,
    user_service_client::UserServiceClient,
};
use mongodb::event::{EventHandler, command::CommandEvent};
use tokio::net::TcpListener;
use tonic::service::Routes;

pub use crate::config::{Calls, Config, Ice, Limits, Turn};
use crate::{announce::Change, store::Store};

/// Name of this service: the domain of its errors, and its name towards MongoDB.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The call service.
#[derive(Clone)]
pub struct Service {
    store: Store,
    conversations: ConversationServiceClient<Channel>,
    users: UserServiceClient<Channel>,
    publisher: Publisher,
    outbox: Outbox<Change>,
    /// Candidates that wait for NATS.
    untold: signal::Untold,
    calls: Calls,
    limits: Limits,
    ice: Ice,
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
        Ok(Self {
            outbox: announce::outbox(store.calls().clone(), publisher.clone(), life),
            store,
            untold: signal::Untold::new(publisher.clone(), life.clone()),
            conversations: ConversationServiceClient::new(client::channel(&config.conversation)),
            users: UserServiceClient::new(client::channel(&config.user)),
            publisher,
            calls: config.call.clone(),
            limits: config.limits.clone(),
            ice: config.ice.clone(),
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
        life.spawn("expiry", self.clone().expire(life.clone()));
        let served = Served {
            name: SERVICE_NAME,
            database: self.store.database().clone(),
            routes: Routes::new(CallServiceServer::new(self)),
        };
        server::serve(listener, served, &config.grpc, &config.stop, life).await
    }
}
