//! What a profile shows to whom: phone and e-mail address are for oneself and one's partners.

use std::collections::BTreeSet;

use chat_kit::id::UserId;
use chat_proto::v1 as pb;

/// Digits of a phone that strangers see where it stands for a name.
const SHOWN_DIGITS: usize = 4;

/// Returns the ids of those whose profiles show more to partners: everybody but the caller.
#[must_use]
pub fn others(users: &[pb::User], caller: UserId) -> Vec<String> {
    let caller = caller.to_string();
    users.iter().filter(|user| user.id != caller).map(|user| user.id.clone()).collect()
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
            let end = phone.len().saturating_sub(SHOWN_DIGITS);
            user.name = format!("…{}", phone.get(end..).unwrap_or_default());
        }
        user.email = None;
    }
}

#[cfg(test)]
mod tests {
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
    fn phone_in_place_of_a_name_is_hidden_with_it() {
        let stranger = UserId::new();
        let mut users = [user(stranger, "+15550000001")];
        conceal(&mut users, UserId::new(), &BTreeSet::new());
        assert_eq!((users[0].name.as_str(), &users[0].phone), ("…0001", &None));
    }
}
