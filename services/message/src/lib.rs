//! The message service: messages, their order, their storage and their announcement.

mod announce;
pub mod change;
pub mod changes;
pub mod config;
pub mod convert;
pub mod delivery;
pub mod error;
pub mod event;
pub mod grpc;
pub mod history;
mod metrics;
pub mod outbox;
mod peers;
mod previews;
pub mod queue;
pub mod receipts;
pub mod search;
pub mod send;
pub mod states;
pub mod store;
pub mod words;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use anyhow::Context as _;
use chat_kit::{
    client::{self, Channel},
    mongo, nats,
    nats::Publisher,
    server::{self, Served},
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    conversation_service_client::ConversationServiceClient,
    message_service_server::{MessageServiceServer, SERVICE_NAME},
};
use mongodb::{
    Database,
    event::{EventHandler, command::CommandEvent},
};
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::service::Routes;

pub use config::Config;
use outbox::{Announced, Left, Outbox};
use previews::Previews;
use queue::Queues;
use store::Store;

/// Database of this service where the configuration names none.
const DATABASE: &str = env!("CARGO_PKG_NAME");

/// The message service. Clones share everything.
#[derive(Clone)]
pub struct Service {
    store: Store,
    conversation: ConversationServiceClient<Channel>,
    previews: Previews,
    publisher: Publisher,
    outbox: Outbox,
    queues: Queues,
    /// Places of the sends under way.
    sends: Arc<Semaphore>,
    max_content_length: NonZeroUsize,
    relay_after: Duration,
    life: Lifecycle,
}

/// A service that is connected and not yet served.
pub struct Connected {
    service: Service,
    announced: Announced,
    database: Database,
}

/// Connects to MongoDB and NATS, and makes indexes and stream. `observer` sees every MongoDB command.
pub async fn connect(
    config: &Config,
    life: &Lifecycle,
    observer: Option<EventHandler<CommandEvent>>,
) -> anyhow::Result<Connected> {
    metrics::init();
    let database = mongo::connect(&config.mongo, DATABASE, observer).await?;
    let client = nats::connect(&config.nats, "chat-message").await?;
    let (outbox, announced) = Outbox::new();
    let sends = config.message.sends_in_flight.get();
    let conversation = ConversationServiceClient::new(client::channel(&config.conversation));
    let service = Service {
        store: Store::open(&database).await?,
        previews: previews::previews(conversation.clone(), config.conversation.timeout),
        conversation,
        publisher: Publisher::new(client, &config.nats).await?,
        outbox,
        queues: Queues::new(config.message.cached_conversations.get()),
        sends: Arc::new(Semaphore::new(sends.min(Semaphore::MAX_PERMITS))),
        max_content_length: config.message.max_content_length,
        relay_after: config.message.relay_after,
        life: life.clone(),
    };
    Ok(Connected { service, announced, database })
}

impl Connected {
    /// Serves until the soft stop.
    pub async fn serve(self, listener: TcpListener, config: &Config) -> anyhow::Result<()> {
        let Self { service, announced, database } = self;
        let life = service.life.clone();
        life.spawn("outbox", service.clone().pull_announced(announced));
        life.spawn("relay", service.clone().relay(Left::Messages));
        life.spawn("relay of receipts", service.clone().relay(Left::Receipts));
        life.spawn("outbox metrics", service.clone().measure_outbox());
        let routes = Routes::new(MessageServiceServer::new(service));
        let served = Served { name: SERVICE_NAME, routes, database };
        server::serve(listener, served, &config.grpc, &config.stop, &life)
            .await
            .context("message service")
    }
}
