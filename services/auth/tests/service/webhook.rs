//! One-time passwords by webhook, against a small server that writes down what it is sent.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use chat_auth::{Provider, Webhook};
use chat_kit::{
    caller::Caller,
    client::channel,
    config::{Secret, Upstream},
};
use chat_proto::v1::{OtpPurpose, auth_service_client::AuthServiceClient};
use serde_json::Value;
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::{Auth, SECRET, auth_with, eventually, reason, request};

const PHONE: &str = "+15550000001";
const KEY: &str = "a key of the webhook, and of nothing else";

/// The operator's server.
#[derive(Clone, Default)]
struct Server {
    requests: Arc<Mutex<Vec<Received>>>,
    /// What it answers with next; then always with success. No status means no answer.
    answers: Arc<Mutex<VecDeque<Option<StatusCode>>>>,
}

#[derive(Clone)]
struct Received {
    headers: HeaderMap,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }

    /// Checks the signature as the documentation says, and returns what the body says.
    fn verified(&self) -> Value {
        let signature = self.header("chat-signature").strip_prefix("v1=").expect("a version");
        let signature: Vec<u8> = (0..signature.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        let timestamp = self.header("chat-timestamp");
        let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
        let signed = format!("{timestamp}.{}", self.body);
        hmac::verify(&key, signed.as_bytes(), &signature).expect("a right signature");
        let age = bson::DateTime::now().timestamp_millis() / 1000
            - timestamp.parse::<i64>().expect("seconds");
        assert!((0..60).contains(&age), "{timestamp}");
        assert_eq!(self.header("content-type"), "application/json");
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(body["id"], self.header("idempotency-key"));
        body
    }
}

impl Server {
    async fn start() -> (Self, SocketAddr) {
        let server = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = Router::new().route("/otp", post(receive)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (server, address)
    }

    fn answer(&self, answers: impl IntoIterator<Item = Option<u16>>) {
        let status = |code| StatusCode::from_u16(code).expect("a status");
        let answers = answers.into_iter().map(|answer| answer.map(status));
        *self.answers.lock().expect("not poisoned") = answers.collect();
    }

    fn requests(&self) -> Vec<Received> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

async fn receive(
    State(server): State<Server>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    server.requests.lock().expect("not poisoned").push(Received { headers, body });
    let answer = server.answers.lock().expect("not poisoned").pop_front();
    let status = match answer {
        Some(Some(status)) => status,
        Some(None) => std::future::pending().await,
        None => StatusCode::NO_CONTENT,
    };
    (status, [("location", "/elsewhere")])
}

async fn auth_at(url: &str, change: impl FnOnce(&mut Webhook)) -> Auth {
    let mut webhook = Webhook::new(url.parse().expect("an address"), Secret::new(KEY));
    change(&mut webhook);
    auth_with(|config| config.otp.provider = Provider::Webhook(webhook)).await
}

async fn scene(change: impl FnOnce(&mut Webhook)) -> (Auth, Server) {
    let (server, address) = Server::start().await;
    (auth_at(&format!("http://{address}/otp"), change).await, server)
}

async fn assert_undelivered(auth: &Auth) {
    let refused = auth.send(request(PHONE, OtpPurpose::Login)).await;
    let status = refused.err().expect("not delivered");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.message().contains("127.0.0.1"), "{status}");
    assert_eq!(reason::<()>(Err(status)), "otp_not_delivered");
}

#[tokio::test]
async fn code_comes_in_a_signed_request_and_logs_in() {
    let (auth, server) = scene(|_| ()).await;
    for (purpose, name) in
        [(OtpPurpose::Login, "login"), (OtpPurpose::Registration, "registration")]
    {
        let sent = auth.send(request("1 (555) 000-0001", purpose)).await.map_err(drop);
        let sent = sent.expect("delivered");
        let body = server.requests().last().expect("a request").verified();
        assert_eq!((&body["phone"], &body["purpose"]), (&PHONE.into(), &name.into()));
        assert_eq!(body["code"], sent.code);
        let expires_at = body["expires_at"].as_str().expect("an instant");
        let expires_at = bson::DateTime::parse_rfc3339_str(expires_at).expect("RFC 3339");
        assert!(expires_at > bson::DateTime::now());
        assert_eq!(body.as_object().expect("an object").len(), 5);
    }
    let code = server.requests()[0].verified()["code"].as_str().expect("a code").to_owned();
    let sent = auth.send_login(PHONE).await;
    auth.verify(&sent.session_id, &code).await.expect("the code that came first");
    let keys: Vec<String> =
        server.requests().iter().map(|sent| sent.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2], "{keys:?}");
}

