//! The real conversation and user services on free ports, each with a database of its own.

use std::sync::{Arc, Mutex};

use bson::{Bson, Document, doc, oid::ObjectId};
use chat_conversation::{Config, Limits, Service};
use chat_kit::{
    caller::Caller,
    client::{Channel, channel},
    config::{Grpc, Mongo, Nats, Secret, Stop, Telemetry, Upstream},
    error,
    id::{ConversationId, UserId},
    mongo, server,
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    Conversation, CreateGroupRequest, GetUserRequest, OpenDirectConversationRequest,
    OpenDirectConversationResponse, UpsertProfileRequest,
    conversation_service_client::ConversationServiceClient,
    message_service_client::MessageServiceClient, open_direct_conversation_request::Peer,
    user_service_client::UserServiceClient,
};
use mongodb::{
    Collection, Database,
    event::{EventHandler, command::CommandEvent},
};
use tokio::net::TcpListener;
use tonic::{Code, Request, Status};

/// Returns the address of the MongoDB that the tests use.
async fn mongodb_uri() -> String {
    chat_local::testing::servers().await.mongodb_uri.clone()
}

/// The running services.
pub struct Suite {
    pub conversations: ConversationServiceClient<Channel>,
    pub user_life: Lifecycle,
    users: UserServiceClient<Channel>,
    database: Database,
    commands: Arc<Mutex<Vec<Document>>>,
    config: Config,
    upstream: Upstream,
    life: Lifecycle,
}

impl Drop for Suite {
    fn drop(&mut self) {
        self.user_life.stop();
        self.life.stop();
    }
}

/// Starts the services.
pub async fn start() -> Suite {
    start_with(Limits::default()).await
}

/// Starts the services with limits. There is no message service: what the history would say of a change
/// waits for one.
pub async fn start_with(limits: Limits) -> Suite {
    let (_, nobody) = bind().await;
    begin(limits, nobody).await
}

/// Starts the services, the message service as well.
pub async fn start_whole() -> (Suite, MessageServiceClient<Channel>) {
    let (listener, message) = bind().await;
    let suite = begin(Limits::default(), message.clone()).await;
    let config = chat_message::Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: mongo_config("message").await,
        nats: suite.config.nats.clone(),
        telemetry: Telemetry::default(),
        conversation: suite.upstream.clone(),
        message: chat_message::config::Limits::default(),
    };
    let service = chat_message::connect(&config, &suite.life, None).await.expect("connected");
    tokio::spawn(async move { service.serve(listener, &config).await });
    (suite, MessageServiceClient::new(channel(&message)))
}

async fn begin(limits: Limits, message: Upstream) -> Suite {
    let (user, user_life) = start_user().await;
    let config = Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: mongo_config("conversation").await,
        nats: Nats::new(&chat_local::testing::servers().await.nats_url),
        user: user.clone(),
        telemetry: Telemetry::default(),
        limits,
        invite: chat_local::testing::invite(),
        message,
    };
    let commands = Arc::new(Mutex::new(Vec::new()));
    let seen = commands.clone();
    let observer = EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            seen.lock().expect("not poisoned").push(started.command);
        }
    });
    let database = mongo::connect(&config.mongo, "test", None).await.expect("mongodb answers");
    let life = Lifecycle::new();
    let upstream = replica(&config, Some(observer), &life).await;
    Suite {
        conversations: ConversationServiceClient::new(channel(&upstream)),
        upstream,
        config,
        user_life,
        users: UserServiceClient::new(channel(&user)),
        database,
        commands,
        life,
    }
}

/// Starts a replica of the conversation service.
async fn replica(
    config: &Config,
    observer: Option<EventHandler<CommandEvent>>,
    life: &Lifecycle,
) -> Upstream {
    let service = Service::connect(config, life, observer).await.expect("the service connects");
    let (listener, upstream) = bind().await;
    let (config, serving) = (config.clone(), life.clone());
    tokio::spawn(async move { service.serve(listener, &config, &serving).await });
    upstream
}

