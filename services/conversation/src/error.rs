//! What the conversation service can fail with.

use std::num::NonZeroU32;

use chat_kit::{
    batch::BatchError,
    error::{INTERNAL, ServiceError, UNAVAILABLE, into_status},
    id::UserId,
    mongo::MongoError,
};
use tonic::{Code, Status};

use crate::{group::GroupError, request::RequestError, store::conversations::ConversationStatus};

/// A failure of the conversation service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such conversation.
    #[error("there is no such conversation")]
    ConversationNotFound,
    /// There is no such conversation to look at.
    #[error("there is no such conversation")]
    NotFound,
    /// The caller is not a member.
    #[error("only members may do this")]
    NotAMember,
    /// Nobody may write in a conversation of this status.
    #[error("{}", closed(*.0))]
    NotActive(ConversationStatus),
    /// A user asked for what is for services.
    #[error("for services only")]
    ServicesOnly,
    /// A user recorded a message of somebody else.
    #[error("the preview was sent by somebody else")]
    NotTheSender,
    /// A user wants a conversation with himself.
    #[error("a conversation needs another user")]
    OwnConversation,
    /// A user wants to block himself.
    #[error("nobody blocks himself")]
    OwnBlock,
    /// A user wants a conversation across a block.
    #[error("no conversation can be opened: one of you has blocked the other")]
    Blocked,
    /// Blocks were made and lifted all the while.
    #[error("the block is being changed by others, try again")]
    BlockContended,
    /// A mute would have ended before it begins.
    #[error("`until` has passed: an instant in the future is needed")]
    PastMute,
    /// A user wants one more pinned conversation.
    #[error("{0} conversations are pinned, which is the most: unpin another one before")]
    TooManyPinned(NonZeroU32),
    /// Other pins took the place each time.
    #[error("other conversations are being pinned, try again")]
    PinContended,
    /// A user wants a group of nobody else.
    #[error("a group needs another user")]
    EmptyGroup,
    /// A group would have too many members.
    #[error("a group has at most {0} members")]
    TooManyMembers(usize),
    /// Somebody who is to be in a group does not exist.
    #[error("there is no user {0}")]
    UserNotFound(UserId),
    /// The id of a new conversation is that of another one.
    #[error("`conversation_id` is the id of another conversation")]
    ConversationIdInUse,
    /// What groups can fail with.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// What chat requests can fail with.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A field that is needed is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field holds something that is not known or not possible.
    #[error("`{0}` has no valid value")]
    Invalid(&'static str),
    /// A field holds more than may be asked for at once.
    #[error("`{field}` holds at most {most} values")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many it may hold.
        most: usize,
    },
    /// A field does not hold an id.
    #[error("`{0}` does not hold an id: 24 hex characters are needed")]
    InvalidId(&'static str),
    /// A request does not name a conversation.
    #[error("`conversation_id` does not hold an id: 24 hex characters are needed")]
    InvalidConversationId,
    /// The user service refused or could not be asked.
    #[error("the user service failed: {0}")]
    User(#[source] Status),
    /// The user service answered without a user.
    #[error("the user service answered without a user")]
    NoUserInAnswer,
    /// MongoDB failed.
    #[error(transparent)]
    Mongo(#[from] MongoError),
    /// What was to be done together with others was not.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A stored document is not what this version reads.
    #[error("document {id} of {collection} does not deserialise")]
    Corrupt {
        /// Collection it is in.
        collection: &'static str,
        /// Its id as text.
        id: String,
        /// What is wrong.
        source: Box<bson::error::Error>,
    },
}

fn closed(status: ConversationStatus) -> &'static str {
    match status {
        ConversationStatus::Active => "the conversation is active",
        ConversationStatus::Pending => "the request has not been accepted yet",
        ConversationStatus::Declined => "the request was declined",
        ConversationStatus::Blocked => "nobody can write here: one of you has blocked the other",
    }
}

impl ServiceError for Error {
    fn code(&self) -> Code {
        match self {
            Self::ConversationNotFound | Self::NotFound | Self::UserNotFound(_) => Code::NotFound,
            Self::ConversationIdInUse => Code::AlreadyExists,
            Self::NotAMember
            | Self::NotActive(_)
            | Self::Blocked
            | Self::ServicesOnly
            | Self::NotTheSender => Code::PermissionDenied,
            Self::BlockContended | Self::PinContended => Code::Aborted,
            Self::TooManyPinned(_) => Code::FailedPrecondition,
            Self::OwnConversation
            | Self::OwnBlock
            | Self::PastMute
            | Self::EmptyGroup
            | Self::TooManyMembers(_)
            | Self::Missing(_)
            | Self::Invalid(_)
            | Self::TooMany { .. }
            | Self::InvalidId(_)
            | Self::InvalidConversationId => Code::InvalidArgument,
            Self::Group(error) => error.code(),
            Self::Request(error) => error.code(),
            Self::User(status) => status.code(),
            Self::Mongo(error) if error.is_transient() => Code::Unavailable,
            Self::Batch(BatchError::Full | BatchError::Late) => Code::Unavailable,
            Self::NoUserInAnswer
            | Self::Mongo(_)
            | Self::Batch(BatchError::Died)
            | Self::Corrupt { .. } => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::ConversationNotFound => "conversation_not_found",
            Self::NotFound => "not_found",
            Self::UserNotFound(_) => "user_not_found",
            Self::ConversationIdInUse => "conversation_id_in_use",
            Self::NotAMember
            | Self::NotActive(_)
            | Self::Blocked
            | Self::ServicesOnly
            | Self::NotTheSender => "forbidden",
            Self::BlockContended | Self::PinContended => "conflict",
            Self::TooManyPinned(_) => "too_many_pinned",
            Self::OwnConversation
            | Self::OwnBlock
            | Self::PastMute
            | Self::EmptyGroup
            | Self::TooManyMembers(_)
            | Self::Missing(_)
            | Self::Invalid(_)
            | Self::TooMany { .. } => "validation_error",
            Self::Group(error) => error.reason(),
            Self::Request(error) => error.reason(),
            Self::InvalidId(_) => "invalid_id",
            Self::InvalidConversationId => "invalid_conversation_id",
            Self::User(_) | Self::Batch(BatchError::Late) => UNAVAILABLE,
            Self::Mongo(error) if error.is_transient() => UNAVAILABLE,
            Self::Batch(BatchError::Full) => "overloaded",
            Self::NoUserInAnswer
            | Self::Mongo(_)
            | Self::Batch(BatchError::Died)
            | Self::Corrupt { .. } => INTERNAL,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Missing(field)
            | Self::Invalid(field)
            | Self::InvalidId(field)
            | Self::TooMany { field, .. } => Some(field),
            Self::InvalidConversationId | Self::ConversationIdInUse => Some("conversation_id"),
            Self::OwnConversation => Some("peer"),
            Self::OwnBlock => Some("user_id"),
            Self::PastMute => Some("until"),
            Self::EmptyGroup | Self::TooManyMembers(_) | Self::UserNotFound(_) => {
                Some("member_ids")
            }
            Self::Group(error) => error.field(),
            Self::ConversationNotFound
            | Self::NotFound
            | Self::NotAMember
            | Self::NotActive(_)
            | Self::Blocked
            | Self::BlockContended
            | Self::PinContended
            | Self::TooManyPinned(_)
            | Self::ServicesOnly
            | Self::NotTheSender
            | Self::Request(_)
            | Self::User(_)
            | Self::NoUserInAnswer
            | Self::Mongo(_)
            | Self::Batch(_)
            | Self::Corrupt { .. } => None,
        }
    }

    fn upstream(&self) -> Option<&Status> {
        let Self::User(status) = self else {
            return None;
        };
        Some(status)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        into_status(crate::NAME, &error)
    }
}
