//! Who calls: a user with his session, or a service of the suite, carried as gRPC metadata beside the
//! id of the request. Tokens stay at the gateway.

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
};

use crate::id::UserId;

/// Metadata key of the user's id.
pub const USER_ID: &str = "chat-user-id";
/// Metadata key of the session's id.
pub const SESSION_ID: &str = "chat-session-id";
/// Metadata key of a calling service's name.
pub const SERVICE: &str = "chat-service";
/// Metadata key of the request's id.
pub const REQUEST_ID: &str = "chat-request-id";

/// Longest request id that is taken over from outside.
const LONGEST_REQUEST_ID: usize = 64;

/// Who makes a call, and for which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub actor: Actor,
    /// Id of the request that the call serves, the same in the logs of all processes.
    pub request_id: String,
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A user, through the gateway.
    User {
        /// Id of the account.
        id: UserId,
        /// Id of the session; absent for old tokens without one.
        session_id: Option<String>,
    },
    /// A service of the suite on its own behalf, or for somebody who is not logged in.
    Service(String),
}

impl Caller {
    /// Describes a service that calls on its own behalf.
    #[must_use]
    pub fn service(name: &str, request_id: &str) -> Self {
        Self { actor: Actor::Service(name.to_owned()), request_id: request_id.to_owned() }
    }

    /// Describes a service that calls on its own behalf while it serves this caller.
    #[must_use]
    pub fn for_service(&self, name: &str) -> Self {
        Self::service(name, &self.request_id)
    }

    /// Describes a user.
    #[must_use]
    pub fn user(id: UserId, session_id: Option<String>, request_id: &str) -> Self {
        Self { actor: Actor::User { id, session_id }, request_id: request_id.to_owned() }
    }

    /// Reads the caller of a request; a call without identity is refused.
    pub fn open<T>(request: &Request<T>) -> Result<Self, Status> {
        let metadata = request.metadata();
        let actor = match (text(metadata, USER_ID), text(metadata, SERVICE)) {
            (Some(id), _) => Actor::User {
                id: id.parse().map_err(|_| {
                    Status::unauthenticated(format!("metadata {USER_ID} is not an id"))
                })?,
                session_id: text(metadata, SESSION_ID).map(str::to_owned),
            },
            (None, Some(service)) => Actor::Service(service.to_owned()),
            (None, None) => {
                return Err(Status::unauthenticated(format!(
                    "metadata {USER_ID} or {SERVICE} is needed"
                )));
            }
        };
        Ok(Self { actor, request_id: request_id(metadata) })
    }

    /// Returns the calling user; a service is refused.
    pub fn user_id(&self) -> Result<UserId, Status> {
        match &self.actor {
            Actor::User { id, .. } => Ok(*id),
            Actor::Service(_) => {
                Err(Status::unauthenticated(format!("metadata {USER_ID} is needed")))
            }
        }
    }

    /// Refuses everybody but a service of the suite.
    pub fn require_service(&self) -> Result<(), Status> {
        match &self.actor {
            Actor::Service(_) => Ok(()),
            Actor::User { .. } => Err(Status::permission_denied("for services only")),
        }
    }

    /// Wraps a message for a call in this caller's name.
    #[must_use]
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        match &self.actor {
            Actor::User { id, session_id } => {
                insert(metadata, USER_ID, &id.to_string());
                if let Some(session_id) = session_id {
                    insert(metadata, SESSION_ID, session_id);
                }
            }
            Actor::Service(name) => insert(metadata, SERVICE, name),
        }
        insert(metadata, REQUEST_ID, &self.request_id);
        request
    }
}

/// Says whether a text may serve as a request id: short, and made of letters, digits, `-`, `_`, `.`.
#[must_use]
pub fn is_request_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST_REQUEST_ID
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Returns the request id in the metadata, or a new one.
#[must_use]
pub fn request_id(metadata: &MetadataMap) -> String {
    match text(metadata, REQUEST_ID) {
        Some(id) if is_request_id(id) => id.to_owned(),
        _ => new_request_id(),
    }
}

/// Makes a request id.
#[must_use]
pub fn new_request_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn text<'a>(metadata: &'a MetadataMap, key: &str) -> Option<&'a str> {
    metadata.get(key).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}

fn insert(metadata: &mut MetadataMap, key: &'static str, value: &str) {
    if let Ok(value) = value.parse::<MetadataValue<Ascii>>() {
        metadata.insert(key, value);
    } else {
        tracing::error!(key, "identity is not printable and was left out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_survives_the_way_through_metadata() {
        for caller in [
            Caller::user(UserId::new(), Some("s".to_owned()), "r-1"),
            Caller::user(UserId::new(), None, "r-2"),
            Caller::service("message", "r-3"),
        ] {
            assert_eq!(Caller::open(&caller.request(())).expect("a caller"), caller);
        }
    }

    #[test]
    fn call_without_identity_is_unauthenticated() {
        let status = Caller::open(&Request::new(())).expect_err("no identity");
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
    }

    #[test]
    fn odd_request_id_is_replaced() {
        let mut request = Caller::service("test", "r").request(());
        request.metadata_mut().insert(REQUEST_ID, MetadataValue::from_static("a b"));
        assert_ne!(Caller::open(&request).expect("a caller").request_id, "a b");
    }
}
