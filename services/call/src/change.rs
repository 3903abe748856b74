//! How a call is changed: by what a rule decides on what it is, again until nobody has come between.

use bson::DateTime;
use chat_kit::id::UserId;

use crate::{
    Service,
    error::Error,
    state::{Call, CallId, Spans, Step},
};

/// How often a step is decided on while others make theirs.
const ATTEMPTS: usize = 16;

impl Service {
    /// Makes the step of a call that a rule decides on; returns the call after it. Where the rule wants none,
    /// the call stays as it is.
    pub(crate) async fn change(
        &self,
        id: &CallId,
        now: DateTime,
        rule: impl Fn(&Call) -> Result<Option<Step>, Error>,
    ) -> Result<Call, Error> {
        let calls = self.store.calls();
        let mut call = calls.get(id).await?.ok_or(Error::NotFound)?;
        for _ in 0..ATTEMPTS {
            let Some(step) = rule(&call)? else { return Ok(call) };
            if let Some(changed) = self.make(&call, &step, now).await? {
                return Ok(changed);
            }
            call = calls.settled(id).await?.ok_or(Error::NotFound)?;
        }
        Err(Error::Contended)
    }

    /// Does the same with the call that a user is in, if he is in one.
    pub(crate) async fn change_live(
        &self,
        user: UserId,
        now: DateTime,
        rule: impl Fn(&Call) -> Result<Option<Step>, Error>,
    ) -> Result<Option<Call>, Error> {
        match self.store.calls().live_of(user).await? {
            Some(call) => Ok(Some(self.change(&call.id, now, rule).await?)),
            None => Ok(None),
        }
    }

    /// Makes a step, and has it announced; returns nothing where another step has come before.
    async fn make(&self, call: &Call, step: &Step, now: DateTime) -> Result<Option<Call>, Error> {
        let changed = self.store.calls().step(call, step, self.calls.retention, now).await?;
        if changed.is_some() && step.is_announced() {
            self.outbox.announce(&call.id);
        }
        Ok(changed)
    }

    pub(crate) fn spans(&self) -> Spans {
        let calls = &self.calls;
        Spans {
            lease: calls.lease,
            grace: calls.grace,
            max_duration: calls.max_duration,
            holds_hang_ups: calls.hold_hang_ups,
        }
    }
}
