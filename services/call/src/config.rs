//! What the call service is told at its start.

mod ice;

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use chat_kit::config::{self, ConfigError, Grpc, Mongo, Nats, Stop, Telemetry, Upstream, duration};
use serde::{Deserialize, Deserializer, de};

pub use self::ice::{Ice, Turn};

/// The configuration of the call service.
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
    /// The conversation service, which knows who may ring whom.
    pub conversation: Upstream,
    /// The user service, which knows who exists.
    pub user: Upstream,
    /// Log lines.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// How calls go.
    #[serde(default)]
    pub call: Calls,
    /// Limits of requests.
    #[serde(default)]
    pub limits: Limits,
    /// The servers that help devices reach each other.
    #[serde(default)]
    pub ice: Ice,
}

impl Config {
    /// Loads the configuration of this process.
    pub fn load() -> Result<Self, ConfigError> {
        config::load(&["mongo", "nats", "conversation", "user"])
    }
}

/// How calls go.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    /// How long a call rings.
    #[serde(deserialize_with = "some_time")]
    pub ring_timeout: Duration,
    /// How long a bound socket counts as there after it was renewed last; a few times the three seconds in
    /// which gateways renew.
    #[serde(deserialize_with = "some_time")]
    pub lease: Duration,
    /// How long a call goes on without a bound socket that has left.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    /// How long a call goes on after the answer; longer than people talk. One whose hang-up was lost ends so.
    #[serde(deserialize_with = "some_time")]
    pub max_duration: Duration,
    /// Whether hang-ups of the callee a minute after the call was placed are held for 3 seconds, and dropped
    /// if more than one comes: forgotten screens of a mobile client send them in groups.
    pub hold_hang_ups: bool,
    /// How long calls that have ended stay in their parties' lists.
    #[serde(deserialize_with = "duration")]
    pub retention: Duration,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            ring_timeout: Duration::from_secs(40),
            lease: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            max_duration: Duration::from_hours(12),
            hold_hang_ups: true,
            retention: Duration::from_hours(90 * 24),
        }
    }
}

/// Reads a span of time without which no call would ever ring, or go on.
fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let span = duration(deserializer)?;
    if span.is_zero() {
        return Err(de::Error::custom("more than no time is needed"));
    }
    Ok(span)
}

/// How often calls may be placed, and how large requests and answers may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls that one user may place in a minute.
    pub calls_per_minute: NonZeroU32,
    /// Calls that one user may place in ten minutes.
    pub calls_per_ten_minutes: NonZeroU32,
    /// Calls that one user may place to one other in ten minutes. So many ring for less than that, lest one
    /// keeps the other busy.
    pub calls_per_pair: NonZeroU32,
    /// Bytes of a session description.
    pub description_length: NonZeroUsize,
    /// Bytes of a candidate.
    pub candidate_length: NonZeroUsize,
    /// Candidates of each side before the answer; what they take together must fit into one event.
    pub candidates: NonZeroU32,
    /// Candidates of each side in all.
    pub candidates_in_all: NonZeroU32,
    /// Calls on a page whose request does not say.
    pub page: NonZeroU32,
    /// Calls on any page.
    pub largest_page: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        let length = |length| NonZeroUsize::new(length).expect("not zero");
        Self {
            calls_per_minute: number(10),
            calls_per_ten_minutes: number(30),
            calls_per_pair: number(10),
            description_length: length(64 << 10),
            candidate_length: length(4 << 10),
            candidates: number(64),
            candidates_in_all: number(512),
            page: number(50),
            largest_page: number(200),
        }
    }
}
