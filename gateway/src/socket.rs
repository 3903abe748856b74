//! The Socket.IO side of the gateway: handshake, the sockets of a user, and the table of events.

mod calls;
mod departure;
mod events;
mod messages;
mod payload;
mod peer;
pub mod presence;
mod queue;
mod receipts;
mod sessions;
mod sockets;
mod sync;
mod transport;
pub mod typing;

use std::{
    convert::Infallible,
    time::{Duration, Instant, SystemTime},
};

use axum::{Router, middleware};
use bson::oid::ObjectId;
use chat_kit::{
    caller,
    id::UserId,
    session::SessionHash,
    telemetry::trace::{self, Kind, Origin},
};
use serde_json::Value;
use socketioxide::{
    ParserConfig, SocketIo,
    extract::{Extension, SocketRef, State, TryData},
    handler::ConnectHandler as _,
    socket::DisconnectReason,
};
use tower::ServiceBuilder;
use tracing::Instrument as _;

use crate::{
    auth::{self, Refusal},
    error::ApiError,
    metrics::{Cut, SOCKETS},
    router,
    state::AppState,
    wire::{Dialect, event, handshake},
};

use departure::Departure;

pub use calls::{
    Bound, Line, came_after_answer, hold_if_free as hold_for_call_if_free, note_rung,
    renew as renew_calls,
};
pub use peer::Peer;
pub use sessions::watch;
pub use sockets::Sockets;
pub use transport::Transports;
use transport::guard;

/// How often the server pings, and how long the answer may take; both clients were built for these.
const PING_INTERVAL: Duration = Duration::from_secs(25);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a transport may stay without a namespace.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest event, in bytes, as both clients are told in the handshake.
const MAX_PAYLOAD: usize = 1_000_000;
/// Binary attachments of one event.
const MAX_BINARIES: usize = 4;
/// Packets that wait for a slow socket; one more cuts it.
const MAX_BUFFERED: usize = 512;

/// What a connected socket is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The authenticated caller; the request id is that of the handshake.
    pub caller: caller::Caller,
    /// The user.
    pub user_id: UserId,
    /// Id of the session; absent for old tokens without one.
    pub session_id: Option<String>,
    /// When the token or its session ends, whichever comes first.
    pub expires_at: SystemTime,
    /// How its client speaks.
    pub dialect: Dialect,
    /// Id of this socket inside the suite. The Socket.IO id is a credential of the transport and stays
    /// between client and gateway.
    pub origin_id: ObjectId,
}

impl Identity {
    /// Returns what the session is known by to others, where the token has one.
    #[must_use]
    pub fn session(&self) -> Option<SessionHash> {
        self.session_id.as_deref().map(SessionHash::of)
    }
}

/// Builds the routes of the Socket.IO server, behind the check of origins and transports.
pub fn routes(state: &AppState) -> (Router, Sockets) {
    let (sockets, transports) = (Sockets::default(), Transports::default());
    // No event carries bytes. A few are taken all the same, so that they can be refused by name.
    let parser = ParserConfig::common()
        .max_incoming_binaries(MAX_BINARIES)
        .max_incoming_binary_buf_size(MAX_PAYLOAD);
    let (service, io) = SocketIo::builder()
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .max_payload(MAX_PAYLOAD as u64)
        .ws_max_message_size(MAX_PAYLOAD)
        .ws_max_frame_size(MAX_PAYLOAD)
        .max_buffer_size(MAX_BUFFERED)
        .with_parser(parser)
        .with_state(state.clone())
        .with_state(transports.clone())
        .with_state(sockets.clone())
        .build_svc();
    io.ns("/", connected.with(register).with(authenticate));
    let guard = middleware::from_fn_with_state((state.clone(), transports.clone()), guard);
    let service = ServiceBuilder::new()
        .map_response(router::preflight_has_no_content)
        .layer(router::cors(&state.config))
        .layer(guard)
        .service(service);
    let routes = Router::new()
        .route_service("/socket.io", service.clone())
        .route_service("/socket.io/", service);
    (routes, sockets)
}

