//! Starts the message service and those that it asks, on free ports and on databases of their own.

use std::sync::{Arc, Mutex, atomic::AtomicUsize};

use bson::{Document, oid::ObjectId};
use chat_kit::{
    config::{Grpc, Mongo, Nats, Secret, Stop, Telemetry, Upstream},
    server,
    shutdown::Lifecycle,
};
use chat_local::testing;
use chat_message::config::Limits;
use chat_proto::v1::conversation_service_server::ConversationServiceServer;
use mongodb::event::{EventHandler, command::CommandEvent};
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};

use crate::slow_list::SlowList;

/// Commands that the message service has sent to MongoDB.
pub type Commands = Arc<Mutex<Vec<Document>>>;

/// Running services; they end with this value.
pub struct Services {
    pub user: Upstream,
    pub conversation: Upstream,
    /// The replicas of the message service.
    pub messages: Vec<Upstream>,
    /// Database of the message service.
    pub message_database: Mongo,
    /// Database of the conversation service.
    pub conversation_database: Mongo,
    /// What all replicas of the message service have sent.
    pub commands: Commands,
    life: Lifecycle,
}

impl Drop for Services {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// Starts all services, with so many replicas of the message service.
pub async fn start(replicas: usize) -> Services {
    start_on(&testing::servers().await.nats_url, replicas, Limits::default()).await
}

/// Starts all services, with so many replicas of the message service, which have a NATS of their own.
pub async fn start_on(nats_url: &str, replicas: usize, limits: Limits) -> Services {
    let life = Lifecycle::new();
    let user = start_user(&life).await;
    let conversation_database = database("conversation").await;
    let conversation = start_conversation(conversation_database.clone(), user.clone(), &life).await;
    let message_database = database("message").await;
    let (mut messages, commands) = (Vec::new(), Commands::default());
    for _ in 0..replicas {
        let mut config = config(&message_database, &conversation, limits.clone()).await;
        config.nats = Nats::new(nats_url);
        messages.push(start_message(config, &commands, &life).await);
    }
    Services {
        user,
        conversation,
        messages,
        message_database,
        conversation_database,
        commands,
        life,
    }
}

/// Starts a message service whose conversation service is not there.
pub async fn start_alone() -> Services {
    let life = Lifecycle::new();
    // Port 1 is never listened on.
    let nowhere = Upstream::new("http://127.0.0.1:1".parse().expect("an address"));
    message_alone(nowhere, Limits::default(), life).await
}

/// Starts a message service whose conversation service accepts connections and never says a word.
pub async fn start_unheard(limits: Limits) -> (Services, TcpListener) {
    let (silent, conversation) = bind().await;
    (message_alone(conversation, limits, Lifecycle::new()).await, silent)
}

async fn message_alone(conversation: Upstream, limits: Limits, life: Lifecycle) -> Services {
    let (message_database, commands) = (database("message").await, Commands::default());
    let config = config(&message_database, &conversation, limits).await;
    let message = start_message(config, &commands, &life).await;
    Services {
        user: conversation.clone(),
        conversation,
        messages: vec![message],
        message_database,
        conversation_database: database("conversation").await,
        commands,
        life,
    }
}

/// Starts all services; the message service reaches the conversation service through one that takes its
/// time with previews. Returns the count of those that it has handed on.
pub async fn start_slow_list(limits: Limits) -> (Services, Arc<AtomicUsize>) {
    let life = Lifecycle::new();
    let user = start_user(&life).await;
    let conversation_database = database("conversation").await;
    let conversation = start_conversation(conversation_database.clone(), user.clone(), &life).await;
    let handed_on = Arc::default();
    let slow = SlowList::new(&conversation, Arc::clone(&handed_on));
    let (listener, behind_it) = bind().await;
    tokio::spawn(
        Server::builder()
            .add_service(ConversationServiceServer::new(slow))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    let (message_database, commands) = (database("message").await, Commands::default());
    let config = config(&message_database, &behind_it, limits).await;
    let messages = vec![start_message(config, &commands, &life).await];
    let services = Services {
        user,
        conversation,
        messages,
        message_database,
        conversation_database,
        commands,
        life,
    };
    (services, handed_on)
}

async fn start_user(life: &Lifecycle) -> Upstream {
    let config = chat_user::Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: database("user").await,
        nats: Nats::new(&testing::servers().await.nats_url),
        // Nobody's profile changes here.
        conversation: Upstream::new("http://127.0.0.1:1".parse().expect("an address")),
        telemetry: Telemetry::default(),
        limits: chat_user::Limits::default(),
        presence: chat_user::Presence::default(),
    };
    let service = chat_user::Service::connect(&config, life, None).await.expect("connected");
    let (listener, upstream) = bind().await;
    let own = life.clone();
    life.spawn("user", async move { service.serve(listener, &config, &own).await });
    upstream
}

async fn start_conversation(mongo: Mongo, user: Upstream, life: &Lifecycle) -> Upstream {
    let config = chat_conversation::Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo,
        nats: Nats::new(&testing::servers().await.nats_url),
        user,
        telemetry: Telemetry::default(),
        limits: chat_conversation::Limits::default(),
        invite: chat_local::testing::invite(),
        // Nothing happens here of which the history says anything.
        message: Upstream::new("http://127.0.0.1:9".parse().expect("an address")),
    };
    let service =
        chat_conversation::Service::connect(&config, life, None).await.expect("connected");
    let (listener, upstream) = bind().await;
    let own = life.clone();
    life.spawn("conversation", async move { service.serve(listener, &config, &own).await });
    upstream
}

async fn config(mongo: &Mongo, conversation: &Upstream, limits: Limits) -> chat_message::Config {
    chat_message::Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: mongo.clone(),
        nats: Nats::new(&testing::servers().await.nats_url),
        telemetry: Telemetry::default(),
        conversation: conversation.clone(),
        message: limits,
    }
}

async fn start_message(
    config: chat_message::Config,
    commands: &Commands,
    life: &Lifecycle,
) -> Upstream {
    let commands = Arc::clone(commands);
    let observer = EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            commands.lock().expect("not poisoned").push(started.command);
        }
    });
    let connected = chat_message::connect(&config, life, Some(observer)).await.expect("connected");
    let (listener, upstream) = bind().await;
    life.spawn("message", async move { connected.serve(listener, &config).await });
    upstream
}

/// Describes a new database.
pub async fn database(service: &str) -> Mongo {
    Mongo {
        uri: Secret::new(&testing::servers().await.mongodb_uri),
        database: Some(format!("{service}-{}", ObjectId::new())),
    }
}

async fn bind() -> (TcpListener, Upstream) {
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}").parse().expect("an address");
    (listener, Upstream::new(url))
}
