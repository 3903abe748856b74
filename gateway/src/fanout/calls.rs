//! Calls on their way to sockets: in the order of each call, whatever way its events came, and nothing
//! after its end. Candidates are live events, and may overtake the answer, which comes through the stream.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bson::{DateTime, oid::ObjectId};
use chat_kit::{
    id::UserId,
    time::{before, from_timestamp},
};
use chat_proto::v1::{self as pb, event::Payload};
use tokio::time::Instant;

use super::{Fanout, SETTLED_AFTER};
use crate::{
    metrics::Cut,
    socket::{Peer, hold_for_call},
    wire::event::{CallNews, News},
};

/// How long a candidate waits for the answer of its call. A gateway that started after the answer never
/// hears it.
const HOLD: Duration = Duration::from_secs(2);
/// Calls that are remembered; the longest known go.
const MOST: usize = 20_000;
/// Candidates of all calls together that wait; more are emitted at once.
const MOST_HELD: usize = 2000;

/// How far the calls are of which sockets here have heard.
#[derive(Default)]
pub(super) struct Steps {
    known: HashMap<Box<str>, Known>,
    order: VecDeque<Box<str>>,
    /// Calls with candidates that wait, in the order in which the waiting ends.
    waits: VecDeque<(Instant, Box<str>)>,
    held: usize,
}

#[derive(Default)]
struct Known {
    /// Whether the caller has been told that it rings.
    has_rung: bool,
    is_answered: bool,
    is_over: bool,
    held: Vec<Held>,
}

/// A candidate that waits, and who hears it.
struct Held {
    added: pb::CandidateAdded,
    recipients: Arc<[UserId]>,
}

/// What is to be told before a step of a call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Before {
    /// The caller has not been told yet that it rings.
    ringing: bool,
}

/// The sockets of both sides.
struct Sides {
    caller: Vec<Peer>,
    callee: Vec<Peer>,
}

impl Steps {
    /// Returns when the next candidates have waited long enough.
    pub(super) fn next_wait(&self) -> Option<Instant> {
        self.waits.front().map(|(at, _)| *at)
    }

    fn entry(&mut self, call_id: &str) -> &mut Known {
        if !self.known.contains_key(call_id) {
            if self.order.len() == MOST
                && let Some(oldest) = self.order.pop_front()
                && let Some(known) = self.known.remove(&oldest)
            {
                self.held -= known.held.len();
            }
            self.order.push_back(call_id.into());
        }
        self.known.entry(call_id.into()).or_default()
    }

    /// Notes that a call was placed; says whether that is news.
    fn place(&mut self, call: &pb::Call) -> bool {
        let known = self.entry(&call.id);
        let is_first = !std::mem::replace(&mut known.has_rung, true);
        is_first && !known.is_answered && !known.is_over
    }

    /// Notes the answer; says what comes before it, and nothing where it is no news.
    fn answer(&mut self, call: &pb::Call) -> Option<Before> {
        let known = self.entry(&call.id);
        if known.is_over || std::mem::replace(&mut known.is_answered, true) {
            return None;
        }
        Some(known.before(call))
    }

    /// Notes the end; says what comes before it, and nothing where it is no news.
    fn end(&mut self, call: &pb::Call) -> Option<Before> {
        let known = self.entry(&call.id);
        if std::mem::replace(&mut known.is_over, true) {
            return None;
        }
        let (before, dropped) = (known.before(call), std::mem::take(&mut known.held));
        self.held -= dropped.len();
        Some(before)
    }

    /// Takes a candidate that can be emitted now; one that comes before the answer waits.
    fn admit(&mut self, candidate: Held, now: Instant) -> Option<Held> {
        let (is_full, call_id) = (self.held >= MOST_HELD, candidate.added.call_id.clone());
        let known = self.entry(&call_id);
        if known.is_over {
            return None;
        }
        if known.is_answered || is_full {
            return Some(candidate);
        }
        let is_first = known.held.is_empty();
        known.held.push(candidate);
        self.held += 1;
        if is_first {
            self.waits.push_back((now + HOLD, call_id.into()));
        }
        None
    }

    /// Takes the candidates of an answered call that have waited.
    fn take_held(&mut self, call_id: &str) -> Vec<Held> {
        let held = self.known.get_mut(call_id).map(|known| std::mem::take(&mut known.held));
        let held = held.unwrap_or_default();
        self.held -= held.len();
        held
    }

