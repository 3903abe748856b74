//! Who sees whether somebody is online and when he was last seen. Of who hides it, others see what they see
//! of somebody who was never there.

use std::collections::{HashMap, HashSet};

use bson::Bson;
use chat_kit::{
    caller::{Actor, Caller},
    id::UserId,
    phone,
    time::to_timestamp,
};
use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};

use crate::{
    Service,
    error::Error,
    store::{presences::Presence, users::User},
};

/// Stands for the number of a transition that is hidden.
const HIDDEN: i64 = -1;

/// Who sees somebody's presence. Nobody between whom and him a block stands does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Privacy {
    /// Everybody.
    #[default]
    Everyone,
    /// His partners.
    Contacts,
    /// Nobody.
    Nobody,
}

impl From<Privacy> for Bson {
    fn from(privacy: Privacy) -> Self {
        let text = match privacy {
            Privacy::Everyone => "everyone",
            Privacy::Contacts => "contacts",
            Privacy::Nobody => "nobody",
        };
        text.into()
    }
}

impl TryFrom<i32> for Privacy {
    type Error = ();

    fn try_from(number: i32) -> Result<Self, ()> {
        match pb::LastSeenPrivacy::try_from(number) {
            Ok(pb::LastSeenPrivacy::Everyone) => Ok(Self::Everyone),
            Ok(pb::LastSeenPrivacy::Contacts) => Ok(Self::Contacts),
            Ok(pb::LastSeenPrivacy::Nobody) => Ok(Self::Nobody),
            Ok(pb::LastSeenPrivacy::Unspecified) | Err(_) => Err(()),
        }
    }
}

impl From<Privacy> for pb::LastSeenPrivacy {
    fn from(privacy: Privacy) -> Self {
        match privacy {
            Privacy::Everyone => Self::Everyone,
            Privacy::Contacts => Self::Contacts,
            Privacy::Nobody => Self::Nobody,
        }
    }
}

/// What somebody sees of others.
#[derive(Debug)]
pub(crate) enum Sight {
    /// Nothing: a service asks.
    Nothing,
    /// What they let him see.
    Of(Viewer),
}

/// Somebody who looks at others.
#[derive(Debug)]
pub(crate) struct Viewer {
    id: UserId,
    partners: HashSet<UserId>,
    blocked: HashSet<UserId>,
}

impl Viewer {
    /// Describes somebody by what the conversation service says of him.
    pub(crate) fn new(id: UserId, partners: &[String], blocked: &[String]) -> Self {
        let ids = |texts: &[String]| texts.iter().filter_map(|id| id.parse().ok()).collect();
        Self { id, partners: ids(partners), blocked: ids(blocked) }
    }

    fn sees(&self, user: &User) -> bool {
        let may_see = match user.last_seen_privacy {
            Privacy::Everyone => true,
            Privacy::Contacts => self.partners.contains(&user.id),
            Privacy::Nobody => false,
        };
        self.id == user.id || (may_see && !self.blocked.contains(&user.id))
    }
}

impl Sight {
    fn sees(&self, user: &User) -> bool {
        match self {
            Self::Nothing => false,
            Self::Of(viewer) => viewer.sees(user),
        }
    }

    fn is_of(&self, user: &User) -> bool {
        matches!(self, Self::Of(viewer) if viewer.id == user.id)
    }
}

/// The presences of some users, and what is seen of them.
#[derive(Debug)]
pub(crate) struct Shown {
    sight: Sight,
    presences: HashMap<UserId, Presence>,
}

impl Shown {
    /// Describes users to somebody who sees what is stored of them.
    pub(crate) fn new(sight: Sight, presences: Vec<Presence>) -> Self {
        let presences = presences.into_iter().map(|presence| (presence.user_id, presence));
        Self { sight, presences: presences.collect() }
    }

    /// Describes users to whom nobody's presence is told.
    pub(crate) fn nothing() -> Self {
        Self::new(Sight::Nothing, Vec::new())
    }

    /// Returns what is seen of somebody's presence.
    pub(crate) fn presence(&self, user: &User) -> pb::Presence {
        let presence = self.presences.get(&user.id);
        let (is_online, at, number) = if self.sight.sees(user) {
            let at = presence.and_then(|presence| presence.at).unwrap_or(user.last_seen_at);
            presence.map_or((false, at, 0), |presence| (presence.is_online, at, presence.number))
        } else {
            (false, user.created_at, HIDDEN)
        };
        pb::Presence {
            user_id: user.id.to_string(),
            is_online,
            last_seen_at: Some(to_timestamp(at)),
            number,
        }
    }

    /// Returns what is seen of somebody's profile.
    pub(crate) fn user(&self, user: User) -> pb::User {
        let presence = self.presence(&user);
        let own =
            self.sight.is_of(&user).then(|| pb::LastSeenPrivacy::from(user.last_seen_privacy));
        pb::User {
            id: user.id.to_string(),
            name: user.name,
            phone: Some(user.phone),
            email: user.email,
            avatar_url: user.avatar_url,
            bio: user.bio,
            last_seen_at: presence.last_seen_at,
            created_at: Some(to_timestamp(user.created_at)),
            updated_at: Some(to_timestamp(user.updated_at)),
            is_online: presence.is_online,
            last_seen_privacy: own.map(Into::into),
        }
    }
}