#[tokio::test]
async fn passing_failures_are_tried_again_with_the_same_key() {
    let (auth, server) = scene(|webhook| webhook.timeout = Duration::from_millis(500)).await;
    for failures in [[Some(500), Some(429)], [Some(503), None]] {
        let before = server.requests().len();
        server.answer(failures);
        auth.send_login(PHONE).await;
        let tries = server.requests().split_off(before);
        assert_eq!(tries.len(), 3, "{failures:?}");
        for sent in &tries {
            assert_eq!(sent.verified(), tries[0].verified());
        }
    }
}

#[tokio::test]
async fn other_refusals_are_not_tried_again() {
    let (auth, server) = scene(|_| ()).await;
    for (count, status) in (1..).zip([400, 401, 404, 307]) {
        server.answer([Some(status)]);
        assert_undelivered(&auth).await;
        assert_eq!(server.requests().len(), count, "{status}");
    }
}

#[tokio::test]
async fn tries_are_limited_in_number_and_in_time() {
    let (auth, server) = scene(|webhook| webhook.tries = 2.try_into().expect("not zero")).await;
    server.answer([Some(500); 9]);
    assert_undelivered(&auth).await;
    assert_eq!(server.requests().len(), 2);

    let (auth, server) = scene(|webhook| {
        webhook.timeout = Duration::from_millis(100);
        webhook.deadline = Duration::from_millis(800);
        webhook.tries = 1000.try_into().expect("not zero");
    })
    .await;
    server.answer([None; 9]);
    let began = Instant::now();
    assert_undelivered(&auth).await;
    // After 0, 300 and 800 milliseconds, if each try takes its time and no more.
    assert!((1..=3).contains(&server.requests().len()));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn server_that_is_away_is_a_failure() {
    // Port 1 is never listened on.
    let auth = auth_at("http://127.0.0.1:1/otp", |_| ()).await;
    assert_undelivered(&auth).await;
}

/// Runs the process, which logs all that there is to log, and returns its log and what was sent.
async fn logged(auth: &Auth, server: &Server, webhook: &str) -> (String, Vec<Received>) {
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = port.local_addr().expect("an address");
    drop(port);
    let mut process = Command::new(env!("CARGO_BIN_EXE_chat-auth"))
        .env_clear()
        .env("CHAT_GRPC__LISTEN", address.to_string())
        .env("CHAT_TELEMETRY__FILTER", "trace")
        .env("CHAT_MONGO__URI", auth.config.mongo.uri.expose())
        .env("CHAT_MONGO__DATABASE", auth.config.mongo.database.as_deref().expect("a name"))
        .env("CHAT_NATS__URL", auth.config.nats.url.expose())
        .env("CHAT_TOKEN__SECRET", SECRET)
        .env("CHAT_USER__URL", "http://127.0.0.1:1")
        .env("CHAT_OTP__PROVIDER", "webhook")
        .env("CHAT_OTP__WEBHOOK__URL", webhook)
        .env("CHAT_OTP__WEBHOOK__SECRET", KEY)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the process starts");
    let stderr = process.stderr.take().expect("a pipe");
    let log = tokio::task::spawn_blocking(move || std::io::read_to_string(stderr));
    let url = format!("http://{address}").parse().expect("an address");
    let client = AuthServiceClient::new(channel(&Upstream::new(url)));
    server.answer([Some(500), Some(204), Some(400)]);
    let outcomes: Arc<Mutex<Vec<String>>> = Arc::default();
    eventually(async || {
        let request = Caller::service("gateway", "test").request(request(PHONE, OtpPurpose::Login));
        let sent = reason(client.clone().send_otp(request).await);
        let mut outcomes = outcomes.lock().expect("not poisoned");
        outcomes.push(sent);
        outcomes.iter().any(|outcome| outcome == "otp_not_delivered").then_some(())
    })
    .await;
    process.kill().expect("killed");
    process.wait().expect("ended");
    assert!(outcomes.lock().expect("not poisoned").contains(&"none".to_owned()));
    (log.await.expect("no panic").expect("text"), server.requests())
}

#[tokio::test]
async fn log_has_neither_code_nor_phone_nor_key() {
    let (auth, server) = scene(|_| ()).await;
    let Provider::Webhook(webhook) = &auth.config.otp.provider else { panic!("another one") };
    let url = format!("{}?key=hidden", webhook.url);
    let (log, requests) = logged(&auth, &server, &url).await;
    assert!(log.contains("trying again") && log.contains("the webhook answered 400"), "{log}");
    assert_eq!(requests.len(), 3);
    for sent in &requests {
        let code = sent.verified()["code"].as_str().expect("a code").to_owned();
        for refused in [code.as_str(), PHONE, KEY, "hidden", SECRET] {
            let line = log.lines().find(|line| line.contains(refused));
            assert_eq!(line, None, "{refused} is in the log");
        }
    }
}
