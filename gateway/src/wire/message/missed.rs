//! What a client that comes back says that it knows, and what it is told that it has missed.

use axum::response::Response;
use chat_kit::id::UserId;
use chat_proto::v1 as pb;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::render::UnifiedItem;
use crate::{
    error::ApiError,
    openapi::{Events, Form, NEW, Schemas},
    socket::Identity,
    wire::{
        conversation::{self, MOST_CURSORS, States, UnifiedReceipts},
        envelope, event,
        fields::{self, iso},
    },
};

/// Most conversations that one event names.
const MOST_CONVERSATIONS: usize = 100;
/// Room in an answer for the conversations that have changed, in bytes, and what a member takes up of it whose
/// receipts are shown.
const ROOM: usize = 512 * 1024;
const CURSOR: usize = 150;

/// What a client knows of the conversation in the path.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct MissedQuery {
    #[serde(deserialize_with = "fields::whole")]
    after: Option<i64>,
    since: Option<String>,
    next: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
}

/// What a client knows.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SyncRequest)]
pub struct Known {
    #[serde(default)]
    conversations: Vec<KnownConversation>,
    since: Option<String>,
    #[serde(default, deserialize_with = "fields::whole")]
    limit: Option<i64>,
}

/// What a client knows of a conversation.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KnownConversation {
    id: Option<String>,
    #[serde(default, deserialize_with = "fields::whole")]
    seq: Option<i64>,
    next: Option<String>,
}

impl MissedQuery {
    /// Folds the parameters into the canonical request.
    pub fn into_request(self, conversation: &str) -> Result<pb::ListChangesRequest, ApiError> {
        let known = KnownConversation {
            id: Some(conversation.to_owned()),
            seq: self.after,
            next: self.next,
        };
        request(vec![known], self.since, self.limit)
    }
}

/// Folds the payload of the event into the canonical request.
pub fn known(_: &str, data: &str, _: &Identity) -> Result<pb::ListChangesRequest, ApiError> {
    let known: Known = fields::read(fields::value(data.as_bytes())?)?;
    request(known.conversations, known.since, known.limit)
}

fn request(
    known: Vec<KnownConversation>,
    since: Option<String>,
    limit: Option<i64>,
) -> Result<pb::ListChangesRequest, ApiError> {
    if known.len() > MOST_CONVERSATIONS {
        let message = format!("conversations: at most {MOST_CONVERSATIONS} at once");
        return Err(ApiError::validation(message));
    }
    let known = known.into_iter().map(|known| {
        let id = fields::required("id", [known.id])?;
        Ok(pb::KnownConversation {
            conversation_id: fields::conversation_id("id", &id)?.to_string(),
            after_seq: known.seq.unwrap_or_default().max(0),
            cursor: fields::first([known.next]),
        })
    });
    let since = fields::first([since]);
    Ok(pb::ListChangesRequest {
        conversations: known.collect::<Result<_, ApiError>>()?,
        since: since.map(|since| fields::instant("since", &since)).transpose()?,
        limit: limit.map_or(0, |limit| u32::try_from(limit.max(1)).unwrap_or(u32::MAX)),
    })
}

/// What a client has missed of a conversation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Missed)]
struct Missed<'a> {
    /// The messages behind the number that was named, in order; of deleted ones what is left.
    #[schema(inline)]
    messages: Vec<UnifiedItem<'a>>,
    /// Those before that have changed since, in the order of their changes.
    #[schema(inline)]
    changed: Vec<UnifiedItem<'a>>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    #[serde(skip_serializing_if = "fields::is_zero")]
    cleared_seq: i64,
    /// Left out where there was no room for anything of the conversation.
    #[serde(flatten)]
    receipts: Option<UnifiedReceipts<'a>>,
}

/// What a client has missed of the conversation in the path.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MissedOfOne)]
struct OfOne<'a> {
    #[serde(flatten)]
    missed: Missed<'a>,
    server_time: Option<String>,
}

/// What a client has missed of one of several conversations.
#[derive(Serialize, ToSchema)]
#[schema(as = MissedConversation)]
struct OfSome<'a> {
    id: &'a str,
    #[serde(flatten)]
    missed: Missed<'a>,
}

/// What a client has missed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SyncAnswer)]
struct OfAll<'a> {
    conversations: Vec<OfSome<'a>>,
    /// Conversations that have come or changed since, as the list shows them.
    changed_conversations: Vec<conversation::Unified<'a>>,
    /// The ids of conversations that the caller is no member of.
    left: Vec<&'a str>,
    /// The ids of conversations that the caller has cleared, and in which nothing has come since.
    hidden: &'a [String],
    /// Whether more conversations have changed: then their list is to be read again.
    has_more: bool,
    server_time: Option<String>,
}

impl<'a> Missed<'a> {
    fn new(changes: &'a pb::ConversationChanges, caller: &str) -> Self {
        let seen = |message| UnifiedItem::seen_by(caller, message);
        Self {
            messages: changes.messages.iter().map(seen).collect(),
            changed: changes.changed.iter().map(seen).collect(),
            has_more: changes.has_more,
            next: changes.next_cursor.as_deref(),
            cleared_seq: changes.cleared_seq,
            receipts: changes.state.as_ref().map(Into::into),
        }
    }
}

