//! What the handlers share: reading bodies, queries, paths and headers, and the answer to paths that do
//! not exist.

pub mod auth;
pub mod conversations;
pub mod health;
pub mod messages;
pub mod users;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, OriginalUri, Path, Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT},
        request::Parts,
    },
    response::{IntoResponse as _, Response},
};
use chat_kit::{caller::new_request_id, http::Connection};
use chat_proto::v1::Device;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{auth::Identity, error::ApiError, state::AppState, wire::fields};

/// Resources below which nothing is said without a token, not even that a path does not exist.
const BEHIND_LOGIN: [&str; 5] =
    ["/api/messages", "/api/conversations", "/api/users", "/api/groups", "/api/notifications"];

/// Id of a request, the same in the logs of all processes; in the extensions of every request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

impl RequestId {
    /// Returns the id of a request, or a new one where the router has not set it.
    #[must_use]
    pub fn of(parts: &Parts) -> String {
        let id = parts.extensions.get::<Self>();
        id.map_or_else(new_request_id, |id| id.0.clone())
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Self::of(parts)))
    }
}

/// A body: a JSON object or a flat form. A missing body or one of another type counts as empty.
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let format = Format::of(&headers);
        if format == Format::Other {
            return Ok(Self(fields::read(json!({}))?));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let message = "the body is too large";
                return ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "PayloadTooLargeError",
                    message,
                );
            }
            ApiError::validation("the body could not be read")
        })?;
        if bytes.is_empty() {
            return Ok(Self(fields::read(json!({}))?));
        }
        check_encoding(&headers)?;
        let body = match format {
            Format::Form => fields::pairs(&bytes)?,
            Format::Json | Format::Other => fields::object(&bytes)?,
        };
        Ok(Self(fields::read(body)?))
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
    if charset.is_none_or(|charset| charset == "utf-8") && coding.eq_ignore_ascii_case("identity") {
        return Ok(());
    }
    let message = "the body must be UTF-8 and not compressed";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaTypeError", message))
}

fn text(headers: &HeaderMap, name: axum::http::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The parameters behind the path. Unknown ones are ignored; of a repeated one the first counts.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(fields::read(fields::pairs(query.as_bytes())?)?))
    }
}

/// The one parameter inside the path.
#[derive(Clone, Debug)]
pub struct InPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let undecodable = || {
            let message = "the path has an escape that cannot be decoded";
            ApiError::new(StatusCode::BAD_REQUEST, "URIError", message)
        };
        // The library takes an escape without digits as it is.
        let mut behind_percent = parts.uri.path().split('%').skip(1).map(str::as_bytes);
        let is_escape = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
        if !behind_percent.all(|rest| rest.get(..2).is_some_and(is_escape)) {
            return Err(undecodable());
        }
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text)).map_err(|_| undecodable())
    }
}

/// Where a login comes from.
#[derive(Clone, Debug)]
pub struct FromDevice(pub Device);

impl<S: Sync> FromRequestParts<S> for FromDevice {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let header = |name: &str| {
            let value = parts.headers.get(name)?;
            let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let user_agent = header(USER_AGENT.as_str()).unwrap_or_default();
        let name = header("x-device-name")
            .or_else(|| user_agent.split_whitespace().next().map(str::to_owned));
        let connection = parts.extensions.get::<Connection>();
        Ok(Self(Device {
            name: name.unwrap_or_else(|| "Unknown".to_owned()),
            address: connection.map_or_else(String::new, |it| it.peer.ip().to_string()),
            user_agent,
        }))
    }
}

/// Answers to a path or a method that does not exist.
pub async fn not_found(
    State(state): State<AppState>,
    OriginalUri(original): OriginalUri,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let path = parts.uri.path();
    let is_behind_login = BEHIND_LOGIN.iter().any(|prefix| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if is_behind_login && let Err(error) = Identity::from_request_parts(&mut parts, &state).await {
        return error.into_response();
    }
    let message = format!("{} {} does not exist", parts.method, original.path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message).into_response()
}
