//! From a service's error to a gRPC status with details, and back to its reason. No HTTP.

use std::{collections::HashMap, error::Error, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Reason of an error that the client cannot do anything about.
pub const INTERNAL: &str = "server_error";
/// Reason of an error that may be gone in a moment.
pub const UNAVAILABLE: &str = "unavailable";

/// An error of a service, classified once, where it is understood.
pub trait ServiceError: Error + 'static {
    /// The gRPC code.
    fn code(&self) -> Code;

    /// Stable `snake_case` name of the failure, greppable from the enum to the client.
    fn reason(&self) -> &'static str;

    /// The request field at fault, if one is.
    fn field(&self) -> Option<&'static str> {
        None
    }

    /// How long the caller should wait before he tries again, if that is known.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// The status of a service further on, which is handed through as it is.
    fn upstream(&self) -> Option<&Status> {
        None
    }
}

/// Turns an error of the service `domain` into a status with `ErrorInfo`, with `BadRequest` where a
/// field is at fault, and with `RetryInfo` where it is known when to try again. What the client cannot help is logged here, once, and told in neutral words.
pub fn into_status(domain: &str, error: &impl ServiceError) -> Status {
    if let Some(status) = error.upstream() {
        return pass_through(domain, status);
    }
    let code = error.code();
    let message = match code {
        Code::Internal | Code::Unavailable => {
            tracing::error!(
                domain,
                reason = error.reason(),
                error = chain(error),
                "request failed"
            );
            match code {
                Code::Internal => "internal error".to_owned(),
                _ => "temporarily unavailable, try again".to_owned(),
            }
        }
        _ => error.to_string(),
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(error.reason(), domain, HashMap::new());
    if let Some(field) = error.field() {
        details.add_bad_request_violation(field, message.clone());
    }
    if let Some(delay) = error.retry_after() {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(code, message, details)
}

/// Returns the reason in a status made by [`into_status`].
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// Returns how long to wait before trying again, from a status made by [`into_status`].
#[must_use]
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Says whether a status was made on this side because the way to a service failed: a connection that
/// broke, a call that was reset. What a service answered has no source, whatever its code.
#[must_use]
pub fn is_of_the_way(status: &Status) -> bool {
    status.source().is_some()
}

/// Hands on what another service answered: its own failures as they are, those of the way to it as
/// unavailable.
fn pass_through(domain: &str, status: &Status) -> Status {
    if reason(status).is_some() {
        return Status::with_details(
            status.code(),
            status.message(),
            status.details().to_vec().into(),
        );
    }
    tracing::error!(domain, code = ?status.code(), message = status.message(), "upstream failed");
    let is_transient = is_of_the_way(status)
        || matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted
        );
    let (code, reason, message) = if is_transient {
        (Code::Unavailable, UNAVAILABLE, "temporarily unavailable, try again")
    } else {
        (Code::Internal, INTERNAL, "internal error")
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, domain, HashMap::new());
    Status::with_error_details(code, message, details)
}

/// Writes an error and all its sources into one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("message exceeds 4000 characters")]
        TooLong,
        #[error("slow down")]
        TooMany,
        #[error("disk on fire")]
        Broken,
    }

    impl ServiceError for Sample {
        fn code(&self) -> Code {
            match self {
                Self::TooLong => Code::InvalidArgument,
                Self::TooMany => Code::ResourceExhausted,
                Self::Broken => Code::Internal,
            }
        }

        fn reason(&self) -> &'static str {
            match self {
                Self::TooLong => "too_long",
                Self::TooMany => "too_many_requests",
                Self::Broken => INTERNAL,
            }
        }

        fn field(&self) -> Option<&'static str> {
            matches!(self, Self::TooLong).then_some("content")
        }

        fn retry_after(&self) -> Option<Duration> {
            matches!(self, Self::TooMany).then_some(Duration::from_millis(1500))
        }
    }

    #[test]
    fn reason_and_field_travel_in_the_details() {
        let status = into_status("chat.v1", &Sample::TooLong);
        assert_eq!(reason(&status).as_deref(), Some("too_long"));
        let violations = status.get_details_bad_request().expect("a violation").field_violations;
        assert_eq!(violations[0].field, "content");
        assert_eq!(status.message(), "message exceeds 4000 characters");
        assert_eq!(retry_after(&status), None);
    }

    #[test]
    fn time_to_try_again_travels_through_services() {
        let status = into_status("chat.v1", &Sample::TooMany);
        for status in [pass_through("other", &status), status] {
            assert_eq!(reason(&status).as_deref(), Some("too_many_requests"));
            assert_eq!(retry_after(&status), Some(Duration::from_millis(1500)));
        }
    }

    #[test]
    fn failure_of_the_way_is_unavailable_whatever_its_code() {
        let broken = std::io::Error::other("h2 protocol error");
        let status = pass_through("chat.v1", &Status::from_error(Box::new(broken)));
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(reason(&status).as_deref(), Some(UNAVAILABLE));
        let status = pass_through("chat.v1", &Status::unknown("answered by a service"));
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(reason(&status).as_deref(), Some(INTERNAL));
    }

    #[test]
    fn internal_errors_tell_the_client_nothing() {
        let status = into_status("chat.v1", &Sample::Broken);
        assert_eq!(status.message(), "internal error");
        assert_eq!(reason(&status).as_deref(), Some(INTERNAL));
    }
}