/// Takes phone and e-mail address out of a profile, for somebody from whom a block keeps them. A phone that
/// stands for the name of somebody without one goes, too, but for its end.
pub(crate) fn conceal(user: &mut pb::User) {
    if let Some(phone) = user.phone.take()
        && phone == user.name
    {
        user.name = phone::hidden(&phone);
    }
    user.email = None;
}

impl Service {
    /// Returns what a caller sees of some users: one read, and one question to the conversation service
    /// where others are among them.
    pub(crate) async fn shown(&self, caller: &Caller, users: &[UserId]) -> Result<Shown, Error> {
        let Actor::User { id, .. } = caller.actor else {
            return Ok(Shown::nothing());
        };
        let presences = async {
            if users.is_empty() { Ok(Vec::new()) } else { self.store.presences().of(users).await }
        };
        let (presences, viewer) = tokio::try_join!(presences, self.viewer(caller, id, users))?;
        Ok(Shown::new(Sight::Of(viewer), presences))
    }

    /// Returns what a caller sees of a profile.
    pub(crate) async fn show(&self, caller: &Caller, user: User) -> Result<pb::User, Error> {
        Ok(self.shown(caller, &[user.id]).await?.user(user))
    }

    /// Returns what a caller sees of some profiles.
    pub(crate) async fn show_all(
        &self,
        caller: &Caller,
        users: Vec<User>,
    ) -> Result<Vec<pb::User>, Error> {
        let ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
        let shown = self.shown(caller, &ids).await?;
        Ok(users.into_iter().map(|user| shown.user(user)).collect())
    }

    async fn viewer(&self, caller: &Caller, id: UserId, users: &[UserId]) -> Result<Viewer, Error> {
        let others = users.iter().filter(|user| **user != id);
        let user_ids: Vec<String> = others.map(ToString::to_string).collect();
        if user_ids.is_empty() {
            return Ok(Viewer::new(id, &[], &[]));
        }
        let request = caller.request(pb::FilterPartnersRequest { user_id: None, user_ids });
        let known = self.conversations.clone().filter_partners(request).await;
        let known = known.map_err(Error::Conversation)?.into_inner();
        Ok(Viewer::new(id, &known.user_ids, &known.blocked_user_ids))
    }
}

#[cfg(test)]
mod tests {
    use bson::DateTime;

    use super::*;

    fn user(id: UserId, last_seen_privacy: Privacy) -> User {
        User {
            id,
            name: "Ada".to_owned(),
            name_key: None,
            phone: "+15550000001".to_owned(),
            email: None,
            avatar_url: None,
            bio: None,
            last_seen_privacy,
            last_seen_at: DateTime::from_millis(2),
            created_at: DateTime::from_millis(1),
            updated_at: DateTime::from_millis(3),
        }
    }

    fn seen(sight: Sight, user: &User) -> (bool, i32, i64) {
        let presence = Presence {
            user_id: user.id,
            is_online: true,
            number: 7,
            at: Some(DateTime::from_millis(9)),
            arrivals: 1,
        };
        let presence = Shown::new(sight, vec![presence]).presence(user);
        let millis = presence.last_seen_at.expect("an instant").nanos / 1_000_000;
        (presence.is_online, millis, presence.number)
    }

    #[test]
    fn everybody_sees_what_he_is_let_see_unless_a_block_stands_between_them() {
        use Privacy::{Contacts, Everyone, Nobody};
        let (id, viewer) = (UserId::new(), UserId::new());
        let (online, hidden) = ((true, 9, 7), (false, 1, -1));
        let texts = [id.to_string()];
        for (privacy, stranger, partner, blocked) in [
            (Everyone, online, online, hidden),
            (Contacts, hidden, online, hidden),
            (Nobody, hidden, hidden, hidden),
        ] {
            let user = user(id, privacy);
            let as_seen = |viewer: Viewer| seen(Sight::Of(viewer), &user);
            assert_eq!(as_seen(Viewer::new(viewer, &[], &[])), stranger, "{privacy:?}");
            assert_eq!(as_seen(Viewer::new(viewer, &texts, &[])), partner, "{privacy:?}");
            assert_eq!(as_seen(Viewer::new(viewer, &texts, &texts)), blocked, "{privacy:?}");
            assert_eq!(as_seen(Viewer::new(id, &[], &[])), online, "himself");
            assert_eq!(seen(Sight::Nothing, &user), hidden, "a service");
        }
    }

    #[test]
    fn of_a_concealed_profile_neither_phone_nor_address_is_left() {
        let stored =
            User { email: Some("a@b".to_owned()), ..user(UserId::new(), Privacy::Everyone) };
        for (name, left) in [("Ada", "Ada"), ("+15550000001", "…0001")] {
            let stored = User { name: name.to_owned(), ..stored.clone() };
            let mut shown = Shown::nothing().user(stored);
            assert_eq!(shown.phone.as_deref(), Some("+15550000001"));
            conceal(&mut shown);
            assert_eq!((shown.name.as_str(), shown.phone, shown.email), (left, None, None));
        }
    }

    #[test]
    fn own_profile_alone_says_who_sees_the_presence() {
        let (id, viewer) = (UserId::new(), UserId::new());
        for (viewer, said) in [(id, Some(pb::LastSeenPrivacy::Contacts.into())), (viewer, None)] {
            let sight = Sight::Of(Viewer::new(viewer, &[], &[]));
            let shown = Shown::new(sight, Vec::new()).user(user(id, Privacy::Contacts));
            assert_eq!(shown.last_seen_privacy, said);
        }
    }
}
