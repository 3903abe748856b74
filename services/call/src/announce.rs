//! Announces what becomes of calls, from what stands in their documents. What it says of a call is as it was
//! at that moment, however late it comes.

use std::time::Duration;

use anyhow::Context as _;
use bson::{DateTime, oid::ObjectId};
use chat_kit::{
    caller::new_request_id,
    id::UserId,
    nats::Publisher,
    outbox::{Entry, Outbox},
    shutdown::Lifecycle,
    time::to_timestamp,
};
use chat_proto::v1::{self as pb, event::Payload};
use serde::{Deserialize, Serialize};

use crate::{
    state::{Call, CallId, Candidate, EndReason, State},
    store::{
        self,
        calls::{COLLECTION, Calls},
    },
};

/// How long what a replica was about to announce waits when it dies: not much of the time that a call rings.
const LEASE: Duration = Duration::from_secs(5);

/// Who ended a call that nobody ended, in its event.
const BY_TIMEOUT: &str = "timeout";
const BY_DISCONNECT: &str = "disconnect";

/// What became of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    /// Socket that placed or answered it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) socket_id: Option<String>,
}

impl Change {
    pub(crate) fn new(kind: ChangeKind) -> Self {
        Self { kind, socket_id: None }
    }

    /// Describes a change that a socket has made.
    pub(crate) fn by_socket(kind: ChangeKind, socket_id: &str) -> Self {
        Self { kind, socket_id: Some(socket_id.to_owned()) }
    }
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeKind {
    Placed,
    Answered,
    Declined,
    Ended,
}

/// Returns what announces the changes of the collection.
pub(crate) fn outbox(calls: Calls, publisher: Publisher, life: &Lifecycle) -> Outbox<Change> {
    let outbox = Outbox::new(calls.documents(), life, move |document, entry: Entry<Change>| {
        let (calls, publisher) = (calls.clone(), publisher.clone());
        async move {
            let call: Call = store::read(COLLECTION, &document)?;
            let id = call.id.clone();
            if entry.change.kind == ChangeKind::Placed && call.state != State::Ringing {
                // Nobody is to ring for it any more. What became of it is announced next, and says all that
                // the caller has to know.
                return Ok(());
            }
            let is_last = matches!(entry.change.kind, ChangeKind::Declined | ChangeKind::Ended);
            let event = event(call, entry);
            publisher.publish(&event, &new_request_id()).await.context("announcement")?;
            if is_last {
                // All that needed them has been announced.
                calls.strip(&id).await?;
            }
            Ok(())
        }
    });
    outbox.with_lease(LEASE)
}

/// Builds the event of a change.
fn event(call: Call, entry: Entry<Change>) -> pb::Event {
    pb::Event {
        id: event_id(&call.id, entry.id),
        occurred_at: Some(to_timestamp(entry.at)),
        recipient_ids: call.parties.iter().map(UserId::to_string).collect(),
        payload: Some(payload(call, entry.change)),
    }
}

fn event_id(call: &CallId, change: ObjectId) -> String {
    format!("{call}:changed:{change}")
}

fn payload(mut call: Call, change: Change) -> Payload {
    match change.kind {
        ChangeKind::Placed => Payload::CallPlaced(pb::CallPlaced {
            sdp: call.offer.take().unwrap_or_default(),
            socket_id: change.socket_id.unwrap_or_default(),
            rings_until: call.ring_until.map(to_timestamp),
            call: Some(call.placed().into()),
        }),
        ChangeKind::Answered => {
            let socket_id = change.socket_id.unwrap_or_default();
            let answering = std::mem::take(&mut call.callee.candidates);
            let placing = std::mem::take(&mut call.caller.candidates);
            let text = |candidate: Candidate| candidate.candidate;
            Payload::CallAnswered(pb::CallAnswered {
                sdp: call.answer.take().unwrap_or_default(),
                callee_candidates: answering.into_iter().map(text).collect(),
                caller_candidates: placing.into_iter().map(text).collect(),
                socket_id,
                call: Some(call.answered().into()),
            })
        }
        ChangeKind::Declined => {
            let user_id = call.callee.user_id.to_string();
            Payload::CallDeclined(pb::CallDeclined { call: Some(call.into()), user_id })
        }
        ChangeKind::Ended => {
            let by = ended_by(&call);
            Payload::CallEnded(pb::CallEnded { call: Some(call.into()), by })
        }
    }
}

/// Says who ended a call, or what did.
pub(crate) fn ended_by(call: &Call) -> String {
    match (call.ended_by, call.end_reason) {
        (Some(user), _) => user.to_string(),
        (None, Some(EndReason::Timeout)) => BY_TIMEOUT.to_owned(),
        (None, _) => BY_DISCONNECT.to_owned(),
    }
}

/// Builds the event of a candidate of an answered call: one for each number, known however often it comes.
pub(crate) fn candidate_added(
    recipient: UserId,
    added: pb::CandidateAdded,
    now: DateTime,
) -> pb::Event {
    pb::Event {
        id: format!("{}:candidate:{}:{}", added.call_id, added.user_id, added.number),
        occurred_at: Some(to_timestamp(now)),
        recipient_ids: vec![recipient.to_string()],
        payload: Some(Payload::CandidateAdded(added)),
    }
}
