//! One connected socket: emitting to it without losing anything in silence, and ending it.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bson::oid::ObjectId;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use socketioxide::{
    SendError, SocketError,
    extract::{AckSender, SocketRef},
};
use tokio::{sync::Semaphore, time::Instant};

use super::{Identity, Transports, calls::Line, departure::Departure, queue};
use crate::{
    error::ApiError,
    metrics::{Cut, SOCKETS},
    wire::{self, Dialect, event},
};

/// Events that may come before a socket is greeted, which is a matter of moments.
const MOST_EARLY: usize = 64;
/// How long the transport of a socket stays that was told why it ends: long enough for that to arrive.
const FAREWELL: Duration = Duration::from_millis(250);
/// How long the end of a socket waits for the answers to what its client sent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last answers may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// One connected socket and what it is; cheap to clone.
#[derive(Clone)]
pub struct Peer(Arc<Parts>);

struct Parts {
    identity: Identity,
    /// Id of its transport.
    id: String,
    connected_at: Instant,
    transports: Transports,
    /// Holds all its permits while nothing waits for an answer.
    unanswered: Arc<Semaphore>,
    is_ending: AtomicBool,
    /// Whether its cut is counted.
    is_cut: AtomicBool,
    leaving: Mutex<Leaving>,
    outgoing: Mutex<Outgoing>,
    line: Line,
}

