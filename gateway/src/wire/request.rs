//! Chat requests: what clients ask for, and how requests look to each family.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use axum::{http::StatusCode, response::Response};
use chat_kit::id::UserId;
use chat_proto::v1::{self as pb, request_chat_request, start_chat_request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{
    Dialect,
    conversation::{self, Users, View},
    envelope, fields,
    group::Card,
    user,
};
use crate::{
    error::ApiError,
    openapi::{Form, Schemas},
};

/// Page of a client that pages but does not say how long.
const DEFAULT_LIMIT: u32 = 50;
/// What a client gets that never pages.
const WHOLE_LIST: u32 = 500;

/// Who is asked to chat, in every spelling. The contact is a phone, an e-mail address or a user id.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = ChatRequestRequest)]
pub struct Ask {
    #[serde(deserialize_with = "fields::text")]
    from: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    to_phone: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    to_contact: Option<String>,
}

impl Ask {
    /// Makes the canonical request.
    pub fn into_request(self, caller: UserId) -> Result<pb::RequestChatRequest, ApiError> {
        let contact = self.into_contact(caller)?;
        let peer = Some(request_chat_request::Peer::Contact(contact));
        Ok(pb::RequestChatRequest { peer })
    }

    /// Makes the canonical request to start without asking.
    pub fn into_start(self, caller: UserId) -> Result<pb::StartChatRequest, ApiError> {
        let contact = self.into_contact(caller)?;
        let peer = Some(start_chat_request::Peer::Contact(contact));
        Ok(pb::StartChatRequest { peer })
    }

    fn into_contact(self, caller: UserId) -> Result<String, ApiError> {
        // New clients use the canonical name and need not say who they are.
        let is_canonical = self.to_phone.is_none() && self.to_contact.is_some();
        let contact = fields::first([self.to_phone, self.to_contact]);
        match (fields::first([self.from]), contact) {
            (Some(from), Some(contact)) => {
                is_caller("from", &from, caller)?;
                Ok(contact)
            }
            (None, Some(contact)) if is_canonical => Ok(contact),
            _ => {
                let message = "from, your own user id, and toPhone, a phone, an e-mail address or a user \
                               id, are needed";
                Err(ApiError::new(StatusCode::BAD_REQUEST, "missing_fields", message))
            }
        }
    }
}

fn is_caller(field: &str, text: &str, caller: UserId) -> Result<(), ApiError> {
    if fields::user_id(field, text)? != caller {
        return Err(ApiError::forbidden(format!("{field} is not the caller")));
    }
    Ok(())
}

/// An answer to a request.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = ReplyRequest)]
pub struct Reply {
    me: Option<String>,
}

impl Reply {
    /// Returns the canonical id of the conversation in the path.
    pub fn into_id(self, id: &str, caller: UserId) -> Result<String, ApiError> {
        if let Some(me) = fields::first([self.me]) {
            is_caller("me", &me, caller)?;
        }
        let id = id.parse::<chat_kit::id::ConversationId>();
        id.map(|id| id.to_string()).map_err(|_| ApiError::invalid_id("the id of a request"))
    }
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
}

/// The shape of the answer to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A list alone.
    Bare,
    /// An envelope.
    Enveloped,
    /// The canonical envelope.
    Unified,
}

impl Query {
    /// Makes the canonical request.
    pub fn into_request(
        self,
        answer: Answer,
        caller: UserId,
    ) -> Result<pb::ListChatRequestsRequest, ApiError> {
        if let Some(me) = fields::first([self.me]) {
            is_caller("me", &me, caller)?;
        }
        let default = match answer {
            Answer::Unified => DEFAULT_LIMIT,
            Answer::Bare | Answer::Enveloped => WHOLE_LIST,
        };
        let status = match fields::first([self.status]) {
            None => pb::ConversationStatus::Pending,
            status => conversation::status(status.as_deref())?,
        };
        let limit = fields::page_limit(self.limit, default);
        let page = Some(pb::PageRequest { limit, cursor: self.cursor.unwrap_or_default() });
        Ok(pb::ListChatRequestsRequest { status: status.into(), page })
    }
}

impl Answer {
    /// Decides the shape by path and dialect.
    #[must_use]
    pub fn new(view: View, dialect: Dialect) -> Self {
        match (dialect, view) {
            (Dialect::Unified, _) => Self::Unified,
            (Dialect::Electron, _) | (_, View::ByQuery) => Self::Enveloped,
            (_, View::Bare) => Self::Bare,
        }
    }

    /// Returns the request for the profiles that this shape shows, if it shows any.
    #[must_use]
    pub fn users_of(self, conversations: &[pb::Conversation]) -> Option<pb::GetUsersRequest> {
        match self {
            Self::Unified => None,
            Self::Bare | Self::Enveloped => conversation::members(conversations),
        }
    }

