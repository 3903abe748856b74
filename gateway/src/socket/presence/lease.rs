//! The task that keeps the user service told of this gateway's sockets: one call at a time, so that they
//! arrive in order, with all that came meanwhile.

use std::time::Duration;

use bson::oid::ObjectId;
use chat_kit::{
    caller::{self, Caller},
    id::UserId,
};
use chat_proto::v1 as pb;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::Presence;
use crate::state::AppState;

/// Sockets of one call; as many as the user service takes.
const BATCH: usize = 500;
/// How often a lease is renewed in its time.
const RENEWALS: u32 = 3;
/// How long a lease is taken to be until the user service has said it.
const ASSUMED_LEASE: Duration = Duration::from_secs(15);
/// Pause after a call that failed; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long the end of the gateway waits for its sockets to be unregistered.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long it waits for them to end by themselves.
const LAST_ENDS: Duration = Duration::from_secs(1);

/// Keeps the user service told until `stop`, and then until no socket is registered any more.
pub async fn keep(
    state: AppState,
    presence: Presence,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut keeper = Keeper {
        state,
        presence,
        lease: ObjectId::new(),
        length: ASSUMED_LEASE,
        renewed_at: Instant::now(),
        pause: None,
    };
    loop {
        let next = keeper.next();
        tokio::select! {
            () = keeper.presence.0.work.notified(), if keeper.pause.is_none() => {}
            () = sleep_until(next) => {}
            () = stop.cancelled() => break,
        }
        keeper.work().await;
    }
    if timeout(FAREWELL, keeper.end()).await.is_err() {
        tracing::warn!("not all sockets are unregistered, their lease will run out");
    }
    Ok(())
}

struct Keeper {
    state: AppState,
    presence: Presence,
    /// Id of the lease.
    lease: ObjectId,
    length: Duration,
    /// When the call began that renewed the lease.
    renewed_at: Instant,
    /// How long is waited after a failure.
    pause: Option<Duration>,
}

impl Keeper {
    /// Returns when there is something to be done, whatever comes.
    fn next(&self) -> Instant {
        match self.pause {
            Some(pause) => Instant::now() + pause,
            None => self.renewed_at + self.length / RENEWALS,
        }
    }

    /// Does what is to be done, and says once that it cannot be done, and once that it can again.
    async fn work(&mut self) {
        match (self.try_work().await, self.pause) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                tracing::info!("the user service knows the sockets again");
                self.pause = None;
            }
            (Err(status), None) => {
                let (code, message) = (status.code(), status.message());
                tracing::warn!(?code, message, "the user service is not told of sockets");
                self.pause = Some(FIRST_PAUSE);
            }
            (Err(_), Some(pause)) => self.pause = Some((2 * pause).min(LONGEST_PAUSE)),
        }
    }

    async fn try_work(&mut self) -> Result<(), Status> {
        loop {
            self.hold().await?;
            match self.tell_some().await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(status) => {
                    // That may have taken long, and a pause comes next.
                    self.hold().await?;
                    return Err(status);
                }
            }
        }
    }

    /// Keeps the lease, whatever else there is to be told: those who stay must not go with those who go.
    async fn hold(&mut self) -> Result<(), Status> {
        // Nobody answered for so long that the lease has run out, whoever may have heard.
        if self.renewed_at.elapsed() > self.length {
            self.begin_again();
        }
        if self.renewed_at.elapsed() < self.length / RENEWALS {
            return Ok(());
        }
        // Without a socket there is nothing to be held.
        if self.presence.0.book.lock().is_empty() {
            self.renewed_at = Instant::now();
            self.lease = ObjectId::new();
            return Ok(());
        }
        self.renew().await
    }

    /// Registers sockets or, where there are none, unregisters some; says whether there were any.
    async fn tell_some(&mut self) -> Result<bool, Status> {
        let coming = self.presence.0.book.lock().take_coming(BATCH);
        if !coming.is_empty() {
            self.register(&coming).await?;
            return Ok(true);
        }
        let going = self.presence.0.book.lock().take_going(BATCH);
        if !going.is_empty() {
            self.unregister(&going).await?;
            return Ok(true);
        }
        Ok(false)
    }

    async fn register(&mut self, coming: &[(ObjectId, UserId)]) -> Result<(), Status> {
        let socket = |(id, user_id): &(ObjectId, UserId)| pb::Socket {
            socket_id: id.to_hex(),
            user_id: user_id.to_string(),
        };
        let request = request(pb::RegisterSocketsRequest {
            gateway_id: self.lease.to_hex(),
            sockets: coming.iter().map(socket).collect(),
        });
        let begun = Instant::now();
        let answer = self.state.clients.user.clone().register_sockets(request).await;
        let is_registered = answer.as_ref().is_ok_and(|answer| answer.get_ref().is_known);
        self.presence.0.book.lock().came(coming, is_registered);
        let answer = answer?.into_inner();
        self.renewed(answer.is_known, answer.lease_millis, begun);
        Ok(())
    }

    async fn unregister(&self, going: &[ObjectId]) -> Result<(), Status> {
        let request = request(pb::UnregisterSocketsRequest {
            gateway_id: self.lease.to_hex(),
            socket_ids: going.iter().map(|id| id.to_hex()).collect(),
        });
        let answer = self.state.clients.user.clone().unregister_sockets(request).await;
        self.presence.0.book.lock().went(going, answer.is_ok());
        answer.map(drop)
    }

    async fn renew(&mut self) -> Result<(), Status> {
        let request = request(pb::RenewGatewayRequest { gateway_id: self.lease.to_hex() });
        let begun = Instant::now();
        let answer = self.state.clients.user.clone().renew_gateway(request).await?.into_inner();
        self.renewed(answer.is_known, answer.lease_millis, begun);
        Ok(())
    }

    fn renewed(&mut self, is_known: bool, lease_millis: u32, begun: Instant) {
        if !is_known {
            return self.begin_again();
        }
        self.length = Duration::from_millis(lease_millis.into());
        self.renewed_at = begun;
    }

    /// Goes on under another lease, with all sockets.
    fn begin_again(&mut self) {
        tracing::warn!("the lease of the sockets is over, registering them again");
        self.presence.0.book.lock().begin_again();
        self.lease = ObjectId::new();
        self.renewed_at = Instant::now();
    }

    /// Unregisters all sockets, which are about to end.
    async fn end(&mut self) {
        let mut all_gone_at = Some(Instant::now() + LAST_ENDS);
        loop {
            self.work().await;
            if self.presence.0.book.lock().is_empty() {
                return;
            }
            let next = match (self.pause, all_gone_at) {
                (Some(pause), _) => Instant::now() + pause,
                (None, Some(at)) => at,
                (None, None) => Instant::now() + FIRST_PAUSE,
            };
            tokio::select! {
                () = self.presence.0.work.notified() => {}
                () = sleep_until(next) => {}
            }
            if all_gone_at.is_some_and(|at| at <= Instant::now()) {
                self.presence.0.book.lock().go_all();
                all_gone_at = None;
            }
        }
    }
}

fn request<T>(message: T) -> Request<T> {
    Caller::service("gateway", &caller::new_request_id()).request(message)
}
