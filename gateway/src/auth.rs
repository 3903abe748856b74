//! Who makes a request: the token's signature is checked here, its session with the auth service. Used
//! by HTTP and by the sockets' handshake.

mod token;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use chat_kit::{
    caller::Caller, client::Channel, error::reason, id::UserId, session::SessionHash,
    time::from_timestamp,
};
use chat_proto::v1::{CheckSessionRequest, auth_service_client::AuthServiceClient};
use moka::future::Cache;
use prost_types::Timestamp;

pub use self::token::{Verified, Verifier};
use crate::{
    clients::held,
    error::{ApiError, LOGIN_REASONS},
    http::RequestId,
    limits,
    state::AppState,
};

/// How long an answer about a session is believed.
const BELIEVED: Duration = Duration::from_secs(5);
/// How many answers are remembered.
const MOST_ANSWERS: u64 = 100_000;
/// How long it is remembered that a session was revoked: an answer that was given before, and was long on
/// its way, is not believed any more after that.
const REVOKED_FOR: Duration = Duration::from_mins(1);
/// How many revoked sessions are remembered.
const MOST_REVOKED: u64 = 100_000;

/// Who makes a request, and for how long.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The caller, for calls to the services in his name.
    pub caller: Caller,
    /// Id of the account.
    pub user_id: UserId,
    /// Id of the session; absent for old tokens without one.
    pub session_id: Option<String>,
    /// When the token or its session ends, whichever comes first.
    pub expires_at: SystemTime,
}

impl Identity {
    /// Returns what the session is known by to others, where the token has one.
    #[must_use]
    pub fn session(&self) -> Option<SessionHash> {
        self.session_id.as_deref().map(SessionHash::of)
    }
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// He must log in (again): the stable name, and a text for people.
    Invalid(&'static str, Cow<'static, str>),
    /// Nobody can say at the moment.
    Unavailable,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(reason, message) => Self::login(reason, message),
            Refusal::Unavailable => Self::unavailable(),
        }
    }
}

/// Finds out who holds a token, and whether its session is alive.
pub async fn authenticate(
    state: &AppState,
    token: &str,
    request_id: &str,
) -> Result<Identity, Refusal> {
    let verified = state.verifier.verify(token)?;
    let mut identity = Identity {
        caller: Caller::user(verified.user_id, verified.session_id.clone(), request_id),
        user_id: verified.user_id,
        session_id: verified.session_id,
        expires_at: verified.expires_at,
    };
    let session_end = state.sessions.check(&state.clients.auth, &identity).await?;
    if let Some(session_end) = session_end {
        identity.expires_at = identity.expires_at.min(session_end);
    }
    Ok(identity)
}

/// What the auth service said about sessions a moment ago; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sessions {
    answers: Cache<(UserId, Option<String>), Answer>,
    /// Outlasts every answer that does not know of it yet.
    revoked: moka::sync::Cache<SessionHash, ()>,
    hold: Duration,
}

/// When the session ends, where it does, or why it cannot be used. Never a failure to find out.
type Answer = Result<Option<SystemTime>, Refusal>;

impl Sessions {
    /// Begins to remember; `hold` is how long a question waits for a service that cannot be reached.
    #[must_use]
    pub fn new(hold: Duration) -> Self {
        let answers = Cache::builder().max_capacity(MOST_ANSWERS).time_to_live(BELIEVED).build();
        let revoked =
            moka::sync::Cache::builder().max_capacity(MOST_REVOKED).time_to_live(REVOKED_FOR);
        Self { answers, revoked: revoked.build(), hold }
    }

    /// Says when a session ends, where it does; the auth service is asked at most every five seconds,
    /// and once for all who ask at the same time.
    pub async fn check(
        &self,
        auth: &AuthServiceClient<Channel>,
        identity: &Identity,
    ) -> Result<Option<SystemTime>, Refusal> {
        let key = (identity.user_id, identity.session_id.clone());
        let answer = self
            .answers
            .try_get_with(key, ask(auth, &identity.caller, self.hold))
            .await
            .map_err(|_: Arc<Unknown>| Refusal::Unavailable)?;
        // Behind the question, since the revocation may have been heard of while it was under way.
        match identity.session() {
            Some(session) if self.is_revoked(session) => {
                Err(Refusal::Invalid("invalid_session", ApiError::session_over().message))
            }
            _ => answer,
        }
    }

    /// Takes note that a session was revoked: what is known of it, or on its way, counts no more.
    pub fn revoke(&self, session: SessionHash) {
        self.revoked.insert(session, ());
    }

    /// Says whether a session was revoked a moment ago.
    #[must_use]
    pub fn is_revoked(&self, session: SessionHash) -> bool {
        self.revoked.contains_key(&session)
    }
}

/// The auth service gave no answer.
struct Unknown;

async fn ask(
    auth: &AuthServiceClient<Channel>,
    caller: &Caller,
    hold: Duration,
) -> Result<Answer, Unknown> {
    let call = || {
        let request = caller.request(CheckSessionRequest {});
        let mut client = auth.clone();
        async move { client.check_session(request).await }
    };
    let status = match held(hold, call).await {
        Ok(answer) => return Ok(Ok(answer.into_inner().expires_at.as_ref().map(system_time))),
        Err(status) => status,
    };
    let reason = reason(&status);
    let known = LOGIN_REASONS.into_iter().find(|known| reason.as_deref() == Some(known));
    let Some(known) = known else {
        tracing::error!(code = ?status.code(), message = status.message(), "session not checked");
        return Err(Unknown);
    };
    Ok(Err(Refusal::Invalid(known, status.message().to_owned().into())))
}

fn system_time(time: &Timestamp) -> SystemTime {
    from_timestamp(time).to_system_time()
}

/// Returns the token of a request.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(|value| value.strip_prefix("Bearer ")).filter(|token| !token.is_empty())
}

impl FromRequestParts<AppState> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let request_id = RequestId::of(parts);
        let token = bearer(&parts.headers).ok_or_else(|| {
            ApiError::login("unauthorized", "the header `Authorization: Bearer` is needed")
        })?;
        let identity = authenticate(state, token, &request_id).await?;
        limits::charge(state, parts, identity.user_id)?;
        Ok(identity)
    }
}
