//! How far calls are: each step is news once, and what overtakes another waits for it. Nothing is emitted here.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bson::DateTime;
use chat_kit::{
    id::UserId,
    time::{before, from_timestamp},
};
use chat_proto::v1 as pb;
use tokio::time::Instant;

use crate::fanout::SETTLED_AFTER;

/// How long a candidate waits for the answer of its call. A gateway that started after the answer never
/// hears it.
const HOLD: Duration = Duration::from_secs(2);
/// How long it waits where the answer is certainly still to be heard. Its announcement may come that late
/// where the process that took the answer has died, or was cut off.
const LONGEST_HOLD: Duration = Duration::from_secs(30);
/// Calls that are remembered; the longest known go.
const MOST: usize = 20_000;
/// Candidates of all calls together that wait; more are emitted at once.
const MOST_HELD: usize = 2000;
/// Calls that wait to ring; more ring at once.
const MOST_LATE: usize = 200;

/// How far the calls are of which sockets here have heard.
#[derive(Default)]
pub(in crate::fanout) struct Steps {
    known: HashMap<Box<str>, Known>,
    order: VecDeque<Box<str>>,
    /// Calls with candidates that wait, in the order in which the waiting ends.
    waits: VecDeque<(Instant, Box<str>)>,
    held: usize,
    /// Calls that ring once it is known whether they still do.
    late: Vec<Late>,
}

#[derive(Default)]
struct Known {
    /// Whether the caller has been told that it rings.
    has_rung: bool,
    /// Whether its beginning was heard of and all since then: what follows will be heard, too.
    has_begun: bool,
    progress: Progress,
    /// Since when candidates wait.
    held_since: Option<Instant>,
    held: Vec<Held>,
}

/// How far a call is known to be.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    #[default]
    Unanswered,
    /// Candidates wait no longer, though no answer was heard.
    LetsThrough,
    Answered,
    Over,
}

/// A candidate that waits, and who hears it.
pub(super) struct Held {
    pub(super) added: pb::CandidateAdded,
    pub(super) recipients: Arc<[UserId]>,
}

/// A call that waits to ring, and who hears it.
pub(super) struct Late {
    pub(super) placed: pb::CallPlaced,
    pub(super) recipients: Arc<[UserId]>,
}

/// What is to be told before a step of a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// The caller has not been told yet that it rings.
    pub(super) ringing: bool,
}

impl Steps {
    /// Returns when the next candidates have waited long enough.
    pub(in crate::fanout) fn next_wait(&self) -> Option<Instant> {
        self.waits.front().map(|(at, _)| *at)
    }

    /// Takes note that events are lost: what was begun may go on unheard.
    pub(in crate::fanout) fn doubt(&mut self) {
        self.late.clear();
        for known in self.known.values_mut() {
            known.has_begun = false;
        }
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

    /// Notes that a call was placed; says whether that is news. Of one that rings no more, it is none.
    pub(super) fn place(&mut self, call: &pb::Call, rings_until: DateTime, now: DateTime) -> bool {
        let known = self.entry(&call.id);
        if rings_until <= now {
            return false;
        }
        known.has_begun = true;
        let is_first = !std::mem::replace(&mut known.has_rung, true);
        is_first && known.progress < Progress::Answered
    }

    /// Lets a call wait until [`Steps::take_late`]; gives it back where too many do.
    pub(super) fn ring_later(&mut self, late: Late) -> Option<Late> {
        if self.late.len() >= MOST_LATE {
            return Some(late);
        }
        self.late.push(late);
        None
    }

    /// Takes the calls that have waited to ring and still do.
    pub(super) fn take_late(&mut self, now: DateTime) -> Vec<Late> {
        let mut late = std::mem::take(&mut self.late);
        late.retain(|Late { placed, .. }| {
            let id = placed.call.as_ref().map(|call| call.id.as_str()).unwrap_or_default();
            let goes_on = |known: &Known| known.progress >= Progress::Answered;
            rings_until(placed) > now && !self.known.get(id).is_some_and(goes_on)
        });
        late
    }

    /// Notes the answer; says what comes before it, and nothing where it is no news.
    pub(super) fn answer(&mut self, call: &pb::Call) -> Option<Before> {
        let known = self.entry(&call.id);
        if known.progress >= Progress::Answered {
            return None;
        }
        known.progress = Progress::Answered;
        Some(known.before(call))
    }

    /// Notes the end; says what comes before it, and nothing where it is no news.
    pub(super) fn end(&mut self, call: &pb::Call) -> Option<Before> {
        let known = self.entry(&call.id);
        if std::mem::replace(&mut known.progress, Progress::Over) == Progress::Over {
            return None;
        }
        let (before, dropped) = (known.before(call), std::mem::take(&mut known.held));
        self.held -= dropped.len();
        Some(before)
    }

    /// Takes a candidate that can be emitted now; one that comes before the answer waits.
    pub(super) fn admit(&mut self, candidate: Held, now: Instant) -> Option<Held> {
        let (is_full, call_id) = (self.held >= MOST_HELD, candidate.added.call_id.clone());
        let known = self.entry(&call_id);
        if known.progress == Progress::Over {
            return None;
        }
        if known.progress >= Progress::LetsThrough || is_full {
            return Some(candidate);
        }
        let is_first = known.held.is_empty();
        known.held.push(candidate);
        if is_first {
            known.held_since = Some(now);
        }
        self.held += 1;
        if is_first {
            self.waits.push_back((now + HOLD, call_id.into()));
        }
        None
    }

    /// Takes the candidates of an answered call that have waited.
    pub(super) fn take_held(&mut self, call_id: &str) -> Vec<Held> {
        let held = self.known.get_mut(call_id).map(|known| std::mem::take(&mut known.held));
        let held = held.unwrap_or_default();
        self.held -= held.len();
        held
    }

    /// Takes the candidates that have waited long enough: whatever they waited for was before this
    /// gateway's time. Where it was not, or may still be read from the stream, they wait on.
    pub(super) fn take_due(&mut self, is_replaying: bool, now: Instant) -> Vec<Held> {
        let mut due = Vec::new();
        while self.waits.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, call_id)) = self.waits.pop_front() else { break };
            let Some(known) = self.known.get_mut(&call_id).filter(|known| !known.held.is_empty())
            else {
                continue;
            };
            let is_long = known.held_since.is_none_or(|since| since + LONGEST_HOLD <= now);
            if !is_long && (known.has_begun || is_replaying) {
                self.waits.push_back((now + HOLD, call_id));
            } else {
                known.progress = Progress::LetsThrough;
                due.extend(self.take_held(&call_id));
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

/// Returns when a call stops ringing; never, where an older service does not say.
pub(super) fn rings_until(placed: &pb::CallPlaced) -> DateTime {
    placed.rings_until.as_ref().map_or(DateTime::MAX, from_timestamp)
}

#[cfg(test)]
mod tests;
