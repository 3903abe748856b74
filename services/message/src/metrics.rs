//! The metrics of the message service: what waits to be announced, and what the relay did about it.

use std::{sync::LazyLock, time::Duration};

use bson::DateTime;
use chat_kit::telemetry::metrics::{Kind, Metric, are_kept, describe};
use metrics::{Counter, Gauge, counter, gauge};

use crate::Service;

const SIZE: &str = "chat_outbox_messages";
const AGE: &str = "chat_outbox_age_seconds";
const RELAYED: &str = "chat_outbox_relayed_total";

const ALL: [Metric; 3] = [
    Metric {
        name: SIZE,
        kind: Kind::Gauge,
        help: "Messages in the database that are not announced yet, at most 10000.",
    },
    Metric {
        name: AGE,
        kind: Kind::Gauge,
        help: "Age of the oldest message in the database that is not announced yet.",
    },
    Metric {
        name: RELAYED,
        kind: Kind::Counter,
        help: "Announcements that the relay took up, by what became of them.",
    },
];

/// How often the outbox is looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Gives the metrics their meaning, and makes them.
pub fn init() {
    describe(&ALL);
    LazyLock::force(&OUTBOX);
}

/// The metrics of the outbox.
pub struct Outbox {
    size: Gauge,
    age: Gauge,
    /// Announcements that the relay made.
    pub relayed: Counter,
    /// Announcements that the relay left to a later try.
    pub failed: Counter,
}

/// The metrics of the outbox.
pub static OUTBOX: LazyLock<Outbox> = LazyLock::new(|| Outbox {
    size: gauge!(SIZE),
    age: gauge!(AGE),
    relayed: counter!(RELAYED, "outcome" => "ok"),
    failed: counter!(RELAYED, "outcome" => "failed"),
});

impl Service {
    /// Looks at the outbox until the soft stop, where anybody can read what is seen.
    pub(crate) async fn measure_outbox(self) -> anyhow::Result<()> {
        while are_kept() {
            match self.store.messages.waiting().await {
                Ok(waiting) => {
                    OUTBOX.size.set(f64::from(waiting.count));
                    OUTBOX.age.set(age(waiting.oldest, DateTime::now()));
                }
                Err(error) => tracing::warn!(%error, "the outbox cannot be measured"),
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.life.stopping() => return Ok(()),
            }
        }
        self.life.stopping().await;
        Ok(())
    }
}

/// Returns how long the oldest has waited, in seconds; nothing has waited for none.
fn age(oldest: Option<DateTime>, now: DateTime) -> f64 {
    oldest.map_or(0.0, |oldest| now.saturating_duration_since(oldest).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_that_of_the_oldest_and_never_negative() {
        let at = DateTime::from_millis;
        for (oldest, expected) in [(None, 0.0), (Some(at(500)), 1.5), (Some(at(3000)), 0.0)] {
            let age = age(oldest, at(2000));
            assert!((age - expected).abs() < 1e-9, "{oldest:?}: {age}");
        }
    }
}
