//! What sockets say of typing.

use chat_kit::id::{ConversationId, UserId};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::{event, fields};
use crate::{
    error::ApiError,
    openapi::{ALL, DESKTOP, Events, Nothing},
    socket::Identity,
};

/// That somebody types, or does no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typing {
    /// Where.
    pub place: Place,
    /// Whether he does.
    pub is_typing: bool,
}

/// Where somebody types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a conversation.
    Conversation(ConversationId),
    /// In the direct conversation with somebody, whose id the client does not know.
    With(UserId),
}

/// That somebody types, or does no more, in every spelling.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TypingRequest)]
struct Given {
    #[serde(default, deserialize_with = "fields::text")]
    conversation_id: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    to: Option<String>,
    /// Whether he types; `true` if left out.
    #[serde(default, deserialize_with = "truth")]
    typing: Option<bool>,
    /// The same, for new clients.
    #[serde(default, deserialize_with = "truth")]
    is_typing: Option<bool>,
}

/// Reads that somebody types. Texts that stand for nothing count as none; a conversation counts before a
/// user.
pub fn read(name: &str, data: &str, _: &Identity) -> Result<Typing, ApiError> {
    let given: Given = fields::read(fields::value(data.as_bytes())?)?;
    let said = given.is_typing.or(given.typing).unwrap_or(true);
    let is_typing = name != event::TYPING_STOPPED && said;
    let is_something = |text: &String| !["", "null", "undefined"].contains(&text.as_str());
    let place = match (given.conversation_id.filter(is_something), given.to.filter(is_something)) {
        (Some(id), _) => Place::Conversation(fields::conversation_id("conversationId", &id)?),
        (None, Some(to)) => Place::With(fields::user_id("to", &to)?),
        (None, None) => {
            fields::required("conversationId", [None])?;
            return Err(ApiError::validation("conversationId is needed"));
        }
    };
    Ok(Typing { place, is_typing })
}

/// Reads a truth as the clients' language has it.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Some(match Value::deserialize(deserializer)? {
        Value::Null => false,
        Value::Bool(is_true) => is_true,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }))
}

/// Says by which events clients tell that somebody types.
pub(super) fn events(events: &mut Events) {
    events.said::<Given, Nothing>(ALL, event::TYPING, "The user types, or does no more");
    events.said::<Given, Nothing>(DESKTOP, event::TYPING_STOPPED, "The user types no more");
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;
    use crate::socket::Peer;

    fn parse(name: &str, data: &Value) -> Result<Typing, ApiError> {
        let peer = Peer::test(UserId::new(), SystemTime::now());
        read(name, &data.to_string(), peer.identity())
    }

    #[test]
    fn every_way_to_say_it_is_read() {
        let (conversation, user) = (ConversationId::new(), UserId::new());
        let id = conversation.to_string();
        for (name, data, is_typing) in [
            (event::TYPING, json!({ "conversationId": id }), true),
            (
                event::TYPING,
                json!({ "conversationId": id, "typing": true, "to": user.to_string() }),
                true,
            ),
            (event::TYPING, json!({ "conversationId": id, "typing": false }), false),
            (event::TYPING, json!({ "conversationId": id, "typing": null }), false),
            (event::TYPING, json!({ "conversationId": id, "typing": 0 }), false),
            (event::TYPING, json!({ "conversationId": id, "typing": "yes" }), true),
            (event::TYPING, json!({ "conversationId": id, "isTyping": false }), false),
            (event::TYPING_STOPPED, json!({ "conversationId": id }), false),
        ] {
            let place = Place::Conversation(conversation);
            assert_eq!(parse(name, &data), Ok(Typing { place, is_typing }), "{name} {data}");
        }
        for nothing in [json!(null), json!(""), json!("null"), json!("undefined")] {
            let data = json!({ "conversationId": nothing, "to": user.to_string(), "typing": true });
            let place = Place::With(user);
            assert_eq!(parse(event::TYPING, &data), Ok(Typing { place, is_typing: true }));
        }
    }

    #[test]
    fn typing_nowhere_is_refused() {
        for (data, error) in [
            (json!({}), "missing"),
            (json!(null), "validation_error"),
            (json!({ "conversationId": "c1" }), "invalid_conversation_id"),
            (json!({ "to": "+15550000001" }), "invalid_id"),
            (json!({ "conversationId": ["c1"] }), "validation_error"),
        ] {
            assert_eq!(parse(event::TYPING, &data).expect_err("nowhere").error, error, "{data}");
        }
    }
}
