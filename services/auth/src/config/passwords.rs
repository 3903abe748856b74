//! Passwords: how many are hashed at the same time, and how often one may be wrong.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use chat_kit::config::duration;
use serde::Deserialize;

use super::count;

/// Passwords.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passwords {
    /// How many are hashed at the same time. Each takes a processor and 19 MiB.
    pub concurrency: NonZeroUsize,
    /// How many wait for their turn; further ones are refused as overload.
    pub queue: usize,
    /// How long one waits for its turn before it is refused.
    #[serde(deserialize_with = "duration")]
    pub wait: Duration,
    /// How long a refused login takes at least. Longer than any hash, so that it does not tell which
    /// kind of hash there was, or none.
    #[serde(deserialize_with = "duration")]
    pub failure_time: Duration,
    /// Wrong passwords for one name or phone, in a window that begins with the first. Those of a network
    /// address count together with its wrong codes.
    pub failures: NonZeroU32,
    /// The window of `failures`.
    #[serde(deserialize_with = "duration")]
    pub failures_window: Duration,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            concurrency: NonZeroUsize::new(4).expect("not zero"),
            queue: 64,
            wait: Duration::from_secs(2),
            failure_time: Duration::from_millis(300),
            failures: count(10),
            failures_window: Duration::from_mins(15),
        }
    }
}
