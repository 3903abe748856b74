//! What one socket hears of calls: nothing until it is known what it has missed, then that, then what came
//! meanwhile. Each step of a call once, whatever way it comes.
//!
//! Each call is announced by itself: the end of one may come after the next one has begun. Old clients then
//! end whatever they show. They hear of the end before, as nobody is in two calls, and not again.

use std::collections::VecDeque;

use bson::DateTime;
use chat_kit::time::{before, from_timestamp};
use chat_proto::v1 as pb;
use parking_lot::Mutex;
use serde_json::value::RawValue;

use super::{super::Peer, hang_up::Repeating};
use crate::{
    metrics::Cut,
    wire::{
        Dialect,
        event::{CallNews, News},
    },
};

/// News that may wait; one more cuts the socket.
const MOST_WAITING: usize = 128;
/// Calls of which it is known what was told; nobody is in two, so that those before are long over.
const MOST_KNOWN: usize = 4;
/// Who ended a call of which that is known by the beginning of another alone.
const BY: &str = "disconnect";

/// The line between calls and one socket.
#[derive(Debug, Default)]
pub struct Line {
    heard: Mutex<Heard>,
    repeating: Repeating,
}

/// What was told, and what waits.
#[derive(Debug)]
struct Heard {
    /// Nothing once the line is open.
    waiting: Option<Vec<Waiting>>,
    /// The newest last.
    told: VecDeque<Known>,
}

/// A call that a socket knows.
#[derive(Debug)]
struct Known {
    call_id: String,
    /// Absent where no news said when.
    placed_at: Option<DateTime>,
    stage: Stage,
}

/// News that are encoded.
#[derive(Clone, Debug)]
struct Waiting {
    call_id: String,
    /// When the call was placed; absent where the news do not say.
    placed_at: Option<DateTime>,
    step: Step,
    /// Whether somebody rings.
    is_incoming: bool,
    name: &'static str,
    body: Box<RawValue>,
}

/// How far a socket knows a call to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Placed,
    Answered,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// One that is told once, as are those before it.
    To(Stage),
    /// An answer on another device, or on a socket in whose place this one has come.
    Elsewhere,
    /// One more candidate: told again, it does no harm.
    Candidate,
}

impl Step {
    fn of(news: News<'_>, peer: &Peer) -> Self {
        match news {
            News::Incoming(..) | News::Ringing(_) => Self::To(Stage::Placed),
            News::AnsweredElsewhere(call) if came_after_answer(peer, call) => Self::Elsewhere,
            News::Answer(..) | News::AnsweredElsewhere(_) => Self::To(Stage::Answered),
            News::Candidate { .. } => Self::Candidate,
            News::Declined { .. } | News::Ended { .. } => Self::To(Stage::Over),
        }
    }
}

impl Default for Heard {
    fn default() -> Self {
        Self { waiting: Some(Vec::new()), told: VecDeque::new() }
    }
}

