//! Which messages can be emitted without looking for those before them.

use std::time::Duration;

use bson::DateTime;
use chat_kit::time::{before, from_timestamp};
use chat_proto::v1 as pb;
use tokio::time::Instant;

/// A message whose predecessor is older than this opens a window at once.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// How long after an interruption the age of a message says nothing about whether it has been heard:
/// the relays announce then what could not be announced meanwhile.
const DOUBT: Duration = Duration::from_mins(1);
/// How long a broken line may go unnoticed.
const LONGEST_SILENCE: Duration = Duration::from_mins(1);

/// Whether what is old counts as heard.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Whether events that the stream has may still have to be heard again.
    is_replaying: bool,
    /// What age does not prove.
    doubt: Option<Doubt>,
}

/// A time in which age does not prove that something has been heard.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// Nothing stored since is certain.
    since: DateTime,
    /// When it is over.
    until: Instant,
}

impl Settled {
    /// Takes in whether a replay is due or under way, and whether one has just brought something, its end
    /// among it.
    pub(super) fn note(&mut self, is_replaying: bool, has_replayed: bool, now: Instant) {
        if is_replaying || has_replayed {
            let since = match self.doubt(now) {
                Some(doubt) => doubt.since,
                None => before(DateTime::now(), LONGEST_SILENCE),
            };
            self.doubt = Some(Doubt { since, until: now + DOUBT });
        }
        self.is_replaying = is_replaying;
    }

    fn doubt(&self, now: Instant) -> Option<Doubt> {
        self.doubt.filter(|doubt| doubt.until > now)
    }

    /// Says whether a message of a conversation that is not known here has been heard, or was read: it
    /// is not new, nor was it stored since an interruption.
    pub(super) fn is_over(&self, message: &pb::Message, now: Instant) -> bool {
        let Some(created_at) = message.created_at.as_ref().map(from_timestamp) else { return true };
        let new = before(DateTime::now(), SETTLED_AFTER);
        created_at < self.doubt(now).map_or(new, |doubt| doubt.since.min(new))
    }

    /// Says whether what was announced may be unheard, so that no window can begin.
    pub(super) fn is_replaying(&self) -> bool {
        self.is_replaying
    }

    /// Says whether a message can be emitted without looking for those before it: it is new, and they
    /// were stored long before it, so that they have long been heard. One that was announced late says
    /// nothing about the others, and none does for a while after an interruption.
    pub(super) fn has(&self, message: &pb::Message, now: Instant) -> bool {
        let created_at = message.created_at.as_ref().map(from_timestamp);
        match (created_at, message.previous_created_at.as_ref().map(from_timestamp)) {
            (_, None) => message.seq == 1,
            (None, Some(_)) => false,
            (Some(created_at), Some(previous)) => {
                self.doubt(now).is_none()
                    && created_at >= before(DateTime::now(), SETTLED_AFTER)
                    && previous < before(created_at, SETTLED_AFTER)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: i64, created_at: i64, previous: Option<i64>) -> pb::Message {
        let time = |millis| chat_kit::time::to_timestamp(DateTime::from_millis(millis));
        pb::Message {
            seq,
            created_at: Some(time(created_at)),
            previous_created_at: previous.map(time),
            ..Default::default()
        }
    }

    #[test]
    fn message_is_settled_where_it_is_new_and_the_one_before_is_not() {
        let now = DateTime::now().timestamp_millis();
        let is_settled = |seq, created_at, previous| {
            Settled::default().has(&message(seq, created_at, previous), Instant::now())
        };
        assert!(is_settled(1, now, None));
        assert!(is_settled(7, now, Some(now - 6000)));
        assert!(!is_settled(7, now, Some(now - 4000)), "that one may still be on its way");
        assert!(!is_settled(7, now - 6000, Some(now - 60_000)), "announced late");
        // The clock of the services is ahead: what counts is the time between the two.
        assert!(!is_settled(7, now + 60_000, Some(now + 59_999)));
        assert!(is_settled(7, now + 60_000, Some(now + 50_000)));
    }

    #[test]
    fn age_says_nothing_for_a_while_after_an_interruption() {
        let (mut settled, begun) = (Settled::default(), Instant::now());
        let now = DateTime::now().timestamp_millis();
        let (first, old) = (message(1, now, None), message(7, now, Some(now - 60_000)));
        settled.note(true, false, begun);
        assert!(settled.is_replaying() && !settled.has(&old, begun));
        assert!(settled.has(&first, begun), "there is nothing before it");
        settled.note(false, false, begun + DOUBT / 2);
        assert!(!settled.is_replaying() && !settled.has(&old, begun + DOUBT / 2));
        assert!(settled.has(&old, begun + DOUBT));
    }

    #[test]
    fn message_stored_since_an_interruption_may_be_unheard_however_old() {
        let (mut settled, begun) = (Settled::default(), Instant::now());
        let now = DateTime::now().timestamp_millis();
        let message = |age| message(5, now - age, Some(now - 200_000));
        assert!(settled.is_over(&message(20_000), begun) && !settled.is_over(&message(0), begun));
        settled.note(false, true, begun);
        assert!(!settled.is_replaying(), "its end was all that it brought");
        assert!(!settled.is_over(&message(20_000), begun), "a relay may announce it yet");
        assert!(settled.is_over(&message(100_000), begun));
        assert!(settled.is_over(&message(20_000), begun + DOUBT));
    }
}
