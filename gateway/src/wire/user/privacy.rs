//! What a profile shows to whom: phone and e-mail address are for oneself and one's partners.

use std::collections::{BTreeSet, HashSet};

use chat_kit::{id::UserId, phone};
use chat_proto::v1 as pb;

/// Most members of a group that are partners of each other.
const CLOSE_GROUP: usize = 100;

/// Returns the ids of those whose profiles show more to partners: everybody but the caller.
#[must_use]
pub fn others(users: &[pb::User], caller: UserId) -> Vec<String> {
    let caller = caller.to_string();
    users.iter().filter(|user| user.id != caller).map(|user| user.id.clone()).collect()
}

/// Returns the partners of the caller that some conversations tell of: those with whom he shares an active
/// conversation of two, or a group that is not too large for its members to know each other.
#[must_use]
pub fn partners_in(conversations: &[pb::Conversation], caller: UserId) -> BTreeSet<String> {
    let close = close(conversations, caller);
    close.flat_map(|conversation| conversation.member_ids.iter().cloned()).collect()
}

/// Returns those of some users whom only a group makes partners of the caller: it lets members in between
/// whom a block stands, which an active conversation of two does not.
#[must_use]
pub fn doubtful(
    users: &[String],
    conversations: &[pb::Conversation],
    caller: UserId,
) -> Vec<String> {
    let ids = |of_groups: bool| -> HashSet<&str> {
        let of_kind = close(conversations, caller).filter(|found| found.is_group == of_groups);
        of_kind.flat_map(|found| &found.member_ids).map(String::as_str).collect()
    };
    let (in_groups, in_direct, caller) = (ids(true), ids(false), caller.to_string());
    let is_doubtful = |id: &&String| {
        **id != caller && in_groups.contains(id.as_str()) && !in_direct.contains(id.as_str())
    };
    users.iter().filter(is_doubtful).cloned().collect()
}

/// Returns the conversations that make the caller and their other members partners.
fn close(
    conversations: &[pb::Conversation],
    caller: UserId,
) -> impl Iterator<Item = &pb::Conversation> {
    let caller = caller.to_string();
    conversations.iter().filter(move |conversation| {
        let is_close = if conversation.is_group {
            conversation.member_ids.len() <= CLOSE_GROUP
        } else {
            conversation.status() == pb::ConversationStatus::Active
        };
        is_close && conversation.member_ids.contains(&caller)
    })
}

/// Takes phone and e-mail address out of the profiles of all but the caller and his partners. A phone that
/// stands for the name of somebody without one goes, too, but for its end.
pub fn conceal(users: &mut [pb::User], caller: UserId, partners: &BTreeSet<String>) {
    let caller = caller.to_string();
    let strangers = users.iter_mut().filter(|user| user.id != caller);
    for user in strangers.filter(|user| !partners.contains(&user.id)) {
        if let Some(phone) = user.phone.take()
            && phone == user.name
        {
            user.name = phone::hidden(&phone);
        }
        user.email = None;
    }
}

#[cfg(test)]
mod tests {
    use chat_proto::v1::ConversationStatus::{Active, Blocked, Declined, Pending};

    use super::*;

    fn user(id: UserId, name: &str) -> pb::User {
        pb::User {
            id: id.to_string(),
            name: name.to_owned(),
            phone: Some("+15550000001".to_owned()),
            email: Some("a@b".to_owned()),
            ..Default::default()
        }
    }

    #[test]
    fn phone_is_for_oneself_and_partners() {
        let [own, partner, stranger] = [UserId::new(), UserId::new(), UserId::new()];
        let mut users = [own, partner, stranger].map(|id| user(id, "Ada"));
        assert_eq!(others(&users, own), [partner, stranger].map(|id| id.to_string()));
        conceal(&mut users, own, &BTreeSet::from([partner.to_string()]));
        let hidden = pb::User { phone: None, email: None, ..user(stranger, "Ada") };
        assert_eq!(users, [user(own, "Ada"), user(partner, "Ada"), hidden]);
    }

    #[test]
    fn partners_share_an_active_conversation_or_a_small_group() {
        let [own, other] = [UserId::new(), UserId::new()];
        let shared =
            |is_group, status: pb::ConversationStatus, strangers: usize| pb::Conversation {
                is_group,
                status: status.into(),
                member_ids: [own, other]
                    .into_iter()
                    .chain((0..strangers).map(|_| UserId::new()))
                    .map(|id| id.to_string())
                    .collect(),
                ..Default::default()
            };
        for (conversation, are_partners) in [
            (shared(false, Active, 0), true),
            (shared(false, Pending, 0), false),
            (shared(false, Declined, 0), false),
            (shared(false, Blocked, 0), false),
            (shared(true, Active, 98), true),
            (shared(true, Active, 99), false),
        ] {
            let conversations = [conversation];
            let partners = partners_in(&conversations, own);
            assert_eq!(partners.contains(&other.to_string()), are_partners, "{conversations:?}");
            let seen_from_outside = partners_in(&conversations, UserId::new());
            assert!(seen_from_outside.is_empty(), "{conversations:?}");
        }
    }

    #[test]
    fn members_of_groups_alone_are_doubtful() {
        let [own, friend, member, far] = [(); 4].map(|()| UserId::new().to_string());
        let shared = |is_group, members: &[&String]| pb::Conversation {
            is_group,
            status: Active.into(),
            member_ids: members.iter().copied().cloned().collect(),
            ..Default::default()
        };
        let conversations =
            [shared(false, &[&own, &friend]), shared(true, &[&own, &friend, &member])];
        let caller = own.parse().expect("an id");
        let users = [&own, &friend, &member, &far].map(Clone::clone);
        assert_eq!(doubtful(&users, &conversations, caller), [member]);
        assert_eq!(doubtful(&users, &conversations[..1], caller), [""; 0]);
        assert_eq!(doubtful(&[friend, far], &conversations, caller), [""; 0]);
    }

    #[test]
    fn phone_in_place_of_a_name_is_hidden_with_it() {
        let stranger = UserId::new();
        let mut users = [user(stranger, "+15550000001")];
        conceal(&mut users, UserId::new(), &BTreeSet::new());
        assert_eq!((users[0].name.as_str(), &users[0].phone), ("…0001", &None));
    }
}
