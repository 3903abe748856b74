//! What groups can fail with beside what all conversations can.

use chat_kit::id::UserId;
use tonic::Code;

/// A refused change of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GroupError {
    /// There is no such group.
    #[error("there is no such group")]
    NotFound,
    /// A plain member wants what administrators do.
    #[error("only administrators of the group may do this")]
    AdminsOnly,
    /// A plain member wants to write where administrators do.
    #[error("only administrators may write in this group")]
    AdminsWrite,
    /// The one who is to be added is there.
    #[error("the user is a member already")]
    AlreadyMember,
    /// The one who is to be an administrator is one.
    #[error("the member is an administrator already")]
    AlreadyAdmin,
    /// There is no room for another member.
    #[error("the group is full: it has {0} members, which is the most")]
    Full(usize),
    /// The one who is to be removed is an administrator.
    #[error("the user is an administrator: demote him before you remove him, or let him leave")]
    RemovedAdmin,
    /// The one who is to be an administrator is no member.
    #[error("the user is not a member: add him before you make him an administrator")]
    PromotedStranger,
    /// The one who is to be a plain member is one, or none.
    #[error("the user is not an administrator")]
    DemotedMember,
    /// The one who is to be a plain member is the main administrator.
    #[error("the main administrator cannot be demoted; he may leave")]
    MainAdmin,
    /// The one who is to be added and the one who adds do not talk to each other.
    #[error("{0} cannot be added by you: one of you has blocked the other")]
    Blocked(UserId),
    /// Nobody joins by himself.
    #[error("the group is not public: an invite link is needed, or a member who adds you")]
    NotPublic,
    /// No group has this link.
    #[error("the invite link is not known: ask for another one")]
    UnknownInvite,
    /// The link ended.
    #[error("the invite link has expired: ask for another one")]
    ExpiredInvite,
    /// As many as were wanted have joined.
    #[error("the invite link is used up: ask for another one")]
    UsedUpInvite,
    /// A link would have ended before it begins.
    #[error("`expires_at` has passed: an instant in the future is needed")]
    PastExpiry,
    /// A text is too long.
    #[error("`{field}` exceeds {most} characters")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// How many it may have.
        most: usize,
    },
    /// Others changed the group each time.
    #[error("the group is being changed by others, try again")]
    Contended,
    /// The system gives no random numbers.
    #[error("no random numbers")]
    NoRandomness,
}

impl GroupError {
    pub(crate) fn code(self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::AdminsOnly
            | Self::AdminsWrite
            | Self::MainAdmin
            | Self::Blocked(_)
            | Self::NotPublic => Code::PermissionDenied,
            Self::AlreadyMember | Self::AlreadyAdmin | Self::Full(_) => Code::AlreadyExists,
            Self::RemovedAdmin
            | Self::PromotedStranger
            | Self::DemotedMember
            | Self::UnknownInvite
            | Self::ExpiredInvite
            | Self::UsedUpInvite
            | Self::PastExpiry
            | Self::TooLong { .. } => Code::InvalidArgument,
            Self::Contended => Code::Aborted,
            Self::NoRandomness => Code::Internal,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AdminsOnly
            | Self::AdminsWrite
            | Self::MainAdmin
            | Self::Blocked(_)
            | Self::NotPublic => "forbidden",
            Self::AlreadyMember => "already_member",
            Self::AlreadyAdmin => "already_admin",
            Self::Full(_) => "group_full",
            Self::RemovedAdmin
            | Self::PromotedStranger
            | Self::DemotedMember
            | Self::UnknownInvite
            | Self::ExpiredInvite
            | Self::UsedUpInvite
            | Self::PastExpiry
            | Self::TooLong { .. } => "validation_error",
            Self::Contended => "conflict",
            Self::NoRandomness => chat_kit::error::INTERNAL,
        }
    }

    pub(crate) fn field(self) -> Option<&'static str> {
        match self {
            Self::RemovedAdmin | Self::PromotedStranger | Self::DemotedMember => Some("user_id"),
            Self::UnknownInvite | Self::ExpiredInvite | Self::UsedUpInvite => Some("link"),
            Self::PastExpiry => Some("expires_at"),
            Self::TooLong { field, .. } => Some(field),
            Self::NotFound
            | Self::AdminsOnly
            | Self::AdminsWrite
            | Self::AlreadyMember
            | Self::AlreadyAdmin
            | Self::Full(_)
            | Self::MainAdmin
            | Self::Blocked(_)
            | Self::NotPublic
            | Self::Contended
            | Self::NoRandomness => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_kit::error::reason;
    use tonic::Status;

    use super::*;
    use crate::error::Error;

    #[test]
    fn each_refusal_has_its_code_and_reason() {
        for (error, code, expected) in [
            (GroupError::NotFound, Code::NotFound, "not_found"),
            (GroupError::AdminsOnly, Code::PermissionDenied, "forbidden"),
            (GroupError::AdminsWrite, Code::PermissionDenied, "forbidden"),
            (GroupError::MainAdmin, Code::PermissionDenied, "forbidden"),
            (GroupError::Blocked(UserId::new()), Code::PermissionDenied, "forbidden"),
            (GroupError::NotPublic, Code::PermissionDenied, "forbidden"),
            (GroupError::AlreadyMember, Code::AlreadyExists, "already_member"),
            (GroupError::AlreadyAdmin, Code::AlreadyExists, "already_admin"),
            (GroupError::Full(3), Code::AlreadyExists, "group_full"),
            (GroupError::RemovedAdmin, Code::InvalidArgument, "validation_error"),
            (GroupError::PromotedStranger, Code::InvalidArgument, "validation_error"),
            (GroupError::DemotedMember, Code::InvalidArgument, "validation_error"),
            (GroupError::UnknownInvite, Code::InvalidArgument, "validation_error"),
            (GroupError::ExpiredInvite, Code::InvalidArgument, "validation_error"),
            (GroupError::UsedUpInvite, Code::InvalidArgument, "validation_error"),
            (GroupError::PastExpiry, Code::InvalidArgument, "validation_error"),
            (
                GroupError::TooLong { field: "name", most: 3 },
                Code::InvalidArgument,
                "validation_error",
            ),
            (GroupError::Contended, Code::Aborted, "conflict"),
            (GroupError::NoRandomness, Code::Internal, "server_error"),
        ] {
            let status = Status::from(Error::from(error));
            assert_eq!((status.code(), reason(&status).as_deref()), (code, Some(expected)));
        }
    }
}
