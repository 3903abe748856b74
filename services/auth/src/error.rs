//! Everything that can fail in this service, with its gRPC code and its reason.

use chat_kit::{
    error::{INTERNAL, ServiceError, UNAVAILABLE, into_status},
    id::UserId,
    mongo::MongoError,
};
use tonic::{Code, Status};

use crate::{delivery::Undelivered, hashing::BadHash};

/// Name of the service in the details of a status.
const DOMAIN: &str = "auth";

/// A failure of the auth service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The phone has too few or too many digits.
    #[error("a phone has 10 to 20 digits")]
    InvalidPhone,
    /// The purpose of a one-time password is missing or unknown.
    #[error("the purpose is not known")]
    UnknownPurpose,
    /// A registration without a name.
    #[error("name is blank")]
    BlankName,
    /// A name that is too long.
    #[error("name exceeds {} characters", crate::convert::LONGEST_NAME)]
    NameTooLong,
    /// The phone already has an account.
    #[error("this phone is registered already")]
    PhoneTaken,
    /// The phone or the network address asked for too many codes.
    #[error("too many codes were requested, try again later")]
    TooManyOtpRequests,
    /// The phone or the network address had too many wrong tries.
    #[error("too many wrong tries, try again later")]
    TooManyRequests,
    /// The code does not consist of six digits.
    #[error("a code has six digits")]
    InvalidOtpFormat,
    /// The code is wrong or was used, or its session is not known.
    #[error("the code is wrong or was used already")]
    InvalidOtp,
    /// The code's session is over.
    #[error("the code has expired, request a new one")]
    ExpiredOtp,
    /// The session was ended, has expired or never was.
    #[error("the session is over, log in again")]
    InvalidSession,
    /// The account of a token without session does not exist.
    #[error("the account does not exist")]
    UserNotFound,
    /// A token without session cannot be revoked.
    #[error("this token was issued without a session: it cannot be ended, it expires by itself")]
    NoSession,
    /// Nobody has this name or phone, or several have the name, or there is no password or another one.
    #[error("name or password is wrong")]
    InvalidCredentials,
    /// A password of a new account that is too short.
    #[error(
        "password has fewer than {} characters without the blanks around it",
        crate::convert::SHORTEST_PASSWORD
    )]
    PasswordTooShort,
    /// A password that is too long.
    #[error("password exceeds {} characters", crate::convert::LONGEST_PASSWORD)]
    PasswordTooLong,
    /// A name or phone to log in with that is too long.
    #[error("name exceeds {} characters", crate::convert::LONGEST_IDENTIFIER)]
    IdentifierTooLong,
    /// Too many passwords wait to be hashed.
    #[error("too many passwords wait to be hashed")]
    Overloaded,
    /// A password could not be hashed.
    #[error("a password could not be hashed: {0}")]
    Hashing(argon2::password_hash::Error),
    /// Hashing a password panicked.
    #[error("hashing panicked")]
    HashingPanicked(#[source] tokio::task::JoinError),
    /// The stored hash of a password cannot be used.
    #[error("the stored hash of user {user_id} cannot be used")]
    BadHash {
        /// Whose it is.
        user_id: UserId,
        /// What is wrong with it.
        source: BadHash,
    },
    /// The provider did not take a one-time password.
    #[error("a one-time password was not delivered")]
    Undelivered(#[from] Undelivered),
    /// Too many sessions to check at once.
    #[error("more than {} sessions at once", crate::convert::MOST_SESSIONS)]
    TooManySessions,
    /// A session to check does not name an account.
    #[error("a session names no account: an id has 24 hex characters")]
    NotAnAccount,
    /// MongoDB failed.
    #[error("store")]
    Store(#[from] MongoError),
    /// The user service failed.
    #[error("user service")]
    Users(#[source] Status),
    /// The user service answered without a part that the contract promises.
    #[error("the user service answered without {0}")]
    BadAnswer(&'static str),
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random,
    /// A token could not be signed.
    #[error("token")]
    Token(#[from] jsonwebtoken::errors::Error),
}

impl ServiceError for Error {
    fn code(&self) -> Code {
        self.class().0
    }

    fn reason(&self) -> &'static str {
        self.class().1
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::InvalidPhone => Some("phone"),
            Self::UnknownPurpose => Some("purpose"),
            Self::BlankName | Self::NameTooLong => Some("name"),
            Self::InvalidOtpFormat => Some("code"),
            Self::PasswordTooShort | Self::PasswordTooLong => Some("password"),
            Self::IdentifierTooLong => Some("identifier"),
            Self::TooManySessions | Self::NotAnAccount => Some("sessions"),
            Self::PhoneTaken
            | Self::TooManyOtpRequests
            | Self::TooManyRequests
            | Self::InvalidOtp
            | Self::ExpiredOtp
            | Self::InvalidSession
            | Self::UserNotFound
            | Self::NoSession
            | Self::InvalidCredentials
            | Self::Overloaded
            | Self::Hashing(_)
            | Self::HashingPanicked(_)
            | Self::BadHash { .. }
            | Self::Undelivered(_)
            | Self::Store(_)
            | Self::Users(_)
            | Self::BadAnswer(_)
            | Self::Random
            | Self::Token(_) => None,
        }
    }

    fn upstream(&self) -> Option<&Status> {
        let Self::Users(status) = self else {
            return None;
        };
        Some(status)
    }
}

impl Error {
    fn class(&self) -> (Code, &'static str) {
        match self {
            Self::InvalidPhone => (Code::InvalidArgument, "invalid_phone"),
            Self::UnknownPurpose
            | Self::BlankName
            | Self::NameTooLong
            | Self::PasswordTooShort
            | Self::PasswordTooLong
            | Self::IdentifierTooLong
            | Self::NotAnAccount => (Code::InvalidArgument, "validation_error"),
            Self::PhoneTaken => (Code::AlreadyExists, "phone_taken"),
            Self::TooManyOtpRequests => (Code::ResourceExhausted, "too_many_otp_requests"),
            Self::TooManyRequests => (Code::ResourceExhausted, "too_many_requests"),
            Self::InvalidOtpFormat => (Code::InvalidArgument, "invalid_otp_format"),
            Self::InvalidOtp => (Code::InvalidArgument, "invalid_otp"),
            Self::ExpiredOtp => (Code::InvalidArgument, "expired_otp"),
            Self::InvalidSession => (Code::Unauthenticated, "invalid_session"),
            Self::UserNotFound => (Code::Unauthenticated, "user_not_found"),
            Self::NoSession => (Code::InvalidArgument, "no_session"),
            Self::InvalidCredentials => (Code::Unauthenticated, "invalid_credentials"),
            Self::TooManySessions => (Code::InvalidArgument, "too_many_sessions"),
            Self::Overloaded => (Code::Unavailable, "overloaded"),
            Self::Undelivered(_) => (Code::Unavailable, "otp_not_delivered"),
            Self::Store(error) if error.is_transient() => (Code::Unavailable, UNAVAILABLE),
            Self::Store(_)
            | Self::Users(_)
            | Self::BadAnswer(_)
            | Self::Random
            | Self::Token(_)
            | Self::Hashing(_)
            | Self::HashingPanicked(_)
            | Self::BadHash { .. } => (Code::Internal, INTERNAL),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        into_status(DOMAIN, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_database_is_unavailable_and_tells_nothing() {
        let status = Status::from(Error::Store(MongoError::Timeout));
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(chat_kit::error::reason(&status).as_deref(), Some("unavailable"));
        assert!(!status.message().contains("mongo"), "{}", status.message());
    }

    #[test]
    fn field_at_fault_is_in_the_details() {
        let status = Status::from(Error::NameTooLong);
        assert_eq!(chat_kit::error::reason(&status).as_deref(), Some("validation_error"));
        assert_eq!(status.message(), "name exceeds 100 characters");
        assert_eq!(Error::NameTooLong.field(), Some("name"));
    }
}
