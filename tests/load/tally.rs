//! Counting: what was acknowledged and heard, how long it took, and what was lost, came twice or came
//! out of order.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use crate::plan::{Place, Plan};

/// Longest time told apart, in microseconds.
const LONGEST: u64 = 120_000_000;
/// Kinds of failures that are told apart; further ones count as others.
const MOST_KINDS: usize = 8;

/// How long something took, many times.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that a histogram takes"))
    }
}

impl Times {
    /// Counts one time.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST));
    }

    /// Counts one time where it is to count.
    pub fn record_if(&mut self, counts: bool, time: Duration) {
        if counts {
            self.record(time);
        }
    }

    /// Returns how many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns the time in milliseconds that this share of all did not exceed.
    pub fn millis(&self, percentile: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "microseconds below two minutes")]
        let micros = self.0.value_at_percentile(percentile) as f64;
        micros / 1000.0
    }
}

/// A set of numbers.
#[derive(Clone, Debug)]
struct Numbers(Vec<u64>);

impl Numbers {
    fn below(end: u64) -> Self {
        Self(vec![0; usize::try_from(end.div_ceil(64)).expect("numbers that fit into memory")])
    }

    fn place(number: u64) -> (usize, u64) {
        (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
    }

    /// Adds a number; says whether it is new.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        let word = &mut self.0[word];
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn contains(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.0[word] & bit != 0
    }
}

/// What one socket has heard of its conversation.
#[derive(Debug)]
pub struct Ear {
    place: Place,
    /// By the turn of the conversation.
    heard: Numbers,
    /// One more than the last turn of each member.
    next_turns: Vec<u64>,
    last_seq: u64,
}

/// All counts of a run.
#[derive(Debug)]
pub struct Tally {
    plan: Plan,
    acknowledged: Numbers,
    /// When the last acknowledgement came, from the start of the run.
    last_ack: Duration,
    /// From the intended send to the acknowledgement.
    pub ack: Times,
    /// From the intended send to each recipient.
    pub receive: Times,
    /// From the intended moment to the open namespace.
    pub connect: Times,
    /// From the intended moment to the whole page of history.
    pub page: Times,
    /// Acknowledgements of all messages, those of the warm-up among them.
    pub acknowledgements: u64,
    /// What all sockets heard, without doubles.
    pub heard: u64,
    /// Messages that one socket heard once more.
    pub doubled: u64,
    /// Messages that came after a later one.
    pub out_of_order: u64,
    /// Acknowledged messages that a socket did not hear.
    pub lost: u64,
    /// What failed, and how often.
    pub failures: BTreeMap<String, u64>,
}

impl Ear {
    /// Makes the ear of a socket that has heard nothing yet.
    pub fn new(plan: &Plan, place: Place) -> Self {
        let members = usize::try_from(plan.members.get()).expect("members that fit into memory");
        Self {
            place,
            heard: Numbers::below(plan.messages() / plan.conversations + 1),
            next_turns: vec![0; members],
            last_seq: 0,
        }
    }
}

impl Tally {
    /// Makes the counts of a run in which nothing has happened yet.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            acknowledged: Numbers::below(plan.messages()),
            last_ack: Duration::ZERO,
            ack: Times::default(),
            receive: Times::default(),
            connect: Times::default(),
            page: Times::default(),
            acknowledgements: 0,
            heard: 0,
            doubled: 0,
            out_of_order: 0,
            lost: 0,
            failures: BTreeMap::new(),
        }
    }

    fn counts(&self, number: u64) -> bool {
        number >= self.plan.first_measured()
    }

    /// Counts an acknowledgement that came `at`, counted from the start of the run.
    pub fn acknowledge(&mut self, number: u64, at: Duration) {
        if number >= self.plan.messages() || !self.acknowledged.insert(number) {
            return self.fail("an acknowledgement that nobody asked for");
        }
        self.acknowledgements += 1;
        self.last_ack = at;
        if self.counts(number) {
            self.ack.record(at.saturating_sub(self.plan.due(number)));
        }
    }

    /// Counts a message that a socket heard.
    pub fn hear(&mut self, ear: &mut Ear, number: u64, seq: Option<u64>, at: Duration) {
        let sender = self.plan.sender(number);
        let is_expected = number < self.plan.messages()
            && sender.conversation == ear.place.conversation
            && sender.member != ear.place.member;
        if !is_expected {
            return self.fail("a message to somebody else");
        }
        let turn = number / self.plan.conversations;
        if !ear.heard.insert(turn) {
            self.doubled += 1;
            return;
        }
        self.heard += 1;
        let next = &mut ear.next_turns[usize::try_from(sender.member).unwrap_or(usize::MAX)];
        let is_late = turn < *next || seq.is_some_and(|seq| seq <= ear.last_seq);
        *next = turn + 1;
        ear.last_seq = seq.unwrap_or(ear.last_seq);
        self.out_of_order += u64::from(is_late);
        if self.counts(number) {
            self.receive.record(at.saturating_sub(self.plan.due(number)));
        }
    }

    /// Counts a failure.
    pub fn fail(&mut self, what: &str) {
        let is_new = !self.failures.contains_key(what);
        let what = if is_new && self.failures.len() >= MOST_KINDS { "others" } else { what };
        *self.failures.entry(what.to_owned()).or_default() += 1;
    }

    /// Says whether every message has been acknowledged and heard by everybody it is for.
    pub fn is_complete(&self) -> bool {
        self.acknowledgements == self.plan.messages()
            && self.heard == self.acknowledgements * (self.plan.members.get() - 1)
    }

    /// Returns how long the messages that count took to be acknowledged, all together.
    pub fn took(&self) -> Duration {
        self.last_ack.saturating_sub(self.plan.warm_up).max(self.plan.measured)
    }

    /// Says whether everything arrived once and in order, and nothing failed.
    pub fn is_clean(&self) -> bool {
        self.is_complete() && self.lost + self.doubled + self.out_of_order + self.failed() == 0
    }

    /// Counts what a socket should have heard and did not.
    pub fn close(&mut self, ear: &Ear) {
        for number in self.plan.sent_in(ear.place.conversation) {
            let is_own = self.plan.sender(number).member == ear.place.member;
            let turn = number / self.plan.conversations;
            if !is_own && self.acknowledged.contains(number) && !ear.heard.contains(turn) {
                self.lost += 1;
            }
        }
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns how many failures there were.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Two conversations of two; six messages count, two are warm-up.
    fn tally() -> Tally {
        let two = NonZeroU64::new(2).expect("not zero");
        let (conversations, members) = (two, two);
        let measured = 3 * SECOND;
        Tally::new(Plan { conversations, members, rate: 2, warm_up: SECOND, measured, size: 20 })
    }

    /// Hears the messages 2 and 6 of conversation 0 as the member who does not send them.
    fn ear(tally: &Tally) -> Ear {
        Ear::new(tally.plan(), Place { conversation: 0, member: 0 })
    }

    #[test]
    fn time_counts_from_the_intended_send() {
        let mut tally = tally();
        tally.acknowledge(2, 3 * SECOND);
        assert_eq!(tally.ack.count(), 1);
        assert!((tally.ack.millis(100.0) - 2000.0).abs() < 10.0);
        tally.acknowledge(0, SECOND);
        assert_eq!((tally.ack.count(), tally.acknowledgements), (1, 2), "the warm-up has no time");
    }

    #[test]
    fn message_is_heard_once_or_counted() {
        let mut tally = tally();
        let mut ear = ear(&tally);
        for number in 0..8 {
            tally.acknowledge(number, 4 * SECOND);
        }
        tally.hear(&mut ear, 6, Some(4), 4 * SECOND);
        tally.hear(&mut ear, 6, Some(4), 4 * SECOND);
        assert_eq!((tally.doubled, tally.out_of_order, tally.lost), (1, 0, 0));
        tally.close(&ear);
        assert_eq!(tally.lost, 1);
        tally.hear(&mut ear, 2, Some(2), 4 * SECOND);
        assert_eq!(tally.out_of_order, 1);
        tally.close(&ear);
        assert_eq!(tally.lost, 1, "nothing more is missing");
        assert!(!tally.is_clean());
    }

    #[test]
    fn run_is_clean_when_all_was_heard_by_everybody_else() {
        let mut tally = tally();
        let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
        for (conversation, member) in places {
            let place = Place { conversation, member };
            let mut ear = Ear::new(tally.plan(), place);
            let others = (0..8).filter(|number| {
                let sender = tally.plan.sender(*number);
                sender.conversation == conversation && sender.member != member
            });
            for number in others.collect::<Vec<_>>() {
                assert!(!tally.is_clean());
                tally.hear(&mut ear, number, None, 4 * SECOND);
            }
            tally.close(&ear);
        }
        for number in 0..8 {
            assert!(!tally.is_clean());
            tally.acknowledge(number, 6 * SECOND);
        }
        assert!(tally.is_clean());
        assert_eq!((tally.ack.count(), tally.receive.count()), (6, 6));
        assert_eq!(tally.took(), 5 * SECOND);
    }

    #[test]
    fn later_place_before_an_earlier_one_is_out_of_order() {
        let mut tally = tally();
        let mut ear = ear(&tally);
        tally.hear(&mut ear, 2, Some(7), 4 * SECOND);
        tally.hear(&mut ear, 6, Some(6), 4 * SECOND);
        assert_eq!(tally.out_of_order, 1);
    }

    #[test]
    fn what_nobody_sent_is_a_failure() {
        let mut tally = tally();
        let mut ear = ear(&tally);
        for number in [0, 1, 3, 8, 100] {
            tally.hear(&mut ear, number, None, SECOND);
        }
        tally.acknowledge(1, SECOND);
        tally.acknowledge(1, SECOND);
        tally.acknowledge(8, SECOND);
        assert_eq!(tally.failed(), 7);
        assert_eq!(tally.heard, 0);
    }
}