    /// Takes the candidates that have waited long enough: whatever they waited for was before this
    /// gateway's time.
    fn take_due(&mut self, now: Instant) -> Vec<Held> {
        let mut due = Vec::new();
        while self.waits.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, call_id)) = self.waits.pop_front() else { break };
            let held = self.take_held(&call_id);
            if !held.is_empty() {
                self.entry(&call_id).is_answered = true;
                due.extend(held);
            }
        }
        due
    }
}

impl Known {
    /// Of a call that is not new, whoever is to hear that it rings has heard it.
    fn before(&mut self, call: &pb::Call) -> Before {
        let has_rung = std::mem::replace(&mut self.has_rung, true);
        let placed_at = call.placed_at.as_ref().map(from_timestamp);
        let is_new = placed_at.is_some_and(|at| at > before(DateTime::now(), SETTLED_AFTER));
        Before { ringing: !has_rung && is_new }
    }
}

impl Fanout {
    /// Tells the sockets concerned of an event of a call; says whether it is one.
    pub(super) fn tell_call(&mut self, payload: &Payload, recipients: &Arc<[UserId]>) -> bool {
        match payload {
            Payload::CallPlaced(pb::CallPlaced { call: Some(call), sdp, .. }) => {
                if self.steps.place(call) {
                    let Sides { caller, callee } = self.sides(call, recipients);
                    tell(&callee, News::Incoming(call, sdp));
                    tell(&caller, News::Ringing(call));
                }
            }
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
        for held in self.steps.take_due(Instant::now()) {
            self.tell_candidate(&held);
        }
    }

    fn sides(&self, call: &pb::Call, recipients: &[UserId]) -> Sides {
        let caller_id = call.caller_id.parse().ok();
        let peers = self.sockets.of(recipients).into_iter();
        let (calling, called) = peers.partition(|peer| Some(peer.identity().user_id) == caller_id);
        Sides { caller: calling, callee: called }
    }

    fn tell_answer(&mut self, answered: &pb::CallAnswered, recipients: &[UserId]) {
        let Some(call) = &answered.call else { return };
        let Some(before) = self.steps.answer(call) else { return };
        let held = self.steps.take_held(&call.id);
        let Sides { caller, callee } = self.sides(call, recipients);
        let answering = ObjectId::parse_str(&answered.socket_id).ok();
        let (answering, others): (Vec<Peer>, Vec<Peer>) =
            callee.into_iter().partition(|peer| Some(peer.origin_id()) == answering);
        let call_id = &call.id;
        if before.ringing {
            tell(&caller, News::Ringing(call));
        }
        tell(&caller, News::Answer(call, &answered.sdp));
        tell(&others, News::AnsweredElsewhere { call_id });
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
            hold_for_call(&self.state, peer, call_id);
        }
    }

    fn tell_end(&mut self, call: &pb::Call, recipients: &[UserId], news: News<'_>) {
        self.state.calls.release(&call.id);
        let Some(before) = self.steps.end(call) else { return };
        let Sides { caller, callee } = self.sides(call, recipients);
        if before.ringing {
            tell(&caller, News::Ringing(call));
        }
        tell(&caller, news);
        tell(&callee, news);
    }

    /// Tells the bound socket of the other side, and those that stand by, if they are here.
    fn tell_candidate(&self, held: &Held) {
        let pb::CandidateAdded { call_id, user_id, socket_id, candidate, .. } = &held.added;
        let bound = ObjectId::parse_str(socket_id).ok();
        let mut peers = self.sockets.of(&held.recipients);
        peers.retain(|peer| {
            let id = peer.origin_id();
            bound.is_none() || bound == Some(id) || self.state.calls.holds(id, call_id)
        });
        tell(&peers, News::Candidate { call_id, user_id, candidate });
    }
}

