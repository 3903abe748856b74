//! The updates that steps of calls are: pipelines that also say when time next has a say.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use chat_kit::{outbox::Entry, time::after};
use serde::Serialize;

use crate::{
    announce::{Change, ChangeKind},
    state::{EndEvent, Role, Socket, State, Step},
};

const REMOVE: &str = "$$REMOVE";

/// Returns the update that makes a step.
pub(super) fn pipeline(step: &Step, retention: Duration, now: DateTime) -> Vec<Document> {
    let mut set = set(step, retention, now);
    if let Some(change) = announced(step) {
        set.insert("outbox", Entry::new(change, now).appended());
    }
    set.insert("revision", doc! { "$add": ["$revision", 1_i64] });
    vec![doc! { "$set": set }, due()]
}

/// Returns the update that holds sockets until then. A lease never shrinks, and one that was detached is
/// not there, whatever a gateway says that does not know it yet.
pub(super) fn renewal<'a>(
    sockets: impl Iterator<Item = &'a str>,
    until: DateTime,
) -> Vec<Document> {
    let sockets = literal(&sockets.collect::<Vec<_>>());
    let mut set = Document::new();
    for role in [Role::Caller, Role::Callee] {
        for part in ["bound", "standby"] {
            let path = format!("{}.{part}", role.field());
            let is_there = doc! { "$and": [
                { "$in": [format!("${path}.id"), &sockets] },
                { "$ne": [format!("${path}.is_detached"), true] },
            ] };
            let held_until = doc! { "$max": [format!("${path}.held_until"), until] };
            let renewed =
                doc! { "$mergeObjects": [format!("${path}"), { "held_until": held_until }] };
            let unchanged = format!("${path}");
            set.insert(path, doc! { "$cond": [is_there, renewed, unchanged] });
        }
    }
    vec![doc! { "$set": set }, due()]
}

fn set(step: &Step, retention: Duration, now: DateTime) -> Document {
    match step {
        Step::Answer { session, socket, answer, ends_by } => {
            let session = session.as_ref().map_or(Bson::from(REMOVE), literal);
            doc! {
                "state": State::Answered.as_str(),
                "answered_at": now,
                "ring_until": REMOVE,
                "ends_by": ends_by,
                "answer": literal(answer),
                "callee.session": session,
                "callee.bound": literal(socket),
                "callee.rung": REMOVE,
                "callee.candidates": of_socket("$callee.candidates", &socket.id),
            }
        }
        Step::End { reason, by, event: _ } => {
            let session = by.as_ref().and_then(|by| by.session.as_ref());
            doc! {
                "state": State::Ended.as_str(),
                "is_live": false,
                "ended_at": now,
                "end_reason": literal(reason),
                "ended_by": by.as_ref().map_or(Bson::from(REMOVE), |by| by.user_id.into()),
                "ended_by_session": session.map_or(Bson::from(REMOVE), literal),
                "expires_at": after(now, retention),
                "ring_until": REMOVE,
                "ends_by": REMOVE,
                "held_hang_up": REMOVE,
                "caller.bound": REMOVE,
                "caller.standby": REMOVE,
                "callee.bound": REMOVE,
                "callee.standby": REMOVE,
                "callee.rung": REMOVE,
            }
        }
        Step::HoldHangUp { until } => {
            doc! { "held_hang_up": { "until": until, "is_dropped": false } }
        }
        Step::DropHangUps => doc! { "held_hang_up.is_dropped": true },
        Step::ForgetHangUps => doc! { "held_hang_up": REMOVE },
        Step::Bind { role, socket } => doc! {
            field(*role, "bound"): literal(socket),
            field(*role, "standby"): REMOVE,
        },
        Step::StandBy { role, socket } => doc! { field(*role, "standby"): literal(socket) },
        Step::StandDown { role } => doc! { field(*role, "standby"): REMOVE },
        Step::Detach { role, until, left_at } => doc! {
            field(*role, "bound.left_at"): left_at,
            field(*role, "bound.is_detached"): true,
            field(*role, "bound.held_until"): until,
        },
    }
}

/// Returns what is announced of a step, if anything.
fn announced(step: &Step) -> Option<Change> {
    match step {
        Step::Answer { socket: Socket { id, .. }, .. } => {
            Some(Change::by_socket(ChangeKind::Answered, id))
        }
        Step::End { event: EndEvent::Declined, .. } => Some(Change::new(ChangeKind::Declined)),
        Step::End { event: EndEvent::Ended, .. } => Some(Change::new(ChangeKind::Ended)),
        Step::HoldHangUp { .. }
        | Step::DropHangUps
        | Step::ForgetHangUps
        | Step::Bind { .. }
        | Step::StandBy { .. }
        | Step::StandDown { .. }
        | Step::Detach { .. } => None,
    }
}

/// Returns the stage that says when time next has a say, from what the stages before it have made.
fn due() -> Document {
    let earliest = doc! { "$min": [
        "$ring_until",
        "$ends_by",
        "$caller.bound.held_until",
        "$callee.bound.held_until",
        "$held_hang_up.until",
    ] };
    doc! { "$set": { "due_at": { "$cond": ["$is_live", earliest, REMOVE] } } }
}

/// Returns the update that lets sockets count as there until `lease`, and those that were detached be
/// replaced until `grace`, all of them.
pub(super) fn extension(lease: DateTime, grace: DateTime) -> Vec<Document> {
    let mut set = Document::new();
    for role in [Role::Caller, Role::Callee] {
        for part in ["bound", "standby"] {
            let path = format!("{}.{part}", role.field());
            let is_there = doc! { "$eq": [{ "$type": format!("${path}") }, "object"] };
            let is_detached = format!("${path}.is_detached");
            let until = doc! { "$cond": [is_detached, grace, lease] };
            let held_until = doc! { "$max": [format!("${path}.held_until"), until] };
            let extended =
                doc! { "$mergeObjects": [format!("${path}"), { "held_until": held_until }] };
            let unchanged = format!("${path}");
            set.insert(path, doc! { "$cond": [is_there, extended, unchanged] });
        }
    }
    vec![doc! { "$set": set }, due()]
}

/// Returns those of some candidates that came from a socket.
fn of_socket(candidates: &str, socket_id: &str) -> Document {
    let is_its = doc! { "$eq": ["$$this.socket_id", literal(socket_id)] };
    doc! { "$filter": { "input": { "$ifNull": [candidates, []] }, "cond": is_its } }
}

fn field(role: Role, part: &str) -> String {
    format!("{}.{part}", role.field())
}

/// Wraps what comes from outside, lest MongoDB takes it for an expression.
fn literal(value: &(impl Serialize + ?Sized)) -> Bson {
    let value = bson::serialize_to_bson(value).expect("a value has parts that BSON knows");
    Bson::Document(doc! { "$literal": value })
}
