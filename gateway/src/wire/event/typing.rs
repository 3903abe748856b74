//! That somebody types, or does no more, as the sockets of the other members hear of it.

use std::cell::OnceCell;

use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::{json, value::RawValue};
use utoipa::ToSchema;

use super::{Frame, TYPING, TYPING_STOPPED, encoded};
use crate::{
    openapi::{BOTH, DESKTOP, Events, NEW},
    wire::{Dialect, fields::iso},
};

/// That somebody types, on its way to sockets.
pub struct TypingChanged<'a> {
    event: &'a pb::TypingChanged,
    old: OnceCell<Box<RawValue>>,
    unified: OnceCell<Box<RawValue>>,
}

impl<'a> TypingChanged<'a> {
    /// Wraps an event; nothing is encoded yet.
    #[must_use]
    pub fn new(event: &'a pb::TypingChanged) -> Self {
        Self { event, old: OnceCell::new(), unified: OnceCell::new() }
    }

    /// Returns what a socket hears, in order. One that declares nothing hears both names of an end, the
    /// one that says so last: whoever ignores the truth inside is right then, too.
    pub fn frames(&self, dialect: Dialect) -> serde_json::Result<Vec<Frame<'_>>> {
        Ok(match (dialect, self.event.is_typing) {
            (Dialect::Unified, _) => vec![(TYPING, self.unified()?)],
            (_, true) | (Dialect::Flutter, false) => vec![(TYPING, self.old()?)],
            (Dialect::Electron, false) => vec![(TYPING_STOPPED, self.old()?)],
            (Dialect::Undeclared, false) => {
                vec![(TYPING, self.old()?), (TYPING_STOPPED, self.old()?)]
            }
        })
    }

    fn old(&self) -> serde_json::Result<&RawValue> {
        let pb::TypingChanged { conversation_id, user_id, is_typing, at } = self.event;
        let (typing, at) = (*is_typing, iso(at.as_ref()));
        encoded(&self.old, || json!(Old { from: user_id, conversation_id, typing, at }))
    }

    fn unified(&self) -> serde_json::Result<&RawValue> {
        let pb::TypingChanged { conversation_id, user_id, is_typing, at } = self.event;
        let (is_typing, at) = (*is_typing, iso(at.as_ref()));
        encoded(&self.unified, || json!(Unified { conversation_id, user_id, is_typing, at }))
    }
}

/// That somebody types, or does no more, to old clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Typing)]
struct Old<'a> {
    from: &'a str,
    conversation_id: &'a str,
    /// Whether he types.
    typing: bool,
    at: Option<String>,
}

/// That somebody types, or does no more, to new clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedTyping)]
struct Unified<'a> {
    conversation_id: &'a str,
    user_id: &'a str,
    /// Whether he types.
    is_typing: bool,
    at: Option<String>,
}

/// Says which events typing brings.
pub(super) fn events(events: &mut Events) {
    let typing = "Somebody types, or does no more";
    events.heard::<Old<'_>>(BOTH, TYPING, typing);
    events.heard::<Old<'_>>(DESKTOP, TYPING_STOPPED, "Somebody types no more");
    events.heard::<Unified<'_>>(NEW, TYPING, typing);
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use serde_json::Value;

    use super::*;

    fn heard(dialect: Dialect, is_typing: bool) -> Vec<(&'static str, Value)> {
        let event = pb::TypingChanged {
            conversation_id: "c1".to_owned(),
            user_id: "u1".to_owned(),
            is_typing,
            at: Some(Timestamp { seconds: 1_769_847_330, nanos: 7_000_000 }),
        };
        let event = TypingChanged::new(&event);
        let frames = event.frames(dialect).expect("encodable").into_iter();
        let read = |body: &RawValue| serde_json::from_str(body.get()).expect("JSON");
        frames.map(|(name, body)| (name, read(body))).collect()
    }

    #[test]
    fn every_dialect_hears_beginning_and_end_under_its_own_names() {
        let at = "2026-01-31T08:15:30.007Z";
        let old = |typing: bool| json!({ "from": "u1", "conversationId": "c1", "typing": typing, "at": at });
        for dialect in [Dialect::Flutter, Dialect::Electron, Dialect::Undeclared] {
            assert_eq!(heard(dialect, true), [("typing", old(true))], "{dialect:?}");
        }
        assert_eq!(heard(Dialect::Flutter, false), [("typing", old(false))]);
        assert_eq!(heard(Dialect::Electron, false), [("typing-stopped", old(false))]);
        let both = [("typing", old(false)), ("typing-stopped", old(false))];
        assert_eq!(heard(Dialect::Undeclared, false), both);
        for is_typing in [true, false] {
            let body = json!({
                "conversationId": "c1", "userId": "u1", "isTyping": is_typing, "at": at,
            });
            assert_eq!(heard(Dialect::Unified, is_typing), [("typing", body)]);
        }
    }
}