impl Line {
    /// Says whether news wait for what the socket has missed.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.heard.lock().waiting.is_some()
    }

    /// Returns whether the socket's hang-up is being repeated.
    pub(super) fn repeating(&self) -> &Repeating {
        &self.repeating
    }

    /// Tells the socket of this line, at once or as soon as it is open.
    pub fn tell(&self, peer: &Peer, news: &CallNews<'_>) {
        let Some((name, body)) = encoded(peer, news) else { return };
        let mut heard = self.heard.lock();
        match &mut heard.waiting {
            None => {
                let (call_id, placed_at) = (news.news().call_id(), placed_at(news.news()));
                let step = Step::of(news.news(), peer);
                if let Some(over) = heard.admit(call_id, placed_at, step, peer.dialect()) {
                    end(peer, &over);
                    peer.emit(name, body);
                }
            }
            Some(waiting) if waiting.len() < MOST_WAITING => {
                waiting.push(Waiting::of(news, peer, name, body));
            }
            Some(_) => {
                drop(heard);
                peer.cut(Cut::Slow);
            }
        }
    }

    /// Takes note that the client of this socket has placed a call, or goes on with one. An old one shows
    /// that one by now, and hears of the end of no other.
    pub fn goes_on_with(&self, peer: &Peer, call_id: &str) {
        if peer.dialect() != Dialect::Unified {
            self.heard.lock().end_others(call_id);
        }
    }

    /// Tells the socket of what it has missed, which is all of one call, and opens the line. `needed_by` is
    /// the call that needs the socket. Returns the calls that ring on it only now, beside one that was missed.
    pub fn open(&self, peer: &Peer, missed: &[News<'_>], needed_by: Option<&str>) -> Vec<String> {
        let (mut told, mut rung) = (Vec::new(), Vec::new());
        for news in missed {
            let news = CallNews::new(*news);
            let Some((name, body)) = encoded(peer, &news) else { return rung };
            told.push(Waiting::of(&news, peer, name, body));
        }
        let mut heard = self.heard.lock();
        for (over, news) in heard.open(told, needed_by, peer.dialect()) {
            end(peer, &over);
            peer.emit(news.name, &news.body);
            // The service has noted of one that was missed that it is told.
            if news.is_incoming && missed.iter().all(|missed| missed.call_id() != news.call_id) {
                rung.push(news.call_id);
            }
        }
        rung
    }
}

/// Tells a socket that calls are over.
fn end(peer: &Peer, over: &[String]) {
    for call_id in over {
        let news = CallNews::new(News::Ended { call_id, by: BY });
        if let Some((name, body)) = encoded(peer, &news) {
            peer.emit(name, body);
        }
    }
}

/// Returns when the call was placed that news are about, where they say so.
fn placed_at(news: News<'_>) -> Option<DateTime> {
    match news {
        News::Incoming(call, _)
        | News::Ringing(call)
        | News::Answer(call, _)
        | News::AnsweredElsewhere(call) => call.placed_at.as_ref().map(from_timestamp),
        News::Candidate { .. } | News::Declined { .. } | News::Ended { .. } => None,
    }
}

/// Says whether a socket came after a call was answered. One that did not has not come in the place of the
/// one that answered, which was there then.
#[must_use]
pub fn came_after_answer(peer: &Peer, call: &pb::Call) -> bool {
    let now = DateTime::now();
    let came_at = before(now, peer.connected_at().elapsed());
    call.answered_at.as_ref().is_none_or(|answered_at| came_at > from_timestamp(answered_at))
}

/// Encodes news for a socket, which is cut where that fails.
fn encoded<'a>(peer: &Peer, news: &'a CallNews<'_>) -> Option<(&'static str, &'a RawValue)> {
    let frame = news.frame(peer.dialect());
    frame
        .inspect_err(|error| {
            tracing::error!(%error, "news of a call cannot be encoded, cutting a socket");
            peer.cut(Cut::OrderLost);
        })
        .ok()
}

impl Heard {
    /// Takes note of a step. Where it is to be told, returns the calls whose end is to be told before.
    fn admit(
        &mut self,
        call_id: &str,
        placed_at: Option<DateTime>,
        step: Step,
        dialect: Dialect,
    ) -> Option<Vec<String>> {
        let known = self.told.iter_mut().find(|known| known.call_id == call_id);
        let stage = match step {
            Step::To(stage) => stage,
            Step::Elsewhere => Stage::Answered,
            Step::Candidate => {
                return known.is_none_or(|known| known.stage < Stage::Over).then(Vec::new);
            }
        };
        if let Some(known) = known {
            let is_new = known.stage < stage;
            known.stage = stage.max(known.stage);
            return is_new.then(Vec::new);
        }
        let knows_ids = dialect == Dialect::Unified;
        if !knows_ids && self.is_superseded(placed_at, stage) {
            self.add(call_id, placed_at, Stage::Over);
            return None;
        }
        let begins = step == Step::To(Stage::Placed) && !knows_ids;
        let over = if begins { self.end_others(call_id) } else { Vec::new() };
        self.add(call_id, placed_at, stage);
        Some(over)
    }

