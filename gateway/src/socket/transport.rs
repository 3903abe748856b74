//! The transports under the sockets: who may open one, and how one is ended without a word, so that
//! old clients come back by themselves. A namespace disconnect (`41`) would keep them away.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use chat_kit::http::Connection;
use moka::{policy::EvictionPolicy, sync::Cache};
use parking_lot::Mutex;
use socketioxide::extract::SocketRef;
use tokio_util::sync::CancellationToken;

use crate::{error::ApiError, limits, router, state::AppState};

/// How long the id of a cut transport is refused: longer than any poll of it can be under way.
const REFUSED_FOR: Duration = Duration::from_mins(2);
/// How long an upgrade may precede the authentication of its socket.
const UNKNOWN_FOR: Duration = Duration::from_mins(1);
/// Longest request that opens a transport, in bytes and without what a body would have: all of it is kept
/// as long as the transport.
const LONGEST_HANDSHAKE: usize = 16 << 10;
/// Upgrades that the client of one transport may ask for; further ones are cut at once.
const MOST_WEBSOCKETS: usize = 8;
/// Upgrades and refused ids that are remembered.
const MOST_REMEMBERED: u64 = 100_000;

/// The connections that transports moved to, and the transports that were cut.
#[derive(Clone, Debug)]
pub struct Transports {
    /// Of authenticated sockets alone, and only as long as they live.
    sockets: Arc<Mutex<HashMap<String, Link>>>,
    /// Of transports whose socket is not authenticated yet.
    upgraded: Cache<String, Connection>,
    refused: Cache<String, ()>,
}

/// The transport of an authenticated socket.
#[derive(Clone, Debug, Default)]
struct Link {
    /// The connections that it moved to, of which one may live: a client may ask for more, and of those
    /// that it did not get it is not known here that they were refused.
    websockets: Vec<Connection>,
    /// Ends the poll under way.
    cut: CancellationToken,
}

impl Default for Transports {
    fn default() -> Self {
        Self { sockets: Arc::default(), upgraded: cache(UNKNOWN_FOR), refused: cache(REFUSED_FOR) }
    }
}

/// The newest matter: each has a client behind it that has just been there.
fn cache<V: Clone + Send + Sync + 'static>(time_to_live: Duration) -> Cache<String, V> {
    Cache::builder()
        .eviction_policy(EvictionPolicy::lru())
        .max_capacity(MOST_REMEMBERED)
        .time_to_live(time_to_live)
        .build()
}

impl Transports {
    /// Remembers the transport of an authenticated socket, until it is forgotten.
    pub fn remember(&self, socket: &SocketRef) {
        let id = socket.id.to_string();
        let mut sockets = self.sockets.lock();
        let websockets = own(socket).or_else(|| self.upgraded.remove(&id)).into_iter().collect();
        sockets.insert(id, Link { websockets, cut: CancellationToken::new() });
    }

    /// Forgets the transport of a socket that is gone.
    pub fn forget(&self, id: &str) {
        self.sockets.lock().remove(id);
    }

    /// Ends a remembered transport without a word. Polls come on connections that others may share, so
    /// they are refused: the one under way and the next.
    pub fn cut(&self, id: &str) {
        self.refused.insert(id.to_owned(), ());
        let link = self.sockets.lock().get(id).cloned();
        if let Some(link) = link {
            link.cut.cancel();
            link.websockets.iter().for_each(Connection::cut);
        }
    }

    /// Ends the transport of a socket that has not been remembered.
    pub fn cut_unknown(&self, socket: &SocketRef) {
        let id = socket.id.to_string();
        self.cut(&id);
        if let Some(connection) = own(socket).or_else(|| self.upgraded.remove(&id)) {
            connection.cut();
        }
    }

    /// Lets a remembered transport end without a word once all that was emitted has been written: no
    /// new poll is answered, and a WebSocket is read no more.
    pub fn finish(&self, id: &str) {
        self.refused.insert(id.to_owned(), ());
        let link = self.sockets.lock().get(id).cloned();
        if let Some(link) = link {
            link.websockets.iter().for_each(Connection::finish);
        }
    }

