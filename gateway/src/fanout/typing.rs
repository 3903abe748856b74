//! Who types where, as the sockets of this gateway have been told, and the end of it: that it is said to be
//! over, that the message comes, or that it is not said again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bson::DateTime;
use chat_kit::{
    id::{ConversationId, UserId},
    time::from_timestamp,
};
use chat_proto::v1::{self as pb, event::Payload};
use tokio::time::Instant;

use super::Fanout;
use crate::{
    socket::typing::{LIFE, changed},
    wire::event::TypingChanged,
};

/// States that are known at once; of further ones nobody here is told.
const MOST_STATES: usize = 50_000;

/// Who types where.
#[derive(Default)]
pub struct Typing {
    states: HashMap<ConversationId, Vec<State>>,
    count: usize,
    /// Ends in their order: all states live equally long. One that was said again has a later one.
    ends: VecDeque<(Instant, ConversationId, UserId)>,
}

struct State {
    user: UserId,
    /// Who has been told.
    recipients: Arc<[UserId]>,
    until: Instant,
    /// When he did so last, by the clock that messages bear.
    at: DateTime,
}

impl Typing {
    /// Returns when the next state may end.
    pub fn next_end(&self) -> Option<Instant> {
        self.ends.front().map(|(end, ..)| *end)
    }

    /// Notes that somebody types; says whether there was room for that.
    fn begin(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        recipients: &Arc<[UserId]>,
        at: DateTime,
    ) -> bool {
        let until = Instant::now() + LIFE;
        let states = self.states.entry(conversation).or_default();
        let recipients = Arc::clone(recipients);
        match states.iter_mut().find(|state| state.user == user) {
            Some(state) => *state = State { user, recipients, until, at },
            None if self.count >= MOST_STATES => {
                if states.is_empty() {
                    self.states.remove(&conversation);
                }
                return false;
            }
            None => {
                states.push(State { user, recipients, until, at });
                self.count += 1;
            }
        }
        self.ends.push_back((until, conversation, user));
        true
    }

    /// Takes a state out; returns who had been told.
    fn end(&mut self, conversation: ConversationId, user: UserId) -> Option<Arc<[UserId]>> {
        let states = self.states.get_mut(&conversation)?;
        let place = states.iter().position(|state| state.user == user)?;
        let state = states.swap_remove(place);
        if states.is_empty() {
            self.states.remove(&conversation);
        }
        self.count -= 1;
        Some(state.recipients)
    }

    /// Says whether somebody typed last before a time.
    fn is_before(&self, conversation: ConversationId, user: UserId, time: DateTime) -> bool {
        let mut states = self.states.get(&conversation).into_iter().flatten();
        states.any(|state| state.user == user && state.at <= time)
    }

    /// Takes a state out whose time is over; returns whose it was, and who had been told.
    fn take_over(&mut self, now: Instant) -> Option<(ConversationId, UserId, Arc<[UserId]>)> {
        while let Some((end, conversation, user)) = self.ends.front().copied() {
            if end > now {
                return None;
            }
            self.ends.pop_front();
            let states = self.states.get(&conversation);
            let state = states.and_then(|states| states.iter().find(|state| state.user == user));
            if state.is_some_and(|state| state.until <= now)
                && let Some(recipients) = self.end(conversation, user)
            {
                return Some((conversation, user, recipients));
            }
        }
        None
    }

    /// Lets former members hear nothing more of a conversation; returns those of them who typed.
    fn remove(&mut self, conversation: ConversationId, members: &[UserId]) -> Vec<UserId> {
        let Some(states) = self.states.get_mut(&conversation) else { return Vec::new() };
        for state in states.iter_mut() {
            if state.recipients.iter().any(|recipient| members.contains(recipient)) {
                let left = state.recipients.iter().filter(|recipient| !members.contains(recipient));
                state.recipients = left.copied().collect();
            }
        }
        let typists = states.iter().map(|state| state.user);
        typists.filter(|user| members.contains(user)).collect()
    }
}

/// Where, by whom and when a message was sent.
pub struct Sent {
    conversation: ConversationId,
    sender: UserId,
    at: DateTime,
}

impl Sent {
    /// Reads it from the message.
    pub fn of(message: &pb::Message) -> Option<Self> {
        Some(Self {
            conversation: message.conversation_id.parse().ok()?,
            sender: message.sender_id.parse().ok()?,
            at: from_timestamp(message.created_at.as_ref()?),
        })
    }
}

impl Fanout {
    /// Tells that somebody types, or does no more.
    pub(super) fn hear_typing(&mut self, event: &pb::TypingChanged, recipients: &Arc<[UserId]>) {
        let (Ok(conversation), Ok(user)) = (event.conversation_id.parse(), event.user_id.parse())
        else {
            tracing::error!("event of typing without its place");
            return;
        };
        if !event.is_typing {
            return self.end_typing(conversation, user);
        }
        let at = event.at.as_ref().map_or_else(DateTime::now, from_timestamp);
        let is_told = self.sockets.has_any(recipients)
            && self.typing.begin(conversation, user, recipients, at);
        if is_told {
            self.tell_typing(event, recipients);
        }
    }

    /// Ends that somebody types, if he does.
    pub(super) fn end_typing(&mut self, conversation: ConversationId, user: UserId) {
        if let Some(recipients) = self.typing.end(conversation, user) {
            self.tell_typing(&changed(user, conversation, false), &recipients);
        }
    }

