//! What the conversation service is told at its start.

use std::num::{NonZeroU32, NonZeroUsize};

use chat_kit::config::{ConfigError, Grpc, Mongo, Nats, Stop, Telemetry, Upstream};
use serde::Deserialize;

/// The configuration of the conversation service.
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
    /// The user service.
    pub user: Upstream,
    /// Log lines.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Limits of requests.
    #[serde(default)]
    pub limits: Limits,
}

/// How large requests and answers may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Conversations on a page whose request does not say.
    pub page: NonZeroU32,
    /// Conversations on any page.
    pub largest_page: NonZeroU32,
    /// Characters of a preview; the longest message by default, since old clients show it whole.
    pub preview_length: NonZeroUsize,
    /// Members of a group; the user service must answer for as many at once.
    pub members: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        const PAGE: NonZeroU32 = NonZeroU32::new(50).expect("not zero");
        const LARGEST_PAGE: NonZeroU32 = NonZeroU32::new(500).expect("not zero");
        const PREVIEW_LENGTH: NonZeroUsize = NonZeroUsize::new(4000).expect("not zero");
        const MEMBERS: NonZeroUsize = NonZeroUsize::new(1000).expect("not zero");
        Self {
            page: PAGE,
            largest_page: LARGEST_PAGE,
            preview_length: PREVIEW_LENGTH,
            members: MEMBERS,
        }
    }
}

impl Config {
    /// Loads the configuration of this process.
    pub fn load() -> Result<Self, ConfigError> {
        chat_kit::config::load(&["mongo", "nats", "user"])
    }
}
