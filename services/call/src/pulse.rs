//! Leases are believed only while they can be renewed. Every replica that looks at what is due leaves a sign
//! of life in the store; one that finds the newest too old knows that nobody could renew for a while, and
//! gives all sockets another lease before anybody looks.

use std::time::Duration;

use bson::DateTime;
use chat_kit::time::after;
use tokio::time::Instant;

use crate::{Service, error::Error};

/// An interruption shorter than this part of a lease costs nobody his lease: gateways renew three times in
/// one.
const SHORTEST_PART: u32 = 4;
/// Nor does one shorter than this, in which a replica that has much to do may just not have looked.
const SHORTEST: Duration = Duration::from_secs(1);
/// How many signs of life there are in that time.
const SIGNS: u32 = 3;

/// When a replica left its last sign of life.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Option<Instant>);

impl Service {
    /// Leaves a sign of life if it is time to, and makes up for an interruption. Says whether leases that
    /// have run out by now may be believed.
    pub(crate) async fn beat(&self, last: &mut Pulse) -> Result<bool, Error> {
        let calls = &self.calls;
        let interruption = (calls.lease / SHORTEST_PART).max(SHORTEST);
        if last.0.is_none_or(|last| last.elapsed() > interruption / SIGNS) {
            let (began, pulse) = (Instant::now(), self.store.pulse());
            if let Some(resumed_at) = pulse.beat(interruption).await? {
                let now = DateTime::now();
                tracing::info!(%resumed_at, "sockets of calls could not be renewed for a while");
                let (lease, grace) = (after(now, calls.lease), after(now, calls.grace));
                self.store.calls().extend(lease, grace).await?;
                pulse.settle(resumed_at).await?;
            }
            last.0 = Some(began);
        }
        // Where all that has taken long, there may have been another interruption.
        Ok(last.0.is_some_and(|last| last.elapsed() < interruption))
    }
}
