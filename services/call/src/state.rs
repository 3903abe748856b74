//! What a call is, and what may become of it: `ringing -> answered -> ended`. Pure rules; time comes in as
//! `now`.

pub(crate) mod rules;

use std::{fmt, str::FromStr, time::Duration};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use bson::{Binary, Bson, DateTime};
use chat_kit::id::UserId;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Bytes of an id.
const ID: usize = 16;

/// Id of a call: 32 hex characters. Nobody can guess one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CallId(String);

impl CallId {
    /// Makes an id at random.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = [0; ID];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Error::NoRandomness)?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bytes))))
    }
}

impl FromStr for CallId {
    type Err = Error;

    /// Reads an id. What is none belongs to no call.
    fn from_str(text: &str) -> Result<Self, Error> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 2 * ID || !text.bytes().all(is_digit) {
            return Err(Error::NotFound);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<CallId> for Bson {
    fn from(id: CallId) -> Self {
        Self::String(id.0)
    }
}

/// A call. What no rule needs, its descriptions and candidates, is read where it is announced alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Its id.
    #[serde(rename = "_id")]
    pub(crate) id: CallId,
    /// Both users, for the index that lets nobody be in two calls.
    pub(crate) parties: [UserId; 2],
    /// Whether it has not ended.
    pub(crate) is_live: bool,
    /// Number of its changes, candidates and renewals aside: each is made to what it was decided on.
    pub(crate) revision: i64,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) caller: Side,
    pub(crate) callee: Side,
    pub(crate) placed_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answered_at: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_reason: Option<EndReason>,
    /// Who ended it; nobody where time did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_by: Option<UserId>,
    /// Hash of the session in which he did; absent for old tokens without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_by_session: Option<Binary>,
    /// When it stops ringing; absent once it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ring_until: Option<DateTime>,
    /// When it ends at the latest; absent before the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ends_by: Option<DateTime>,
    /// A hang-up of the callee that waits for another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) held_hang_up: Option<HeldHangUp>,
    /// When time next has a say in it: the earliest of `ring_until`, `ends_by`, the leases of bound sockets
    /// and the end of a hold. Absent once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) due_at: Option<DateTime>,
    /// The caller's session description; kept until the end is announced, like the other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offer: Option<String>,
    /// The callee's session description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<String>,
}

/// One of both sides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) user_id: UserId,
    /// Hash of the session that placed or answered the call; absent for old tokens without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<Binary>,
    /// The socket that placed or answered the call, or took it over. The callee has none before the answer,
    /// and nobody after the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bound: Option<Socket>,
    /// A later socket of the same session, which takes over when the bound one has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) standby: Option<Socket>,
    /// Where the call has rung, while it does; the callee's alone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) rung: Vec<Rung>,
    /// Candidates before the answer, in order; after it of the callee's those of the socket that answered.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) candidates: Vec<Candidate>,
    /// The newest candidates after the answer, in order, each JSON as text. Apart from the others, which
    /// travel in one event.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) late: Vec<String>,
    /// How many it has added in all.
    pub(crate) candidate_count: i64,
}

/// A socket that a call needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Socket {
    pub(crate) id: String,
    /// Until when it counts as there, or may be replaced by another of its session.
    pub(crate) held_until: DateTime,
    /// Whether its gateway has said that it is gone.
    #[serde(default)]
    pub(crate) is_detached: bool,
    /// Since when it has most probably heard nothing, which its gateway says then; when that has said so, at the
    /// latest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) left_at: Option<DateTime>,
    /// Since when its device may have heard nothing until this socket came; absent where it was this one
    /// that placed or answered the call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) unheard_since: Option<DateTime>,
}

/// A session of the callee for whose sockets a call has rung.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rung {
    /// Hash of the session; absent for old tokens without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<Binary>,
    /// The one socket that was told as it came; absent where those were that had been there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) socket_id: Option<String>,
}

/// A candidate before the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Candidate {
    /// Socket that it came from.
    pub(crate) socket_id: String,
    /// JSON as text.
    pub(crate) candidate: String,
}

/// A hang-up that takes effect at `until`, unless another has come before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldHangUp {
    pub(crate) until: DateTime,
    /// Whether another has come: then all of them are dropped.
    pub(crate) is_dropped: bool,
}

/// What both sides send each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Audio,
    Video,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Ringing,
    Answered,
    Ended,
}

/// Why a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndReason {
    HungUp,
    Cancelled,
    Declined,
    Timeout,
    Disconnect,
}

