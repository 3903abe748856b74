//! What the user service can fail with.

use chat_kit::{
    error::{INTERNAL, ServiceError, UNAVAILABLE, into_status},
    mongo::MongoError,
};
use tonic::{Code, Status};

/// A failure of the user service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody is behind what was looked up: an id, a phone, an e-mail address or a contact.
    #[error("no user has this {0}")]
    UserNotFound(&'static str),
    /// A field does not hold an id.
    #[error("`{0}` does not hold an id: 24 hex characters are needed")]
    InvalidId(&'static str),
    /// A request names too many users.
    #[error("more than {0} ids at once")]
    TooManyIds(usize),
    /// A phone has no digits.
    #[error("the phone has no digits")]
    EmptyPhone,
    /// A name is blank.
    #[error("the name is blank")]
    BlankName,
    /// A name is too long.
    #[error("the name exceeds {0} characters")]
    NameTooLong(usize),
    /// The phone of a profile belongs to another one.
    #[error("the phone belongs to another account")]
    PhoneTaken,
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
            Self::UserNotFound(_) => Code::NotFound,
            Self::InvalidId(_)
            | Self::TooManyIds(_)
            | Self::EmptyPhone
            | Self::BlankName
            | Self::NameTooLong(_) => Code::InvalidArgument,
            Self::PhoneTaken => Code::AlreadyExists,
            Self::Mongo(error) if error.is_transient() => Code::Unavailable,
            Self::Mongo(_) | Self::Corrupt { .. } => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::UserNotFound(_) => "user_not_found",
            Self::InvalidId(_) => "invalid_id",
            Self::TooManyIds(_) | Self::EmptyPhone | Self::BlankName | Self::NameTooLong(_) => {
                "validation_error"
            }
            Self::PhoneTaken => "phone_taken",
            Self::Mongo(error) if error.is_transient() => UNAVAILABLE,
            Self::Mongo(_) | Self::Corrupt { .. } => INTERNAL,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::InvalidId(field) => Some(field),
            Self::TooManyIds(_) => Some("user_ids"),
            Self::EmptyPhone => Some("phone"),
            Self::BlankName | Self::NameTooLong(_) => Some("name"),
            Self::UserNotFound(_) | Self::PhoneTaken | Self::Mongo(_) | Self::Corrupt { .. } => {
                None
            }
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        into_status(crate::NAME, &error)
    }
}
