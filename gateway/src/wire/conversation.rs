//! Conversations: what clients ask for, and how a conversation looks to each family.

mod marks;
mod render;
mod state;

use std::collections::HashSet;

use axum::{http::StatusCode, response::Response};
use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1::{self as pb, open_direct_conversation_request::Peer};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Value, json};

use utoipa::{IntoParams, ToSchema};

pub(super) use self::marks::Marks;
pub(super) use self::render::{OfNewGroup, OfRequest, Unified, UnifiedReceipts};
pub(super) use self::state::MOST_CURSORS;
pub use self::{
    marks::{MuteBody, marked},
    render::Users,
    state::{States, states_of},
};
use super::{Dialect, envelope, fields};
use crate::{
    error::ApiError,
    openapi::{Form, Schemas},
};

/// Page of a client that pages but does not say how long.
const DEFAULT_LIMIT: u32 = 50;
/// What a client gets that never pages, and the longest page of the old families.
const WHOLE_LIST: u32 = 500;

/// Most profiles that one answer shows; the user service answers for as many by default.
const MOST_PROFILES: usize = 5000;

/// What opening a conversation asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Opening {
    /// The one conversation with another user.
    Direct(pb::OpenDirectConversationRequest),
    /// A new group.
    Group(pb::CreateGroupRequest),
}

/// A conversation to be opened, in every spelling.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = OpenConversationRequest)]
pub struct Open {
    #[serde(deserialize_with = "ids")]
    participants: Option<Vec<String>>,
    #[serde(deserialize_with = "ids")]
    members: Option<Vec<String>>,
    #[serde(deserialize_with = "ids")]
    member_ids: Option<Vec<String>>,
    other_user_id: Option<String>,
    r#type: Option<String>,
}

/// Reads a list of ids, also as the one id that flat bodies can carry.
pub(super) fn ids<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    let wrong = || de::Error::custom("a list of ids is needed");
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(id) => Ok(Some(vec![id])),
        Value::Array(items) => {
            let ids = items.into_iter().map(|item| match item {
                Value::String(id) => Ok(id),
                _ => Err(wrong()),
            });
            ids.collect::<Result<_, _>>().map(Some)
        }
        _ => Err(wrong()),
    }
}

impl Open {
    /// Folds the spellings into the canonical request: the one other member of a direct conversation, or
    /// all of a group.
    pub fn into_request(self, caller: UserId) -> Result<Opening, ApiError> {
        let is_group = match fields::first([self.r#type]).as_deref() {
            None | Some("direct") => false,
            Some("group") => true,
            Some(_) => return Err(ApiError::validation("type is one of direct, group")),
        };
        let lists = [self.participants, self.members, self.member_ids];
        let listed = lists.into_iter().flatten().find(|list| !list.is_empty());
        let listed =
            listed.unwrap_or_else(|| fields::first([self.other_user_id]).into_iter().collect());
        let wrong = |_| ApiError::validation("participants: an id has 24 hex characters");
        let ids = listed.iter().map(|id| id.parse().map_err(wrong));
        let mut others = ids.collect::<Result<Vec<UserId>, _>>()?;
        others.retain(|id| *id != caller);
        let Some(first) = others.first() else {
            return Err(ApiError::validation("another member is needed"));
        };
        if is_group {
            return Ok(Opening::Group(pb::CreateGroupRequest {
                conversation_id: ConversationId::new().to_string(),
                member_ids: others.iter().map(UserId::to_string).collect(),
                ..Default::default()
            }));
        }
        if others.iter().any(|other| other != first) {
            let message = "a direct conversation has exactly one other member";
            return Err(ApiError::validation(message));
        }
        let peer = Some(Peer::UserId(first.to_string()));
        Ok(Opening::Direct(pb::OpenDirectConversationRequest { peer }))
    }
}

/// Answers with an opened conversation.
#[must_use]
pub fn opened(
    dialect: Dialect,
    created: bool,
    conversation: &pb::Conversation,
    states: &States,
    users: &Users,
) -> Response {
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    let conversation = match dialect {
        Dialect::Unified => json!(render::Unified::with_state(conversation, states)),
        _ => json!(render::document(conversation, states, users)),
    };
    envelope::with_status(code, One { conversation })
}

#[derive(Serialize, ToSchema)]
#[schema(as = OneConversation)]
struct One<T> {
    #[schema(inline)]
    conversation: T,
}

/// How many messages a cleared conversation hides, as both old families read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Cleared {
    message: &'static str,
    messages_hidden: i64,
}

/// How many messages a cleared conversation hides, as new clients read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UnifiedCleared {
    hidden_count: i64,
}

/// Reads the id of the conversation that a path names.
pub fn id(text: &str) -> Result<String, ApiError> {
    let id: Result<ConversationId, _> = text.parse();
    id.map(|id| id.to_string()).map_err(|_| ApiError::invalid_id("conversationId"))
}

/// Returns the request for the profiles that an answer with one conversation shows.
#[must_use]
pub fn users_of(dialect: Dialect, conversation: &pb::Conversation) -> Option<pb::GetUsersRequest> {
    match dialect {
        Dialect::Unified => None,
        _ => members(std::slice::from_ref(conversation)),
    }
}

/// Answers with a conversation.
#[must_use]
pub fn details(
    dialect: Dialect,
    conversation: &pb::Conversation,
    states: &States,
    users: &Users,
) -> Response {
    let conversation = match dialect {
        Dialect::Unified => json!(render::Unified::with_state(conversation, states)),
        _ => render::details(conversation, states, users),
    };
    envelope::ok(One { conversation })
}