/// Which of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Caller,
    Callee,
}

impl Role {
    /// Returns the name of the side's field.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

impl State {
    /// Returns the state as it is stored.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Ended => "ended",
        }
    }
}

/// Somebody who acts on a call from a socket.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) user_id: UserId,
    /// Hash of the session; absent for old tokens without one.
    pub(crate) session: Option<Binary>,
    pub(crate) socket_id: String,
}

/// A user who ends a call, on one of his devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ender {
    pub(crate) user_id: UserId,
    /// Hash of the session; absent for old tokens without one.
    pub(crate) session: Option<Binary>,
}

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) max_duration: Duration,
    pub(crate) holds_hang_ups: bool,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// A socket of the callee takes it.
    Answer { session: Option<Binary>, socket: Socket, answer: String, ends_by: DateTime },
    /// It ends, by a user or by time.
    End { reason: EndReason, by: Option<Ender>, event: EndEvent },
    /// A hang-up waits for another.
    HoldHangUp { until: DateTime },
    /// Another one came: none of them counts.
    DropHangUps,
    /// The hold of those is over.
    ForgetHangUps,
    /// A socket takes over.
    Bind { role: Role, socket: Socket },
    /// A socket stands by.
    StandBy { role: Role, socket: Socket },
    /// The one that stood by is gone.
    StandDown { role: Role },
    /// The bound one is gone; another has until then to take over.
    Detach { role: Role, until: DateTime, left_at: DateTime },
}

/// What a socket that has come does not know of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// That it rings.
    Ring,
    /// That it was answered, and the other side's candidates.
    Answer,
    /// Candidates of the other side, if there are any.
    Candidates,
    /// That another device of its user has answered.
    Elsewhere,
    /// That it is over.
    End,
}

/// As what the end of a call is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndEvent {
    Declined,
    Ended,
}

impl Step {
    /// Says whether the parties hear of it.
    pub(crate) fn is_announced(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::End { .. })
    }
}

impl Socket {
    /// Describes a socket that counts as there until then.
    pub(crate) fn held(id: &str, held_until: DateTime) -> Self {
        let id = id.to_owned();
        Self { id, held_until, is_detached: false, left_at: None, unheard_since: None }
    }
}

impl Side {
    /// Returns a socket that acts for this side.
    pub(crate) fn socket(&self, socket_id: &str) -> Option<&Socket> {
        let mut sockets = self.bound.iter().chain(&self.standby);
        sockets.find(|socket| socket.id == socket_id)
    }

    /// Says whether a socket acts for this side.
    pub(crate) fn has(&self, socket_id: &str) -> bool {
        self.socket(socket_id).is_some()
    }
}

impl Call {
    pub(crate) fn side(&self, role: Role) -> &Side {
        match role {
            Role::Caller => &self.caller,
            Role::Callee => &self.callee,
        }
    }

    /// Says whether a socket acts for one of both sides.
    pub(crate) fn needs(&self, socket_id: &str) -> bool {
        self.caller.has(socket_id) || self.callee.has(socket_id)
    }

    /// Returns the call as it was when it was answered.
    pub(crate) fn answered(self) -> Self {
        Self {
            state: State::Answered,
            ended_at: None,
            end_reason: None,
            ended_by: None,
            ended_by_session: None,
            ..self
        }
    }

    /// Returns the call as it was when it was placed.
    pub(crate) fn placed(self) -> Self {
        Self { state: State::Ringing, answered_at: None, ..self.answered() }
    }

    /// Returns which side a user is. To anybody else the call is not there.
    pub(crate) fn role(&self, user: UserId) -> Result<Role, Error> {
        match user {
            user if user == self.caller.user_id => Ok(Role::Caller),
            user if user == self.callee.user_id => Ok(Role::Callee),
            _ => Err(Error::NotFound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_long_random_and_readable() {
        let (one, other) = (CallId::random().expect("random"), CallId::random().expect("random"));
        assert_ne!(one, other);
        assert_eq!(one.to_string().len(), 32);
        assert_eq!(one.to_string().parse::<CallId>().expect("an id"), one);
    }

    #[test]
    fn any_other_text_belongs_to_no_call() {
        for text in ["", "0", &"0".repeat(33), &"F".repeat(32), &"é".repeat(16)] {
            assert!(matches!(text.parse::<CallId>(), Err(Error::NotFound)), "{text}");
        }
    }
}
