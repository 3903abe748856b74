//! One-time passwords: who delivers them, how long they live, and their limits.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use chat_kit::config::{Secret, duration, read_secret};
use reqwest::Url;
use serde::Deserialize;

use super::{LONGEST_TTL, count};

/// Shortest key of the webhook's signatures, in bytes: the size of their hash.
const SHORTEST_KEY: usize = 32;

/// One-time passwords.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawOtp")]
pub struct Otp {
    /// Who delivers them. Has no default: nobody shall deliver them to a log by mistake.
    pub provider: Provider,
    /// Whether the answer carries the code; for development only.
    pub echo: bool,
    /// How long a code can be used.
    pub ttl: Duration,
    /// How often they may be asked for and tried.
    pub limits: Limits,
}

impl Otp {
    /// Describes one-time passwords that a provider delivers, with the defaults for the rest.
    #[must_use]
    pub fn new(provider: Provider) -> Self {
        Self { provider, echo: false, ttl: default_ttl(), limits: Limits::default() }
    }
}

/// Who delivers one-time passwords.
#[derive(Clone, Debug)]
pub enum Provider {
    /// The log of this service, for development.
    Log,
    /// A server that is sent a signed request.
    Webhook(Webhook),
}

/// A server that brings one-time passwords to their phones.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawWebhook")]
pub struct Webhook {
    /// Where the requests go.
    pub url: Url,
    /// Signs the requests.
    pub secret: Secret,
    /// How long one try may take.
    pub timeout: Duration,
    /// How long all tries together may take; less than the gateway waits for this service.
    pub deadline: Duration,
    /// How often a request is tried.
    pub tries: NonZeroU32,
}

