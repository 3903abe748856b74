//! The configuration of the process: the shared sections, and what tokens, one-time passwords,
//! passwords and their limits may be.

mod otp;
mod passwords;

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use bson::DateTime;
use chat_kit::config::{
    self, ConfigError, Grpc, Mongo, Nats, Secret, SigningSecret, Stop, Telemetry, Upstream,
    duration,
};
use serde::Deserialize;

pub use otp::{Limits, Otp, Provider, Webhook};
pub use passwords::Passwords;

/// Longest life of a token or a one-time password that is accepted: ten years.
const LONGEST_TTL: Duration = Duration::from_hours(3650 * 24);

/// Configuration of the auth service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The gRPC server.
    #[serde(default)]
    pub grpc: Grpc,
    /// How the process ends.
    #[serde(default)]
    pub stop: Stop,
    /// The database.
    pub mongo: Mongo,
    /// Where the end of a session is announced.
    pub nats: Nats,
    /// Logs.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Tokens and the sessions behind them.
    pub token: Token,
    /// One-time passwords.
    pub otp: Otp,
    /// Passwords.
    #[serde(default)]
    pub password: Passwords,
    /// The user service, which owns the profiles.
    pub user: Upstream,
}

impl Config {
    /// Loads the configuration of the process.
    pub fn load() -> Result<Self, ConfigError> {
        config::load(&["mongo", "nats", "token", "otp", "user"])
    }
}

/// Tokens and the sessions behind them.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawToken")]
pub struct Token {
    /// Signs the tokens.
    pub secret: SigningSecret,
    /// How long a token and its session last.
    pub ttl: Duration,
    /// When tokens without a session end to be accepted; never where absent.
    pub sessionless_until: Option<DateTime>,
}

impl Token {
    /// Describes tokens that are signed with a secret, with the defaults for the rest.
    #[must_use]
    pub fn new(secret: SigningSecret) -> Self {
        Self { secret, ttl: default_token_ttl(), sessionless_until: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
    #[serde(default = "default_token_ttl", deserialize_with = "duration")]
    ttl: Duration,
    sessionless_until: Option<String>,
}

impl TryFrom<RawToken> for Token {
    type Error = String;

    fn try_from(raw: RawToken) -> Result<Self, String> {
        let secret = config::read_secret("token.secret", raw.secret, raw.secret_file)?;
        if raw.ttl < Duration::from_secs(1) || raw.ttl > LONGEST_TTL {
            return Err("token.ttl must lie between one second and ten years".to_owned());
        }
        let until = raw.sessionless_until.as_deref().map(instant).transpose();
        Ok(Self {
            secret: SigningSecret::new(secret.expose())?,
            ttl: raw.ttl,
            sessionless_until: until.map_err(|error| format!("token.sessionless_until {error}"))?,
        })
    }
}

fn default_token_ttl() -> Duration {
    Duration::from_hours(7 * 24)
}

/// Reads a date (its first instant in UTC) or an instant of RFC 3339.
fn instant(text: &str) -> Result<DateTime, String> {
    DateTime::parse_rfc3339_str(text)
        .or_else(|_| DateTime::parse_rfc3339_str(format!("{text}T00:00:00Z")))
        .map_err(|error| format!("`{text}` is not a date of RFC 3339: {error}"))
}

fn count(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("the defaults are not zero")
}
