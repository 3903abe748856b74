//! A gateway's routes over services that are not there, and requests to them.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use chat_gateway::{
    AppState,
    config::{Calls, Config, Http, Limits, Sessions, Token},
    router::router,
};
use chat_kit::config::{Nats, SigningSecret, Stop, Telemetry, Upstream};
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const USER: &str = "65f0c0ffee0123456789abcd";

/// Port 1 is never listened on.
pub const NOWHERE: &str = "http://127.0.0.1:1";

/// Describes a gateway whose auth service is at an address, and whose other services are nowhere.
pub fn config(auth: &str) -> Config {
    let upstream = |url: &str| Upstream {
        timeout: Duration::from_secs(1),
        ..Upstream::new(url.parse().expect("an address"))
    };
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        stop: Stop::default(),
        telemetry: Telemetry::default(),
        nats: Nats::new("nats://127.0.0.1:1"),
        token: Token::new(SigningSecret::new(SECRET).expect("long enough")),
        auth: upstream(auth),
        user: upstream(NOWHERE),
        conversation: upstream(NOWHERE),
        message: upstream(NOWHERE),
        call: upstream(NOWHERE),
        http: Http { hold: Duration::ZERO, ..Http::default() },
        limits: Limits::default(),
        sessions: Sessions::default(),
        calls: Calls::default(),
    }
}

pub struct App {
    pub state: AppState,
    router: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl App {
    /// A gateway without any service.
    pub fn alone() -> Self {
        Self::new(config(NOWHERE))
    }

    pub fn new(config: Config) -> Self {
        let state = AppState::new(config);
        Self { router: router(state.clone()), state }
    }

    /// Sends a request, and checks what holds for every answer.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        assert!(parts.headers.contains_key("x-request-id"));
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            assert_eq!(parts.headers[header::CONTENT_TYPE], "application/json; charset=utf-8");
            serde_json::from_slice(&bytes).expect("JSON")
        };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, None).body(Body::empty()).expect("a request")).await
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.send(request("GET", path, Some(token)).body(Body::empty()).expect("a request")).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = request("POST", path, None).header(header::CONTENT_TYPE, content_type);
        self.send(request.body(body.into()).expect("a request")).await
    }
}

impl Answer {
    /// Checks a refusal and its envelope.
    pub fn assert_refused(&self, status: u16, error: &str) {
        assert_eq!(
            (self.status.as_u16(), &self.body["error"]),
            (status, &json!(error)),
            "{self:?}"
        );
        assert_eq!(self.body["success"], false, "{self:?}");
        let message = self.body["message"].as_str().expect("a message");
        assert!(!message.is_empty(), "{self:?}");
        assert_eq!(self.body.as_object().expect("an object").len(), 3, "{self:?}");
    }
}

pub fn request(method: &str, path: &str, token: Option<&str>) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    }
}

/// Signs a token of the user for a session.
pub fn token(session: &str) -> String {
    let claims = json!({
        "uid": USER, "id": USER, "userId": USER, "_id": USER, "sessionId": session,
        "exp": get_current_timestamp() + 60,
    });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).expect("a token")
}
