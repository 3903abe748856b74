//! The transports under the sockets: who may open one, and how one is ended without a word, so that
//! old clients come back by themselves. A namespace disconnect (`41`) would keep them away.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use chat_kit::http::Connection;
use moka::sync::Cache;
use parking_lot::Mutex;
use socketioxide::extract::SocketRef;
use tokio_util::sync::CancellationToken;

use crate::{error::ApiError, router, state::AppState};

/// How long the id of a cut transport is refused: longer than any poll of it can be under way.
const REFUSED_FOR: Duration = Duration::from_mins(2);
/// How long an upgrade may precede the authentication of its socket.
const UNKNOWN_FOR: Duration = Duration::from_mins(1);
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
#[derive(Clone, Debug)]
struct Link {
    /// The connection of its WebSocket; absent while it polls.
    websocket: Option<Connection>,
    /// Ends the poll under way.
    cut: CancellationToken,
}

impl Default for Transports {
    fn default() -> Self {
        Self {
            sockets: Arc::default(),
            upgraded: Cache::builder()
                .max_capacity(MOST_REMEMBERED)
                .time_to_live(UNKNOWN_FOR)
                .build(),
            refused: Cache::builder()
                .max_capacity(MOST_REMEMBERED)
                .time_to_live(REFUSED_FOR)
                .build(),
        }
    }
}

impl Transports {
    /// Remembers the transport of an authenticated socket, until it is forgotten.
    pub fn remember(&self, socket: &SocketRef) {
        let id = socket.id.to_string();
        let parts = socket.req_parts();
        let direct = is_websocket(parts.uri.query().unwrap_or_default());
        let own = parts.extensions.get::<Connection>().filter(|_| direct).cloned();
        let mut sockets = self.sockets.lock();
        let websocket = own.or_else(|| self.upgraded.remove(&id));
        sockets.insert(id, Link { websocket, cut: CancellationToken::new() });
    }

    /// Forgets the transport of a socket that is gone.
    pub fn forget(&self, socket: &SocketRef) {
        self.sockets.lock().remove(&socket.id.to_string());
    }

    /// Ends the transport of a socket without a word. Polls come on connections that others may share, so
    /// they are refused: the one under way and the next.
    pub fn cut(&self, socket: &SocketRef) {
        let id = socket.id.to_string();
        self.refused.insert(id.clone(), ());
        let link = self.sockets.lock().get(&id).cloned();
        let remembered = link.and_then(|link| {
            link.cut.cancel();
            link.websocket
        });
        let parts = socket.req_parts();
        let direct = is_websocket(parts.uri.query().unwrap_or_default());
        let own = || parts.extensions.get::<Connection>().filter(|_| direct).cloned();
        if let Some(connection) = remembered.or_else(own) {
            connection.cut();
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
            Some(link) => link.websocket = Some(connection.clone()),
            None => self.upgraded.insert(id, connection.clone()),
        }
    }
}

/// Returns a parameter of a query as the Socket.IO server reads it: the first one, undecoded.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn is_websocket(query: &str) -> bool {
    parameter(query, "transport") == Some("websocket")
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
    {
        let message = "this origin may not connect: ask the operator to add it to http.origins";
        return ApiError::forbidden(message).into_response();
    }
    let query = request.uri().query().unwrap_or_default();
    let Some(sid) = parameter(query, "sid").map(str::to_owned) else {
        return next.run(request).await;
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

fn ended() -> Response {
    let message = "this connection was ended, connect again";
    ApiError::new(StatusCode::BAD_REQUEST, "unknown_transport", message).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_parameter_is_read_as_the_server_reads_it() {
        assert_eq!(parameter("EIO=4&sid=a&sid=b", "sid"), Some("a"));
        assert_eq!(parameter("EIO=4&xsid=a", "sid"), None);
        assert!(is_websocket("EIO=4&transport=websocket&transport=polling"));
    }
}
