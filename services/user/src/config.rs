//! What the user service is told at its start.

use std::{num::NonZeroUsize, time::Duration};

use chat_kit::config::{ConfigError, Grpc, Mongo, Nats, Stop, Telemetry, Upstream, duration};
use serde::{Deserialize, Deserializer, de};

/// Shortest lease of a gateway.
const SHORTEST_LEASE: Duration = Duration::from_secs(10);

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
    /// When somebody is online.
    #[serde(default)]
    pub presence: Presence,
}

/// When somebody is online.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Presence {
    /// How long the sockets of a gateway count that says nothing any more. It renews them three times in
    /// that time.
    #[serde(deserialize_with = "lease")]
    pub lease: Duration,
    /// How long somebody still counts as online whose last socket is gone, lest everybody hear of each
    /// short interruption.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
}

impl Default for Presence {
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), grace: Duration::from_secs(5) }
    }
}

fn lease<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let lease = duration(deserializer)?;
    // A call of a gateway takes up to five seconds, and must not outlast the lease that it began under.
    if lease < SHORTEST_LEASE {
        return Err(de::Error::custom("presence.lease is shorter than 10s"));
    }
    Ok(lease)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_is_not_shorter_than_a_call() {
        let read = |toml: &str| -> Result<Presence, String> {
            let fields = toml.split(' ').filter_map(|field| field.split_once('='));
            let map = fields.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let map: std::collections::HashMap<String, String> = map.collect();
            let map = serde::de::value::MapDeserializer::<_, serde::de::value::Error>::new(
                map.into_iter(),
            );
            Presence::deserialize(map).map_err(|error| error.to_string())
        };
        assert_eq!(read("lease=10s grace=0s").expect("read").grace, Duration::ZERO);
        let error = read("lease=9s").expect_err("too short");
        assert!(error.contains("presence.lease"), "{error}");
        read("grace=soon").expect_err("no span");
    }
}
