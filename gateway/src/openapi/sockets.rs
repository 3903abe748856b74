//! The document of the Socket.IO surface, `AsyncAPI` 3. It is made of what the modules of `wire` say of their
//! events; the schemas are those of the wire types.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    flat,
    schemas::{Schemas, entry, reference},
    words,
};
use crate::wire::Dialect;

/// Both old families.
pub(crate) const BOTH: &[Dialect] = &[Dialect::Electron, Dialect::Flutter];
/// The desktop family.
pub(crate) const DESKTOP: &[Dialect] = &[Dialect::Electron];
/// The mobile family.
pub(crate) const MOBILE: &[Dialect] = &[Dialect::Flutter];
/// New clients.
pub(crate) const NEW: &[Dialect] = &[Dialect::Unified];
/// All clients.
pub(crate) const ALL: &[Dialect] = &[Dialect::Electron, Dialect::Flutter, Dialect::Unified];

/// Who sends an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Gateway,
}

/// An event under the name that some dialects know it by.
struct Event {
    side: Side,
    name: &'static str,
    dialects: &'static [Dialect],
    summary: &'static str,
    payload: Value,
    /// The fields of the acknowledgement beside `ok`.
    answer: Option<Value>,
}

/// The acknowledgement of an event that has no more to say.
#[derive(ToSchema)]
#[schema(as = Event)]
pub(crate) struct Nothing {}

/// All events of sockets.
#[derive(Default)]
pub(crate) struct Events {
    events: Vec<Event>,
    schemas: Schemas,
}

impl Events {
    /// Adds an event that clients hear, whose body is a `T`.
    pub(crate) fn heard<T: ToSchema>(
        &mut self,
        dialects: &'static [Dialect],
        name: &'static str,
        summary: &'static str,
    ) {
        let payload = self.schemas.add::<T>();
        let side = Side::Gateway;
        self.events.push(Event { side, name, dialects, summary, payload, answer: None });
    }

    /// Adds an event that clients send, whose body is a `T` and whose acknowledgement has the fields of an
    /// `A`.
    pub(crate) fn said<T: ToSchema, A: ToSchema>(
        &mut self,
        dialects: &'static [Dialect],
        name: &'static str,
        summary: &'static str,
    ) {
        let (payload, fields) = (self.schemas.add::<T>(), self.schemas.add::<A>());
        let accepted = format!("Accepted{}", A::name());
        self.schemas.0.insert(accepted.clone(), json!({ "allOf": [accepted_by_all(), fields] }));
        let answer = Some(json!({ "$ref": reference(&accepted) }));
        self.events.push(Event { side: Side::Client, name, dialects, summary, payload, answer });
    }

    /// Returns the names of what clients may send.
    #[cfg(test)]
    pub(super) fn names_said(&self) -> Vec<&'static str> {
        let said = self.events.iter().filter(|event| event.side == Side::Client);
        said.map(|event| event.name).collect()
    }
}

impl Event {
    /// Returns the key of its message: a name may mean different things to old and new clients.
    fn key(&self) -> String {
        let side = match self.side {
            Side::Client => "said",
            Side::Gateway => "heard",
        };
        let family = match self.dialects {
            [Dialect::Unified] => ".unified",
            _ => "",
        };
        format!("{side}{family}.{}", self.name.replace(':', "."))
    }

    fn message(&self) -> Value {
        json!({ "name": self.name, "summary": self.summary, "payload": self.payload })
    }

    /// Returns how it is acknowledged, where clients ask for that.
    fn acknowledgement(&self) -> Option<Value> {
        let answer = self.answer.as_ref()?;
        Some(json!({
            "name": format!("acknowledgement of {}", self.name),
            "summary": "Where the client asks for it",
            "payload": { "anyOf": [answer, { "$ref": reference("Refusal") }] },
        }))
    }
}

