//! What the handlers share: reading queries, paths and request ids, and the answer to paths that do not
//! exist.

pub mod auth;
pub mod blocks;
mod body;
pub mod calls;
pub mod contacts;
pub mod conversations;
mod device;
pub mod groups;
pub mod health;
pub mod marks;
pub mod messages;
pub mod requests;
pub mod users;

use axum::{
    extract::{FromRequestParts, OriginalUri, Path, RawPathParams, Request, State},
    http::{Method, StatusCode, Uri, request::Parts},
    response::{IntoResponse as _, Response},
};
use chat_kit::caller::new_request_id;
use serde::de::DeserializeOwned;

pub use self::{
    body::{Body, LargeBody},
    device::{FromDevice, client_address},
};
use crate::{auth::Identity, error::ApiError, state::AppState, wire::fields};

/// Resources below which nothing is said without a token, not even that a path does not exist.
const BEHIND_LOGIN: [&str; 6] = [
    "/api/messages",
    "/api/conversations",
    "/api/users",
    "/api/groups",
    "/api/notifications",
    "/api/calls",
];

/// Parts of paths that are no ids, whatever stands in the place of one.
const NO_IDS: [&str; 7] =
    ["chat-requests", "contacts", "search", "join", "create", "unread", "read-all"];

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

/// The parameter inside the path, or several as a tuple.
#[derive(Clone, Debug)]
pub struct InPath<T = String>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
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
        let named = RawPathParams::from_request_parts(parts, state).await;
        if named.iter().flatten().any(|(name, value)| name == "id" && NO_IDS.contains(&value)) {
            let original = parts.extensions.get::<OriginalUri>().map(|OriginalUri(uri)| uri);
            return Err(does_not_exist(&parts.method, original.unwrap_or(&parts.uri)));
        }
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(found)| Self(found)).map_err(|_| undecodable())
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
    does_not_exist(&parts.method, &original).into_response()
}

fn does_not_exist(method: &Method, uri: &Uri) -> ApiError {
    let message = format!("{method} {} does not exist", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}
