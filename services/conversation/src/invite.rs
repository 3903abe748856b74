//! Invite links. A link is made from a stored random number with a secret that is not stored, so that an
//! administrator can be shown it again, and whoever reads the database cannot join by it.

use aws_lc_rs::{
    digest, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use bson::{Binary, DateTime, spec::BinarySubtype};
use chat_kit::{
    config::Secret,
    id::{ConversationId, UserId},
};

use crate::{
    Service,
    error::Error,
    group::GroupError,
    store::{
        conversations::Conversation,
        groups::{Change, Expected, Group, Invite, Way},
    },
};

/// Separates the links from everything else that may be made with the same secret.
const CONTEXT: &[u8] = b"chat invite link";
/// Bytes of a link and of the random number that it is made from.
const SIZE: usize = 16;
/// Characters of a link: as many as the largest number of its size has.
const LENGTH: usize = 25;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// How often the link in force is looked for while others change it.
const ATTEMPTS: usize = 8;

/// Makes links.
#[derive(Clone, Debug)]
pub(crate) struct Links(hmac::Key);

/// What a new link is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) expires_at: Option<DateTime>,
    pub(crate) max_uses: Option<i64>,
}

/// A link in force.
pub(crate) struct Issued {
    pub(crate) link: String,
    pub(crate) invite: Invite,
}

impl Links {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()))
    }

    /// Returns the link of a group while it is in force. One that was made with another secret is not.
    pub(crate) fn in_force(
        &self,
        id: ConversationId,
        group: &Group,
        now: DateTime,
    ) -> Option<String> {
        let invite = group.invite.as_ref()?;
        let link = self.link(id, &invite.nonce.bytes);
        let is_known = hash(&link) == invite.token_hash;
        (is_known && !invite.is_expired(now) && !invite.is_used_up()).then_some(link)
    }

    fn link(&self, id: ConversationId, nonce: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [CONTEXT, nonce, &id.0.bytes()] {
            context.update(part);
        }
        let mut bytes = [0; SIZE];
        bytes.copy_from_slice(&context.sign().as_ref()[..SIZE]);
        text(u128::from_be_bytes(bytes))
    }

    fn issue(
        &self,
        id: ConversationId,
        by: UserId,
        terms: Terms,
        now: DateTime,
    ) -> Result<Issued, Error> {
        let mut nonce = [0; SIZE];
        SystemRandom::new().fill(&mut nonce).map_err(|_| GroupError::NoRandomness)?;
        let link = self.link(id, &nonce);
        let invite = Invite {
            token_hash: hash(&link),
            nonce: binary(&nonce),
            created_by: by,
            created_at: now,
            expires_at: terms.expires_at,
            max_uses: terms.max_uses,
            use_count: 0,
        };
        Ok(Issued { link, invite })
    }
}

fn text(mut number: u128) -> String {
    let mut digits = [b'0'; LENGTH];
    for digit in digits.iter_mut().rev() {
        let value = usize::try_from(number % 36).expect("less than 36");
        *digit = DIGITS[value];
        number /= 36;
    }
    digits.into_iter().map(char::from).collect()
}

fn hash(link: &str) -> Binary {
    binary(digest::digest(&digest::SHA256, link.as_bytes()).as_ref())
}

fn binary(bytes: &[u8]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}

impl Service {
    /// Returns the link in force, made by this call if there is none.
    pub(crate) async fn get_invite(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Issued, Error> {
        let groups = self.store.groups();
        for _ in 0..ATTEMPTS {
            let now = DateTime::now();
            let found = groups.settled(id).await?.ok_or(GroupError::NotFound)?;
            let group = administered(user, &found)?;
            if let Some(link) = self.links.in_force(id, group, now)
                && let Some(invite) = group.invite.clone()
            {
                return Ok(Issued { link, invite });
            }
            let terms = Terms { expires_at: None, max_uses: None };
            let issued = self.links.issue(id, user, terms, now)?;
            let before = group.invite.as_ref().map(|invite| invite.token_hash.clone());
            let expected = Expected::Exactly(before);
            let invite = Some(issued.invite.clone());
            let change = Change::Invite { by: user, expected, invite };
            if groups.apply(id, &change, now).await?.is_some() {
                return Ok(issued);
            }
        }
        Err(GroupError::Contended.into())
    }

    /// Makes a new link in place of any other.
    pub(crate) async fn rotate_invite(
        &self,
        user: UserId,
        id: ConversationId,
        terms: Terms,
    ) -> Result<Issued, Error> {
        let now = DateTime::now();
        if terms.expires_at.is_some_and(|at| at <= now) {
            return Err(GroupError::PastExpiry.into());
        }
        let issued = self.links.issue(id, user, terms, now)?;
        let invite = Some(issued.invite.clone());
        self.change(id, Change::Invite { by: user, expected: Expected::Any, invite }).await?;
        Ok(issued)
    }

    /// Ends the link.
    pub(crate) async fn revoke_invite(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<(), Error> {
        let change = Change::Invite { by: user, expected: Expected::Any, invite: None };
        self.change(id, change).await?;
        Ok(())
    }

    /// Makes the one who has a link a member.
    pub(crate) async fn join_by_invite(
        &self,
        user: UserId,
        link: &str,
    ) -> Result<Conversation, Error> {
        let token_hash = hash(&link.trim().to_ascii_lowercase());
        let found = self.store.groups().by_invite(&token_hash).await?;
        let id = found.ok_or(GroupError::UnknownInvite)?;
        self.join(user, id, Way::Invite(token_hash)).await
    }
}

fn administered(user: UserId, found: &Conversation) -> Result<&Group, Error> {
    let group = found.group.as_ref().ok_or(GroupError::NotFound)?;
    if !found.member_ids.contains(&user) {
        return Err(Error::NotAMember);
    }
    if !group.admin_ids.contains(&user) {
        return Err(GroupError::AdminsOnly.into());
    }
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(secret: &str) -> Links {
        Links::new(&Secret::new(secret))
    }

    #[test]
    fn link_is_a_number_of_128_bits() {
        for (number, expected) in [
            (0, "0000000000000000000000000"),
            (35, "000000000000000000000000z"),
            (36, "0000000000000000000000010"),
            (u128::MAX, "f5lxx1zz5pnorynqglhzmsp33"),
        ] {
            assert_eq!(text(number), expected);
            assert_eq!(u128::from_str_radix(expected, 36), Ok(number));
        }
    }

    #[test]
    fn link_is_made_again_from_what_is_stored_and_the_secret() {
        let (id, user, now) = (ConversationId::new(), UserId::new(), DateTime::now());
        let terms = Terms { expires_at: None, max_uses: None };
        let issued = links("one").issue(id, user, terms, now).expect("a link");
        let nonce = &issued.invite.nonce.bytes;
        assert_eq!(links("one").link(id, nonce), issued.link);
        assert_ne!(links("other").link(id, nonce), issued.link);
        assert_ne!(links("one").link(ConversationId::new(), nonce), issued.link);
        let other = links("one").issue(id, user, terms, now).expect("a link");
        assert_ne!(other.link, issued.link);
    }
}
