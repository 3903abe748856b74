//! Finding messages: what clients ask for, and how what was found looks.

use axum::response::Response;
use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::render::Unified;
use crate::{
    openapi::{Form, Schemas},
    wire::{Dialect, envelope, fields, fields::iso},
};

/// Messages of a page where the client names no number.
const DEFAULT_LIMIT: u32 = 20;
/// Most messages of a page of old clients.
const MOST_FOR_OLD: u32 = 20;

/// The parameters of a search.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct Search {
    query: Option<String>,
    cursor: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
}

impl Search {
    /// Makes the canonical request. The pages of old clients have an end of their own.
    #[must_use]
    pub fn into_request(self, dialect: Dialect) -> pb::SearchMessagesRequest {
        let limit = fields::page_limit(self.limit, DEFAULT_LIMIT);
        let limit = if dialect == Dialect::Unified { limit } else { limit.min(MOST_FOR_OLD) };
        let page = pb::PageRequest { limit, cursor: self.cursor.unwrap_or_default() };
        pb::SearchMessagesRequest { query: self.query.unwrap_or_default(), page: Some(page) }
    }
}

/// A message that was found, as the old families read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FoundMessage)]
struct Hit<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    message_id: &'a str,
    from: &'a str,
    sender: &'a str,
    text: &'a str,
    content: &'a str,
    conversation: &'a str,
    conversation_id: &'a str,
    created_at: Option<String>,
}

impl<'a> From<&'a pb::Message> for Hit<'a> {
    fn from(message: &'a pb::Message) -> Self {
        Self {
            id: &message.id,
            message_id: &message.id,
            from: &message.sender_id,
            sender: &message.sender_id,
            text: &message.content,
            content: &message.content,
            conversation: &message.conversation_id,
            conversation_id: &message.conversation_id,
            created_at: iso(message.created_at.as_ref()),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FoundMessages)]
struct Hits<T> {
    #[schema(inline)]
    messages: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Answers with what was found.
#[must_use]
pub fn answer_found(
    dialect: Dialect,
    response: &pb::SearchMessagesResponse,
    caller: &str,
) -> Response {
    let messages = response.messages.iter();
    let cursor = response.page.as_ref().map(|page| page.next_cursor.clone());
    let next_cursor = cursor.filter(|cursor| !cursor.is_empty());
    if dialect != Dialect::Unified {
        return envelope::ok(Hits { messages: messages.map(Hit::from).collect(), next_cursor });
    }
    envelope::ok(Hits {
        messages: messages.map(|message| Unified::seen_by(caller, message)).collect(),
        next_cursor,
    })
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let unified = Form::unified::<Hits<Unified<'_>>>();
    schemas.answer("FoundMessagesAnswer", [Form::old::<Hits<Hit<'_>>>(), unified]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everybody_pages_and_old_clients_by_less() {
        for (limit, unified, old) in [("500", 100, 20), ("", 20, 20), ("7", 7, 7), ("0", 1, 1)] {
            for (dialect, expected) in [
                (Dialect::Unified, unified),
                (Dialect::Undeclared, old),
                (Dialect::Electron, old),
                (Dialect::Flutter, old),
            ] {
                let given = json!({ "query": "x", "cursor": "c", "limit": limit });
                let search = fields::read::<Search>(given).expect("a search");
                let page = search.into_request(dialect).page.expect("a page");
                assert_eq!((page.limit, page.cursor.as_str()), (expected, "c"), "{dialect:?}");
            }
        }
    }

    #[test]
    fn hit_has_every_spelling() {
        let message = pb::Message {
            id: "m1".to_owned(),
            conversation_id: "c1".to_owned(),
            sender_id: "u1".to_owned(),
            content: "hi".to_owned(),
            created_at: Some(prost_types::Timestamp { seconds: 1_769_847_330, nanos: 7_000_000 }),
            ..Default::default()
        };
        let expected = json!({
            "_id": "m1", "messageId": "m1", "from": "u1", "sender": "u1", "text": "hi", "content": "hi",
            "conversation": "c1", "conversationId": "c1", "createdAt": "2026-01-31T08:15:30.007Z",
        });
        assert_eq!(serde_json::to_value(Hit::from(&message)).expect("JSON"), expected);
    }
}
