//! The gateway's one failure type, and the one function from a gRPC status to it. Serves HTTP and
//! sockets alike; how it looks on the wire is the envelope's business.

use std::{borrow::Cow, time::Duration};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chat_kit::error::{INTERNAL, UNAVAILABLE, is_of_the_way, reason, retry_after};
use tonic::{Code, Status};

use crate::wire::{envelope, fields, message::NobodyThere};

/// Reasons for which a client must log in again. Nothing else may become 401: it makes the mobile
/// client forget its session.
pub const LOGIN_REASONS: [&str; 4] =
    ["unauthorized", "invalid_token", "invalid_session", "user_not_found"];

/// Reasons whose status is not the one of their gRPC code.
const STATUS_OF_REASON: [(&str, StatusCode); 6] = [
    ("not_pending", StatusCode::CONFLICT),
    ("too_long", StatusCode::PAYLOAD_TOO_LARGE),
    ("message_deleted", StatusCode::CONFLICT),
    ("too_many_reactions", StatusCode::CONFLICT),
    ("too_many_pinned", StatusCode::CONFLICT),
    // The answer to a login: no session is there to be forgotten.
    ("invalid_credentials", StatusCode::UNAUTHORIZED),
];

/// A refused or failed request, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {message}")]
pub struct ApiError {
    /// Status of the HTTP answer.
    pub status: StatusCode,
    /// Stable name of the failure.
    pub error: Cow<'static, str>,
    /// Text for people; never empty.
    pub message: Cow<'static, str>,
    /// How long to wait before trying again, where that is known.
    pub retry_after: Option<Duration>,
    /// How a recipient was named whom nobody knows.
    pub details: Option<Box<NobodyThere>>,
}

impl ApiError {
    /// Makes an error.
    pub fn new(
        status: StatusCode,
        error: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (error, message) = (error.into(), message.into());
        Self { status, error, message, retry_after: None, details: None }
    }

    /// Says whether the same may succeed later without anybody mending something.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
    }

    /// A field has a value that it cannot have.
    pub fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation_error", message)
    }

    /// A field does not hold an id.
    #[must_use]
    pub fn invalid_id(field: &str) -> Self {
        let message = format!("{field} is not an id: an id has 24 hex characters");
        Self::new(StatusCode::BAD_REQUEST, "invalid_id", message)
    }

    /// A field does not hold the id of a conversation.
    #[must_use]
    pub fn invalid_conversation_id(field: &str) -> Self {
        Self { error: "invalid_conversation_id".into(), ..Self::invalid_id(field) }
    }

    /// The caller may not do this.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// The caller has to log in (again).
    pub fn login(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, reason, message)
    }

    /// The session was ended.
    #[must_use]
    pub fn session_over() -> Self {
        Self::login("invalid_session", "the session is over, log in again")
    }

    /// A socket sends events faster than they can be handled.
    #[must_use]
    pub fn too_many_events() -> Self {
        let message = "too many events wait for their turn, wait for the answers";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_events", message)
    }

    /// None of the messages was sent to the caller.
    #[must_use]
    pub fn no_message() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such message to you")
    }

    /// Two users have no conversation.
    #[must_use]
    pub fn no_conversation() -> Self {
        let message = "there is no conversation with this user";
        Self::new(StatusCode::NOT_FOUND, "conversation_not_found", message)
    }

    /// A service cannot be reached at the moment.
    #[must_use]
    pub fn unavailable() -> Self {
        let message = "temporarily unavailable, try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, message)
    }

    /// The answer took too long.
    #[must_use]
    pub fn timeout() -> Self {
        let message = "no answer in time, try again";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
    }

    /// A failure that the client cannot help; the caller has logged its cause.
    #[must_use]
    pub fn internal() -> Self {
        let message = "internal error";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, message)
    }

    /// A service answered without a part that the contract promises.
    #[must_use]
    pub fn incomplete(part: &'static str) -> Self {
        tracing::error!(part, "a service left a part of its answer out");
        Self::internal()
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        let Some(reason) = reason(&status) else {
            return without_reason(&status);
        };
        let http = STATUS_OF_REASON
            .iter()
            .find(|(known, _)| *known == reason)
            .map_or_else(|| http_status(status.code(), &reason), |(_, http)| *http);
        if http == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(reason, code = ?status.code(), message = status.message(), "call failed");
            return Self::internal();
        }
        let message = match status.message() {
            "" => reason.clone(),
            message if status.code() == Code::InvalidArgument => fields::spelled(message),
            message => message.to_owned(),
        };
        Self { retry_after: retry_after(&status), ..Self::new(http, reason, message) }
    }
}