/// Verifies the token of the CONNECT packet, else that of the handshake's header; never the query's.
async fn authenticate(
    socket: SocketRef,
    TryData(auth): TryData<Value>,
    State(state): State<AppState>,
    State(transports): State<Transports>,
) -> Result<(), &'static str> {
    let handshake = handshake::read(auth.ok().as_ref(), socket.req_parts());
    let request_id = caller::new_request_id();
    let Some(token) = handshake.token else { return Err("unauthorized") };
    let (begun, name) = (Instant::now(), event::CONNECT);
    let origin = Origin::of_client(&socket.req_parts().headers);
    let span = trace::begin(
        &request_id,
        Kind::Server,
        &state.part,
        format_args!("socket {name}"),
        &origin,
    );
    let authenticated = auth::authenticate(&state, &token, &request_id).instrument(span).await;
    let counted = match &authenticated {
        Ok(identity) => state.limits.charge_connect(identity.user_id),
        Err(refusal) => Err(refusal.clone().into()),
    };
    SOCKETS.event(name, counted.as_ref().err(), begun);
    match authenticated {
        Ok(identity) if counted.is_err() => {
            tracing::warn!(request_id, user_id = %identity.user_id, "too many connections");
            keep_out(&socket, &transports, Cut::TooMany).await;
            Err("unavailable")
        }
        Ok(identity) => {
            socket.extensions.insert(Identity {
                caller: identity.caller,
                user_id: identity.user_id,
                session_id: identity.session_id,
                expires_at: identity.expires_at,
                dialect: handshake.dialect,
                origin_id: ObjectId::new(),
            });
            Ok(())
        }
        Err(Refusal::Invalid { .. }) => Err("unauthorized"),
        Err(Refusal::Unavailable) => {
            tracing::warn!(request_id, "cannot check a session, cutting the socket");
            keep_out(&socket, &transports, Cut::Unchecked).await;
            Err("unavailable")
        }
    }
}

/// Lets a socket in some other time. An answer would keep old clients from ever coming back: the transport
/// is cut, and the handshake outlasts it.
async fn keep_out(socket: &SocketRef, transports: &Transports, reason: Cut) {
    SOCKETS.cut(reason);
    transports.cut_unknown(socket);
    tokio::time::sleep(2 * CONNECT_TIMEOUT).await;
}

/// Attaches the handlers and takes the socket in before its client is told that it is connected.
async fn register(
    socket: SocketRef,
    State(state): State<AppState>,
    State(transports): State<Transports>,
    State(sockets): State<Sockets>,
    Extension(identity): Extension<Identity>,
) -> Result<(), Infallible> {
    let arrival = calls::Arrival::default();
    let unanswered = events::attach(&socket, &arrival);
    socket.extensions.insert(arrival);
    transports.remember(&socket);
    let peer = Peer::new(socket.id.to_string(), identity, transports, unanswered);
    socket.extensions.insert(peer.clone());
    // Before the client can read the history: what is stored after that read, it hears. Where the
    // transport has ended meanwhile, no handler runs; the registration ends with the socket.
    let registration = sockets.register(peer.clone());
    let departure = Departure::new(state, peer, registration);
    socket.on_disconnect(async move |reason: DisconnectReason| {
        departure.disconnected(reason).await;
    });
    Ok(())
}

/// Greets the socket; what its user's events brought meanwhile follows.
async fn connected(
    socket: SocketRef,
    State(state): State<AppState>,
    State(sockets): State<Sockets>,
    Extension(peer): Extension<Peer>,
    Extension(arrival): Extension<calls::Arrival>,
) {
    let greeting = handshake::greeting(peer.identity(), &socket.id.to_string());
    peer.greet(socket, greeting.as_ref());
    sockets.presence().greet(&state, &peer);
    // A revocation that was heard of before found no socket to end; one that comes from now on does.
    let session = peer.identity().session();
    if session.is_some_and(|session| state.sessions.is_revoked(session)) {
        peer.revoke(&ApiError::session_over());
    }
    tokio::spawn(receipts::catch_up(state.clone(), peer.clone()));
    arrival.offer(&state, &peer).await;
}
