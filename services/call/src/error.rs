//! What the call service can fail with.

use chat_kit::{
    error::{INTERNAL, ServiceError, UNAVAILABLE, into_status},
    mongo::MongoError,
};
use tonic::{Code, Status};

/// A failure of the call service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such call, or the caller is no party of it.
    #[error("there is no such call")]
    NotFound,
    /// Somebody but the callee wants to answer or decline.
    #[error("only who is called may do this")]
    NotTheCallee,
    /// The act comes from another socket than the one that the call is bound to.
    #[error("the call is on another device")]
    NotBound,
    /// The two have no active direct conversation.
    #[error("only people who chat with each other may call each other")]
    NotConnected,
    /// A user rings himself.
    #[error("nobody calls himself")]
    OwnCall,
    /// One of the two is in a call.
    #[error("busy")]
    Busy,
    /// A device has answered already.
    #[error("the call is answered already")]
    AlreadyAnswered,
    /// The call is over.
    #[error("the call has ended")]
    Ended,
    /// A user has placed too many calls.
    #[error("too many calls, try again later")]
    TooManyCalls,
    /// A side has added too many candidates.
    #[error("a side may add at most {0} candidates")]
    TooManyCandidates(u32),
    /// A field that is needed is empty.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// A field holds a text that is too long.
    #[error("`{field}` exceeds {most} bytes")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// How many bytes it may have.
        most: usize,
    },
    /// A field does not hold JSON.
    #[error("`{0}` is not the text of a JSON value")]
    NotJson(&'static str),
    /// A field holds something that is not known or not possible.
    #[error("`{0}` has no valid value")]
    Invalid(&'static str),
    /// A field does not hold an id.
    #[error("`{0}` does not hold an id: 24 hex characters are needed")]
    InvalidId(&'static str),
    /// A field holds more than may be asked for at once.
    #[error("`{field}` holds at most {most} values")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many it may hold.
        most: usize,
    },
    /// The call was being changed by others all the while.
    #[error("the call is being changed by others, try again")]
    Contended,
    /// The system has no random numbers.
    #[error("no random numbers")]
    NoRandomness,
    /// Another service refused or could not be asked.
    #[error("a service failed: {0}")]
    Upstream(#[source] Status),
    /// MongoDB failed.
    #[error(transparent)]
    Mongo(#[from] MongoError),
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

impl ServiceError for Error {
    fn code(&self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::NotTheCallee | Self::NotBound | Self::NotConnected => Code::PermissionDenied,
            Self::Busy | Self::AlreadyAnswered => Code::AlreadyExists,
            Self::Ended | Self::Contended => Code::Aborted,
            Self::TooManyCalls | Self::TooManyCandidates(_) => Code::ResourceExhausted,
            Self::OwnCall
            | Self::Empty(_)
            | Self::TooLong { .. }
            | Self::NotJson(_)
            | Self::Invalid(_)
            | Self::InvalidId(_)
            | Self::TooMany { .. } => Code::InvalidArgument,
            Self::Upstream(status) => status.code(),
            Self::Mongo(error) if error.is_transient() => Code::Unavailable,
            Self::NoRandomness | Self::Mongo(_) | Self::Corrupt { .. } => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotTheCallee | Self::NotBound | Self::NotConnected => "forbidden",
            Self::Busy => "busy",
            Self::AlreadyAnswered => "already_answered",
            Self::Ended => "call_ended",
            Self::Contended => "conflict",
            Self::TooManyCalls => "too_many_calls",
            Self::TooManyCandidates(_) => "too_many_candidates",
            Self::OwnCall
            | Self::Empty(_)
            | Self::TooLong { .. }
            | Self::NotJson(_)
            | Self::Invalid(_)
            | Self::TooMany { .. } => "validation_error",
            Self::InvalidId(_) => "invalid_id",
            Self::Upstream(_) => UNAVAILABLE,
            Self::Mongo(error) if error.is_transient() => UNAVAILABLE,
            Self::NoRandomness | Self::Mongo(_) | Self::Corrupt { .. } => INTERNAL,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Empty(field)
            | Self::TooLong { field, .. }
            | Self::NotJson(field)
            | Self::Invalid(field)
            | Self::InvalidId(field)
            | Self::TooMany { field, .. } => Some(field),
            Self::OwnCall => Some("callee_id"),
            Self::NotFound
            | Self::NotTheCallee
            | Self::NotBound
            | Self::NotConnected
            | Self::Busy
            | Self::AlreadyAnswered
            | Self::Ended
            | Self::TooManyCalls
            | Self::TooManyCandidates(_)
            | Self::Contended
            | Self::NoRandomness
            | Self::Upstream(_)
            | Self::Mongo(_)
            | Self::Corrupt { .. } => None,
        }
    }

    fn upstream(&self) -> Option<&Status> {
        let Self::Upstream(status) = self else {
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
