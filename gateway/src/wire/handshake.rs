//! What a Socket.IO handshake says: the token, and how the client speaks. And how a socket is greeted.

use axum::http::{header, request::Parts};
use bson::DateTime;
use chat_kit::time::to_timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Dialect, event};
use crate::{
    openapi::{DESKTOP, Events},
    socket::Identity,
};

/// What a client says when it connects.
#[derive(Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The token, if there is one.
    pub token: Option<String>,
    /// How the client speaks.
    pub dialect: Dialect,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    client_type: Option<String>,
}

/// Reads the CONNECT packet's payload and the request that opened the transport. The token is
/// `auth.token`, bare, else the `Authorization` header; the dialect is `auth.clientType`, else the
/// query's, else the header's.
#[must_use]
pub fn read(auth: Option<&Value>, parts: &Parts) -> Handshake {
    let field = |name: &str| {
        auth.and_then(|auth| auth.get(name)).and_then(Value::as_str).filter(|text| !text.is_empty())
    };
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let token = match field("token") {
        Some(token) => Some(token),
        None => header(header::AUTHORIZATION.as_str())
            .map(|value| value.strip_prefix("Bearer ").unwrap_or(value)),
    };
    let query = serde_urlencoded::from_str::<Query>(parts.uri.query().unwrap_or_default());
    let queried = query.ok().and_then(|query| query.client_type);
    let declared = field("clientType").or(queried.as_deref()).or_else(|| header("client-type"));
    Handshake {
        token: token.map(str::to_owned),
        dialect: declared.map_or(Dialect::Undeclared, Dialect::from_declared),
    }
}

/// The first event of a socket.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Greeting<'a> {
    user_id: &'a str,
    socket_id: &'a str,
    timestamp: Option<String>,
}

/// Says which events a handshake brings.
pub(super) fn events(events: &mut Events) {
    events.heard::<Greeting<'_>>(DESKTOP, event::CONNECTED, "The socket is connected; comes first");
}

/// Returns the first event of a socket, for the dialects that have one.
#[must_use]
pub fn greeting(identity: &Identity, socket_id: &str) -> Option<Value> {
    match identity.dialect {
        Dialect::Electron | Dialect::Undeclared => Some(json!(Greeting {
            user_id: &identity.user_id.to_string(),
            socket_id,
            timestamp: super::fields::iso(Some(&to_timestamp(DateTime::now()))),
        })),
        Dialect::Flutter | Dialect::Unified => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn token_of_the_packet_wins_over_the_header() {
        let parts = parts("/socket.io/", &[("authorization", "Bearer header")]);
        let handshake = read(Some(&json!({ "token": "packet" })), &parts);
        assert_eq!(handshake.token.as_deref(), Some("packet"));
        assert_eq!(read(None, &parts).token.as_deref(), Some("header"));
    }

    #[test]
    fn token_of_the_query_does_not_count() {
        assert_eq!(read(None, &parts("/socket.io/?token=query", &[])).token, None);
    }

    #[test]
    fn first_declaration_wins() {
        let parts = parts("/socket.io/?clientType=flutter", &[("client-type", "unified")]);
        let auth = json!({ "clientType": "electron" });
        assert_eq!(read(Some(&auth), &parts).dialect, Dialect::Electron);
        assert_eq!(read(None, &parts).dialect, Dialect::Flutter);
    }
}