fn channel_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Electron => "electron",
        Dialect::Flutter => "flutter",
        Dialect::Unified => "unified",
        Dialect::Undeclared => "undeclared",
    }
}

/// Puts the document together.
pub(super) fn document(events: Events) -> Value {
    let (mut messages, mut operations) = (Map::new(), Map::new());
    let mut channels: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for event in &events.events {
        let key = event.key();
        let known = messages.insert(key.clone(), event.message());
        assert!(known.is_none(), "{key} twice");
        let acknowledgement = event.acknowledgement();
        let answer_key = format!("acknowledgement.{key}");
        if let Some(message) = &acknowledgement {
            messages.insert(answer_key.clone(), message.clone());
        }
        for dialect in event.dialects {
            let channel = channel_name(*dialect);
            let held = channels.entry(channel).or_default();
            let answer = acknowledgement.as_ref().map(|_| &answer_key);
            for key in [&key].into_iter().chain(answer) {
                held.insert(key.clone(), json!({ "$ref": format!("#/components/messages/{key}") }));
            }
            operations.insert(format!("{channel}.{key}"), operation(event, channel, &key, answer));
        }
    }
    let mut schemas = events.schemas.0;
    schemas.insert("Refusal".to_owned(), refusal());
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": info(),
        "defaultContentType": "application/json",
        "channels": channels.into_iter().map(channel).collect::<Map<_, _>>(),
        "operations": operations,
        "components": { "schemas": schemas, "messages": messages },
    });
    let mut flattened: BTreeMap<String, Value> =
        std::mem::take(schemas_of(&mut document)).into_iter().collect();
    flat::flatten(&mut flattened);
    *schemas_of(&mut document) = flattened.into_iter().collect();
    flat::prune(&mut document, "/components/messages");
    words::explain(&mut document);
    document
}

fn schemas_of(document: &mut Value) -> &mut Map<String, Value> {
    entry(document.get_mut("components").expect("components"), "schemas")
}

fn info() -> Value {
    json!({
        "title": "chat",
        "version": "1.0.0",
        "description": "Live events over Socket.IO 4 at `/socket.io/`, namespace `/`, by WebSocket or long \
                        polling; requests are described by `/openapi.json`. The CONNECT payload carries \
                        `token`, the token of a login, and `clientType`, the vocabulary; each vocabulary is \
                        a channel here. Clients that declare none hear what both old families hear. Every \
                        event has one argument, the object that is described. Clients may ask for an \
                        acknowledgement of all that they send; the gateway never asks for one.",
    })
}

fn channel((name, messages): (&str, Map<String, Value>)) -> (String, Value) {
    let description = format!("What clients that declare `{name}` send and hear");
    (name.to_owned(), json!({ "address": "/", "description": description, "messages": messages }))
}

fn operation(event: &Event, channel: &str, key: &str, answer: Option<&String>) -> Value {
    let message = |key: &str| {
        // A pointer into the document escapes no dot, but a slash, which no name has.
        json!({ "$ref": format!("#/channels/{channel}/messages/{key}") })
    };
    let action = match event.side {
        Side::Client => "receive",
        Side::Gateway => "send",
    };
    let at = json!({ "$ref": format!("#/channels/{channel}") });
    let mut operation = json!({
        "action": action, "summary": event.summary, "channel": at, "messages": [message(key)],
    });
    if let Some(answer) = answer {
        operation["reply"] = json!({ "channel": at, "messages": [message(answer)] });
    }
    operation
}

/// What every acknowledgement of an event that was accepted has.
fn accepted_by_all() -> Value {
    json!({ "type": "object", "required": ["ok"], "properties": {
        "ok": { "type": "boolean", "const": true },
    }})
}

/// The acknowledgement of an event that was refused.
fn refusal() -> Value {
    json!({ "type": "object", "required": ["ok", "error", "message"], "properties": {
        "ok": { "type": "boolean", "const": false },
        "error": { "type": "string" },
        "message": { "type": "string" },
    }})
}