/// Answers what a client has missed of the conversation that it named.
pub fn answer_missed(
    caller: UserId,
    response: &pb::ListChangesResponse,
) -> Result<Response, ApiError> {
    let Some(changes) = response.conversations.first() else {
        return Err(ApiError::forbidden("the caller is no member of this conversation"));
    };
    let missed = Missed::new(changes, &caller.to_string());
    Ok(envelope::ok(OfOne { missed, server_time: iso(response.as_of.as_ref()) }))
}

/// Leaves out those of the changed conversations that an answer has no room for: then the list is to be read
/// again.
pub fn shorten(changed: &mut pb::ListChangedConversationsResponse) {
    let mut left = ROOM;
    let has_room = |conversation: &pb::Conversation| {
        let members = conversation.member_ids.len();
        let cursors = if members <= MOST_CURSORS { members * CURSOR } else { 0 };
        let size = conversation.encoded_len() + cursors;
        let has_room = size <= left;
        left = left.saturating_sub(size);
        has_room
    };
    let count = changed.conversations.iter().map(has_room).take_while(|has_room| *has_room).count();
    changed.has_more |= count < changed.conversations.len();
    changed.conversations.truncate(count);
}

/// Returns what a client has missed, and what has changed of its user's conversations.
#[must_use]
pub fn missed(
    caller: UserId,
    response: &pb::ListChangesResponse,
    changed: &pb::ListChangedConversationsResponse,
    states: &States,
) -> Value {
    let caller = caller.to_string();
    let conversations = response.conversations.iter().map(|changes| OfSome {
        id: &changes.conversation_id,
        missed: Missed::new(changes, &caller),
    });
    let mut left: Vec<&str> =
        response.refused_ids.iter().chain(&changed.left_ids).map(String::as_str).collect();
    left.sort_unstable();
    left.dedup();
    json!(OfAll {
        conversations: conversations.collect(),
        changed_conversations: conversation::unified_all(&changed.conversations, states),
        left,
        hidden: &changed.hidden_ids,
        has_more: changed.has_more,
        server_time: iso(response.as_of.as_ref()),
    })
}

/// Says by which event a client asks what it has missed.
pub(super) fn events(events: &mut Events) {
    let sync = "Asks what has been missed; of up to 100 conversations at once";
    events.said::<Known, OfAll<'_>>(NEW, event::SYNC, sync);
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    schemas.answer("MissedAnswer", [Form::same::<OfOne<'_>>()]);
}

#[cfg(test)]
mod tests {
    use chat_kit::id::ConversationId;
    use std::time::SystemTime;

    use super::*;
    use crate::socket::Peer;

    fn parse(data: &Value) -> Result<pb::ListChangesRequest, ApiError> {
        let peer = Peer::test(UserId::new(), SystemTime::now());
        known("sync", &data.to_string(), peer.identity())
    }

    #[test]
    fn clients_say_what_they_know() {
        let id = ConversationId::new().to_string();
        let request = parse(&json!({
            "conversations": [{ "id": id, "seq": 7 }, { "id": id, "seq": "3", "next": "1-2" }],
            "since": "2026-01-31T08:15:30.007Z",
        }));
        let request = request.expect("a request");
        let known: Vec<_> = request
            .conversations
            .iter()
            .map(|known| (known.after_seq, known.cursor.as_deref()))
            .collect();
        assert_eq!(known, [(7, None), (3, Some("1-2"))]);
        assert_eq!(iso(request.since.as_ref()).as_deref(), Some("2026-01-31T08:15:30.007Z"));
        assert_eq!(parse(&json!({})).expect("nothing known"), pb::ListChangesRequest::default());
        let query = MissedQuery { after: Some(-3), limit: Some(0), ..MissedQuery::default() };
        let request = query.into_request(&id).expect("a request");
        assert_eq!((request.conversations[0].after_seq, request.limit), (0, 1));
    }

    #[test]
    fn conversations_that_an_answer_has_no_room_for_are_left_to_the_list() {
        let of = |members: usize| pb::Conversation {
            member_ids: (0..members).map(|_| UserId::new().to_string()).collect(),
            ..pb::Conversation::default()
        };
        let changed = |conversations| pb::ListChangedConversationsResponse {
            conversations,
            ..pb::ListChangedConversationsResponse::default()
        };
        let mut direct = changed(vec![of(2); 100]);
        shorten(&mut direct);
        assert_eq!((direct.conversations.len(), direct.has_more), (100, false));
        for members in [100, 1000] {
            let mut groups = changed(vec![of(members); 100]);
            shorten(&mut groups);
            let count = groups.conversations.len();
            assert!(groups.has_more && (10..100).contains(&count), "{count} of {members}");
        }
    }

    #[test]
    fn what_cannot_be_known_is_refused() {
        let id = ConversationId::new().to_string();
        for (data, error) in [
            (json!(null), "validation_error"),
            (json!({ "conversations": [{}] }), "missing"),
            (json!({ "conversations": [{ "id": "c1" }] }), "invalid_conversation_id"),
            (json!({ "conversations": [{ "id": id, "seq": "many" }] }), "validation_error"),
            (json!({ "conversations": vec![json!({ "id": id }); 101] }), "validation_error"),
            (json!({ "since": "yesterday" }), "validation_error"),
        ] {
            assert_eq!(parse(&data).expect_err("no request").error, error, "{data}");
        }
    }
}
