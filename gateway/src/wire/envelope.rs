//! The envelope of HTTP answers: every one is JSON with its charset, a failure has three fields.

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::message::NobodyThere;
use crate::{
    error::ApiError,
    openapi::{Form, Schemas},
};

/// The charset is named because one client reads other text as Latin-1.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// What stands for a body that could not be written.
const UNWRITABLE: &[u8] = br#"{"success":false,"error":"server_error","message":"internal error"}"#;

#[derive(Serialize)]
struct Success<T> {
    success: bool,
    #[serde(flatten)]
    body: T,
}

/// What every failure looks like.
#[derive(Serialize, ToSchema)]
struct Failure<'a> {
    success: bool,
    error: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a NobodyThere>,
}

/// A text for people, where there is nothing else to say.
#[derive(Serialize, ToSchema)]
pub(super) struct Said {
    pub(super) message: &'static str,
}

/// Answers 200 with the fields of `body` beside `success`.
#[must_use]
pub fn ok(body: impl Serialize) -> Response {
    with_status(StatusCode::OK, body)
}

/// Answers `status`, a success, with the fields of `body` beside `success`.
#[must_use]
pub fn with_status(status: StatusCode, body: impl Serialize) -> Response {
    let success = true;
    json(status, &Success { success, body })
}

/// Answers a failure. The time to try again is said in whole seconds, never too short.
#[must_use]
pub fn failure(error: &ApiError) -> Response {
    let body = Failure {
        success: false,
        error: &error.error,
        message: &error.message,
        details: error.details.as_deref(),
    };
    let mut response = json(error.status, &body);
    if let Some(delay) = error.retry_after {
        let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

/// Answers with a body as it is.
#[must_use]
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let (status, bytes) = match serde_json::to_vec(body) {
        Ok(bytes) => (status, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            (StatusCode::INTERNAL_SERVER_ERROR, UNWRITABLE.to_vec())
        }
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    schemas.answer("SaidAnswer", [Form::same::<Said>()]);
    schemas.answer("Failure", [Form::failed::<Failure<'_>>()]);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_to_try_again_is_said_in_whole_seconds() {
        for (delay, seconds) in [
            (None, None),
            (Some(Duration::ZERO), Some("1")),
            (Some(Duration::from_millis(1)), Some("1")),
            (Some(Duration::from_secs(7)), Some("7")),
            (Some(Duration::from_millis(7001)), Some("8")),
        ] {
            let refused = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "text");
            let response = failure(&ApiError { retry_after: delay, ..refused });
            let header = response.headers().get(RETRY_AFTER);
            assert_eq!(header.map(|value| value.to_str().expect("text")), seconds);
        }
    }
}