    /// Says whether a call that is not known here yet is over, as a later one has begun. One of which only
    /// the end is heard counts as earlier.
    fn is_superseded(&self, placed_at: Option<DateTime>, stage: Stage) -> bool {
        let is_later = |known: &Known| match (placed_at, known.placed_at) {
            (Some(placed_at), Some(later)) => later > placed_at,
            _ => stage == Stage::Over,
        };
        self.told.iter().any(|known| known.stage < Stage::Over && is_later(known))
    }

    /// Notes that all other calls are over; returns those of which that was not known.
    fn end_others(&mut self, call_id: &str) -> Vec<String> {
        let goes_on = |known: &&mut Known| known.call_id != call_id && known.stage < Stage::Over;
        let others = self.told.iter_mut().filter(goes_on);
        others
            .map(|known| {
                known.stage = Stage::Over;
                known.call_id.clone()
            })
            .collect()
    }

    fn add(&mut self, call_id: &str, placed_at: Option<DateTime>, stage: Stage) {
        if self.told.len() == MOST_KNOWN {
            self.told.pop_front();
        }
        self.told.push_back(Known { call_id: call_id.to_owned(), placed_at, stage });
    }

    /// Returns what is told when the line opens: what is of earlier calls, what was missed, and what has
    /// come since; each with the calls whose end is told before. That a call is over is missed by nobody who
    /// is in another: all that waits has come since, or is of calls that are as over. Nothing waits any more.
    fn open(
        &mut self,
        missed: Vec<Waiting>,
        needed_by: Option<&str>,
        dialect: Dialect,
    ) -> Vec<(Vec<String>, Waiting)> {
        let mut earlier = self.waiting.take().unwrap_or_default();
        earlier.retain(|news| news.is_meant(needed_by));
        let missed_of = missed.first().map(|missed| missed.call_id.as_str());
        let is_of_missed = |news: &Waiting| Some(news.call_id.as_str()) == missed_of;
        let is_over = missed.first().is_some_and(|missed| missed.step == Step::To(Stage::Over));
        let since = earlier.iter().position(is_of_missed).unwrap_or(earlier.len());
        let since = if is_over { 0 } else { since };
        let mut since = earlier.split_off(since);
        since.retain(|news| !missed.iter().any(|missed| missed.is_same(news)));
        let all = earlier.into_iter().chain(missed).chain(since);
        all.filter_map(|news| {
            let Waiting { call_id, placed_at, step, .. } = &news;
            let mut over = self.admit(call_id, *placed_at, *step, dialect)?;
            if needed_by == Some(call_id) {
                // That is the one that its client shows.
                over.clear();
            }
            Some((over, news))
        })
        .collect()
    }
}

impl Waiting {
    fn of(news: &CallNews<'_>, peer: &Peer, name: &'static str, body: &RawValue) -> Self {
        let (of, body) = (news.news(), body.to_owned());
        let (call_id, placed_at) = (of.call_id().to_owned(), placed_at(of));
        let is_incoming = matches!(of, News::Incoming(..));
        Self { call_id, placed_at, step: Step::of(of, peer), is_incoming, name, body }
    }

    /// Says whether it is meant for a socket that a call needs, or none does. While it waited that was not
    /// known.
    fn is_meant(&self, needed_by: Option<&str>) -> bool {
        let is_needed = needed_by == Some(&self.call_id);
        match self.step {
            Step::Candidate => is_needed,
            Step::Elsewhere => !is_needed,
            Step::To(_) => true,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.name, self.body.get()) == (other.name, other.body.get())
    }
}

#[cfg(test)]
mod tests;