    /// Ends what the sender of a message typed before it.
    pub(super) fn end_typing_by(&mut self, message: &Sent) {
        let Sent { conversation, sender, at } = *message;
        self.state.typists.sent(sender, conversation, at);
        if self.typing.is_before(conversation, sender, at) {
            self.end_typing(conversation, sender);
        }
    }

    /// Ends what has not been said again.
    pub(super) fn end_silent_typing(&mut self) {
        while let Some((conversation, user, recipients)) = self.typing.take_over(Instant::now()) {
            self.tell_typing(&changed(user, conversation, false), &recipients);
        }
    }

    /// Forgets what was known of who hears in a conversation that has changed.
    pub(super) fn note_members(&mut self, payload: &Payload) {
        let in_whole = |conversation: &Option<pb::Conversation>| {
            conversation.as_ref().map(|conversation| conversation.id.clone())
        };
        let id = match payload {
            Payload::ConversationUpdated(updated) => in_whole(&updated.conversation),
            Payload::MembersAdded(added) => in_whole(&added.conversation),
            Payload::MembersRemoved(removed) => Some(removed.conversation_id.clone()),
            Payload::RequestAccepted(accepted) => Some(accepted.conversation_id.clone()),
            Payload::RequestDeclined(declined) => Some(declined.conversation_id.clone()),
            _ => None,
        };
        let Some(Ok(conversation)) = id.map(|id| id.parse::<ConversationId>()) else { return };
        self.state.typists.forget(conversation);
        if let Payload::MembersRemoved(removed) = payload {
            let members: Vec<UserId> =
                removed.user_ids.iter().filter_map(|id| id.parse().ok()).collect();
            for user in self.typing.remove(conversation, &members) {
                self.state.typists.end(user, conversation);
                self.end_typing(conversation, user);
            }
        }
    }

    fn tell_typing(&self, event: &pb::TypingChanged, recipients: &[UserId]) {
        let event = TypingChanged::new(event);
        for peer in self.sockets.of(recipients) {
            match event.frames(peer.dialect()) {
                Ok(frames) => frames.iter().for_each(|(name, body)| peer.emit(name, *body)),
                Err(error) => tracing::error!(%error, "typing cannot be encoded"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(users: &[UserId]) -> Arc<[UserId]> {
        users.into()
    }

    #[tokio::test(start_paused = true)]
    async fn state_lives_as_long_as_it_is_said_again() {
        let (mut typing, conversation) = (Typing::default(), ConversationId::new());
        let (user, other) = (UserId::new(), UserId::new());
        assert!(typing.begin(conversation, user, &told(&[other]), DateTime::now()));
        tokio::time::advance(LIFE / 2).await;
        assert!(typing.begin(conversation, user, &told(&[other]), DateTime::now()));
        tokio::time::advance(LIFE / 2).await;
        assert!(typing.take_over(Instant::now()).is_none(), "it was said again");
        let end = typing.next_end().expect("it ends");
        tokio::time::advance(end - Instant::now()).await;
        assert_eq!(typing.take_over(Instant::now()), Some((conversation, user, told(&[other]))));
        assert!(typing.take_over(Instant::now()).is_none(), "once");
        assert!(typing.states.is_empty() && typing.ends.is_empty() && typing.count == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn state_that_began_anew_does_not_end_with_the_first() {
        let (mut typing, conversation) = (Typing::default(), ConversationId::new());
        let user = UserId::new();
        typing.begin(conversation, user, &told(&[]), DateTime::now());
        assert!(typing.end(conversation, user).is_some());
        assert!(typing.end(conversation, user).is_none(), "he does not type");
        tokio::time::advance(LIFE / 2).await;
        typing.begin(conversation, user, &told(&[]), DateTime::now());
        tokio::time::advance(LIFE / 2).await;
        assert!(typing.take_over(Instant::now()).is_none());
        tokio::time::advance(LIFE / 2).await;
        assert!(typing.take_over(Instant::now()).is_some());
    }

    #[tokio::test]
    async fn former_members_hear_nothing_more() {
        let (mut typing, conversation) = (Typing::default(), ConversationId::new());
        let [ada, grace, joan] = [UserId::new(), UserId::new(), UserId::new()];
        typing.begin(conversation, ada, &told(&[grace, joan]), DateTime::now());
        typing.begin(conversation, grace, &told(&[ada, joan]), DateTime::now());
        assert_eq!(typing.remove(conversation, &[grace]), [grace]);
        assert_eq!(typing.end(conversation, ada), Some(told(&[joan])));
        assert_eq!(typing.end(conversation, grace), Some(told(&[ada, joan])), "he has stopped");
    }

    #[tokio::test]
    async fn message_that_comes_late_ends_nothing_that_began_after_it() {
        let (mut typing, conversation) = (Typing::default(), ConversationId::new());
        let (user, at) = (UserId::new(), DateTime::from_millis(1000));
        typing.begin(conversation, user, &told(&[]), at);
        assert!(!typing.is_before(conversation, user, DateTime::from_millis(999)));
        assert!(typing.is_before(conversation, user, at));
        assert!(!typing.is_before(conversation, UserId::new(), at));
    }
}
