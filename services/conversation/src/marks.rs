//! Muting, pinning and archiving a conversation: what a member sets for himself alone.

use std::num::NonZeroU32;

use bson::DateTime;
use chat_kit::id::{ConversationId, UserId};

use crate::{
    Service,
    error::Error,
    store::{
        conversations::Conversation,
        marks::{Mark, Pinned},
    },
};

/// How often a pin looks for a free number. Each time that another one has taken it meanwhile, so that
/// somebody gets on.
const ATTEMPTS: usize = 16;

/// What a member wants to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantedMark {
    Mute { until: Option<DateTime> },
    Unmute,
    Pin,
    Unpin,
    Archive,
    Unarchive,
}

/// What a member has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) is_muted: bool,
    /// Without one, a mute has no end.
    pub(crate) muted_until: Option<DateTime>,
    pub(crate) is_pinned: bool,
    pub(crate) is_archived: bool,
}

impl Marks {
    /// Returns what a member has set; a mute whose time is over is none.
    pub(crate) fn of(conversation: &Conversation, member: UserId, now: DateTime) -> Self {
        let mute = conversation.muted.get(&member.to_string());
        let mute = mute.filter(|mute| mute.until.is_none_or(|until| until > now));
        Self {
            is_muted: mute.is_some(),
            muted_until: mute.and_then(|mute| mute.until),
            is_pinned: conversation.pinned_by.iter().any(|pin| pin.user_id == member),
            is_archived: conversation.archived_by.contains(&member),
        }
    }
}

impl Service {
    /// Sets something for a member, who alone hears of it. One guarded write, which changes nothing where it
    /// is so already.
    pub(crate) async fn set_mark(
        &self,
        user: UserId,
        id: ConversationId,
        wanted: WantedMark,
        now: DateTime,
    ) -> Result<Conversation, Error> {
        let mark = match wanted {
            WantedMark::Mute { until } if until.is_some_and(|until| until <= now) => {
                return Err(Error::PastMute);
            }
            WantedMark::Mute { until } => Mark::Muted { until },
            WantedMark::Unmute => Mark::Unmuted,
            WantedMark::Pin => return self.pin(user, id, now).await,
            WantedMark::Unpin => Mark::Unpinned,
            WantedMark::Archive => Mark::Archived,
            WantedMark::Unarchive => Mark::Unarchived,
        };
        let marked = self.store.conversations().set_mark(id, user, mark, now).await?;
        self.marked(user, id, marked).await
    }

    /// Pins a conversation under a number that is free.
    async fn pin(
        &self,
        user: UserId,
        id: ConversationId,
        now: DateTime,
    ) -> Result<Conversation, Error> {
        let stored = self.store.conversations();
        let most = self.limits.pinned;
        for _ in 0..ATTEMPTS {
            let pins = stored.pins(user).await?;
            let Some(slot) = slot(&pins, id, most) else {
                // Who is no member hears that first.
                self.get(user, id).await?;
                return Err(Error::TooManyPinned(most));
            };
            match stored.set_mark(id, user, Mark::Pinned { slot }, now).await {
                Err(Error::Mongo(error)) if error.duplicate_key().is_some() => {}
                marked => return self.marked(user, id, marked?).await,
            }
        }
        Err(Error::PinContended)
    }

    async fn marked(
        &self,
        user: UserId,
        id: ConversationId,
        marked: Option<Conversation>,
    ) -> Result<Conversation, Error> {
        if let Some(marked) = marked {
            self.outbox.announce(id.0);
            return Ok(marked);
        }
        // Says why; a member who came in meanwhile has set nothing.
        self.get(user, id).await?;
        Err(Error::NotAMember)
    }
}

/// Returns the number of a pin: the one that it has, or one that is free; none where a member has as many
/// as he may have. Different conversations look from different numbers on.
fn slot(pins: &[Pinned], id: ConversationId, most: NonZeroU32) -> Option<u32> {
    if let Some(own) = pins.iter().find(|pin| pin.conversation == id) {
        return Some(own.slot);
    }
    if pins.len() >= usize::try_from(most.get()).unwrap_or(usize::MAX) {
        return None;
    }
    let [.., one, two, three] = id.0.bytes();
    let first = u32::from_be_bytes([0, one, two, three]) % most;
    let from_first = (first..most.get()).chain(0..first);
    let mut free = from_first.filter(|slot| pins.iter().all(|pin| pin.slot != *slot));
    free.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: NonZeroU32 = NonZeroU32::new(3).expect("not zero");

    #[test]
    fn pin_has_a_free_number_until_there_is_none() {
        let mut pins = Vec::new();
        for _ in 0..3 {
            let conversation = ConversationId::new();
            let slot = slot(&pins, conversation, MOST).expect("a free number");
            assert!(slot < 3 && pins.iter().all(|pin: &Pinned| pin.slot != slot), "{slot}");
            pins.push(Pinned { conversation, slot });
        }
        assert_eq!(slot(&pins, ConversationId::new(), MOST), None);
        let own = pins[1];
        assert_eq!(slot(&pins, own.conversation, MOST), Some(own.slot), "pinned already");
        let freed = pins.remove(0).slot;
        assert_eq!(slot(&pins, ConversationId::new(), MOST), Some(freed));
    }

    #[test]
    fn pins_of_a_time_with_a_higher_limit_count() {
        let pins: Vec<Pinned> =
            (5..8).map(|slot| Pinned { conversation: ConversationId::new(), slot }).collect();
        assert_eq!(slot(&pins, ConversationId::new(), MOST), None);
        assert!(slot(&pins[..2], ConversationId::new(), MOST).is_some_and(|slot| slot < 3));
    }
}
