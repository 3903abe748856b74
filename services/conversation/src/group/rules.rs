//! Why a change of a group was refused, told from the group as it is. Pure.

use bson::{Binary, DateTime};
use chat_kit::id::UserId;

use super::GroupError;
use crate::{
    error::Error,
    store::{
        conversations::Conversation,
        groups::{Change, Group, Way},
    },
};

/// What a refused change comes to where nobody is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is as it would be afterwards.
    Unchanged,
    /// Nothing is in its way any more.
    Again,
}

/// A group and its conversation.
#[derive(Clone, Copy)]
struct State<'a> {
    group: &'a Group,
    member_ids: &'a [UserId],
}

/// Says why a change was refused.
pub(super) fn explain(
    found: &Conversation,
    change: &Change,
    now: DateTime,
) -> Result<Verdict, Error> {
    let group = found.group.as_ref().ok_or(GroupError::NotFound)?;
    let state = State { group, member_ids: &found.member_ids };
    match change {
        Change::Edit { by, .. } | Change::Invite { by, .. } => state.require_admin(*by)?,
        Change::Add { by, user, most } => state.check_adding(*by, *user, *most)?,
        Change::Remove { by, user } => return state.check_removing(*by, *user),
        Change::Leave { user } => state.require_member(*user)?,
        Change::Promote { by, user } => state.check_promoting(*by, *user)?,
        Change::Demote { by, user } => state.check_demoting(*by, *user)?,
        Change::Join { user, .. } if state.is_member(*user) => return Ok(Verdict::Unchanged),
        Change::Join { way, most, .. } => state.check_joining(way, *most, now)?,
    }
    Ok(Verdict::Again)
}

impl State<'_> {
    fn is_member(&self, user: UserId) -> bool {
        self.member_ids.contains(&user)
    }

    fn is_admin(&self, user: UserId) -> bool {
        self.group.admin_ids.contains(&user)
    }

    fn require_member(&self, user: UserId) -> Result<(), Error> {
        if self.is_member(user) { Ok(()) } else { Err(Error::NotAMember) }
    }

    fn require_admin(&self, user: UserId) -> Result<(), Error> {
        self.require_member(user)?;
        if self.is_admin(user) { Ok(()) } else { Err(GroupError::AdminsOnly.into()) }
    }

    fn require_room(&self, most: usize) -> Result<(), Error> {
        if self.member_ids.len() < most { Ok(()) } else { Err(GroupError::Full(most).into()) }
    }

    fn check_adding(&self, by: UserId, user: UserId, most: usize) -> Result<(), Error> {
        self.require_member(by)?;
        if self.group.only_admins_can_add {
            self.require_admin(by)?;
        }
        if self.is_member(user) {
            return Err(GroupError::AlreadyMember.into());
        }
        self.require_room(most)
    }

    fn check_removing(&self, by: UserId, user: UserId) -> Result<Verdict, Error> {
        if by == user {
            // Nobody else is told what the group is like.
            self.require_member(by)?;
        } else {
            self.require_admin(by)?;
        }
        if self.is_admin(user) {
            return Err(GroupError::RemovedAdmin.into());
        }
        Ok(if self.is_member(user) { Verdict::Again } else { Verdict::Unchanged })
    }

    fn check_promoting(&self, by: UserId, user: UserId) -> Result<(), Error> {
        self.require_admin(by)?;
        if !self.is_member(user) {
            return Err(GroupError::PromotedStranger.into());
        }
        if self.is_admin(user) { Err(GroupError::AlreadyAdmin.into()) } else { Ok(()) }
    }

    fn check_demoting(&self, by: UserId, user: UserId) -> Result<(), Error> {
        self.require_admin(by)?;
        if self.group.admin_id == user {
            return Err(GroupError::MainAdmin.into());
        }
        if self.is_admin(user) { Ok(()) } else { Err(GroupError::DemotedMember.into()) }
    }

    fn check_joining(&self, way: &Way, most: usize, now: DateTime) -> Result<(), Error> {
        match way {
            Way::Public if !self.group.is_public => return Err(GroupError::NotPublic.into()),
            Way::Public => {}
            Way::Invite(token_hash) => self.check_invite(token_hash, now)?,
        }
        self.require_room(most)
    }

    fn check_invite(&self, token_hash: &Binary, now: DateTime) -> Result<(), Error> {
        let invite = self.group.invite.as_ref();
        let invite = invite.filter(|invite| invite.token_hash == *token_hash);
        match invite {
            None => Err(GroupError::UnknownInvite.into()),
            Some(invite) if invite.is_expired(now) => Err(GroupError::ExpiredInvite.into()),
            Some(invite) if invite.is_used_up() => Err(GroupError::UsedUpInvite.into()),
            Some(_) => Ok(()),
        }
    }
}
