//! Configuration of the message service.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};

use chat_kit::config::{self, ConfigError, Grpc, Mongo, Nats, Stop, Telemetry, Upstream};
use serde::{Deserialize, Deserializer, de};

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
    /// Longest text, in UTF-16 code units, as the clients count; at most 100,000.
    #[serde(deserialize_with = "content_length")]
    pub max_content_length: NonZeroUsize,
    /// How many conversations a replica remembers the last number of.
    pub cached_conversations: NonZeroU64,
    /// How many sends may be under way in a replica, those included that are answered and not yet
    /// announced; further ones are refused at once, before anything is stored.
    pub sends_in_flight: NonZeroUsize,
    /// How long an announcement may be under way before any replica's relay repeats it.
    #[serde(deserialize_with = "config::duration")]
    pub relay_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_content_length: NonZeroUsize::new(4000).expect("not zero"),
            cached_conversations: NonZeroU64::new(50_000).expect("not zero"),
            // Some 30 MiB with the longest texts, and a thousand sends a second that each take four.
            sends_in_flight: NonZeroUsize::new(4096).expect("not zero"),
            relay_after: Duration::from_secs(2),
        }
    }
}

/// An event must fit into a message of NATS, 1 MiB, with the ids of a thousand members: a longer text
/// would be stored and never be heard of.
const LONGEST_CONTENT: usize = 100_000;

fn content_length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroUsize, D::Error> {
    let length = NonZeroUsize::deserialize(deserializer)?;
    if length.get() > LONGEST_CONTENT {
        let message = format!("message.max_content_length is more than {LONGEST_CONTENT}");
        return Err(de::Error::custom(message));
    }
    Ok(length)
}

impl Config {
    /// Loads the configuration of this process.
    pub fn load() -> Result<Self, ConfigError> {
        config::load(&["mongo", "nats", "conversation"])
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, U64Deserializer};

    use super::*;

    #[test]
    fn text_too_long_to_be_announced_is_refused() {
        let parse = |length| content_length(U64Deserializer::<Error>::new(length));
        assert_eq!(parse(100_000).expect("just short enough").get(), 100_000);
        let error = parse(100_001).expect_err("too long").to_string();
        assert_eq!(error, "message.max_content_length is more than 100000");
    }
}
