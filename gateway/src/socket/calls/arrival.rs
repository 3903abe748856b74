//! A new socket is offered to the calls: it may be the one by which a device comes back to its call. The
//! answer says, too, what the device has missed.

use std::{slice, sync::Arc, time::Duration};

use chat_proto::v1 as pb;
use tokio::{sync::OnceCell, time::timeout};
use tonic::Status;

use super::{super::Peer, hold, note_rung, own_caller};
use crate::{
    error::ApiError,
    state::AppState,
    wire::{Dialect, event::News},
};

/// How long news of calls wait for the first offer.
const OFFER_TIMEOUT: Duration = Duration::from_secs(2);
/// Pauses before a new socket is offered again; the last one goes on.
const OFFER_PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(5),
];

/// Whether a new socket has been offered to the calls; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Arrival(Arc<OnceCell<()>>);

impl Arrival {
    /// Offers the socket to the call that a lost one of its session was bound to, and tells it what it has
    /// missed. Whoever comes second waits for the first.
    pub async fn offer(&self, state: &AppState, peer: &Peer) {
        let offer = || async {
            let attached = match timeout(OFFER_TIMEOUT, attach(state, peer)).await {
                Ok(attached) => attached,
                Err(_) => Err(Status::deadline_exceeded("the call service takes too long")),
            };
            match attached {
                Ok(attached) => tell(state, peer, &attached),
                Err(status) => {
                    open(state, peer, &[], None);
                    if is_worth_another(peer, &status) {
                        tokio::spawn(attach_later(state.clone(), peer.clone()));
                    }
                }
            }
        };
        self.0.get_or_init(offer).await;
    }
}

/// One call for every new socket: this gateway cannot know of calls that were placed before it started.
async fn attach(state: &AppState, peer: &Peer) -> Result<pb::AttachSocketResponse, Status> {
    if peer.is_closed() {
        return Ok(pb::AttachSocketResponse::default());
    }
    let request = pb::AttachSocketRequest {
        socket_id: peer.origin_id().to_hex(),
        // The others take whatever rings for another call.
        may_repeat: peer.dialect() == Dialect::Unified,
    };
    let request = own_caller(peer).request(request);
    let attached = state.clients.call.clone().attach_socket(request).await?.into_inner();
    if let Some(call) = &attached.call {
        tracing::debug!(call_id = call.id, user_id = %peer.identity().user_id, "socket takes over");
        hold(state, peer, &call.id);
    }
    Ok(attached)
}

/// Offers a socket again and again until that is answered, or the socket is gone.
async fn attach_later(state: AppState, peer: Peer) {
    let pauses = OFFER_PAUSES.into_iter().chain(std::iter::repeat(OFFER_PAUSES[3]));
    for pause in pauses {
        tokio::time::sleep(pause).await;
        if peer.is_closed() {
            return;
        }
        // Not all at once where many have come while the service was away. The semaphore is never closed.
        let Ok(_place) = state.calls.offers().acquire_owned().await else { return };
        match attach(&state, &peer).await {
            Ok(attached) => return tell(&state, &peer, &attached),
            Err(status) if is_worth_another(&peer, &status) => {}
            Err(_) => return,
        }
    }
}

/// Says whether a socket whose offer failed is to be offered again.
fn is_worth_another(peer: &Peer, status: &Status) -> bool {
    let (code, message, user_id) = (status.code(), status.message(), peer.identity().user_id);
    tracing::warn!(?code, message, %user_id, "a new socket is not offered to its call");
    ApiError::from(status.clone()).may_pass()
}

/// Tells a socket what its device has missed; what came meanwhile follows.
fn tell(state: &AppState, peer: &Peer, attached: &pb::AttachSocketResponse) {
    let needed_by = attached.call.as_ref().map(|call| call.id.as_str());
    let user_id = peer.identity().user_id.to_string();
    open(state, peer, &missed(attached, &user_id), needed_by);
}

