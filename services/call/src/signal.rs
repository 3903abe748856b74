//! Candidates: kept until the answer; told at once after it, and kept for a device that is away.

use std::{sync::Arc, time::Duration};

use bson::DateTime;
use chat_kit::{caller::Caller, nats::Publisher, shutdown::Lifecycle};
use chat_proto::v1::{CandidateAdded, Event};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    Service,
    announce::candidate_added,
    error::Error,
    state::{Call, CallId, Candidate, Party, Role, State},
};

/// How often a candidate is tried while its call changes: it is answered once, and ends once.
const ATTEMPTS: usize = 3;

/// Candidates that wait for NATS at once; more are heard by who comes back alone.
const MOST_UNTOLD: usize = 1000;
/// How long each of them waits, and how often it is tried to tell it.
const UNTOLD_FOR: Duration = Duration::from_secs(30);
const TELL_INTERVAL: Duration = Duration::from_millis(500);
/// How long gateways take to hear again after NATS is back: they know a candidate that they hear twice.
const HEARD_AFTER: Duration = Duration::from_secs(2);

/// Candidates that could not be told at once, since NATS was away.
#[derive(Clone)]
pub(crate) struct Untold {
    publisher: Publisher,
    life: Lifecycle,
    places: Arc<Semaphore>,
}

impl Untold {
    pub(crate) fn new(publisher: Publisher, life: Lifecycle) -> Self {
        Self { publisher, life, places: Arc::new(Semaphore::new(MOST_UNTOLD)) }
    }

    /// Tells a candidate once NATS is back, if that is soon.
    fn take(&self, event: Event, request_id: String) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(id = event.id, "too many candidates wait for NATS");
            return;
        };
        let (publisher, life) = (self.publisher.clone(), self.life.clone());
        self.life.spawn_work(async move {
            let _place = place;
            let until = Instant::now() + UNTOLD_FOR;
            while Instant::now() < until && !life.is_stopping() {
                tokio::time::sleep(TELL_INTERVAL).await;
                if publisher.tell(&event, &request_id).await.is_ok() {
                    tokio::time::sleep(HEARD_AFTER).await;
                    publisher.tell(&event, &request_id).await.ok();
                    return;
                }
            }
            tracing::warn!(id = event.id, "a candidate is not told");
        });
    }
}

impl Service {
    /// Takes a candidate of a party. After the answer, one that NATS does not take is told once NATS is back; if
    /// that takes long, the other side hears it when its device comes back.
    pub(crate) async fn add_candidate(
        &self,
        caller: &Caller,
        id: &CallId,
        by: &Party,
        candidate: &str,
        now: DateTime,
    ) -> Result<(), Error> {
        let calls = self.store.calls();
        let mut call = calls.get(id).await?.ok_or(Error::NotFound)?;
        for _ in 0..ATTEMPTS {
            let role = call.candidate(by)?;
            let most = self.most_candidates(&call, role)?;
            if call.state == State::Ringing {
                let kept =
                    Candidate { socket_id: by.socket_id.clone(), candidate: candidate.to_owned() };
                if calls.keep_candidate(id, role, &kept, most).await? {
                    return Ok(());
                }
            } else if let Some(call) = calls.count_candidate(id, role, candidate, most).await? {
                self.tell(caller, &call, role, candidate, now).await;
                return Ok(());
            }
            call = calls.settled(id).await?.ok_or(Error::NotFound)?;
        }
        Err(Error::Contended)
    }

    /// Returns how many candidates a side may add in all, as long as there are any left.
    fn most_candidates(&self, call: &Call, role: Role) -> Result<u32, Error> {
        let most = match call.state {
            State::Ringing => self.limits.candidates,
            State::Answered | State::Ended => self.limits.candidates_in_all,
        };
        if call.side(role).candidate_count < i64::from(most.get()) {
            Ok(most.get())
        } else {
            Err(Error::TooManyCandidates(most.get()))
        }
    }

    async fn tell(&self, caller: &Caller, call: &Call, role: Role, candidate: &str, now: DateTime) {
        let (own, other) = (call.side(role), call.side(role.other()));
        let bound = other.bound.as_ref().map(|bound| bound.id.clone());
        let added = CandidateAdded {
            call_id: call.id.to_string(),
            user_id: own.user_id.to_string(),
            socket_id: bound.unwrap_or_default(),
            candidate: candidate.to_owned(),
            number: own.candidate_count,
        };
        let event = candidate_added(other.user_id, added, now);
        if let Err(error) = self.publisher.tell(&event, &caller.request_id).await {
            tracing::debug!(call_id = %call.id, %error, "a candidate waits for NATS");
            self.untold.take(event, caller.request_id.clone());
        }
    }
}
