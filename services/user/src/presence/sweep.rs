//! The sweep: what follows from leases that have run out, from sockets that are gone, and from arrivals of
//! which it is not certain that they went through. One replica at a time does it; two do no harm.

use std::{collections::HashSet, time::Duration};

use bson::oid::ObjectId;
use chat_kit::id::UserId;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{Service, error::Error, store::sockets::Gone};

/// How often is swept.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a replica keeps the sweep for itself after it has claimed it.
const LEASE: Duration = Duration::from_secs(5);
/// How often it claims it anew: each time is a write.
const CLAIM_INTERVAL: Duration = Duration::from_secs(2);
/// Sockets or users of one step.
const STEP: u32 = 500;
/// Steps of one kind in a sweep; what is left is for the next.
const MOST_STEPS: usize = 20;

impl Service {
    /// Sweeps until the soft stop, whenever no other replica does.
    pub(crate) async fn sweep(self) -> anyhow::Result<()> {
        let replica = ObjectId::new();
        let mut claimed_at: Option<Instant> = None;
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.life.stopping() => return Ok(()),
            }
            let now = Instant::now();
            if claimed_at.is_none_or(|at| now.duration_since(at) >= CLAIM_INTERVAL) {
                let claimed = self.store.sweeps().claim(replica, LEASE).await;
                // Who cannot say so does not have it.
                claimed_at = claimed.is_ok_and(|is_claimed| is_claimed).then_some(now);
            }
            if claimed_at.is_some()
                && let Err(error) = self.sweep_once().await
            {
                tracing::warn!(%error, "presence not swept, trying later");
            }
        }
    }

    async fn sweep_once(&self) -> Result<(), Error> {
        self.sweep_gone().await?;
        self.sweep_leases().await?;
        self.sweep_arrivals().await
    }

    /// Takes users offline whose last socket is gone for longer than the grace period.
    async fn sweep_gone(&self) -> Result<(), Error> {
        for _ in 0..MOST_STEPS {
            let gone = self.store.sockets().gone(STEP).await?;
            if gone.is_empty() {
                return Ok(());
            }
            let (sockets, users) = parts(&gone);
            let settled = self.settle(&users, &sockets, self.presence.grace).await?;
            // Only now: whoever dies before this leaves it to the next sweep.
            let sockets = of_others(&gone, &settled.contested);
            if sockets.is_empty() {
                return Ok(());
            }
            self.store.sockets().forget_gone(&sockets).await?;
        }
        Ok(())
    }

    /// Takes users offline whose last socket was held under a lease that has run out. Its length is their
    /// grace period.
    async fn sweep_leases(&self) -> Result<(), Error> {
        let gateways = self.store.gateways().run_out().await?;
        let mut empty = Vec::new();
        for gateway in gateways {
            for _ in 0..MOST_STEPS {
                let held = self.store.sockets().of(gateway, STEP).await?;
                if held.is_empty() {
                    empty.push(gateway);
                    break;
                }
                let (_, users) = parts(&held);
                // None of the sockets is left out: one that has come under another lease counts.
                let settled = self.settle(&users, &[], self.presence.lease).await?;
                let sockets = of_others(&held, &settled.contested);
                if sockets.is_empty() {
                    break;
                }
                self.store.sockets().forget_of(gateway, &sockets).await?;
            }
        }
        if empty.is_empty() { Ok(()) } else { self.store.gateways().note_empty(&empty).await }
    }

    /// Looks at users who came online some time ago. A call that was given up may have brought somebody
    /// online after his socket had been taken out.
    async fn sweep_arrivals(&self) -> Result<(), Error> {
        for _ in 0..MOST_STEPS {
            let arrived = self.store.presences().to_look_at(STEP).await?;
            if arrived.is_empty() {
                return Ok(());
            }
            let users: Vec<UserId> = arrived.iter().map(|presence| presence.user_id).collect();
            let settled = self.settle(&users, &[], Duration::ZERO).await?;
            self.store.presences().confirm(&settled.staying).await?;
            if arrived.len() < usize::try_from(STEP).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Returns the sockets of everybody but some users, for whose sake the next sweep finds theirs.
fn of_others(sockets: &[Gone], users: &HashSet<UserId>) -> Vec<ObjectId> {
    let is_kept = |socket: &&Gone| socket.user_id.is_some_and(|user| users.contains(&user));
    sockets.iter().filter(|socket| !is_kept(socket)).map(|socket| socket.id).collect()
}

fn parts(sockets: &[Gone]) -> (Vec<ObjectId>, Vec<UserId>) {
    let ids = sockets.iter().map(|socket| socket.id).collect();
    let mut users: Vec<UserId> = sockets.iter().filter_map(|socket| socket.user_id).collect();
    users.sort_unstable();
    users.dedup();
    (ids, users)
}
