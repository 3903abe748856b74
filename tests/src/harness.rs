//! What the stories share: people who log in and talk to a gateway.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chat_local::testing::TestSuite;
use mongodb::{Collection, bson::Document, options::ClientOptions};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::socket::{self, Receiver, Sender};

/// How long anything may take to happen.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long an answer may take: longer than gateways take to say that there will be none.
const ANSWER: Duration = Duration::from_secs(20);

/// Somebody who is logged in at a gateway.
#[derive(Clone)]
pub struct Person {
    /// Id of the account.
    pub id: String,
    /// The phone that he logs in with.
    pub phone: String,
    /// The token of his session.
    pub token: String,
    gateway: String,
    http: reqwest::Client,
}

impl Person {
    /// Logs a new person in.
    pub async fn new(gateway: SocketAddr) -> Self {
        let gateway = format!("http://{gateway}");
        let http = reqwest::Client::builder().timeout(ANSWER).build().expect("a client");
        let phone = new_phone();
        let mut person = Self { id: String::new(), phone, token: String::new(), gateway, http };
        let asked = json!({ "phone": person.phone });
        let sent = person.ok(Method::POST, "/api/auth/send-otp-login", asked).await;
        let given = json!({ "otp": sent["otp"], "sessionId": sent["sessionId"] });
        let login = person.ok(Method::POST, "/api/auth/verify-otp-login", given).await;
        text(&login["token"]).clone_into(&mut person.token);
        text(&login["user"]["id"]).clone_into(&mut person.id);
        person
    }

    /// The same person at another gateway.
    #[must_use]
    pub fn at(&self, gateway: SocketAddr) -> Self {
        Self { gateway: format!("http://{gateway}"), ..self.clone() }
    }

    /// Connects to a gateway and listens, declaring a client type.
    pub async fn listen(&self, gateway: SocketAddr, client_type: &str) -> Receiver {
        self.connect(gateway, client_type).await.1
    }

    /// Connects to a gateway, declaring a client type; an empty one is no declaration.
    pub async fn connect(&self, gateway: SocketAddr, client_type: &str) -> (Sender, Receiver) {
        let auth = json!({ "token": self.token, "clientType": client_type });
        socket::connect(gateway, &auth, PATIENCE).await.expect("a connection")
    }

    /// Makes a request; returns status and body.
    pub async fn request(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.gateway));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if method != Method::GET {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status();
        (status, response.json().await.expect("a JSON body"))
    }

    /// Makes a request that must succeed; returns the body.
    pub async fn ok(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.request(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// Makes a GET request that must succeed; returns the body.
    pub async fn get(&self, path: &str) -> Value {
        self.ok(Method::GET, path, Value::Null).await
    }

    /// Opens the direct conversation with somebody and returns its id.
    pub async fn open(&self, other: &Self) -> String {
        let body = json!({ "otherUserId": other.id });
        let answer = self.ok(Method::POST, "/api/conversations", body).await;
        text(&answer["conversation"]["_id"]).to_owned()
    }

    /// Makes a group with others and returns its id.
    pub async fn group(&self, others: &[&Self]) -> String {
        let others: Vec<&str> = others.iter().map(|other| other.id.as_str()).collect();
        let body = json!({ "type": "group", "participants": others });
        let answer = self.ok(Method::POST, "/api/conversations", body).await;
        text(&answer["conversation"]["_id"]).to_owned()
    }

    /// Sends a text to a conversation and returns the message.
    pub async fn send(&self, conversation: &str, content: &str) -> Value {
        let body = json!({ "conversationId": conversation, "content": content });
        self.ok(Method::POST, "/api/messages", body).await["message"].clone()
    }
}

/// Returns a text field.
#[must_use]
#[track_caller]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}

/// Returns a phone that nobody else has.
#[must_use]
pub fn new_phone() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("+1{:09}{number:04}", now.as_micros() % 1_000_000_000)
}

/// Returns a collection of one of a suite's services, as it is stored.
pub async fn stored(
    mongodb_uri: &str,
    suite: &TestSuite,
    service: &str,
    collection: &str,
) -> Collection<Document> {
    let options = ClientOptions::parse(mongodb_uri).await.expect("a uri");
    let client = mongodb::Client::with_options(options).expect("a client");
    client.database(&suite.database(service)).collection(collection)
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
