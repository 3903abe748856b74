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
    /// A text of a profile is too long.
    #[error("`{field}` exceeds {most} characters")]
    TooLong {
        /// The field at fault.
        field: &'static str,
        /// How many characters it may have.
        most: usize,
    },
    /// The address of a picture is of a kind that no client shows.
    #[error("the address of a picture begins with `https://` or `http://`, or is a path")]
    InvalidAvatarUrl,
    /// A day of birth is no day, or has not come yet.
    #[error("the day of birth is not a day of the past, written `YYYY-MM-DD`")]
    InvalidDateOfBirth,
    /// Nobody is who is to see one's presence.
    #[error("the presence is shown to everybody, to contacts or to nobody")]
    InvalidPrivacy,
    /// A request names too many sockets.
    #[error("more than {0} sockets at once")]
    TooManySockets(usize),
    /// A sweep forgot sockets each time they were to be held.
    #[error("sockets are being swept, try again")]
    SocketsContended,
    /// A request names too many phones.
    #[error("more than {0} phones at once")]
    TooManyPhones(usize),
    /// A cursor was not made here.
    #[error("the cursor is not one of this list: begin with its first page")]
    InvalidCursor,
    /// The phone of a profile belongs to another one.
    #[error("the phone belongs to another account")]
    PhoneTaken,
    /// The conversation service refused or could not be asked.
    #[error("the conversation service failed: {0}")]
    Conversation(#[source] Status),
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
            | Self::NameTooLong(_)
            | Self::TooLong { .. }
            | Self::InvalidAvatarUrl
            | Self::InvalidDateOfBirth
            | Self::InvalidPrivacy
            | Self::TooManySockets(_)
            | Self::TooManyPhones(_)
            | Self::InvalidCursor => Code::InvalidArgument,
            Self::PhoneTaken => Code::AlreadyExists,
            Self::SocketsContended => Code::Aborted,
            Self::Conversation(status) => status.code(),
            Self::Mongo(error) if error.is_transient() => Code::Unavailable,
            Self::Mongo(_) | Self::Corrupt { .. } => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::UserNotFound(_) => "user_not_found",
            Self::InvalidId(_) => "invalid_id",
            Self::TooManyIds(_)
            | Self::EmptyPhone
            | Self::BlankName
            | Self::NameTooLong(_)
            | Self::TooLong { .. }
            | Self::InvalidAvatarUrl
            | Self::InvalidDateOfBirth
            | Self::InvalidPrivacy
            | Self::TooManySockets(_)
            | Self::TooManyPhones(_)
            | Self::InvalidCursor => "validation_error",
            Self::PhoneTaken => "phone_taken",
            Self::SocketsContended => "conflict",
            Self::Conversation(_) => UNAVAILABLE,
            Self::Mongo(error) if error.is_transient() => UNAVAILABLE,
            Self::Mongo(_) | Self::Corrupt { .. } => INTERNAL,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::InvalidId(field) | Self::TooLong { field, .. } => Some(field),
            Self::TooManyIds(_) => Some("user_ids"),
            Self::EmptyPhone => Some("phone"),
            Self::BlankName | Self::NameTooLong(_) => Some("name"),
            Self::InvalidAvatarUrl => Some("avatar_url"),
            Self::InvalidDateOfBirth => Some("date_of_birth"),
            Self::InvalidPrivacy => Some("last_seen_privacy"),
            Self::TooManySockets(_) => Some("sockets"),
            Self::TooManyPhones(_) => Some("phones"),
            Self::InvalidCursor => Some("page.cursor"),
            Self::UserNotFound(_)
            | Self::PhoneTaken
            | Self::SocketsContended
            | Self::Conversation(_)
            | Self::Mongo(_)
            | Self::Corrupt { .. } => None,
        }
    }

    fn upstream(&self) -> Option<&Status> {
        let Self::Conversation(status) = self else {
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
