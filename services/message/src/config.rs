//! Configuration of the message service.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};

use chat_kit::config::{self, ConfigError, Grpc, Mongo, Nats, Stop, Telemetry, Upstream};
use serde::Deserialize;

/// Everything that an operator sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The gRPC server.
    #[serde(default)]
    pub grpc: Grpc,
    /// How the process ends.
    #[serde(default)]
    pub stop: Stop,
    /// Where messages are stored.
    pub mongo: Mongo,
    /// Where events go.
    pub nats: Nats,
    /// What the process tells about itself.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// The conversation service.
    pub conversation: Upstream,
    /// Limits of messages.
    #[serde(default)]
    pub message: Limits,
}

/// Limits of messages and of their announcement.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest text, in UTF-16 code units, as the clients count.
    pub max_content_length: NonZeroUsize,
    /// How many conversations a replica remembers the last number of.
    pub cached_conversations: NonZeroU64,
    /// How long an announcement may be under way before any replica's relay repeats it.
    #[serde(deserialize_with = "config::duration")]
    pub relay_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_content_length: NonZeroUsize::new(4000).expect("not zero"),
            cached_conversations: NonZeroU64::new(50_000).expect("not zero"),
            relay_after: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// Loads the configuration of this process.
    pub fn load() -> Result<Self, ConfigError> {
        config::load(&["mongo", "nats", "conversation"])
    }
}