/// Opens the line of a socket, and says which calls have rung on it only now.
fn open(state: &AppState, peer: &Peer, missed: &[News<'_>], needed_by: Option<&str>) {
    for call_id in peer.line().open(peer, missed, needed_by) {
        note_rung(state, &call_id, slice::from_ref(peer));
    }
}

/// Returns what a user has missed.
fn missed<'a>(attached: &'a pb::AttachSocketResponse, user_id: &str) -> Vec<News<'a>> {
    let Some(pb::MissedCall { call: Some(call), sdp, candidates, by }) = &attached.missed else {
        // Whether the caller has heard the call's id is not known, and he cannot hang up without.
        let rings =
            |call: &&pb::Call| call.state() == pb::CallState::Ringing && call.caller_id == user_id;
        return attached.call.as_ref().filter(rings).map(News::Ringing).into_iter().collect();
    };
    let call_id = &call.id;
    match call.state() {
        pb::CallState::Ringing => vec![News::Incoming(call, sdp)],
        pb::CallState::Ended if call.end_reason() == pb::CallEndReason::Declined => {
            vec![News::Declined { call_id, user_id: by }]
        }
        pb::CallState::Ended => vec![News::Ended { call_id, by }],
        pb::CallState::Answered if attached.call.is_none() => vec![News::AnsweredElsewhere(call)],
        pb::CallState::Answered | pb::CallState::Unspecified => {
            let is_caller = call.caller_id == user_id;
            let other = if is_caller { &call.callee_id } else { &call.caller_id };
            let answer = (is_caller && !sdp.is_empty()).then_some(News::Answer(call, sdp));
            let candidates = candidates.iter().map(|candidate| News::Candidate {
                call_id,
                user_id: other,
                candidate,
            });
            answer.into_iter().chain(candidates).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(state: pb::CallState) -> pb::Call {
        pb::Call {
            id: "c".to_owned(),
            caller_id: "ada".to_owned(),
            callee_id: "bob".to_owned(),
            state: state.into(),
            ..Default::default()
        }
    }

    /// Names what a user hears of a call that his socket is needed by, or not.
    fn names(missed_call: pb::MissedCall, user_id: &str, is_needed: bool) -> Vec<String> {
        let call = missed_call.call.clone().filter(|_| is_needed);
        let attached = pb::AttachSocketResponse { call, missed: Some(missed_call) };
        let named = |news: &News<'_>| match news {
            News::Incoming(_, sdp) => format!("incoming {sdp}"),
            News::Answer(_, sdp) => format!("answer {sdp}"),
            News::Candidate { user_id, candidate, .. } => format!("{candidate} of {user_id}"),
            News::AnsweredElsewhere(_) => "elsewhere".to_owned(),
            News::Declined { user_id, .. } => format!("declined by {user_id}"),
            News::Ended { by, .. } => format!("ended by {by}"),
            News::Ringing(_) => "ringing".to_owned(),
        };
        missed(&attached, user_id).iter().map(named).collect()
    }

    #[test]
    fn what_was_missed_is_told_in_its_order() {
        use pb::CallState::{Answered, Ended, Ringing};
        let of = |call, sdp: &str, by: &str| {
            let candidates = vec!["one".to_owned(), "two".to_owned()];
            pb::MissedCall { call: Some(call), sdp: sdp.to_owned(), candidates, by: by.to_owned() }
        };
        assert_eq!(names(of(call(Ringing), "offer", ""), "bob", false), ["incoming offer"]);
        let heard = names(of(call(Answered), "answer", ""), "ada", true);
        assert_eq!(heard, ["answer answer", "one of bob", "two of bob"]);
        let heard = names(of(call(Answered), "", ""), "ada", true);
        assert_eq!(heard, ["one of bob", "two of bob"], "he has heard the answer");
        let heard = names(of(call(Answered), "", ""), "bob", true);
        assert_eq!(heard, ["one of ada", "two of ada"]);
        assert_eq!(names(of(call(Answered), "", ""), "bob", false), ["elsewhere"]);
        assert_eq!(names(of(call(Ended), "", "timeout"), "bob", false), ["ended by timeout"]);
        let reason = pb::CallEndReason::Declined.into();
        let declined = pb::Call { end_reason: reason, ..call(Ended) };
        assert_eq!(names(of(declined, "", "bob"), "ada", false), ["declined by bob"]);
    }

    #[test]
    fn caller_who_comes_back_hears_that_it_rings() {
        let ringing =
            pb::AttachSocketResponse { call: Some(call(pb::CallState::Ringing)), missed: None };
        assert!(matches!(missed(&ringing, "ada")[..], [News::Ringing(_)]));
        assert!(missed(&ringing, "bob").is_empty());
        let call = Some(call(pb::CallState::Answered));
        assert!(missed(&pb::AttachSocketResponse { call, missed: None }, "ada").is_empty());
    }
}
