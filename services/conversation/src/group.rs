//! Groups. Here: making one, a conversation of any number of members, who all exist.

mod change;
mod error;
pub(crate) mod list;
mod rules;

use std::{collections::HashSet, num::NonZeroUsize};

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, UserId},
};
use chat_proto::v1::GetUsersRequest;

pub(crate) use self::error::GroupError;
use crate::{
    Service,
    error::Error,
    store::{conversations::Conversation, groups::Group},
};

/// A group that is to be made.
pub(crate) struct NewGroup {
    pub(crate) id: ConversationId,
    /// As they were named: perhaps twice, perhaps with the one who makes it.
    pub(crate) member_ids: Vec<UserId>,
    /// Without one, it is a conversation of several and needs another member.
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) avatar_url: Option<String>,
}

impl Service {
    /// Makes a group for `user`, once however often it is asked for with the same id.
    pub(crate) async fn create_group(
        &self,
        caller: &Caller,
        user: UserId,
        new: NewGroup,
    ) -> Result<Conversation, Error> {
        let least = if new.name.is_some() { 1 } else { 2 };
        let members = members(user, &new.member_ids, least, self.limits.members)?;
        self.check_existence(caller, &members).await?;
        self.check_blocks(user, &members).await?;
        let name = new.name.unwrap_or_default();
        let group = Group {
            name_key: name.to_lowercase(),
            name,
            description: new.description,
            avatar_url: new.avatar_url,
            admin_id: user,
            admin_ids: vec![user],
            only_admins_can_send: false,
            only_admins_can_add: false,
            is_public: false,
            invite: None,
        };
        let now = DateTime::now();
        let made = self.store.conversations().make_group(new.id, &members, &group, now).await?;
        self.outbox.announce(made.id.0);
        Ok(made)
    }

    async fn check_existence(&self, caller: &Caller, members: &[UserId]) -> Result<(), Error> {
        let user_ids = members.iter().map(UserId::to_string).collect();
        let request = caller.for_service(crate::NAME).request(GetUsersRequest { user_ids });
        let answer = self.users.clone().get_users(request).await.map_err(Error::User)?;
        let users = answer.into_inner().users;
        let known: HashSet<UserId> = users.iter().filter_map(|user| user.id.parse().ok()).collect();
        match members.iter().find(|member| !known.contains(*member)) {
            Some(unknown) => Err(Error::UserNotFound(*unknown)),
            None => Ok(()),
        }
    }
}

/// Returns the members of a new group: who makes it, then the others as they were named, each once.
fn members(
    user: UserId,
    named: &[UserId],
    least: usize,
    most: NonZeroUsize,
) -> Result<Vec<UserId>, Error> {
    let mut seen = HashSet::new();
    let all = std::iter::once(user).chain(named.iter().copied());
    let members: Vec<UserId> = all.filter(|id| seen.insert(*id)).collect();
    match members.len() {
        count if count < least => Err(Error::EmptyGroup),
        count if count > most.get() => Err(Error::TooManyMembers(most.get())),
        _ => Ok(members),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: NonZeroUsize = NonZeroUsize::new(3).expect("not zero");

    #[test]
    fn maker_comes_first_and_everybody_once() {
        let (ada, grace, alan) = (UserId::new(), UserId::new(), UserId::new());
        for named in [vec![grace, alan], vec![grace, ada, grace, alan, alan]] {
            assert_eq!(members(ada, &named, 2, MOST).expect("a group"), [ada, grace, alan]);
        }
    }

    #[test]
    fn group_has_another_member_and_not_too_many() {
        let ada = UserId::new();
        for named in [vec![], vec![ada, ada]] {
            assert!(matches!(members(ada, &named, 2, MOST), Err(Error::EmptyGroup)));
            assert_eq!(members(ada, &named, 1, MOST).expect("a group with a name"), [ada]);
        }
        let mut named = vec![UserId::new(), UserId::new(), ada];
        assert_eq!(members(ada, &named, 2, MOST).expect("a group").len(), 3);
        named.push(UserId::new());
        assert!(matches!(members(ada, &named, 2, MOST), Err(Error::TooManyMembers(3))));
    }
}