    /// Waits until a transport is cut.
    async fn until_cut(&self, id: &str) {
        let cut = self.sockets.lock().get(id).map(|link| link.cut.clone());
        match cut {
            Some(cut) => cut.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Takes note that a transport has moved to a WebSocket.
    fn upgrade(&self, id: String, connection: &Connection) {
        if self.refused.contains_key(&id) {
            // It was cut while it moved.
            return connection.cut();
        }
        match self.sockets.lock().get_mut(&id) {
            Some(link) if link.websockets.len() < MOST_WEBSOCKETS => {
                link.websockets.push(connection.clone());
            }
            // The first alone: one of both lives, and a later one must not hide it.
            None if self.upgraded.entry(id).or_insert(connection.clone()).is_fresh() => {}
            Some(_) | None => connection.cut(),
        }
    }
}

/// Returns the connection of a socket that began as a WebSocket.
fn own(socket: &SocketRef) -> Option<Connection> {
    let parts = socket.req_parts();
    let is_direct = is_websocket(parts.uri.query().unwrap_or_default());
    parts.extensions.get::<Connection>().filter(|_| is_direct).cloned()
}

/// Returns a parameter of a query as the Socket.IO server reads it: the first one, undecoded.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn is_websocket(query: &str) -> bool {
    parameter(query, "transport") == Some("websocket")
}

/// Says whether a transport is named in the one spelling that is looked for here. The Socket.IO server
/// knows others, such as `websocket=`, by which a WebSocket would come that nobody could cut.
fn is_known(query: &str) -> bool {
    is_websocket(query) || parameter(query, "transport") == Some("polling")
}

/// Lets a request pass to the Socket.IO server only from an allowed origin and for a living transport.
pub async fn guard(
    State((state, transports)): State<(AppState, Transports)>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && request.method() != Method::OPTIONS
        && !router::is_allowed_origin(&state.config, origin)
        && !is_own_origin(origin, request.headers().get(header::HOST))
    {
        let message = "this origin may not connect: ask the operator to add it to http.origins";
        return ApiError::forbidden(message).into_response();
    }
    let query = request.uri().query().unwrap_or_default();
    if !is_known(query) {
        let message = "the parameter transport must be polling or websocket";
        return ApiError::new(StatusCode::BAD_REQUEST, "unknown_transport", message)
            .into_response();
    }
    let Some(sid) = parameter(query, "sid").map(str::to_owned) else {
        if length(&request) > LONGEST_HANDSHAKE {
            return too_long();
        }
        return limits::limit_handshake(&state, request, next).await;
    };
    if transports.refused.contains_key(&sid) {
        return ended();
    }
    let connection = request.extensions().get::<Connection>().cloned();
    let response = tokio::select! {
        response = next.run(request) => response,
        () = transports.until_cut(&sid) => return ended(),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(connection) = connection
    {
        transports.upgrade(sid, &connection);
    }
    response
}

/// Returns the bytes of a request's path, query and headers.
fn length(request: &Request) -> usize {
    let query = request.uri().query().unwrap_or_default();
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    request.uri().path().len() + query.len() + headers.sum::<usize>()
}

/// Says whether a request comes from a page of this gateway itself, or from a program that names the
/// address that it calls.
fn is_own_origin(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let host = host.and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

fn too_long() -> Response {
    let message = format!("path, query and headers exceed {LONGEST_HANDSHAKE} bytes");
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    ApiError::new(status, "headers_too_long", message).into_response()
}

fn ended() -> Response {
    let message = "this connection was ended, connect again";
    ApiError::new(StatusCode::BAD_REQUEST, "unknown_transport", message).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_origin_is_the_address_that_is_called() {
        let is_own = |origin: &'static str, host: Option<&'static str>| {
            let host = host.map(HeaderValue::from_static);
            is_own_origin(&HeaderValue::from_static(origin), host.as_ref())
        };
        assert!(is_own("http://Chat.example:3000", Some("chat.example:3000")));
        assert!(is_own("https://chat.example", Some("chat.example")));
        for (origin, host) in [
            ("http://other.example:3000", Some("chat.example:3000")),
            ("http://chat.example", Some("chat.example:3000")),
            ("http://chat.example.other", Some("chat.example")),
            ("ftp://chat.example", Some("chat.example")),
            ("chat.example", Some("chat.example")),
            ("null", Some("null")),
            ("http://chat.example", None),
            ("http://", Some("")),
        ] {
            assert!(!is_own(origin, host), "{origin} {host:?}");
        }
    }

    #[test]
    fn repeated_parameter_is_read_as_the_server_reads_it() {
        assert_eq!(parameter("EIO=4&sid=a&sid=b", "sid"), Some("a"));
        assert_eq!(parameter("EIO=4&xsid=a", "sid"), None);
        assert!(is_websocket("EIO=4&transport=websocket&transport=polling"));
        assert!(is_known("transport=polling&transport=x") && is_known("EIO=4&transport=websocket"));
        for spelled in
            ["websocket=", "websocket=polling", "polling=websocket", "Websocket", "", "x"]
        {
            assert!(
                !is_known(&format!("EIO=4&transport={spelled}&transport=polling")),
                "{spelled}"
            );
        }
        assert!(!is_known("EIO=4"));
    }
}
