//! The real service on a free port, with a database of its own.

use std::sync::{Arc, Mutex};

use bson::{Bson, Document, doc, oid::ObjectId};
use chat_kit::{
    caller::Caller,
    client::Channel,
    config::{Grpc, Mongo, Nats, Secret, Stop, Telemetry, Upstream},
    error,
    id::UserId,
    mongo, server,
    shutdown::Lifecycle,
};
use chat_proto::v1::{UpsertProfileRequest, User, user_service_client::UserServiceClient};
use chat_user::{Config, Limits, Service};
use mongodb::{
    Database,
    event::{EventHandler, command::CommandEvent},
};
use tonic::{Code, Request, Status};

/// Returns the address of the MongoDB that the tests use.
async fn mongodb_uri() -> String {
    chat_local::testing::servers().await.mongodb_uri.clone()
}

/// A running service.
pub struct Suite {
    pub users: UserServiceClient<Channel>,
    pub database: Database,
    commands: Arc<Mutex<Vec<Document>>>,
    life: Lifecycle,
}

impl Drop for Suite {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// Starts the service.
pub async fn start() -> Suite {
    let config = config().await;
    let commands = Arc::new(Mutex::new(Vec::new()));
    let seen = commands.clone();
    let observer = EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            seen.lock().expect("not poisoned").push(started.command);
        }
    });
    let life = Lifecycle::new();
    let service =
        Service::connect(&config, &life, Some(observer)).await.expect("the service connects");
    let database = mongo::connect(&config.mongo, "test", None).await.expect("mongodb answers");
    let listener = server::bind(config.grpc.listen).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}").parse().expect("an address");
    let served = life.clone();
    tokio::spawn(async move { service.serve(listener, &config, &served).await });
    Suite {
        users: UserServiceClient::new(chat_kit::client::channel(&Upstream::new(url))),
        database,
        commands,
        life,
    }
}

async fn config() -> Config {
    Config {
        grpc: Grpc { listen: ([127, 0, 0, 1], 0).into(), ..Grpc::default() },
        stop: Stop::default(),
        mongo: Mongo {
            uri: Secret::new(&mongodb_uri().await),
            database: Some(format!("user-{}", ObjectId::new())),
        },
        nats: Nats::new(&chat_local::testing::servers().await.nats_url),
        // Announcements have a place of their own in the stories of the whole suite.
        conversation: Upstream::new("http://127.0.0.1:1".parse().expect("an address")),
        telemetry: Telemetry::default(),
        limits: Limits::default(),
    }
}

impl Suite {
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

    /// Counts the commands of a name that the service has sent.
    pub fn count(&self, name: &str) -> usize {
        let commands = self.commands.lock().expect("not poisoned");
        let named = |command: &&Document| command.keys().next().is_some_and(|key| key == name);
        commands.iter().filter(named).count()
    }

    /// Asks MongoDB how it runs each query that the service has sent so far, and fails on one that
    /// looks at every document or sorts in memory.
    pub async fn assert_indexed(&self, expected: &[&str]) {
        let commands = self.commands.lock().expect("not poisoned").clone();
        let mut seen = Vec::new();
        for mut command in commands {
            let name = command.keys().next().expect("a command").clone();
            if !["find", "findAndModify", "update", "aggregate"].contains(&name.as_str()) {
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
