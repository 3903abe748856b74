//! What the user service is told at its start.

use std::num::NonZeroUsize;

use chat_kit::config::{ConfigError, Grpc, Mongo, Nats, Stop, Telemetry, Upstream};
use serde::Deserialize;

/// The configuration of the user service.
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
    /// Where events go.
    pub nats: Nats,
    /// The conversation service, which knows who is to hear of a change.
    pub conversation: Upstream,
    /// Log lines.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Limits of requests.
    #[serde(default)]
    pub limits: Limits,
}

/// How large requests may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Ids that one `GetUsers` may name.
    pub ids: NonZeroUsize,
    /// Phones that one `FindUsersByPhones` may name.
    pub phones: NonZeroUsize,
    /// Characters of a name that comes with a login.
    pub name_length: NonZeroUsize,
    /// Characters of a name that somebody gives himself later.
    pub new_name_length: NonZeroUsize,
    /// Characters that somebody may say about himself.
    pub bio_length: NonZeroUsize,
    /// Characters of the address of a picture.
    pub url_length: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        let limit = |limit| NonZeroUsize::new(limit).expect("not zero");
        Self {
            ids: limit(5000),
            phones: limit(5000),
            name_length: limit(256),
            new_name_length: limit(100),
            bio_length: limit(500),
            url_length: limit(2048),
        }
    }
}

impl Config {
    /// Loads the configuration of this process.
    pub fn load() -> Result<Self, ConfigError> {
        chat_kit::config::load(&["mongo", "nats", "conversation"])
    }
}
