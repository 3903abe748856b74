//! The real service on a free port, with a database of its own, beside the real conversation service.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use bson::{Bson, Document, doc, oid::ObjectId};
use chat_kit::{
    caller::Caller,
    client::{Channel, channel},
    config::{Grpc, Mongo, Nats, Secret, Stop, Telemetry, Upstream},
    error,
    id::UserId,
    mongo, server,
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    UpsertProfileRequest, User, conversation_service_client::ConversationServiceClient,
    user_service_client::UserServiceClient,
};
use chat_user::{Config, Limits, Presence, Service};
use mongodb::{
    Database,
    event::{EventHandler, command::CommandEvent},
};
use tokio::{net::TcpListener, sync::oneshot};
use tonic::{Code, Request, Status};

/// Returns the address of the MongoDB that the tests use.
async fn mongodb_uri() -> String {
    chat_local::testing::servers().await.mongodb_uri.clone()
}

/// How long a command is held at most.
const LONGEST_HOLD: Duration = Duration::from_secs(20);

/// A command that waits before it is sent.
struct Hold {
    name: &'static str,
    collection: &'static str,
    reached: oneshot::Sender<()>,
    released: mpsc::Receiver<()>,
}

impl Hold {
    fn is_of(&self, command: &Document) -> bool {
        command.get_str(self.name).is_ok_and(|collection| collection == self.collection)
    }

    fn wait(self) {
        self.reached.send(()).ok();
        tokio::task::block_in_place(|| self.released.recv_timeout(LONGEST_HOLD)).ok();
    }
}

/// The running services.
pub struct Suite {
    pub users: UserServiceClient<Channel>,
    pub conversations: ConversationServiceClient<Channel>,
    pub database: Database,
    /// That of the conversation service.
    pub of_conversations: Database,
    commands: Arc<Mutex<Vec<Document>>>,
    hold: Arc<Mutex<Option<Hold>>>,
    config: Config,
    life: Lifecycle,
}

impl Drop for Suite {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// Starts the services.
pub async fn start() -> Suite {
    start_with(Presence::default()).await
}

/// Starts the services, with rules of who is online.
pub async fn start_with(presence: Presence) -> Suite {
    let (listener, upstream) = bind().await;
    let life = Lifecycle::new();
    let (conversation, of_conversations) = start_conversation(upstream.clone(), &life).await;
    let config = config(conversation.clone(), presence).await;
    let commands = Arc::new(Mutex::new(Vec::new()));
    let hold: Arc<Mutex<Option<Hold>>> = Arc::default();
    let (seen, waiting) = (commands.clone(), hold.clone());
    let observer = EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            let of_this = |hold: &mut Hold| hold.is_of(&started.command);
            let hold = waiting.lock().expect("not poisoned").take_if(of_this);
            seen.lock().expect("not poisoned").push(started.command);
            if let Some(hold) = hold {
                hold.wait();
            }
        }
    });
    serve(&config, listener, Some(observer), &life).await;
    let database = mongo::connect(&config.mongo, "test", None).await.expect("mongodb answers");
    Suite {
        users: UserServiceClient::new(channel(&upstream)),
        conversations: ConversationServiceClient::new(channel(&conversation)),
        database,
        of_conversations,
        commands,
        hold,
        config,
        life,
    }
}

async fn bind() -> (TcpListener, Upstream) {
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, Upstream::new(format!("http://{address}").parse().expect("an address")))
}

async fn serve(
    config: &Config,
    listener: TcpListener,
    observer: Option<EventHandler<CommandEvent>>,
    life: &Lifecycle,
) {
    let service = Service::connect(config, life, observer).await.expect("the service connects");
    let (config, life) = (config.clone(), life.clone());
    tokio::spawn(async move { service.serve(listener, &config, &life).await });
}

async fn start_conversation(user: Upstream, life: &Lifecycle) -> (Upstream, Database) {
    let config = chat_conversation::Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: mongo_config("conversation").await,
        nats: Nats::new(&chat_local::testing::servers().await.nats_url),
        user,
        telemetry: Telemetry::default(),
        limits: chat_conversation::Limits::default(),
        invite: chat_local::testing::invite(),
        // Nothing happens here of which the history says anything.
        message: Upstream::new("http://127.0.0.1:1".parse().expect("an address")),
    };
    let service = chat_conversation::Service::connect(&config, life, None).await;
    let service = service.expect("the service connects");
    let database = mongo::connect(&config.mongo, "test", None).await.expect("mongodb answers");
    let (listener, upstream) = bind().await;
    let life = life.clone();
    tokio::spawn(async move { service.serve(listener, &config, &life).await });
    (upstream, database)
}

async fn mongo_config(service: &str) -> Mongo {
    Mongo {
        uri: Secret::new(&mongodb_uri().await),
        database: Some(format!("{service}-{}", ObjectId::new())),
    }
}

async fn config(conversation: Upstream, presence: Presence) -> Config {
    Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: mongo_config("user").await,
        nats: Nats::new(&chat_local::testing::servers().await.nats_url),
        conversation,
        telemetry: Telemetry::default(),
        limits: Limits::default(),
        presence,
    }
}

