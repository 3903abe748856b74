//! Reading a body: its size, its format, its charset. What its fields mean is `wire`'s business.

use std::time::Duration;

use axum::{
    body::{self, Bytes},
    extract::{FromRequest, Request},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{error::ApiError, state::AppState, wire::fields};

/// Largest body of the routes that take more than others, in bytes.
const LARGEST: usize = 5 << 20;

/// How much of a body that is too large is read before it is refused, and for how long: a client that
/// writes everything before it reads would meet a closed connection in place of the answer.
const DRAINED: usize = 16 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(5);

/// What some programs write before a text, and no parser takes for a part of it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Charsets of texts that can be read as they are.
const CHARSETS: [&str; 3] = ["utf-8", "utf8", "us-ascii"];

/// A body: a JSON object or a form. A missing body or one of another type counts as empty.
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let body = match Text::of(request, state.config.http.body_limit).await? {
            Text::Form(text) => fields::form(without_mark(&text))?,
            Text::Json(text) => fields::object(without_mark(&text))?,
            Text::Empty => json!({}),
        };
        Ok(Self(fields::read(body)?))
    }
}

/// A body that may be as large as an address book. It is read into its type at once: in between, it
/// would take many times its size.
#[derive(Clone, Copy, Debug)]
pub struct LargeBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for LargeBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let limit = LARGEST.max(state.config.http.body_limit);
        Ok(Self(match Text::of(request, limit).await? {
            Text::Form(text) => fields::read(fields::form(without_mark(&text))?)?,
            Text::Json(text) => fields::typed(without_mark(&text))?,
            Text::Empty => fields::read(json!({}))?,
        }))
    }
}

/// A body as text.
enum Text {
    Json(Vec<u8>),
    Form(Vec<u8>),
    /// Missing, or of another type.
    Empty,
}

impl Text {
    async fn of(request: Request, limit: usize) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let format = Format::of(&parts.headers);
        if format == Format::Other {
            return Ok(Self::Empty);
        }
        let bytes = collect(body, limit).await?;
        if bytes.is_empty() {
            return Ok(Self::Empty);
        }
        check_encoding(&parts.headers)?;
        Ok(if format == Format::Form { Self::Form(bytes) } else { Self::Json(bytes) })
    }
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Reads a body to its end. One that is too large is read on for a while, and thrown away.
async fn collect(mut body: body::Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::validation("the body could not be read"))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            let read = bytes.len() + data.len();
            drop(bytes);
            // Refused in any case, wherever the draining ends.
            tokio::time::timeout(DRAINED_FOR, drain(body, read)).await.ok();
            let message = format!("the body exceeds {limit} bytes");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(ApiError::new(status, "PayloadTooLargeError", message));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

async fn drain(mut body: body::Body, mut read: usize) {
    while read < DRAINED
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Form,
    Other,
}

impl Format {
    fn of(headers: &HeaderMap) -> Self {
        let content_type = text(headers, CONTENT_TYPE).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default();
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            _ => Self::Other,
        }
    }
}

/// Refuses what is neither plain UTF-8 nor silent about it.
fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = text(headers, CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let charset = content_type
        .split(';')
        .filter_map(|parameter| parameter.trim().strip_prefix("charset="))
        .map(|charset| charset.trim_matches('"'))
        .next();
    let coding = text(headers, CONTENT_ENCODING).unwrap_or("identity");
    if charset.is_none_or(|charset| CHARSETS.contains(&charset))
        && coding.eq_ignore_ascii_case("identity")
    {
        return Ok(());
    }
    let message = "the body must be UTF-8 and not compressed";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaTypeError", message))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