/// Name and body of an event.
type Frame = (&'static str, Box<RawValue>);

/// What becomes of an event for this socket.
enum Outgoing {
    /// It waits until the socket has been greeted.
    Early(Vec<Frame>),
    /// It is emitted.
    Open(SocketRef),
    /// Nothing: the socket was cut, or is gone. Holding the socket here would keep it for ever.
    Closed,
}

/// How a socket comes to leave.
#[derive(Default)]
struct Leaving {
    /// Whether its transport was cut.
    is_cut: bool,
    /// What is done once it is gone. Whoever keeps that keeps the socket.
    departure: Weak<Departure>,
}

impl Peer {
    /// Describes a socket that has not been greeted yet.
    #[must_use]
    pub fn new(
        id: String,
        identity: Identity,
        transports: Transports,
        unanswered: Arc<Semaphore>,
    ) -> Self {
        Self(Arc::new(Parts {
            identity,
            id,
            connected_at: Instant::now(),
            transports,
            unanswered,
            is_ending: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            leaving: Mutex::default(),
            outgoing: Mutex::new(Outgoing::Early(Vec::new())),
            line: Line::default(),
        }))
    }

    /// Returns how the client of this socket speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.0.identity.dialect
    }

    /// Returns the id of this socket inside the suite.
    #[must_use]
    pub fn origin_id(&self) -> ObjectId {
        self.0.identity.origin_id
    }

    /// Returns what this socket is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Returns what it hears of calls.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.0.line
    }

    /// Returns when it came.
    #[must_use]
    pub fn connected_at(&self) -> Instant {
        self.0.connected_at
    }

    /// Says whether it is about to end, so that nothing new is begun for it.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.0.is_ending.load(Ordering::Relaxed)
    }

    /// Says whether events pass it by: it was cut, or is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(*self.0.outgoing.lock(), Outgoing::Closed)
    }

    /// Emits an event. A socket that is too slow to take it is cut: its client comes back and syncs,
    /// while a packet dropped in silence would never be missed. A socket that has not been greeted yet
    /// gets it after its greeting.
    pub fn emit(&self, name: &'static str, body: &(impl Serialize + ?Sized)) {
        let mut outgoing = self.0.outgoing.lock();
        let outcome = match &mut *outgoing {
            Outgoing::Closed => return,
            Outgoing::Open(socket) => socket.emit(name, body),
            Outgoing::Early(waiting) => match serde_json::value::to_raw_value(body) {
                Ok(body) if waiting.len() < MOST_EARLY => {
                    return waiting.push((name, body));
                }
                _ => Err(SendError::Socket(SocketError::InternalChannelFull)),
            },
        };
        drop(outgoing);
        self.check(outcome, name);
    }

    /// Greets the socket, if its dialect has a greeting, and emits what came before.
    pub fn greet(&self, socket: SocketRef, greeting: Option<&Value>) {
        let mut outgoing = self.0.outgoing.lock();
        let Outgoing::Early(early) = &mut *outgoing else { return };
        let early = std::mem::take(early);
        let mut outcome = greeting.map_or(Ok(()), |body| socket.emit(event::CONNECTED, body));
        for (name, body) in early {
            outcome = outcome.and_then(|()| socket.emit(name, &body));
        }
        *outgoing = Outgoing::Open(socket);
        drop(outgoing);
        self.check(outcome, event::CONNECTED);
    }

    /// Answers an event, if its client asked for an answer.
    pub fn acknowledge(&self, ack: AckSender, answer: &impl Serialize) {
        self.check(ack.send(answer), "acknowledgement");
    }

    fn check(&self, outcome: Result<(), SendError>, name: &str) {
        match outcome {
            Ok(()) => SOCKETS.frames.increment(1),
            // One that is gone needs nothing any more.
            Err(SendError::Socket(SocketError::Closed)) => {}
            Err(error) => {
                let user_id = self.0.identity.user_id;
                tracing::warn!(%error, %user_id, name, "cutting a socket");
                self.cut(Cut::Slow);
            }
        }
    }

    /// Ends the transport of this socket without a word.
    pub fn cut(&self, reason: Cut) {
        self.count(reason);
        self.close();
        self.end_transport();
    }

    /// Ends the transport and, beside the caller, what is kept of this socket: the end of a polling
    /// transport would be noticed only by the silence of its client.
    pub(super) fn end_transport(&self) {
        self.0.transports.cut(&self.0.id);
        let departure = {
            let mut leaving = self.0.leaving.lock();
            leaving.is_cut = true;
            leaving.departure.upgrade()
        };
        if let Some(departure) = departure {
            tokio::spawn(async move { departure.finish().await });
        }
    }

    /// Says what is done once this socket is gone.
    pub(super) fn depart_by(&self, departure: &Arc<Departure>) {
        let is_cut = {
            let mut leaving = self.0.leaving.lock();
            leaving.departure = Arc::downgrade(departure);
            leaving.is_cut
        };
        if is_cut {
            self.end_transport();
        }
    }

    /// Ends the transport of this socket without a word, once what its client sent has been answered.
    pub async fn end(&self) {
        self.0.is_ending.store(true, Ordering::Relaxed);
        self.count(Cut::Draining);
        let answered = self.0.unanswered.acquire_many(queue::ALL_ANSWERED);
        if tokio::time::timeout(ANSWER_TIMEOUT, answered).await.is_err() {
            tracing::warn!(user_id = %self.0.identity.user_id, "ending a socket without answer");
        }
        self.0.transports.finish(&self.0.id);
        tokio::time::sleep(WRITE_TIMEOUT).await;
        self.cut(Cut::Draining);
    }

    /// Ends this socket because its token or session is over. It hears no event any more, but one that
    /// says so to new clients. Old ones lose their transport, come back, and are refused.
    pub fn revoke(&self, reason: &ApiError) {
        let user_id = self.0.identity.user_id;
        tracing::info!(%user_id, error = %reason.error, "ending a socket");
        self.count(Cut::SessionOver);
        if self.dialect() != Dialect::Unified {
            return self.cut(Cut::SessionOver);
        }
        self.emit(event::SESSION_REVOKED, &wire::socket::error_body(reason));
        self.close();
        let peer = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(FAREWELL).await;
            peer.end_transport();
        });
    }

    /// Lets go of the socket, which is gone.
    pub fn forget(&self) {
        self.close();
        self.0.transports.forget(&self.0.id);
    }

    /// Counts the end of this socket once, for its first reason.
    fn count(&self, reason: Cut) {
        if !self.0.is_cut.swap(true, Ordering::Relaxed) {
            SOCKETS.cut(reason);
        }
    }

    fn close(&self) {
        let outgoing = std::mem::replace(&mut *self.0.outgoing.lock(), Outgoing::Closed);
        // Outside the lock: it may be the last of the socket, which ends its registration.
        drop(outgoing);
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the id of the transport, which is its credential.
        formatter.debug_struct("Peer").field("identity", &self.0.identity).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Peer {
    /// Describes a socket that is not there.
    pub(crate) fn test(user_id: chat_kit::id::UserId, expires_at: std::time::SystemTime) -> Self {
        Self::test_as(Dialect::Unified, user_id, expires_at)
    }

    /// The same of a client that speaks so.
    pub(crate) fn test_as(
        dialect: Dialect,
        user_id: chat_kit::id::UserId,
        expires_at: std::time::SystemTime,
    ) -> Self {
        let identity = Identity {
            caller: chat_kit::caller::Caller::service("test", "test"),
            user_id,
            session_id: None,
            expires_at,
            dialect,
            origin_id: ObjectId::new(),
        };
        let unanswered = Arc::new(Semaphore::new(queue::ALL_ANSWERED as usize));
        Self::new(String::new(), identity, Transports::default(), unanswered)
    }

    /// Returns the bodies of what waits until this socket is greeted.
    pub(crate) fn early(&self) -> Vec<Value> {
        let Outgoing::Early(waiting) = &*self.0.outgoing.lock() else { return Vec::new() };
        let body = |(_, body): &Frame| serde_json::from_str(body.get()).expect("JSON");
        waiting.iter().map(body).collect()
    }
}
