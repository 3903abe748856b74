//! What one socket hears of calls: nothing until it is known what it has missed, then that, then what came
//! meanwhile. Each step of a call once, whatever way it comes.

use std::collections::VecDeque;

use bson::DateTime;
use chat_kit::time::{before, from_timestamp};
use chat_proto::v1 as pb;
use parking_lot::Mutex;
use serde_json::value::RawValue;

use super::{super::Peer, hang_up::Repeating};
use crate::{
    metrics::Cut,
    wire::event::{CallNews, News},
};

/// News that may wait; one more cuts the socket.
const MOST_WAITING: usize = 128;
/// Calls of which it is known what was told; nobody is in two, so that those before are long over.
const MOST_KNOWN: usize = 4;

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
    told: VecDeque<(String, Stage)>,
}

/// News that are encoded.
#[derive(Clone, Debug)]
struct Waiting {
    call_id: String,
    step: Step,
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
                if heard.is_new(news.news().call_id(), Step::of(news.news(), peer)) {
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

    /// Tells the socket of what it has missed, which is all of one call, and opens the line. `needed_by` is
    /// the call that needs the socket.
    pub fn open(&self, peer: &Peer, missed: &[News<'_>], needed_by: Option<&str>) {
        let mut told = Vec::new();
        for news in missed {
            let news = CallNews::new(*news);
            let Some((name, body)) = encoded(peer, &news) else { return };
            told.push(Waiting::of(&news, peer, name, body));
        }
        let mut heard = self.heard.lock();
        for Waiting { name, body, .. } in heard.open(told, needed_by) {
            peer.emit(name, &body);
        }
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
    /// Takes note of a step; says whether it is to be told.
    fn is_new(&mut self, call_id: &str, step: Step) -> bool {
        let known = self.told.iter_mut().find(|(id, _)| id == call_id);
        let stage = match step {
            Step::To(stage) => stage,
            Step::Elsewhere => Stage::Answered,
            Step::Candidate => return known.is_none_or(|(_, stage)| *stage < Stage::Over),
        };
        if let Some((_, known)) = known {
            let is_new = *known < stage;
            *known = stage.max(*known);
            return is_new;
        }
        if self.told.len() == MOST_KNOWN {
            self.told.pop_front();
        }
        self.told.push_back((call_id.to_owned(), stage));
        true
    }

    /// Returns what is told when the line opens: what is of earlier calls, what was missed, and what has
    /// come since. Nothing waits any more.
    fn open(&mut self, missed: Vec<Waiting>, needed_by: Option<&str>) -> Vec<Waiting> {
        let mut earlier = self.waiting.take().unwrap_or_default();
        earlier.retain(|news| news.is_meant(needed_by));
        let missed_of = missed.first().map(|missed| missed.call_id.as_str());
        let is_of_missed = |news: &Waiting| Some(news.call_id.as_str()) == missed_of;
        let since = earlier.iter().position(is_of_missed).unwrap_or(earlier.len());
        let mut since = earlier.split_off(since);
        since.retain(|news| !missed.iter().any(|missed| missed.is_same(news)));
        let all = earlier.into_iter().chain(missed).chain(since);
        all.filter(|news| self.is_new(&news.call_id, news.step)).collect()
    }
}

impl Waiting {
    fn of(news: &CallNews<'_>, peer: &Peer, name: &'static str, body: &RawValue) -> Self {
        let call_id = news.news().call_id().to_owned();
        Self { call_id, step: Step::of(news.news(), peer), name, body: body.to_owned() }
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
mod tests {
    use chat_kit::time::after;
    use serde_json::value::to_raw_value;

    use super::*;

    const RINGS: Step = Step::To(Stage::Placed);
    const ANSWERED: Step = Step::To(Stage::Answered);
    const OVER: Step = Step::To(Stage::Over);

    fn news(call_id: &str, step: Step, body: &str) -> Waiting {
        let body = to_raw_value(body).expect("JSON");
        Waiting { call_id: call_id.to_owned(), step, name: "name", body }
    }

    /// Returns the bodies of what is told when a line opens on which these wait.
    fn opened(waiting: Vec<Waiting>, missed: Vec<Waiting>, needed_by: Option<&str>) -> String {
        let mut heard = Heard { waiting: Some(waiting), told: VecDeque::new() };
        let told = heard.open(missed, needed_by);
        assert!(heard.waiting.is_none());
        told.iter().map(|news| news.body.get().trim_matches('"').to_owned() + " ").collect()
    }

    #[test]
    fn what_was_missed_comes_before_what_came_since_and_after_what_is_older() {
        let waiting = || vec![news("old", OVER, "old"), news("a", OVER, "over")];
        let told = opened(waiting(), vec![news("a", RINGS, "rings")], None);
        assert_eq!(told, "old rings over ");
        assert_eq!(opened(waiting(), vec![], None), "old over ");
        let missed = vec![news("b", RINGS, "rings")];
        assert_eq!(opened(vec![news("old", OVER, "old")], missed, None), "old rings ");
    }

    #[test]
    fn what_was_missed_is_not_told_again() {
        let waiting = vec![news("a", RINGS, "rings"), news("a", Step::Elsewhere, "elsewhere")];
        let told = opened(waiting, vec![news("a", RINGS, "missed")], None);
        assert_eq!(told, "missed elsewhere ");
        let answer = || news("a", ANSWERED, "answer");
        let candidate = |body| news("a", Step::Candidate, body);
        let waiting = vec![answer(), candidate("one"), candidate("two")];
        let told = opened(waiting, vec![answer(), candidate("one")], Some("a"));
        assert_eq!(told, "answer one two ");
    }

    #[test]
    fn call_that_is_over_neither_rings_nor_goes_on() {
        let waiting = vec![news("a", RINGS, "rings"), news("a", OVER, "over")];
        assert_eq!(opened(waiting, vec![news("a", OVER, "missed")], None), "missed ");
    }

    #[test]
    fn socket_that_a_call_needs_hears_candidates_and_of_no_answer_elsewhere() {
        let waiting =
            || vec![news("a", Step::Elsewhere, "elsewhere"), news("a", Step::Candidate, "c")];
        assert_eq!(opened(waiting(), vec![], Some("a")), "c ");
        assert_eq!(opened(waiting(), vec![], Some("b")), "elsewhere ");
        assert_eq!(opened(waiting(), vec![], None), "elsewhere ");
    }

    #[test]
    fn socket_that_was_there_before_the_answer_is_in_nobodys_place() {
        let peer = Peer::test(chat_kit::id::UserId::new(), std::time::SystemTime::now());
        let answered = |at: DateTime| {
            let answered_at = Some(chat_kit::time::to_timestamp(at));
            pb::Call { answered_at, ..Default::default() }
        };
        let minute = std::time::Duration::from_mins(1);
        let (old, late) = (before(DateTime::now(), minute), after(DateTime::now(), minute));
        for (at, step) in [(old, Step::Elsewhere), (late, ANSWERED)] {
            assert_eq!(Step::of(News::AnsweredElsewhere(&answered(at)), &peer), step);
        }
    }

    #[test]
    fn each_step_is_told_once_however_late_it_comes() {
        let mut heard = Heard { waiting: None, told: VecDeque::new() };
        assert!(heard.is_new("a", ANSWERED));
        assert!(!heard.is_new("a", RINGS), "the answer was told");
        assert!(heard.is_new("a", Step::Candidate) && heard.is_new("a", Step::Candidate));
        assert!(heard.open(vec![news("a", ANSWERED, "again")], None).is_empty());
        assert!(heard.is_new("a", OVER) && !heard.is_new("a", OVER));
        assert!(heard.is_new("b", RINGS));
        for step in [RINGS, ANSWERED, OVER, Step::Candidate, Step::Elsewhere] {
            assert!(!heard.is_new("a", step), "after the end: {step:?}");
        }
        for id in 0..MOST_KNOWN {
            assert!(heard.is_new(&id.to_string(), OVER));
        }
        assert_eq!(heard.told.len(), MOST_KNOWN);
    }
}