    /// Writes the list in this shape.
    #[must_use]
    pub fn write(self, listed: &pb::ListChatRequestsResponse, users: &Users) -> Response {
        let rows = listed.conversations.iter();
        let old = |row| conversation::plain(row, |id| json!(Card::new(users, id, false)));
        let next = listed.page.as_ref().map(|page| page.next_cursor.as_str());
        let next_cursor = next.filter(|cursor| !cursor.is_empty());
        match self {
            Self::Bare => envelope::json(StatusCode::OK, &rows.map(old).collect::<Vec<_>>()),
            Self::Enveloped => {
                envelope::ok(OldPage { conversations: rows.map(old).collect(), next_cursor })
            }
            Self::Unified => {
                let conversations = rows.map(conversation::unified).collect();
                envelope::ok(Page { conversations, next_cursor })
            }
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChatRequests)]
struct OldPage<'a, T> {
    #[schema(inline)]
    conversations: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChatRequestPage)]
struct Page<'a, T> {
    #[schema(inline)]
    conversations: Vec<T>,
    next_cursor: Option<&'a str>,
}

/// Takes out what is for partners alone: who asks shows himself to the one he asks, and sees no more of
/// him before he is accepted.
pub fn conceal(users: &mut [pb::User], caller: UserId, conversations: &[pb::Conversation]) {
    let mut shown = BTreeSet::new();
    for conversation in conversations {
        match conversation.status() {
            pb::ConversationStatus::Active => shown.extend(conversation.member_ids.iter().cloned()),
            _ => shown.extend(conversation.created_by.clone()),
        }
    }
    user::conceal(users, caller, &shown);
}

#[derive(Serialize, ToSchema)]
#[schema(as = OldChat)]
struct Old<T> {
    ok: bool,
    #[schema(inline)]
    conversation: T,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Chat)]
struct Canonical<T> {
    #[schema(inline)]
    conversation: T,
}

/// Answers with the conversation of a request.
pub fn one(dialect: Dialect, found: Option<pb::Conversation>) -> Result<Response, ApiError> {
    let found = found.ok_or_else(|| ApiError::incomplete("conversation"))?;
    if dialect == Dialect::Unified {
        return Ok(envelope::ok(Canonical { conversation: conversation::unified(&found) }));
    }
    let conversation = conversation::plain(&found, |id| json!(id));
    Ok(envelope::ok(Old { ok: true, conversation }))
}

/// Answers with a conversation that was started: to the old families a part of it.
pub fn started(dialect: Dialect, found: Option<pb::Conversation>) -> Result<Response, ApiError> {
    const SHOWN: [&str; 8] = [
        "_id",
        "participants",
        "members",
        "status",
        "createdBy",
        "lastMessageAt",
        "createdAt",
        "updatedAt",
    ];
    if dialect == Dialect::Unified {
        return one(dialect, found);
    }
    let found = found.ok_or_else(|| ApiError::incomplete("conversation"))?;
    let whole = conversation::plain(&found, |id| json!(id));
    let shown = SHOWN.map(|field| (field, whole.get(field).cloned().unwrap_or(Value::Null)));
    let conversation = json!(std::collections::BTreeMap::from(shown));
    Ok(envelope::ok(Old { ok: true, conversation }))
}

/// A conversation that was started, as both old families read it.
#[derive(ToSchema)]
#[schema(as = StartedChat, rename_all = "camelCase")]
#[expect(dead_code, reason = "tells the fields that are taken out of the whole")]
pub(super) struct Started {
    #[schema(rename = "_id")]
    id: String,
    participants: Vec<String>,
    members: Vec<String>,
    status: String,
    created_by: Option<String>,
    last_message_at: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    type New<'a> = conversation::Unified<'a>;
    type Row<'a> = conversation::OfRequest<'a>;
    let unified = Form::unified::<Canonical<New<'_>>>;
    schemas.answer("ChatAnswer", [Form::old::<Old<conversation::OfNewGroup<'_>>>(), unified()]);
    schemas.answer("StartedChatAnswer", [Form::old::<Old<Started>>(), unified()]);
    let unified = Form::unified::<Page<'_, New<'_>>>;
    let whole = Form::old::<OldPage<'_, Row<'_>>>;
    schemas.answer("ChatRequestsAnswer", [whole(), unified()]);
    let bare = Form::bare::<Vec<Row<'_>>>("For clients that declare `flutter` or nothing");
    schemas.answer("BareChatRequestsAnswer", [bare, whole(), unified()]);
}
