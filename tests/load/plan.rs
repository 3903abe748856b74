//! What is sent when, by whom and where. All of it follows from a message's number, so that a message is
//! matched by the number in its text alone, and nothing is remembered about it.

use std::{num::NonZeroU64, time::Duration};

/// What stands before the number in a message's text.
const MARK: &str = "load:";
/// What stands behind it.
const END: char = ';';
/// How the canonical body names a message's place in its conversation.
const SEQ: &str = "\"seq\":";

/// The sends of a run. Conversations take turns, and inside each its members do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many conversations.
    pub conversations: NonZeroU64,
    /// How many members each has; nobody is in two.
    pub members: NonZeroU64,
    /// Messages per second, in all conversations together.
    pub rate: u64,
    /// How long messages are sent before they count.
    pub warm_up: Duration,
    /// How long messages are sent that count.
    pub measured: Duration,
    /// Bytes of a message's text.
    pub size: usize,
}

/// Somebody's place: which conversation, and which of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the conversation.
    pub conversation: u64,
    /// Number of the member in it.
    pub member: u64,
}

impl Plan {
    /// Returns how many messages are sent before they count.
    pub fn first_measured(&self) -> u64 {
        self.rate * self.warm_up.as_secs()
    }

    /// Returns how many messages are sent.
    pub fn messages(&self) -> u64 {
        self.first_measured() + self.rate * self.measured.as_secs()
    }

    /// Returns how many users there are.
    pub fn users(&self) -> u64 {
        self.conversations.get() * self.members.get()
    }

    /// Returns when a message is to be sent, from the start of the run.
    pub fn due(&self, number: u64) -> Duration {
        const NANOS: u128 = 1_000_000_000;
        let nanos = u128::from(number) * NANOS / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Returns who sends a message, and where.
    pub fn sender(&self, number: u64) -> Place {
        let turn = number / self.conversations;
        Place { conversation: number % self.conversations, member: turn % self.members }
    }

    /// Returns the numbers of the messages that somebody sends.
    pub fn sent_by(&self, place: Place) -> impl Iterator<Item = u64> + use<> {
        let first = place.conversation + self.conversations.get() * place.member;
        let step = usize::try_from(self.users()).unwrap_or(usize::MAX);
        (first..self.messages()).step_by(step)
    }

    /// Returns the numbers of the messages of a conversation.
    pub fn sent_in(&self, conversation: u64) -> impl Iterator<Item = u64> + use<> {
        let step = usize::try_from(self.conversations.get()).unwrap_or(usize::MAX);
        (conversation..self.messages()).step_by(step)
    }

    /// Returns the text of a message.
    pub fn text(&self, number: u64) -> String {
        let marked = format!("{MARK}{number}{END}");
        format!("{marked:x<size$}", size = self.size)
    }
}

/// Returns the number of the message in a body.
pub fn number_in(body: &str) -> Option<u64> {
    let (_, behind) = body.split_once(MARK)?;
    behind.split_once(END)?.0.parse().ok()
}

/// Returns the place of the message in its conversation, where the body says it.
pub fn seq_in(body: &str) -> Option<u64> {
    let (_, behind) = body.split_once(SEQ)?;
    let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    behind[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn plan(conversations: u64, members: u64) -> Plan {
        Plan {
            conversations: NonZeroU64::new(conversations).expect("not zero"),
            members: NonZeroU64::new(members).expect("not zero"),
            rate: 20,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(2),
            size: 40,
        }
    }

    #[test]
    fn every_message_has_one_sender_who_knows_it() {
        let plan = plan(3, 4);
        let mut sent = HashSet::new();
        for conversation in 0..3 {
            for member in 0..4 {
                let place = Place { conversation, member };
                for number in plan.sent_by(place) {
                    assert_eq!(plan.sender(number), place);
                    assert!(sent.insert(number), "{number} is sent twice");
                }
            }
        }
        assert_eq!(sent.len(), 60);
        assert_eq!(plan.sent_in(1).count(), 20);
        assert!(plan.sent_in(1).all(|number| plan.sender(number).conversation == 1));
    }

    #[test]
    fn sends_are_spread_evenly() {
        let plan = plan(1, 2);
        assert_eq!(plan.due(0), Duration::ZERO);
        assert_eq!(plan.due(1), Duration::from_millis(50));
        assert_eq!(plan.due(plan.first_measured()), Duration::from_secs(1));
    }

    #[test]
    fn number_is_found_in_any_body() {
        let plan = plan(1, 2);
        let text = plan.text(17);
        assert_eq!(text.len(), 40);
        let body = format!(r#"{{"id":"1","seq":12,"content":"{text}"}}"#);
        assert_eq!((number_in(&body), seq_in(&body)), (Some(17), Some(12)));
        assert_eq!((number_in("{}"), seq_in(r#"{"seq":}"#)), (None, None));
    }
}