impl Suite {
    /// Starts another replica of the user service.
    pub async fn replica(&self) -> UserServiceClient<Channel> {
        let (listener, upstream) = bind().await;
        serve(&self.config, listener, None, &self.life).await;
        UserServiceClient::new(channel(&upstream))
    }

    /// Holds the next command of a name that the service sends to a collection; says when it has come to
    /// that, and is released by the sender.
    pub fn hold(
        &self,
        name: &'static str,
        collection: &'static str,
    ) -> (oneshot::Receiver<()>, mpsc::Sender<()>) {
        let ((reached, is_reached), (release, released)) = (oneshot::channel(), mpsc::channel());
        let hold = Hold { name, collection, reached, released };
        *self.hold.lock().expect("not poisoned") = Some(hold);
        (is_reached, release)
    }

    /// Forgets the commands that the service has sent so far.
    pub fn forget_commands(&self) {
        self.commands.lock().expect("not poisoned").clear();
    }

    /// Makes a profile with a random phone.
    pub async fn user(&self, name: &str) -> User {
        self.upsert(UserId::new(), &phone(), Some(name)).await.expect("a profile")
    }

    /// Makes or renews a profile, as the owner of the accounts does.
    pub async fn upsert(
        &self,
        id: UserId,
        phone: &str,
        name: Option<&str>,
    ) -> Result<User, Status> {
        let request = UpsertProfileRequest {
            user_id: id.to_string(),
            phone: phone.to_owned(),
            name: name.map(str::to_owned),
        };
        let mut users = self.users.clone();
        let answer = users.upsert_profile(as_service(request)).await?;
        Ok(answer.into_inner().user.expect("a profile"))
    }

    /// Counts the commands of a name that the service has sent to a collection.
    pub fn count(&self, name: &str, collection: &str) -> usize {
        let commands = self.commands.lock().expect("not poisoned");
        let named = |command: &&Document| {
            let is_named = command.keys().next().is_some_and(|key| key == name);
            // What follows upon a `getMore` says its collection elsewhere.
            let named = [command.get_str(name).ok(), command.get_str("collection").ok()];
            is_named && named.contains(&Some(collection))
        };
        commands.iter().filter(named).count()
    }

    /// Asks MongoDB how it runs each query that the service has sent so far, and fails on one that
    /// looks at every document or sorts in memory.
    pub async fn assert_indexed(&self, expected: &[&str]) {
        let commands = self.commands.lock().expect("not poisoned").clone();
        let mut seen = Vec::new();
        for mut command in commands {
            let name = command.keys().next().expect("a command").clone();
            if !["find", "findAndModify", "update", "aggregate", "delete"].contains(&name.as_str())
            {
                continue;
            }
            for key in ["lsid", "txnNumber", "$db", "$clusterTime", "readConcern", "writeConcern"] {
                command.remove(key);
            }
            let explain = doc! { "explain": &command, "verbosity": "queryPlanner" };
            let plan = self.database.run_command(explain).await.expect("a plan");
            let stages = stages(&Bson::Document(plan));
            for refused in ["COLLSCAN", "SORT"] {
                assert!(!stages.iter().any(|s| s == refused), "{command}: {stages:?}");
            }
            seen.push(name);
        }
        for name in expected {
            assert!(seen.iter().any(|s| s == name), "no {name} in {seen:?}");
        }
    }
}

/// Returns the names of all stages in a plan.
fn stages(plan: &Bson) -> Vec<String> {
    match plan {
        Bson::Document(document) => {
            let own = document.get_str("stage").ok().map(str::to_owned);
            let nested = document
                .iter()
                .filter(|(key, _)| *key != "command")
                .flat_map(|(_, value)| stages(value));
            own.into_iter().chain(nested).collect()
        }
        Bson::Array(values) => values.iter().flat_map(stages).collect(),
        _ => Vec::new(),
    }
}

/// Wraps a message as a service of the suite does.
pub fn as_service<T>(message: T) -> Request<T> {
    Caller::service("test", "request-1").request(message)
}

/// Wraps a message as the gateway does for some user.
pub fn as_user<T>(message: T) -> Request<T> {
    Caller::user(UserId::new(), None, "request-1").request(message)
}

/// Returns a random phone.
pub fn phone() -> String {
    let bytes = ObjectId::new().bytes();
    let digits = bytes.iter().map(|byte| format!("{byte:03}"));
    digits.fold("+".to_owned(), |phone, digits| phone + &digits)
}

/// Asserts code and reason of a failure.
pub fn assert_failed<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: &str) {
    let status = answer.expect_err("a failure");
    assert_eq!(
        (status.code(), error::reason(&status).as_deref()),
        (code, Some(reason)),
        "{status}"
    );
}

/// Wraps a message as the gateway does for a certain user.
pub fn as_this_user<T>(user: &User, message: T) -> Request<T> {
    let id = user.id.parse().expect("an id");
    Caller::user(id, None, "request-1").request(message)
}
