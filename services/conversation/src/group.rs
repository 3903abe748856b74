//! Making a group: a conversation of any number of members, who all exist.

use std::{collections::HashSet, num::NonZeroUsize};

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, UserId},
};
use chat_proto::v1::GetUsersRequest;

use crate::{Service, error::Error, store::conversations::Conversation};

/// A group that is to be made.
pub(crate) struct NewGroup {
    pub(crate) id: ConversationId,
    /// As they were named: perhaps twice, perhaps with the one who makes it.
    pub(crate) member_ids: Vec<UserId>,
}

impl Service {
    /// Makes a group for `user`, once however often it is asked for with the same id.
    pub(crate) async fn create_group(
        &self,
        caller: &Caller,
        user: UserId,
        new: NewGroup,
    ) -> Result<Conversation, Error> {
        let members = members(user, &new.member_ids, self.limits.members)?;
        self.check_existence(caller, &members).await?;
        let group =
            self.store.conversations().make_group(new.id, &members, DateTime::now()).await?;
        self.outbox.announce(group.id.0);
        Ok(group)
    }

    async fn check_existence(&self, caller: &Caller, members: &[UserId]) -> Result<(), Error> {
        let user_ids = members.iter().map(UserId::to_string).collect();
        let request = caller.request(GetUsersRequest { user_ids });
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
fn members(user: UserId, named: &[UserId], most: NonZeroUsize) -> Result<Vec<UserId>, Error> {
    let mut seen = HashSet::new();
    let all = std::iter::once(user).chain(named.iter().copied());
    let members: Vec<UserId> = all.filter(|id| seen.insert(*id)).collect();
    match members.len() {
        1 => Err(Error::EmptyGroup),
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
            assert_eq!(members(ada, &named, MOST).expect("a group"), [ada, grace, alan]);
        }
    }

    #[test]
    fn group_has_another_member_and_not_too_many() {
        let ada = UserId::new();
        for named in [vec![], vec![ada, ada]] {
            assert!(matches!(members(ada, &named, MOST), Err(Error::EmptyGroup)));
        }
        let mut named = vec![UserId::new(), UserId::new(), ada];
        assert_eq!(members(ada, &named, MOST).expect("a group").len(), 3);
        named.push(UserId::new());
        assert!(matches!(members(ada, &named, MOST), Err(Error::TooManyMembers(3))));
    }
}
