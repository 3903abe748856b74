//! Delivery by a request to a server of the operator's, signed, and repeated where that may help. Its
//! format is described in `docs/operations.md`. Neither code nor phone is ever logged.

use std::{fmt::Write as _, time::Duration};

use aws_lc_rs::hmac;
use bson::DateTime;
use reqwest::{StatusCode, header::CONTENT_TYPE, redirect::Policy};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::Message;
use crate::config;

/// Header of the instant of a try, in seconds since 1970; it is part of what is signed.
const TIMESTAMP: &str = "chat-timestamp";
/// Header of the signature.
const SIGNATURE: &str = "chat-signature";
/// Header that is the same for all tries of one request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Why the server did not take a one-time password.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// It could not be reached, or did not answer in time.
    #[error("the webhook was not reached")]
    Unreachable(#[source] reqwest::Error),
    /// It answered with another status than one of success.
    #[error("the webhook answered {0}")]
    Refused(StatusCode),
    /// The request could not be written.
    #[error("the request to the webhook could not be written")]
    Unwritable(#[source] serde_json::Error),
}

impl Undelivered {
    /// Says whether another try may succeed.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(status) => {
                *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            Self::Unwritable(_) => false,
        }
    }
}

/// The body of a request.
#[derive(Serialize)]
struct Body<'a> {
    id: Uuid,
    phone: &'a str,
    code: &'a str,
    purpose: &'a str,
    expires_at: String,
}

/// The server.
pub struct Webhook {
    http: reqwest::Client,
    config: config::Webhook,
    key: hmac::Key,
}

impl Webhook {
    /// Prepares the client; nothing is connected yet.
    pub fn new(config: &config::Webhook) -> anyhow::Result<Self> {
        // No proxy: the environment is no place for configuration. No redirects: a signed request with a
        // code in it goes where the operator said.
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, config.secret.expose().as_bytes());
        Ok(Self { http, config: config.clone(), key })
    }

    /// Sends a code until the server has taken it, the tries are used up or the time is over.
    pub async fn send(&self, message: &Message<'_>) -> Result<(), Undelivered> {
        let id = Uuid::new_v4();
        let body = body(id, message).map_err(Undelivered::Unwritable)?;
        let end = Instant::now() + self.config.deadline;
        let (mut pause, mut tries_left) = (FIRST_PAUSE, self.config.tries.get());
        loop {
            let timeout = self.config.timeout.min(end.saturating_duration_since(Instant::now()));
            let Err(failure) = self.try_once(id, body.clone(), timeout).await else {
                return Ok(());
            };
            tries_left -= 1;
            if !failure.may_pass() || tries_left == 0 || Instant::now() + pause >= end {
                return Err(failure);
            }
            tracing::warn!(%id, %failure, "one-time password not delivered, trying again");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn try_once(&self, id: Uuid, body: String, timeout: Duration) -> Result<(), Undelivered> {
        let timestamp = DateTime::now().timestamp_millis().div_euclid(1000).to_string();
        let request = self
            .http
            .post(self.config.url.clone())
            .timeout(timeout)
            .header(CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY, id.to_string())
            .header(SIGNATURE, self.signature(&timestamp, &body))
            .header(TIMESTAMP, timestamp)
            .body(body);
        // The address may hold a key of the operator's.
        let response = request.send().await;
        let response = response.map_err(|error| Undelivered::Unreachable(error.without_url()))?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(Undelivered::Refused(status)) }
    }

    fn signature(&self, timestamp: &str, body: &str) -> String {
        let signed = hmac::sign(&self.key, format!("{timestamp}.{body}").as_bytes());
        let mut text = "v1=".to_owned();
        for byte in signed.as_ref() {
            write!(text, "{byte:02x}").expect("texts take everything");
        }
        text
    }
}

fn body(id: Uuid, message: &Message<'_>) -> serde_json::Result<String> {
    serde_json::to_string(&Body {
        id,
        phone: message.phone,
        code: message.code,
        purpose: message.purpose.name(),
        expires_at: message
            .expires_at
            .try_to_rfc3339_string()
            .expect("the configuration bounds the life of a code"),
    })
}
