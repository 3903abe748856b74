//! What devices have missed of calls while none of their sockets was there.

use bson::DateTime;
use chat_proto::v1 as pb;

use crate::{
    Service,
    announce::ended_by,
    error::Error,
    state::{Call, Missed, Party, Role},
};

impl Service {
    /// Returns what a party has missed of a call that has taken note of his new socket.
    pub(crate) async fn missed(
        &self,
        call: &Call,
        by: &Party,
        may_repeat: bool,
        now: DateTime,
    ) -> Result<Option<pb::MissedCall>, Error> {
        let Some(missed) = call.missed(by, may_repeat, now) else { return Ok(None) };
        let calls = self.store.calls();
        match missed {
            Missed::End => return Ok(Some(end(call.clone()))),
            Missed::Elsewhere => {
                let call = Some(call.clone().into());
                return Ok(Some(pb::MissedCall { call, ..pb::MissedCall::default() }));
            }
            Missed::Ring if !may_repeat && !calls.ring_on(&call.id, by).await? => return Ok(None),
            Missed::Ring | Missed::Answer | Missed::Candidates => {}
        }
        let role = call.role(by.user_id)?;
        // What has become of it meanwhile is announced to the socket, which is there.
        let whole = calls.whole(&call.id).await?.filter(|whole| whole.state == call.state);
        Ok(whole.and_then(|whole| signals(whole, role.other(), missed)))
    }

    /// Returns what a user has missed of calls who is in none: that the newest is over.
    pub(crate) async fn missed_end(
        &self,
        by: &Party,
        now: DateTime,
    ) -> Result<Option<pb::MissedCall>, Error> {
        let newest = self.store.calls().page(by.user_id, None, 1).await?.pop();
        let newest = newest.filter(|call| call.missed(by, false, now) == Some(Missed::End));
        Ok(newest.map(end))
    }
}

fn end(call: Call) -> pb::MissedCall {
    let by = ended_by(&call);
    pb::MissedCall { call: Some(call.into()), by, ..pb::MissedCall::default() }
}

/// Returns what the other side of a call has said, as far as it was missed.
fn signals(mut call: Call, other: Role, missed: Missed) -> Option<pb::MissedCall> {
    let sdp = match missed {
        Missed::Ring => call.offer.take(),
        Missed::Answer => call.answer.take(),
        Missed::Candidates | Missed::Elsewhere | Missed::End => None,
    };
    let side = match other {
        Role::Caller => &mut call.caller,
        Role::Callee => &mut call.callee,
    };
    let mut candidates = Vec::new();
    if missed != Missed::Ring {
        candidates.extend(side.candidates.drain(..).map(|early| early.candidate));
        candidates.append(&mut side.late);
    }
    if sdp.is_none() && candidates.is_empty() {
        return None;
    }
    let sdp = sdp.unwrap_or_default();
    Some(pb::MissedCall { call: Some(call.into()), sdp, candidates, by: String::new() })
}
