//! What the user service is told at its start.

use std::num::NonZeroUsize;

use chat_kit::config::{ConfigError, Grpc, Mongo, Stop, Telemetry};
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
    /// Characters of a name.
    pub name_length: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        const IDS: NonZeroUsize = NonZeroUsize::new(1000).expect("not zero");
        const NAME_LENGTH: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
        Self { ids: IDS, name_length: NAME_LENGTH }
    }
}

impl Config {
    /// Loads the configuration of this process.
    pub fn load() -> Result<Self, ConfigError> {
        chat_kit::config::load(&["mongo"])
    }
}