async fn start_user() -> (Upstream, Lifecycle) {
    let config = chat_user::Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: mongo_config("user").await,
        nats: Nats::new(&chat_local::testing::servers().await.nats_url),
        // Nobody's profile changes here.
        conversation: Upstream::new("http://127.0.0.1:1".parse().expect("an address")),
        telemetry: Telemetry::default(),
        limits: chat_user::Limits::default(),
        presence: chat_user::Presence::default(),
    };
    let life = Lifecycle::new();
    let service =
        chat_user::Service::connect(&config, &life, None).await.expect("the service connects");
    let (listener, upstream) = bind().await;
    let serving = life.clone();
    life.spawn("user", async move { service.serve(listener, &config, &serving).await });
    (upstream, life)
}

async fn mongo_config(name: &str) -> Mongo {
    Mongo {
        uri: Secret::new(&mongodb_uri().await),
        database: Some(format!("{name}-{}", ObjectId::new())),
    }
}

async fn bind() -> (TcpListener, Upstream) {
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}").parse().expect("an address");
    (listener, Upstream::new(url))
}

impl Suite {
    /// Starts another replica of the service on the same database; its queries are not observed.
    pub async fn replica(&self) -> ConversationServiceClient<Channel> {
        let upstream = replica(&self.config, None, &self.life).await;
        ConversationServiceClient::new(channel(&upstream))
    }

    /// Makes new users.
    pub async fn users<const N: usize>(&self) -> [UserId; N] {
        let mut users = [UserId::new(); N];
        for user in &mut users {
            *user = self.user().await.0;
        }
        users
    }

    /// Makes a user with a random phone; returns both.
    pub async fn user(&self) -> (UserId, String) {
        let (id, phone) = (UserId::new(), phone());
        let request =
            UpsertProfileRequest { user_id: id.to_string(), phone: phone.clone(), name: None };
        let mut users = self.users.clone();
        users.upsert_profile(as_service(request)).await.expect("a profile");
        (id, phone)
    }

    /// Returns the name of a user.
    pub async fn name(&self, user: UserId) -> String {
        let request = GetUserRequest { user_id: user.to_string() };
        let found = self.users.clone().get_user(as_service(request)).await.expect("a profile");
        found.into_inner().user.expect("a profile").name
    }

    /// Opens the direct conversation of a user.
    pub async fn open(
        &self,
        user: UserId,
        peer: Peer,
    ) -> Result<OpenDirectConversationResponse, Status> {
        let request = OpenDirectConversationRequest { peer: Some(peer) };
        let mut conversations = self.conversations.clone();
        let answer = conversations.open_direct_conversation(as_user(user, request)).await?;
        Ok(answer.into_inner())
    }

    /// Opens a conversation of two new users.
    pub async fn pair(&self) -> (UserId, UserId, Conversation) {
        let (ada, grace) = (self.user().await.0, self.user().await.0);
        let opened = self.open(ada, by_id(grace)).await.expect("a conversation");
        (ada, grace, opened.conversation.expect("a conversation"))
    }

    /// Makes a group under an id.
    pub async fn group(
        &self,
        user: UserId,
        id: ConversationId,
        members: &[UserId],
    ) -> Result<Conversation, Status> {
        let request = CreateGroupRequest {
            conversation_id: id.to_string(),
            member_ids: members.iter().map(UserId::to_string).collect(),
            ..Default::default()
        };
        let answer = self.conversations.clone().create_group(as_user(user, request)).await?;
        Ok(answer.into_inner().conversation.expect("a conversation"))
    }

    /// Returns the collection as it is stored.
    pub fn stored(&self) -> Collection<Document> {
        self.database.collection("conversations")
    }

    /// Returns the blocks as they are stored.
    pub fn blocks(&self) -> Collection<Document> {
        self.database.collection("blocks")
    }

    /// Returns a conversation as it is stored.
    pub async fn document(&self, id: &str) -> Document {
        let filter = doc! { "_id": id.parse::<ConversationId>().expect("an id") };
        let found = self.stored().find_one(filter).await.expect("an answer");
        found.expect("a document")
    }

    /// Returns a conversation as it is stored, but for what is announced of it beside all calls.
    pub async fn document_but_outbox(&self, id: &str) -> Document {
        let mut document = self.document(id).await;
        document.remove("outbox");
        document.remove("outbox_until");
        document
    }

