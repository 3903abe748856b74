//! Calls on their way to sockets: in the order of each call, whatever way its events came, and nothing
//! after its end. Candidates are live events, and may overtake the answer, which comes through the stream.

mod steps;

use std::sync::Arc;

use bson::{DateTime, oid::ObjectId};
use chat_kit::id::UserId;
use chat_proto::v1::{self as pb, event::Payload};
use tokio::time::Instant;

pub(super) use self::steps::Steps;
use self::steps::{Held, Late, rings_until};
use super::Fanout;
use crate::{
    socket::{Peer, came_after_answer, hold_for_call_if_free, note_rung},
    wire::event::{CallNews, News},
};

/// The sockets of both sides.
struct Sides {
    caller: Vec<Peer>,
    callee: Vec<Peer>,
}

impl Fanout {
    /// Tells the sockets concerned of an event of a call; says whether it is one.
    pub(super) fn tell_call(&mut self, payload: &Payload, recipients: &Arc<[UserId]>) -> bool {
        match payload {
            Payload::CallPlaced(placed) => self.tell_placed(placed, recipients),
            Payload::CallAnswered(answered) => self.tell_answer(answered, recipients),
            Payload::CallDeclined(pb::CallDeclined { call: Some(call), user_id }) => {
                self.tell_end(call, recipients, News::Declined { call_id: &call.id, user_id });
            }
            Payload::CallEnded(pb::CallEnded { call: Some(call), by }) => {
                self.tell_end(call, recipients, News::Ended { call_id: &call.id, by });
            }
            Payload::CandidateAdded(added) => {
                let held = Held { added: added.clone(), recipients: Arc::clone(recipients) };
                if self.sockets.has_any(recipients)
                    && let Some(ready) = self.steps.admit(held, Instant::now())
                {
                    self.tell_candidate(&ready);
                }
            }
            _ => return false,
        }
        true
    }

    /// Emits the candidates that have waited long enough.
    pub(super) fn end_holds(&mut self) {
        let is_replaying = self.settled.is_replaying();
        for held in self.steps.take_due(is_replaying, Instant::now()) {
            self.tell_candidate(&held);
        }
    }

    /// Lets the calls ring that have waited for the end of a replay, unless another is due.
    pub(super) fn end_replay_of_calls(&mut self) {
        if self.settled.is_replaying() {
            return;
        }
        for Late { placed, recipients } in self.steps.take_late(DateTime::now()) {
            let Some(call) = &placed.call else { continue };
            self.ring(call, &placed.sdp, &self.sides(call, &recipients).callee);
        }
    }

    fn sides(&self, call: &pb::Call, recipients: &[UserId]) -> Sides {
        let caller_id = call.caller_id.parse().ok();
        let peers = self.sockets.of(recipients).into_iter();
        let (calling, called) = peers.partition(|peer| Some(peer.identity().user_id) == caller_id);
        Sides { caller: calling, callee: called }
    }

    fn tell_placed(&mut self, placed: &pb::CallPlaced, recipients: &Arc<[UserId]>) {
        let Some(call) = &placed.call else { return };
        if !self.steps.place(call, rings_until(placed), DateTime::now()) {
            return;
        }
        let Sides { caller, callee } = self.sides(call, recipients);
        let placing = ObjectId::parse_str(&placed.socket_id).ok();
        self.tell_ringing(&caller, call, placing);
        // The answer to the call that placed it may be lost on its way.
        if let Some(peer) = caller.iter().find(|peer| Some(peer.origin_id()) == placing) {
            hold_for_call_if_free(&self.state, peer, &call.id);
        }
        if callee.is_empty() {
            return;
        }
        // What is read again may be over since: a call that rings and ends in the same moment rings on, on
        // devices that hear of the end before they are ready to.
        if self.settled.is_replaying() {
            let late = Late { placed: placed.clone(), recipients: Arc::clone(recipients) };
            if self.steps.ring_later(late).is_none() {
                return;
            }
        }
        self.ring(call, &placed.sdp, &callee);
    }

    /// Tells the caller that it rings.
    fn tell_ringing(&self, caller: &[Peer], call: &pb::Call, placing: Option<ObjectId>) {
        for peer in caller {
            let id = peer.origin_id();
            if Some(id) == placing || self.state.calls.holds(id, &call.id) {
                peer.line().goes_on_with(peer, &call.id);
            }
        }
        tell(caller, News::Ringing(call));
    }

    fn ring(&self, call: &pb::Call, sdp: &str, callee: &[Peer]) {
        tell(callee, News::Incoming(call, sdp));
        note_rung(&self.state, &call.id, callee);
    }

    fn tell_answer(&mut self, answered: &pb::CallAnswered, recipients: &[UserId]) {
        let Some(call) = &answered.call else { return };
        let Some(before) = self.steps.answer(call) else { return };
        let held = self.steps.take_held(&call.id);
        let Sides { caller, callee } = self.sides(call, recipients);
        let answering = ObjectId::parse_str(&answered.socket_id).ok();
        let call_id = &call.id;
        // The answering socket, or one that has come in its place: that device goes on. One of the same
        // session that was there before is another window.
        let (answering, others): (Vec<Peer>, Vec<Peer>) = callee.into_iter().partition(|peer| {
            let id = peer.origin_id();
            let is_its_place = self.state.calls.holds(id, call_id) && came_after_answer(peer, call);
            Some(id) == answering || is_its_place
        });
        if before.ringing {
            self.tell_ringing(&caller, call, None);
        }
        tell(&caller, News::Answer(call, &answered.sdp));
        tell(&others, News::AnsweredElsewhere(call));
        for candidate in &answered.callee_candidates {
            tell(&caller, News::Candidate { call_id, user_id: &call.callee_id, candidate });
        }
        for candidate in &answered.caller_candidates {
            tell(&answering, News::Candidate { call_id, user_id: &call.caller_id, candidate });
        }
        for held in &held {
            self.tell_candidate(held);
        }
        // The answer to the call that took it may be lost on its way.
        for peer in &answering {
            hold_for_call_if_free(&self.state, peer, call_id);
        }
    }

    fn tell_end(&mut self, call: &pb::Call, recipients: &[UserId], news: News<'_>) {
        self.state.calls.release(&call.id);
        let Some(before) = self.steps.end(call) else { return };
        let Sides { caller, callee } = self.sides(call, recipients);
        if before.ringing {
            self.tell_ringing(&caller, call, None);
        }
        tell(&caller, news);
        tell(&callee, news);
    }

    /// Tells the bound socket of the other side, and those that stand by, if they are here. One of which
    /// that is not known yet hears it as soon as it is.
    fn tell_candidate(&self, held: &Held) {
        let pb::CandidateAdded { call_id, user_id, socket_id, candidate, .. } = &held.added;
        let bound = ObjectId::parse_str(socket_id).ok();
        let mut peers = self.sockets.of(&held.recipients);
        peers.retain(|peer| {
            let id = peer.origin_id();
            bound.is_none()
                || bound == Some(id)
                || self.state.calls.holds(id, call_id)
                || peer.line().is_waiting()
        });
        tell(&peers, News::Candidate { call_id, user_id, candidate });
    }
}

fn tell(peers: &[Peer], news: News<'_>) {
    let news = CallNews::new(news);
    for peer in peers {
        peer.line().tell(peer, &news);
    }
}