impl Webhook {
    /// Describes a server with the defaults for the rest.
    #[must_use]
    pub fn new(url: Url, secret: Secret) -> Self {
        let (timeout, deadline) = (default_timeout(), default_deadline());
        Self { url, secret, timeout, deadline, tries: default_tries() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProviderName {
    Log,
    Webhook,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOtp {
    provider: Option<ProviderName>,
    webhook: Option<Webhook>,
    #[serde(default)]
    echo: bool,
    #[serde(default = "default_ttl", deserialize_with = "duration")]
    ttl: Duration,
    #[serde(default)]
    limits: Limits,
}

impl TryFrom<RawOtp> for Otp {
    type Error = String;

    fn try_from(raw: RawOtp) -> Result<Self, String> {
        let provider = match (raw.provider, raw.webhook) {
            (None, _) => {
                Err("otp.provider is not set: set CHAT_OTP__PROVIDER to `webhook`, or to \
                              `log` for development")
            }
            (Some(ProviderName::Log), _) => Ok(Provider::Log),
            (Some(ProviderName::Webhook), Some(webhook)) => Ok(Provider::Webhook(webhook)),
            (Some(ProviderName::Webhook), None) => {
                Err("otp.webhook.url is not set: set CHAT_OTP__WEBHOOK__URL")
            }
        }?;
        if raw.ttl.is_zero() || raw.ttl > LONGEST_TTL {
            return Err("otp.ttl must lie between nothing and ten years".to_owned());
        }
        Ok(Self { provider, echo: raw.echo, ttl: raw.ttl, limits: raw.limits })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    url: Option<String>,
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
    #[serde(default = "default_timeout", deserialize_with = "duration")]
    timeout: Duration,
    #[serde(default = "default_deadline", deserialize_with = "duration")]
    deadline: Duration,
    #[serde(default = "default_tries")]
    tries: NonZeroU32,
}

impl TryFrom<RawWebhook> for Webhook {
    type Error = String;

    fn try_from(raw: RawWebhook) -> Result<Self, String> {
        let secret = read_secret("otp.webhook.secret", raw.secret, raw.secret_file)?;
        let length = secret.expose().len();
        if length < SHORTEST_KEY {
            return Err(format!(
                "otp.webhook.secret has {length} bytes, at least {SHORTEST_KEY} are needed: make one \
                 with `openssl rand -hex 32`"
            ));
        }
        if raw.timeout.is_zero() || raw.deadline < raw.timeout {
            return Err("otp.webhook.timeout must not be zero, nor longer than \
                        otp.webhook.deadline"
                .to_owned());
        }
        let url = raw.url.ok_or("otp.webhook.url is not set: set CHAT_OTP__WEBHOOK__URL")?;
        let (timeout, deadline, tries) = (raw.timeout, raw.deadline, raw.tries);
        Ok(Self { url: webhook_url(&url)?, secret, timeout, deadline, tries })
    }
}

/// Reads the address; the error does not repeat it, since it may hold a key.
fn webhook_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("otp.webhook.url: {error}"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("otp.webhook.url does not begin with `https://` or `http://`".to_owned());
    }
    Ok(url)
}

fn default_ttl() -> Duration {
    Duration::from_mins(5)
}

fn default_timeout() -> Duration {
    Duration::from_millis(1500)
}

/// Below the five seconds that the gateway waits by default.
fn default_deadline() -> Duration {
    Duration::from_secs(4)
}

fn default_tries() -> NonZeroU32 {
    count(3)
}

/// How often one-time passwords may be asked for and tried, each in a window that begins with the
/// first act counted.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Wrong codes that a phone's owner may enter, for both purposes together.
    pub tries: NonZeroU32,
    /// The window of `tries`.
    #[serde(deserialize_with = "duration")]
    pub tries_window: Duration,
    /// Codes that are sent to a phone, for both purposes together.
    pub sends_per_phone: NonZeroU32,
    /// The window of `sends_per_phone`.
    #[serde(deserialize_with = "duration")]
    pub sends_per_phone_window: Duration,
    /// Codes that are sent on behalf of a network address.
    pub sends_per_address: NonZeroU32,
    /// The window of `sends_per_address`.
    #[serde(deserialize_with = "duration")]
    pub sends_per_address_window: Duration,
    /// Verifications from a network address that may fail.
    pub failures_per_address: NonZeroU32,
    /// The window of `failures_per_address`.
    #[serde(deserialize_with = "duration")]
    pub failures_per_address_window: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tries: count(5),
            tries_window: Duration::from_mins(10),
            sends_per_phone: count(10),
            sends_per_phone_window: Duration::from_mins(10),
            sends_per_address: count(20),
            sends_per_address_window: Duration::from_mins(5),
            failures_per_address: count(50),
            failures_per_address_window: Duration::from_mins(15),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn otp(json: serde_json::Value) -> Result<Otp, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn webhook_needs_an_address_and_a_long_secret() {
        for (webhook, complaint) in [
            (serde_json::json!(null), "otp.webhook.url is not set"),
            (serde_json::json!({ "secret": SECRET }), "otp.webhook.url is not set"),
            (serde_json::json!({ "url": "https://sms" }), "otp.webhook.secret is not set"),
            (serde_json::json!({ "url": "https://sms", "secret": "short" }), "at least 32"),
            (serde_json::json!({ "url": "sms", "secret": SECRET }), "otp.webhook.url"),
            (serde_json::json!({ "url": "ftp://sms", "secret": SECRET }), "`https://`"),
            (
                serde_json::json!({ "url": "https://sms", "secret": SECRET, "deadline": "1s" }),
                "otp.webhook.timeout",
            ),
        ] {
            let error = otp(serde_json::json!({ "provider": "webhook", "webhook": webhook }));
            let error = error.expect_err(complaint);
            assert!(error.contains(complaint), "{error}");
            assert!(!error.contains(SECRET), "{error}");
        }
    }

    #[test]
    fn secret_of_the_webhook_may_come_from_a_file() {
        let path = std::env::temp_dir().join(format!("webhook-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, format!("{SECRET}\n")).expect("written");
        let webhook = serde_json::json!({ "url": "https://sms", "secret_file": path });
        let otp = otp(serde_json::json!({ "provider": "webhook", "webhook": webhook }));
        std::fs::remove_file(&path).expect("removed");
        let Provider::Webhook(webhook) = otp.expect("a webhook").provider else {
            panic!("not the webhook");
        };
        assert_eq!(webhook.secret.expose(), SECRET);
    }
}
