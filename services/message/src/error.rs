//! Everything the message service can fail with, and the code and reason of each.

use chat_kit::{
    batch::BatchError,
    error::{self, ServiceError},
    mongo::MongoError,
    nats::PublishError,
};
use tonic::{Code, Status};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is missing or has a value that it cannot have.
    #[error("{message}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A field is not an id.
    #[error("{field} is not an id: an id has 24 hex characters")]
    InvalidId {
        /// The field.
        field: &'static str,
    },
    /// The conversation's id is not an id.
    #[error("conversation_id is not an id: an id has 24 hex characters")]
    InvalidConversationId,
    /// The text is too long.
    #[error("message exceeds {limit} characters")]
    TooLong {
        /// The most characters.
        limit: usize,
    },
    /// There is no such conversation to read.
    #[error("there is no such conversation")]
    NotFound,
    /// There is no such message.
    #[error("there is no such message")]
    MessageNotFound,
    /// Somebody else wrote the message.
    #[error("only the sender of a message can do this")]
    NotTheSender,
    /// The message is deleted, and cannot be changed any more.
    #[error("the message is deleted")]
    MessageDeleted,
    /// The message has as many reactions as it may.
    #[error("the message has too many reactions already")]
    TooManyReactions,
    /// The id of the message is another message's.
    #[error("message_id is in use, make a new one")]
    MessageIdInUse,
    /// Another replica took every number that was tried.
    #[error("the conversation is too busy, try again")]
    Contended,
    /// As many sends are under way as may be.
    #[error("too many sends are under way, try again")]
    Overloaded,
    /// What is stored cannot be read.
    #[error("{collection} {id} is damaged: {detail}")]
    Damaged {
        /// The collection.
        collection: &'static str,
        /// Id of the document.
        id: String,
        /// What is wrong with it.
        detail: String,
    },
    /// MongoDB failed.
    #[error(transparent)]
    Mongo(#[from] MongoError),
    /// What was to be done together with others was not.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// NATS failed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The process ends, and the work was given up.
    #[error("the process is ending")]
    Stopping,
    /// A service further on failed, or refused.
    #[error("{}", .0.message())]
    Upstream(Status),
}

impl ServiceError for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid { .. }
            | Self::InvalidId { .. }
            | Self::InvalidConversationId
            | Self::TooLong { .. } => Code::InvalidArgument,
            Self::NotFound | Self::MessageNotFound => Code::NotFound,
            Self::NotTheSender => Code::PermissionDenied,
            Self::MessageDeleted | Self::TooManyReactions => Code::FailedPrecondition,
            Self::MessageIdInUse => Code::AlreadyExists,
            Self::Contended
            | Self::Overloaded
            | Self::Batch(BatchError::Full | BatchError::Late)
            | Self::Publish(_)
            | Self::Stopping => Code::Unavailable,
            Self::Mongo(error) if error.is_transient() => Code::Unavailable,
            Self::Mongo(_) | Self::Batch(BatchError::Died) | Self::Damaged { .. } => Code::Internal,
            Self::Upstream(status) => status.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "validation_error",
            Self::InvalidId { .. } => "invalid_id",
            Self::InvalidConversationId => "invalid_conversation_id",
            Self::TooLong { .. } => "too_long",
            Self::NotFound | Self::MessageNotFound => "not_found",
            Self::NotTheSender => "forbidden",
            Self::MessageDeleted => "message_deleted",
            Self::TooManyReactions => "too_many_reactions",
            Self::MessageIdInUse => "message_id_in_use",
            Self::Contended | Self::Batch(BatchError::Late) | Self::Publish(_) | Self::Stopping => {
                error::UNAVAILABLE
            }
            Self::Overloaded | Self::Batch(BatchError::Full) => "overloaded",
            Self::Mongo(mongo) if mongo.is_transient() => error::UNAVAILABLE,
            Self::Mongo(_)
            | Self::Batch(BatchError::Died)
            | Self::Damaged { .. }
            | Self::Upstream(_) => error::INTERNAL,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { field, .. } | Self::InvalidId { field } => Some(field),
            Self::InvalidConversationId => Some("conversation_id"),
            Self::TooLong { .. } => Some("content"),
            Self::MessageIdInUse | Self::MessageNotFound => Some("message_id"),
            Self::NotFound
            | Self::NotTheSender
            | Self::MessageDeleted
            | Self::TooManyReactions
            | Self::Contended
            | Self::Overloaded
            | Self::Damaged { .. }
            | Self::Mongo(_)
            | Self::Batch(_)
            | Self::Publish(_)
            | Self::Stopping
            | Self::Upstream(_) => None,
        }
    }

    fn upstream(&self) -> Option<&Status> {
        match self {
            Self::Upstream(status) => Some(status),
            _ => None,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error::into_status("message", &error)
    }
}
