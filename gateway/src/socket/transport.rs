//! The transports under the sockets: who may open one, and how one is ended without a word, so that
//! old clients come back by themselves. A namespace disconnect (`41`) would keep them away.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use chat_kit::http::Connection;
use moka::sync::Cache;
use serde::Deserialize;
use socketioxide::extract::SocketRef;

use crate::{error::ApiError, router, state::AppState};

/// How long the id of a cut transport is refused: longer than any poll of it can be under way.
const REFUSED_FOR: Duration = Duration::from_mins(2);
/// Upgraded transports and refused ids that are remembered.
const MOST_REMEMBERED: u64 = 200_000;

/// The connections of upgraded transports, and the transports that were cut.
#[derive(Clone, Debug)]
pub struct Transports {
    upgraded: Cache<String, Connection>,
    refused: Cache<String, ()>,
}

impl Default for Transports {
    fn default() -> Self {
        Self {
            upgraded: Cache::new(MOST_REMEMBERED),
            refused: Cache::builder()
                .max_capacity(MOST_REMEMBERED)
                .time_to_live(REFUSED_FOR)
                .build(),
        }
    }
}

impl Transports {
    /// Ends the transport of a socket without a word. A poll under way is answered as usual; the next
    /// one is refused.
    pub fn cut(&self, socket: &SocketRef) {
        let id = socket.id.to_string();
        // A socket that began with polling has its WebSocket on a connection of its own.
        let upgraded = self.upgraded.remove(&id);
        if let Some(connection) =
            upgraded.as_ref().or_else(|| socket.req_parts().extensions.get::<Connection>())
        {
            connection.cut();
        }
        self.refused.insert(id, ());
    }

    /// Forgets the transport of a socket that is gone.
    pub fn forget(&self, socket: &SocketRef) {
        self.upgraded.remove(&socket.id.to_string());
    }
}

#[derive(Deserialize)]
struct Query {
    sid: Option<String>,
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
    let sid = serde_urlencoded::from_str::<Query>(query).ok().and_then(|query| query.sid);
    let Some(sid) = sid else { return next.run(request).await };
    if transports.refused.contains_key(&sid) {
        let message = "this connection was ended, connect again";
        return ApiError::new(StatusCode::BAD_REQUEST, "unknown_transport", message)
            .into_response();
    }
    let connection = request.extensions().get::<Connection>().cloned();
    let response = next.run(request).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(connection) = connection
    {
        transports.upgraded.insert(sid, connection);
    }
    response
}
