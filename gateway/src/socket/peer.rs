//! The sockets of this gateway: finding those of a user, and emitting to one without losing anything
//! in silence.

use std::time::Duration;

use bson::oid::ObjectId;
use chat_kit::{id::UserId, session::SessionHash};
use serde::Serialize;
use serde_json::Value;
use socketioxide::{
    SendError, SocketError, SocketIo,
    extract::{AckSender, SocketRef},
    socket::Sid,
};

use super::{Identity, Transports, sessions::Ends};
use crate::{
    error::ApiError,
    wire::{self, Dialect, event},
};

/// In how many steps many sockets are cut, so that they do not all come back at once.
const CUT_BATCHES: usize = 20;
/// Sockets that are cut at once however few there are.
const SMALLEST_CUT_BATCH: usize = 50;
/// Pause between two steps.
const CUT_PAUSE: Duration = Duration::from_millis(100);

/// How long the transport of a socket stays that was told why it ends: long enough for that to arrive.
const FAREWELL: Duration = Duration::from_millis(250);

/// Events that may come before a socket is greeted, which is a matter of moments.
const MOST_EARLY: usize = 64;

/// All sockets of this gateway.
#[derive(Clone)]
pub struct Sockets {
    io: SocketIo,
    transports: Transports,
    /// When their tokens end.
    pub(super) ends: Ends,
}

/// One connected socket and what it is.
pub struct Peer {
    socket: SocketRef,
    identity: Identity,
    transports: Transports,
}

impl Sockets {
    /// Wraps the Socket.IO server.
    #[must_use]
    pub fn new(io: SocketIo, transports: Transports, ends: Ends) -> Self {
        Self { io, transports, ends }
    }

    /// Says whether a user has a socket here.
    #[must_use]
    pub fn has(&self, user_id: &str) -> bool {
        !self.io.within(user_id.to_owned()).sockets().is_empty()
    }

    /// Returns the sockets of a user.
    #[must_use]
    pub fn of(&self, user_id: &str) -> Vec<Peer> {
        let sockets = self.io.within(user_id.to_owned()).sockets();
        sockets.into_iter().filter_map(|socket| self.peer(socket)).collect()
    }

    /// Returns all sockets.
    #[must_use]
    pub fn all(&self) -> Vec<Peer> {
        self.io.sockets().into_iter().filter_map(|socket| self.peer(socket)).collect()
    }

    /// Returns a socket by its Socket.IO id.
    #[must_use]
    pub fn get(&self, id: Sid) -> Option<Peer> {
        self.io.get_socket(id).and_then(|socket| self.peer(socket))
    }

    /// Ends the sockets of a session, or those of a user's tokens without one.
    pub fn end_session(&self, user_id: UserId, session: Option<SessionHash>, reason: &ApiError) {
        for peer in self.of(&user_id.to_string()) {
            if peer.identity.session() == session {
                peer.end(reason);
            }
        }
    }

    /// Cuts the transports of all sockets, spread over about two seconds where they are many.
    pub async fn cut_all(&self) {
        let sockets = self.io.sockets();
        let batch = (sockets.len() / CUT_BATCHES).max(SMALLEST_CUT_BATCH);
        for sockets in sockets.chunks(batch) {
            for socket in sockets {
                self.transports.cut(socket);
            }
            tokio::time::sleep(CUT_PAUSE).await;
        }
    }

    fn peer(&self, socket: SocketRef) -> Option<Peer> {
        // Set before the socket joins its room.
        let identity = socket.extensions.get::<Identity>()?;
        Some(Peer::new(socket, identity, self.transports.clone()))
    }
}

impl Peer {
    /// Puts a socket and what it is together.
    #[must_use]
    pub fn new(socket: SocketRef, identity: Identity, transports: Transports) -> Self {
        Self { socket, identity, transports }
    }

    /// Returns how the client of this socket speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.identity.dialect
    }

    /// Returns the id of this socket inside the suite.
    #[must_use]
    pub fn origin_id(&self) -> ObjectId {
        self.identity.origin_id
    }

    /// Returns what this socket is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Emits an event. A socket that is too slow to take it is cut: its client comes back and syncs,
    /// while a packet dropped in silence would never be missed. A socket that has not been greeted yet
    /// gets it after its greeting.
    pub fn emit(&self, name: &'static str, body: &(impl Serialize + ?Sized)) {
        let mut early = self.identity.early.lock();
        let Some(waiting) = early.as_mut() else {
            drop(early);
            return self.check(self.socket.emit(name, body), name);
        };
        match serde_json::value::to_raw_value(body) {
            Ok(body) if waiting.len() < MOST_EARLY => waiting.push((name, body)),
            _ => self.cut(),
        }
    }

    /// Greets the socket, if its dialect has a greeting, and emits what came before.
    pub fn greet(&self, greeting: Option<&Value>) {
        let mut early = self.identity.early.lock();
        if let Some(greeting) = greeting {
            self.check(self.socket.emit(event::CONNECTED, greeting), event::CONNECTED);
        }
        for (name, body) in early.take().unwrap_or_default() {
            self.check(self.socket.emit(name, &body), name);
        }
    }

    /// Answers an event, if its client asked for an answer.
    pub fn acknowledge(&self, ack: AckSender, answer: &impl Serialize) {
        self.check(ack.send(answer), "acknowledgement");
    }

    fn check(&self, outcome: Result<(), SendError>, name: &str) {
        match outcome {
            // One that is gone needs nothing any more.
            Ok(()) | Err(SendError::Socket(SocketError::Closed)) => {}
            Err(error) => {
                tracing::warn!(%error, user_id = %self.identity.user_id, name, "cutting a socket");
                self.cut();
            }
        }
    }

    /// Ends this socket because its token or session is over. It hears no event any more, but one that
    /// says so to new clients. Old ones lose their transport, come back, and are refused.
    pub fn end(&self, reason: &ApiError) {
        tracing::info!(user_id = %self.identity.user_id, error = %reason.error, "ending a socket");
        if self.identity.dialect != Dialect::Unified {
            return self.cut();
        }
        self.emit(event::SESSION_REVOKED, &wire::socket::error_body(reason));
        self.socket.leave_all();
        let (socket, transports) = (self.socket.clone(), self.transports.clone());
        tokio::spawn(async move {
            tokio::time::sleep(FAREWELL).await;
            transports.cut(&socket);
        });
    }

    /// Ends the transport of this socket without a word.
    pub fn cut(&self) {
        self.transports.cut(&self.socket);
    }
}