/// Answers that a conversation is cleared.
#[must_use]
pub fn cleared(dialect: Dialect, response: &pb::ClearConversationResponse) -> Response {
    let count = response.hidden_count;
    if dialect == Dialect::Unified {
        return envelope::ok(UnifiedCleared { hidden_count: count });
    }
    let message = "the conversation is cleared";
    envelope::ok(Cleared { message, messages_hidden: count })
}

/// Returns a conversation as new clients read it.
pub(super) fn unified(conversation: &pb::Conversation) -> Value {
    json!(render::Unified::from(conversation))
}

/// Returns conversations as new clients read them, with what their reader has heard and read of them.
pub(super) fn unified_all<'a>(
    conversations: &'a [pb::Conversation],
    states: &'a States,
) -> Vec<Unified<'a>> {
    conversations.iter().map(|conversation| Unified::with_state(conversation, states)).collect()
}

/// Returns a group that was made just now as the old families read its conversation.
pub(super) fn made_group(conversation: &pb::Conversation) -> Value {
    render::made_group(conversation)
}

/// Returns a conversation by itself as the old families read it, with a member as `member` writes him.
pub(super) fn plain(conversation: &pb::Conversation, member: impl Fn(&str) -> Value) -> Value {
    render::plain(conversation, member)
}

/// By which path the list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The old path without prefix: always a bare list.
    Bare,
    /// The common path: the parameters decide.
    ByQuery,
}

/// The parameters of the list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Query {
    me: Option<String>,
    status: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
    cursor: Option<String>,
    #[serde(deserialize_with = "fields::flag")]
    archived: Option<bool>,
    #[serde(deserialize_with = "fields::flag")]
    pinned: Option<bool>,
}

/// The shape of the answer to a list, decided with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A list with the members' ids.
    Bare,
    /// An envelope with the members' profiles.
    Enveloped,
    /// The canonical envelope.
    Unified,
}

impl Query {
    /// Folds the parameters into the canonical request, and decides the shape of the answer.
    pub fn into_request(
        self,
        view: View,
        dialect: Dialect,
        caller: UserId,
    ) -> Result<(pb::ListConversationsRequest, Answer), ApiError> {
        let me = fields::first([self.me]);
        if let Some(me) = &me
            && fields::user_id("me", me)? != caller
        {
            return Err(ApiError::forbidden("me is not the caller"));
        }
        let answer = match (dialect, view, me) {
            (Dialect::Unified, _, _) => Answer::Unified,
            (Dialect::Electron, _, _) | (_, View::ByQuery, None) => Answer::Enveloped,
            (_, View::Bare, _) | (_, View::ByQuery, Some(_)) => Answer::Bare,
        };
        let limit = match answer {
            Answer::Unified => fields::page_limit(self.limit, DEFAULT_LIMIT),
            Answer::Bare | Answer::Enveloped => {
                let asked = self.limit.map(|limit| limit.clamp(1, WHOLE_LIST.into()));
                asked.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(WHOLE_LIST)
            }
        };
        let request = pb::ListConversationsRequest {
            status: status(fields::first([self.status]).as_deref())?.into(),
            page: Some(pb::PageRequest { limit, cursor: self.cursor.unwrap_or_default() }),
            is_archived: self.archived,
            is_pinned: self.pinned,
        };
        Ok((request, answer))
    }
}

pub(super) fn status(text: Option<&str>) -> Result<pb::ConversationStatus, ApiError> {
    Ok(match text {
        None | Some("active") => pb::ConversationStatus::Active,
        Some("pending") => pb::ConversationStatus::Pending,
        Some("declined") => pb::ConversationStatus::Declined,
        Some("blocked") => pb::ConversationStatus::Blocked,
        Some(_) => {
            return Err(ApiError::validation(
                "status is one of active, pending, declined, blocked",
            ));
        }
    })
}

impl Answer {
    /// Returns the request for the profiles that this shape shows, if it shows any.
    #[must_use]
    pub fn users_of(self, conversations: &[pb::Conversation]) -> Option<pb::GetUsersRequest> {
        match self {
            Self::Bare | Self::Unified => None,
            Self::Enveloped => members(conversations),
        }
    }

    /// Writes the list in this shape.
    #[must_use]
    pub fn write(
        self,
        response: &pb::ListConversationsResponse,
        states: &States,
        users: &Users,
    ) -> Response {
        render::list(self, response, states, users)
    }
}

/// Returns the one request for the profiles of the members of some conversations. Where they are too many,
/// those of the largest groups are left out: a direct conversation has no other name than its members'.
#[must_use]
pub fn members(conversations: &[pb::Conversation]) -> Option<pb::GetUsersRequest> {
    let mut smallest_first: Vec<&pb::Conversation> = conversations.iter().collect();
    smallest_first.sort_by_key(|conversation| conversation.member_ids.len());
    let members = smallest_first.into_iter().flat_map(|conversation| &conversation.member_ids);
    let mut seen = HashSet::new();
    let each_once = members.filter(|id| seen.insert(id.as_str()));
    let user_ids: Vec<String> = each_once.take(MOST_PROFILES).cloned().collect();
    (!user_ids.is_empty()).then_some(pb::GetUsersRequest { user_ids })
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let unified = Form::unified::<One<render::Unified<'_>>>();
    schemas.answer("ConversationAnswer", [Form::old::<One<render::Opened<'_>>>(), unified]);
    let unified = Form::unified::<One<render::Unified<'_>>>();
    schemas.answer("DetailsAnswer", [Form::old::<One<render::Details<'_>>>(), unified]);
    let cleared = [Form::old::<Cleared>(), Form::unified::<UnifiedCleared>()];
    schemas.answer("ClearedAnswer", cleared);
    marks::answers(schemas);
    render::answers(schemas);
}

#[cfg(test)]
mod tests;
