//! Who may act in a conversation, and who hears of it. Decided here alone.

use chat_kit::{
    caller::Actor,
    id::{ConversationId, UserId},
};
use chat_proto::v1::Act;

use crate::{
    Service,
    error::Error,
    group::GroupError,
    request::RequestError,
    store::conversations::{Audience, ConversationStatus},
};

/// A conversation, and users who may be members of it.
pub(crate) type ConversationUsers = (ConversationId, Vec<UserId>);

impl Service {
    /// Returns who hears of an act, if the actor may do it. One read decides both, so that a member who
    /// is removed meanwhile either acts and hears or does neither.
    pub(crate) async fn audience(
        &self,
        actor: &Actor,
        id: ConversationId,
        act: Act,
    ) -> Result<Audience, Error> {
        let user = match actor {
            Actor::User { id, .. } => Some(*id),
            Actor::Service(_) => None,
        };
        let found = self.store.audiences().get(id, user).await?;
        let audience = found.ok_or(Error::ConversationNotFound)?;
        permit(actor, act, &audience)?;
        Ok(audience)
    }

    /// Returns those of some users who are members of the conversations beside which they stand.
    pub(crate) async fn filter_members(
        &self,
        mut asked: Vec<ConversationUsers>,
    ) -> Result<Vec<ConversationUsers>, Error> {
        let ids = asked.iter().map(|(conversation, _)| *conversation).collect();
        let found = self.store.audiences().get_all(ids).await?;
        for ((_, users), audience) in asked.iter_mut().zip(found) {
            let members = audience.map(|audience| audience.member_ids).unwrap_or_default();
            users.retain(|user| members.contains(user));
        }
        Ok(asked)
    }
}

/// Refuses what an actor may not do.
fn permit(actor: &Actor, act: Act, audience: &Audience) -> Result<(), Error> {
    let (is_member, is_admin) = match actor {
        Actor::User { id, .. } => (audience.member_ids.contains(id), audience.is_admin(*id)),
        Actor::Service(_) => (false, false),
    };
    match act {
        Act::Deliver => match actor {
            Actor::Service(_) => Ok(()),
            Actor::User { .. } => Err(Error::ServicesOnly),
        },
        Act::Read | Act::Post if !is_member => Err(Error::NotAMember),
        Act::Post if audience.status == ConversationStatus::Pending => {
            let has_asked = |by: UserId| matches!(actor, Actor::User { id, .. } if *id == by);
            let refusal = match audience.requester() {
                Some(requester) if !has_asked(requester) => RequestError::ToAnswer,
                Some(_) | None => RequestError::Unanswered,
            };
            Err(refusal.into())
        }
        Act::Post if audience.status != ConversationStatus::Active => {
            Err(Error::NotActive(audience.status))
        }
        Act::Post if audience.only_admins_write() && !is_admin => {
            Err(GroupError::AdminsWrite.into())
        }
        Act::Read | Act::Post => Ok(()),
        Act::Unspecified => Err(Error::Invalid("act")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::store::conversations::Rights;

    fn user(id: UserId) -> Actor {
        Actor::User { id, session_id: None }
    }

    fn audience(member: UserId, status: ConversationStatus) -> Audience {
        Audience {
            member_ids: vec![UserId::new(), member],
            status,
            participant_key: None,
            created_by: None,
            requested_by: None,
            group: None,
            cleared: HashMap::new(),
        }
    }

    #[test]
    fn member_reads_always_and_posts_while_it_is_active() {
        let member = UserId::new();
        for status in ConversationStatus::ALL {
            let audience = audience(member, status);
            permit(&user(member), Act::Read, &audience).expect("a member reads");
            let posts = permit(&user(member), Act::Post, &audience);
            assert_eq!(posts.is_ok(), status == ConversationStatus::Active, "{status:?}");
        }
    }

    #[test]
    fn stranger_does_nothing() {
        for status in ConversationStatus::ALL {
            let audience = audience(UserId::new(), status);
            for act in [Act::Unspecified, Act::Read, Act::Post, Act::Deliver] {
                permit(&user(UserId::new()), act, &audience).expect_err("a stranger");
            }
        }
    }

    #[test]
    fn service_only_delivers() {
        let service = Actor::Service("message".to_owned());
        for status in ConversationStatus::ALL {
            let audience = audience(UserId::new(), status);
            permit(&service, Act::Deliver, &audience).expect("a service delivers");
            for act in [Act::Unspecified, Act::Read, Act::Post] {
                permit(&service, act, &audience).expect_err("a service is no member");
            }
        }
    }

    #[test]
    fn member_delivers_nothing() {
        let member = UserId::new();
        let audience = audience(member, ConversationStatus::Active);
        permit(&user(member), Act::Deliver, &audience).expect_err("a user");
    }

    #[test]
    fn only_admins_post_where_the_group_says_so() {
        let (admin, member) = (UserId::new(), UserId::new());
        for only_admins_can_send in [false, true] {
            let audience = Audience {
                member_ids: vec![admin, member],
                status: ConversationStatus::Active,
                participant_key: None,
                created_by: None,
                requested_by: None,
                group: Some(Rights { admin_ids: vec![admin], only_admins_can_send }),
                cleared: HashMap::new(),
            };
            permit(&user(admin), Act::Post, &audience).expect("an administrator posts");
            permit(&user(member), Act::Read, &audience).expect("a member reads");
            let posts = permit(&user(member), Act::Post, &audience);
            assert_eq!(posts.is_ok(), !only_admins_can_send);
        }
    }
}
