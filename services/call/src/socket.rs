//! The sockets that calls are bound to: their leases, and who takes over when one has left.

use std::{collections::HashMap, time::Duration};

use bson::DateTime;
use chat_kit::{id::UserId, time::after};
use chat_proto::v1::MissedCall;

use crate::{
    Service,
    error::Error,
    state::{Call, Party},
    store::calls::Held,
};

/// What a new socket is told.
pub(crate) struct Attached {
    /// The call that needs it.
    pub(crate) call: Option<Call>,
    pub(crate) missed: Option<MissedCall>,
}

impl Service {
    /// Holds sockets that are there for another lease; returns those that no call needs any more.
    pub(crate) async fn renew(&self, held: Vec<Held>, now: DateTime) -> Result<Vec<Held>, Error> {
        if held.is_empty() {
            return Ok(held);
        }
        let calls = self.store.calls();
        calls.renew(&held, after(now, self.calls.lease)).await?;
        let live = calls.live(&held).await?;
        let live: HashMap<_, _> = live.into_iter().map(|call| (call.id.clone(), call)).collect();
        let is_needed =
            |held: &Held| live.get(&held.call_id).is_some_and(|call| call.needs(&held.socket_id));
        Ok(held.into_iter().filter(|held| !is_needed(held)).collect())
    }

    /// Takes note of a user's new socket.
    pub(crate) async fn attach(
        &self,
        by: &Party,
        may_repeat: bool,
        now: DateTime,
    ) -> Result<Attached, Error> {
        let spans = self.spans();
        let rule = |call: &Call| call.attach(by, may_repeat, spans, now);
        let Some(call) = self.change_live(by.user_id, now, rule).await? else {
            return Ok(Attached { call: None, missed: self.missed_end(by, now).await? });
        };
        let missed = self.missed(&call, by, may_repeat, now).await?;
        Ok(Attached { call: Some(call).filter(|call| call.needs(&by.socket_id)), missed })
    }

    /// Takes note of the end of a user's socket, which has most probably heard nothing for some time before.
    pub(crate) async fn detach(
        &self,
        user: UserId,
        socket_id: &str,
        unheard: Duration,
        now: DateTime,
    ) -> Result<(), Error> {
        let spans = self.spans();
        let rule = |call: &Call| call.detach(user, socket_id, unheard, spans, now);
        self.change_live(user, now, rule).await.map(drop)
    }
}
