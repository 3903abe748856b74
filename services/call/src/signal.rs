//! Candidates: kept until the answer; told at once after it, and kept for a device that is away.

use bson::DateTime;
use chat_kit::caller::Caller;
use chat_proto::v1::CandidateAdded;

use crate::{
    Service,
    announce::candidate_added,
    error::Error,
    state::{Call, CallId, Candidate, Party, Role, State},
};

/// How often a candidate is tried while its call changes: it is answered once, and ends once.
const ATTEMPTS: usize = 3;

impl Service {
    /// Takes a candidate of a party. After the answer, one that NATS does not take is heard by the other side
    /// once it comes back alone.
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
            tracing::warn!(call_id = %call.id, %error, "a candidate is not told");
        }
    }
}