fn tell(peers: &[Peer], news: News<'_>) {
    let news = CallNews::new(news);
    for peer in peers {
        match news.frame(peer.dialect()) {
            Ok((name, body)) => peer.emit(name, body),
            Err(error) => {
                tracing::error!(%error, "news of a call cannot be encoded, cutting a socket");
                peer.cut(Cut::OrderLost);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_kit::time::to_timestamp;

    use super::*;

    fn call(id: &str) -> pb::Call {
        let placed_at = Some(to_timestamp(DateTime::now()));
        pb::Call { id: id.to_owned(), placed_at, ..Default::default() }
    }

    fn candidate(call_id: &str, number: i64) -> Held {
        let added =
            pb::CandidateAdded { call_id: call_id.to_owned(), number, ..Default::default() };
        Held { added, recipients: Arc::default() }
    }

    fn numbers(held: impl IntoIterator<Item = Held>) -> Vec<i64> {
        held.into_iter().map(|held| held.added.number).collect()
    }

    #[test]
    fn steps_of_a_call_are_told_once_and_in_order() {
        let (mut steps, call) = (Steps::default(), call("a"));
        assert!(steps.place(&call));
        assert!(!steps.place(&call), "again");
        assert_eq!(steps.answer(&call), Some(Before { ringing: false }));
        assert_eq!(steps.answer(&call), None, "again");
        assert_eq!(steps.end(&call), Some(Before { ringing: false }));
        assert_eq!(steps.end(&call), None, "again");
        assert_eq!(steps.answer(&call), None, "after the end");
    }

    #[test]
    fn what_overtakes_the_beginning_brings_the_ringing_and_ends_it() {
        let (mut steps, one, other) = (Steps::default(), call("a"), call("b"));
        assert_eq!(steps.answer(&one), Some(Before { ringing: true }));
        assert!(!steps.place(&one), "nobody is to ring for what is answered");
        assert_eq!(steps.end(&other), Some(Before { ringing: true }));
        assert!(!steps.place(&other), "nor for what is over");
        let old = before(DateTime::now(), 2 * SETTLED_AFTER);
        let old = pb::Call { placed_at: Some(to_timestamp(old)), ..call("c") };
        assert_eq!(steps.end(&old), Some(Before { ringing: false }), "it rang before our time");
    }

    #[test]
    fn candidate_waits_for_the_answer() {
        let (mut steps, call, now) = (Steps::default(), call("a"), Instant::now());
        steps.place(&call);
        for number in [1, 2] {
            assert!(steps.admit(candidate("a", number), now).is_none());
        }
        assert_eq!(steps.next_wait(), Some(now + HOLD));
        steps.answer(&call).expect("news");
        assert_eq!(numbers(steps.take_held("a")), [1, 2]);
        assert_eq!(numbers(steps.admit(candidate("a", 3), now)), [3]);
        assert!(steps.take_due(now + HOLD).is_empty(), "it was answered in time");
        assert_eq!((steps.held, steps.next_wait()), (0, None));
        steps.end(&call);
        assert!(steps.admit(candidate("a", 4), now).is_none(), "after the end");
    }

    #[test]
    fn candidate_of_a_call_that_was_answered_before_our_time_waits_once() {
        let (mut steps, now) = (Steps::default(), Instant::now());
        assert!(steps.admit(candidate("a", 5), now).is_none());
        assert!(steps.take_due(now).is_empty());
        assert_eq!(numbers(steps.take_due(now + HOLD)), [5]);
        assert_eq!(numbers(steps.admit(candidate("a", 6), now)), [6]);
        assert_eq!(steps.held, 0);
    }

    #[test]
    fn end_drops_what_waits() {
        let (mut steps, call, now) = (Steps::default(), call("a"), Instant::now());
        assert!(steps.admit(candidate("a", 1), now).is_none());
        steps.end(&call);
        assert!(steps.take_due(now + HOLD).is_empty());
        assert_eq!(steps.held, 0);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let (mut steps, now) = (Steps::default(), Instant::now());
        for number in 0..MOST_HELD {
            assert!(steps.admit(candidate(&(number % 7).to_string(), 1), now).is_none());
        }
        assert_eq!(numbers(steps.admit(candidate("0", 9), now)), [9]);
    }

    #[test]
    fn longest_known_call_goes() {
        let (mut steps, now) = (Steps::default(), Instant::now());
        assert!(steps.admit(candidate("first", 1), now).is_none());
        for id in 0..MOST {
            assert!(steps.place(&call(&id.to_string())));
        }
        assert_eq!((steps.known.len(), steps.order.len(), steps.held), (MOST, MOST, 0));
        assert!(steps.take_due(now + HOLD).is_empty());
    }
}