    /// Changes the status of a conversation behind the service's back.
    pub async fn set_status(&self, id: &str, status: &str) {
        let filter = doc! { "_id": id.parse::<ConversationId>().expect("an id") };
        let change = doc! { "$set": { "status": status } };
        self.stored().update_one(filter, change).await.expect("a change");
    }

    /// Forgets the commands that the service has sent so far.
    pub fn forget_commands(&self) {
        self.commands.lock().expect("not poisoned").clear();
    }

    /// Returns the queries that the service has sent to MongoDB.
    pub fn queries(&self) -> Vec<Document> {
        let commands = self.commands.lock().expect("not poisoned").clone();
        let own = |command: &Document| is_query(name(command)) && !is_announcing(command);
        commands.into_iter().filter(own).collect()
    }

    /// Asks MongoDB how it runs each query that the service has sent, and fails on one that looks at
    /// every document, sorts in memory or examines more than it needs.
    pub async fn assert_indexed(&self, expected: &[&str]) {
        let queries = self.queries();
        for name in expected {
            assert!(queries.iter().any(|query| self::name(query) == *name), "no {name}");
        }
        for mut query in queries {
            for key in ["lsid", "txnNumber", "$db", "$clusterTime", "readConcern", "writeConcern"] {
                query.remove(key);
            }
            let explain = doc! { "explain": &query, "verbosity": "executionStats" };
            let plan = self.database.run_command(explain).await.expect("a plan");
            let stages = stages(&Bson::Document(plan.clone()));
            for refused in ["COLLSCAN", "SORT"] {
                assert!(!stages.iter().any(|stage| stage == refused), "{query}: {stages:?}");
            }
            let run = run(&plan);
            let count = |key| run.get_i32(key).expect("a count");
            // Every branch of a page's filter looks one key ahead.
            let needed = count("nReturned") + 4;
            assert!(count("totalKeysExamined") <= needed, "{query}: {run}");
        }
    }
}

/// Says whether a command belongs to the announcement of changes, which goes on beside all calls.
fn is_announcing(command: &Document) -> bool {
    name(command) == "findAndModify" && command.to_string().contains("\"outbox_until\"")
}

fn name(command: &Document) -> &str {
    command.keys().next().map_or("", String::as_str)
}

fn is_query(name: &str) -> bool {
    ["find", "findAndModify", "update", "aggregate", "getMore", "insert"].contains(&name)
}

/// Returns the statistics of a plan; those of an aggregation are in its first stage.
fn run(plan: &Document) -> &Document {
    let first = plan.get_array("stages").ok().and_then(|stages| stages.first()?.as_document());
    let cursor = first.map(|first| first.get_document("$cursor").expect("a cursor"));
    cursor.unwrap_or(plan).get_document("executionStats").expect("statistics")
}

/// Returns the names of all stages in a plan.
fn stages(plan: &Bson) -> Vec<String> {
    match plan {
        Bson::Document(document) => {
            let own = document.get_str("stage").ok().map(str::to_owned);
            let parts = document.iter().filter(|(key, _)| *key != "command");
            let nested = parts.flat_map(|(_, part)| stages(part));
            own.into_iter().chain(nested).collect()
        }
        Bson::Array(parts) => parts.iter().flat_map(stages).collect(),
        _ => Vec::new(),
    }
}

/// Names the other side by its id.
pub fn by_id(id: UserId) -> Peer {
    Peer::UserId(id.to_string())
}

/// Wraps a message as a service of the suite does.
pub fn as_service<T>(message: T) -> Request<T> {
    Caller::service("test", "request-1").request(message)
}

/// Wraps a message as the gateway does for a user.
pub fn as_user<T>(id: UserId, message: T) -> Request<T> {
    Caller::user(id, None, "request-1").request(message)
}

/// Returns a random phone.
fn phone() -> String {
    let bytes = ObjectId::new().bytes();
    let digits = bytes.iter().map(|byte| format!("{byte:03}"));
    digits.fold("+".to_owned(), |phone, digits| phone + &digits)
}

/// Asserts code and reason of a failure; returns its message.
pub fn assert_failed<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
) -> String {
    let status = answer.expect_err("a failure");
    let found = (status.code(), error::reason(&status));
    assert_eq!(found, (code, Some(reason.to_owned())), "{status}");
    status.message().to_owned()
}
