//! The newest change that was heard of each user: what comes too late is known by its number, and who is
//! told how it is was perhaps answered before it. Beside it what was told to some alone, who see somebody
//! differently since: it says nothing of what others see.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use chat_kit::id::UserId;
use chat_proto::v1 as pb;

/// Users that are remembered, and what was told to some alone; what was heard first goes.
const MOST: usize = 50_000;

/// The newest changes.
#[derive(Debug, Default)]
pub(super) struct Known {
    changes: HashMap<Box<str>, pb::PresenceChanged>,
    order: VecDeque<Box<str>>,
    /// What was told to some alone, by whom they see and by their ids.
    personal: HashMap<Box<str>, HashMap<UserId, Told>>,
    personal_order: VecDeque<(u64, Box<str>, UserId)>,
    /// How often something was told to somebody alone.
    count: u64,
}

#[derive(Debug)]
struct Told {
    count: u64,
    number: i64,
    event: pb::PresenceChanged,
}

/// What is to be emitted, and to whom.
#[derive(Debug, PartialEq)]
pub(super) struct News<'a> {
    pub(super) event: Cow<'a, pb::PresenceChanged>,
    pub(super) recipients: Vec<UserId>,
}

impl Known {
    /// Notes a change that is heard; returns what of it is later than what is known.
    pub(super) fn note<'a>(
        &mut self,
        changed: &'a pb::PresenceChanged,
        recipients: &[UserId],
    ) -> News<'a> {
        if changed.is_personal {
            return self.note_personal(changed, recipients);
        }
        let event = Cow::Borrowed(changed);
        if !self.is_latest(changed) {
            return News { event, recipients: Vec::new() };
        }
        let personal = self.personal.get(changed.user_id.as_str());
        let is_later = |viewer: &&UserId| {
            let told = personal.and_then(|personal| personal.get(viewer));
            told.is_none_or(|told| told.number < changed.number)
        };
        News { event, recipients: recipients.iter().filter(is_later).copied().collect() }
    }

    fn is_latest(&mut self, changed: &pb::PresenceChanged) -> bool {
        if let Some(known) = self.changes.get_mut(changed.user_id.as_str()) {
            let is_later = changed.number > known.number;
            if is_later {
                known.clone_from(changed);
            }
            return is_later;
        }
        if self.order.len() == MOST
            && let Some(first) = self.order.pop_front()
        {
            self.changes.remove(&first);
        }
        self.order.push_back(changed.user_id.as_str().into());
        self.changes.insert(changed.user_id.as_str().into(), changed.clone());
        true
    }

    /// To whom somebody is shown again, the later of this and of what all were told is told.
    fn note_personal<'a>(
        &mut self,
        changed: &'a pb::PresenceChanged,
        recipients: &[UserId],
    ) -> News<'a> {
        let user = changed.user_id.as_str();
        let known = self.changes.get(user).filter(|known| known.number > changed.number);
        let event = match known {
            Some(known) if !changed.is_hidden => Cow::Owned(known.clone()),
            _ => Cow::Borrowed(changed),
        };
        let mut told = Vec::with_capacity(recipients.len());
        for viewer in recipients {
            let before = self.personal.get(user).and_then(|personal| personal.get(viewer));
            if before.is_some_and(|before| before.number >= changed.number) {
                continue;
            }
            self.count += 1;
            let (count, number, event) = (self.count, changed.number, event.clone().into_owned());
            let personal = self.personal.entry(user.into()).or_default();
            personal.insert(*viewer, Told { count, number, event });
            self.personal_order.push_back((count, user.into(), *viewer));
            told.push(*viewer);
        }
        self.forget_personal();
        News { event, recipients: told }
    }

    fn forget_personal(&mut self) {
        while self.personal_order.len() > MOST
            && let Some((count, user, viewer)) = self.personal_order.pop_front()
        {
            let Some(personal) = self.personal.get_mut(&user) else { continue };
            // One that was told something since stands further behind, too.
            if personal.get(&viewer).is_some_and(|told| told.count == count) {
                personal.remove(&viewer);
            }
            if personal.is_empty() {
                self.personal.remove(&user);
            }
        }
    }

    /// Returns a mark for [`Self::told_since`].
    pub(super) fn mark(&self) -> u64 {
        self.count
    }

    /// Returns what was told to a user alone since a mark, in its order.
    pub(super) fn told_since(&self, mark: u64, viewer: UserId) -> Vec<&pb::PresenceChanged> {
        let recent = self.personal_order.iter().rev().take_while(|(count, ..)| *count > mark);
        let told = recent.filter(|(.., told)| *told == viewer).filter_map(|(count, user, _)| {
            let told = self.personal.get(user)?.get(&viewer)?;
            (told.count == *count).then_some(&told.event)
        });
        let mut told: Vec<&pb::PresenceChanged> = told.collect();
        told.reverse();
        told
    }

    /// Puts what is known in the place of what was answered before it. What is hidden stays so.
    pub(super) fn correct(&self, answered: &mut pb::Presence) {
        let Some(known) = self.changes.get(answered.user_id.as_str()) else { return };
        if answered.number >= 0 && known.number > answered.number {
            answered.number = known.number;
            answered.is_online = known.is_online;
            answered.last_seen_at = known.at;
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;

    use super::*;

    fn changed(user_id: &str, is_online: bool, number: i64) -> pb::PresenceChanged {
        pb::PresenceChanged { user_id: user_id.to_owned(), is_online, number, ..Default::default() }
    }

    fn hidden(user_id: &str, number: i64) -> pb::PresenceChanged {
        pb::PresenceChanged {
            is_personal: true,
            is_hidden: true,
            ..changed(user_id, false, number)
        }
    }

    fn shown(user_id: &str, is_online: bool, number: i64) -> pb::PresenceChanged {
        pb::PresenceChanged { is_personal: true, ..changed(user_id, is_online, number) }
    }

    fn viewers() -> [UserId; 2] {
        [1, 2].map(|byte| UserId(ObjectId::from_bytes([byte; 12])))
    }

    /// Returns whether a viewer sees somebody online after he heard these events of him.
    fn seen(known: &mut Known, viewer: UserId, events: &[(pb::PresenceChanged, bool)]) -> bool {
        let mut is_online = false;
        for (event, is_recipient) in events {
            let recipients = if *is_recipient { vec![viewer] } else { Vec::new() };
            let news = known.note(event, &recipients);
            if news.recipients.contains(&viewer) {
                is_online = news.event.is_online;
            }
        }
        is_online
    }

    #[test]
    fn change_that_comes_after_a_later_one_is_not_told() {
        let (mut known, viewers) = (Known::default(), viewers());
        let mut is_told = |event: &pb::PresenceChanged| {
            let told = known.note(event, &viewers).recipients;
            assert!(told.is_empty() || told == viewers);
            !told.is_empty()
        };
        assert!(is_told(&changed("a", true, 1)));
        assert!(!is_told(&changed("a", true, 1)), "heard again");
        assert!(is_told(&changed("a", true, 3)));
        assert!(!is_told(&changed("a", false, 2)), "too late");
        assert!(is_told(&changed("b", false, 2)), "of somebody else");
    }

    #[test]
    fn what_some_see_alone_is_told_to_them_alone() {
        let (mut known, [one, other]) = (Known::default(), viewers());
        known.note(&changed("a", true, 1), &[one, other]);
        assert_eq!(known.note(&hidden("a", 2), &[one]).recipients, [one]);
        assert_eq!(known.note(&hidden("a", 2), &[one]).recipients, [], "heard again");
        let mut answered = pb::Presence { is_online: true, number: 2, ..Default::default() };
        answered.user_id = "a".to_owned();
        known.correct(&mut answered);
        assert!(answered.is_online, "as others see it");
        assert_eq!(known.note(&changed("a", false, 3), &[other]).recipients, [other]);
        assert_eq!(known.note(&shown("a", false, 4), &[one]).recipients, [one]);
    }

    #[test]
    fn in_whatever_order_it_is_heard_the_last_counts() {
        // Online, hidden by a block, shown again, offline, and online: who is blocked hears nothing else.
        let events = [
            (changed("a", true, 1), true),
            (hidden("a", 2), true),
            (changed("a", false, 3), false),
            (changed("a", true, 4), false),
            (shown("a", true, 5), true),
            (changed("a", false, 6), true),
            (hidden("a", 7), true),
            (changed("a", true, 8), false),
            (shown("a", true, 9), true),
        ];
        let viewer = viewers()[0];
        let expected = [true, false, false, false, true, false, false, false, true];
        for (last, expected) in expected.into_iter().enumerate() {
            let all = &events[..=last];
            assert_eq!(seen(&mut Known::default(), viewer, all), expected, "in order, {last}");
            for first in 0..=last {
                // Some are heard live, and then all are once more.
                let live = all[first..].iter().chain(all).cloned().collect::<Vec<_>>();
                assert_eq!(seen(&mut Known::default(), viewer, &live), expected, "{first} {last}");
            }
            let backwards: Vec<_> = all.iter().rev().chain(all).cloned().collect();
            assert_eq!(seen(&mut Known::default(), viewer, &backwards), expected, "back {last}");
        }
    }

    #[test]
    fn what_was_told_to_somebody_while_he_was_answered_is_told_behind_it() {
        let (mut known, [one, other]) = (Known::default(), viewers());
        known.note(&hidden("a", 2), &[one]);
        let mark = known.mark();
        known.note(&hidden("b", 2), &[one, other]);
        known.note(&hidden("c", 2), &[one]);
        known.note(&shown("b", true, 3), &[one]);
        let told = |viewer| {
            let told = known.told_since(mark, viewer).into_iter();
            told.map(|event| (event.user_id.as_str(), event.is_online)).collect::<Vec<_>>()
        };
        assert_eq!(told(one), [("c", false), ("b", true)]);
        assert_eq!(told(other), [("b", false)]);
        assert!(known.told_since(known.mark(), one).is_empty());
    }

    #[test]
    fn answer_gives_way_to_what_was_heard_after_it() {
        let mut known = Known::default();
        known.note(&changed("a", false, 4), &[]);
        for (number, is_online) in [(3, false), (4, true), (5, true), (-1, true)] {
            let mut answered = pb::Presence {
                user_id: "a".to_owned(),
                is_online: true,
                last_seen_at: None,
                number,
            };
            known.correct(&mut answered);
            assert_eq!(answered.is_online, is_online, "{number}");
        }
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let (mut known, [viewer, _]) = (Known::default(), viewers());
        for user in 0..=MOST {
            known.note(&changed(&user.to_string(), true, 1), &[]);
            known.note(&hidden(&user.to_string(), 2), &[viewer]);
        }
        assert_eq!((known.changes.len(), known.order.len()), (MOST, MOST));
        assert_eq!((known.personal.len(), known.personal_order.len()), (MOST, MOST));
        assert_eq!(known.note(&changed("0", true, 1), &[viewer]).recipients, [viewer]);
    }
}