/// A status that no service of ours made: the transport, or a bug.
fn without_reason(status: &Status) -> ApiError {
    let error = match status.code() {
        Code::DeadlineExceeded => ApiError::timeout(),
        _ if is_of_the_way(status) => ApiError::unavailable(),
        Code::Unavailable | Code::ResourceExhausted | Code::Cancelled => ApiError::unavailable(),
        _ => ApiError::internal(),
    };
    tracing::error!(code = ?status.code(), message = status.message(), "call failed");
    error
}

fn http_status(code: Code, reason: &str) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unauthenticated if LOGIN_REASONS.contains(&reason) => StatusCode::UNAUTHORIZED,
        Code::Unauthenticated
        | Code::Ok
        | Code::Unknown
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        envelope::failure(&self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn status(code: Code, reason: &str, message: &str) -> Status {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, "test", HashMap::new());
        Status::with_error_details(code, message, details)
    }

    #[test]
    fn only_what_may_work_later_may_pass() {
        let may_pass = |status: &Status| ApiError::from(status.clone()).may_pass();
        for status in [Status::unavailable("away"), Status::deadline_exceeded("slow")] {
            assert!(may_pass(&status), "{status}");
        }
        for status in [Status::internal("broken"), Status::data_loss("damaged")] {
            assert!(!may_pass(&status), "{status}");
        }
        assert!(!may_pass(&Status::invalid_argument("nonsense")));
    }

    #[test]
    fn code_picks_the_status_and_reason_becomes_the_error() {
        for (code, reason, http) in [
            (Code::InvalidArgument, "validation_error", 400),
            (Code::InvalidArgument, "too_long", 413),
            (Code::FailedPrecondition, "expired_otp", 400),
            (Code::FailedPrecondition, "message_deleted", 409),
            (Code::FailedPrecondition, "too_many_reactions", 409),
            (Code::FailedPrecondition, "too_many_pinned", 409),
            (Code::FailedPrecondition, "not_pending", 409),
            (Code::PermissionDenied, "forbidden", 403),
            (Code::NotFound, "user_not_found", 404),
            (Code::AlreadyExists, "phone_taken", 409),
            (Code::ResourceExhausted, "too_many_requests", 429),
            (Code::Unauthenticated, "invalid_session", 401),
            (Code::Unauthenticated, "user_not_found", 401),
            (Code::Unauthenticated, "invalid_credentials", 401),
            (Code::Unavailable, "unavailable", 503),
            (Code::Unavailable, "overloaded", 503),
            (Code::Unavailable, "otp_not_delivered", 503),
            (Code::DeadlineExceeded, "timeout", 504),
        ] {
            let error = ApiError::from(status(code, reason, "text for people"));
            assert_eq!(error.status.as_u16(), http, "{code:?} {reason}");
            assert_eq!((error.error.as_ref(), error.message.as_ref()), (reason, "text for people"));
        }
    }

    #[test]
    fn field_at_fault_has_the_name_that_clients_know() {
        let said = "client_id exceeds 512 characters";
        let error = ApiError::from(status(Code::InvalidArgument, "validation_error", said));
        assert_eq!(error.message, "clientId exceeds 512 characters");
    }

    #[test]
    fn time_to_try_again_is_kept() {
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        details.set_error_info("too_many_requests", "test", HashMap::new());
        let status = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
        let error = ApiError::from(status);
        assert_eq!((error.status.as_u16(), error.retry_after), (429, Some(Duration::from_secs(7))));
        let status = self::status(Code::ResourceExhausted, "too_many_requests", "slow down");
        assert_eq!(ApiError::from(status).retry_after, None);
    }

    #[test]
    fn message_is_never_empty() {
        assert_eq!(ApiError::from(status(Code::NotFound, "not_found", "")).message, "not_found");
    }

    #[test]
    fn what_the_client_cannot_help_tells_nothing() {
        for status in [
            status(Code::Internal, "server_error", "disk on fire"),
            status(Code::Unauthenticated, "no_caller", "metadata is needed"),
            Status::unauthenticated("metadata is needed"),
            Status::internal("disk on fire"),
            Status::unknown("disk on fire"),
            Status::invalid_argument("made by no service of ours"),
        ] {
            assert_eq!(ApiError::from(status), ApiError::internal());
        }
    }

    #[test]
    fn the_way_to_a_service_may_fail() {
        let broken = std::io::Error::other("h2 protocol error");
        let status = Status::from_error(Box::new(broken));
        assert_eq!(
            (status.code(), ApiError::from(status)),
            (Code::Unknown, ApiError::unavailable())
        );
        for (status, error) in [
            (Status::unavailable("tcp connect error"), ApiError::unavailable()),
            (Status::cancelled("reset"), ApiError::unavailable()),
            (Status::resource_exhausted("too many calls"), ApiError::unavailable()),
            (Status::deadline_exceeded("too late"), ApiError::timeout()),
        ] {
            assert_eq!(ApiError::from(status), error);
        }
    }
}
