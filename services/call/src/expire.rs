//! What time does with calls: those that ring too long end, those end whose sockets have left, and hang-ups
//! that were held take effect. Every replica looks; the guarded update of a step is its claim, so that one
//! alone makes it.

use std::time::Duration;

use bson::DateTime;
use chat_kit::{error::chain, shutdown::Lifecycle};
use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;

use crate::{Service, error::Error, pulse::Pulse, state::Call};

/// How often a replica looks.
const INTERVAL: Duration = Duration::from_millis(250);
/// Calls that it looks at, and does something with, together.
const AT_ONCE: u32 = 64;

impl Service {
    /// Does what is due until the soft stop.
    pub(crate) async fn expire(self, life: Lifecycle) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pulse = Pulse::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = life.stopping() => return Ok(()),
            }
            if let Err(error) = self.do_what_is_due(&mut pulse, &life).await {
                tracing::warn!(%error, "what is due for calls waits");
            }
        }
    }

    /// Does what is due now. A call with which that fails waits until the next time, and no other does.
    async fn do_what_is_due(&self, pulse: &mut Pulse, life: &Lifecycle) -> Result<(), Error> {
        while self.beat(pulse).await? {
            let now = DateTime::now();
            let calls = self.store.calls().due(now, AT_ONCE).await?;
            let are_more = u32::try_from(calls.len()).is_ok_and(|count| count == AT_ONCE);
            let mut has_done = false;
            let doing = calls.into_iter().map(|call| self.do_due(call, now));
            for outcome in join_all(doing).await {
                match outcome {
                    Ok(is_done) => has_done |= is_done,
                    Err(error) => tracing::error!(error = chain(&error), "a call is due"),
                }
            }
            if !are_more || !has_done || life.is_stopping() {
                break;
            }
        }
        Ok(())
    }

    /// Does what is due of a call; says whether this replica did.
    async fn do_due(&self, call: Result<Call, Error>, now: DateTime) -> Result<bool, Error> {
        let call = call?;
        let Some(step) = call.due(now) else {
            tracing::error!(call_id = %call.id, "a call is due and nothing is to be done");
            return Ok(false);
        };
        let calls = self.store.calls();
        let changed = calls.step_if_due(&call, &step, self.calls.retention, now).await?;
        if changed.is_some() && step.is_announced() {
            self.outbox.announce(&call.id);
        }
        Ok(changed.is_some())
    }
}
