//! The configuration of the process: the shared sections, and what tokens, one-time passwords and
//! their limits may be.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use bson::DateTime;
use chat_kit::config::{
    self, ConfigError, Grpc, Mongo, Secret, SigningSecret, Stop, Telemetry, Upstream, duration,
};
use serde::Deserialize;

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
    /// Logs.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Tokens and the sessions behind them.
    pub token: Token,
    /// One-time passwords.
    pub otp: Otp,
    /// The user service, which owns the profiles.
    pub user: Upstream,
}

impl Config {
    /// Loads the configuration of the process.
    pub fn load() -> Result<Self, ConfigError> {
        config::load(&["mongo", "token", "otp", "user"])
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

/// One-time passwords.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Otp {
    /// Who delivers them. Has no default: the only provider so far is for development.
    pub provider: Provider,
    /// Whether the answer carries the code; for development only.
    #[serde(default)]
    pub echo: bool,
    /// How long a code can be used.
    #[serde(default = "default_otp_ttl", deserialize_with = "duration")]
    pub ttl: Duration,
    /// How often they may be asked for and tried.
    #[serde(default)]
    pub limits: Limits,
}

impl Otp {
    /// Describes one-time passwords that a provider delivers, with the defaults for the rest.
    #[must_use]
    pub fn new(provider: Provider) -> Self {
        Self { provider, echo: false, ttl: default_otp_ttl(), limits: Limits::default() }
    }
}

fn default_otp_ttl() -> Duration {
    Duration::from_mins(5)
}

/// Who delivers one-time passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// The log of this service, for development.
    Log,
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

fn count(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("the defaults are not zero")
}
