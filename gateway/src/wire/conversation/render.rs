//! How a conversation looks: to the old families with every spelling, to new clients with one.

mod last;

use std::collections::HashMap;

use axum::{http::StatusCode, response::Response};
use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Answer, Marks, States, state::Times};
use crate::{
    openapi::{Form, Schemas},
    wire::{
        envelope,
        fields::{self, iso},
        group::UnifiedRights,
        user::Card,
    },
};

/// The profiles of members, by id.
#[derive(Clone, Debug, Default)]
pub struct Users(HashMap<String, pb::User>);

impl From<Vec<pb::User>> for Users {
    fn from(users: Vec<pb::User>) -> Self {
        Self(users.into_iter().map(|user| (user.id.clone(), user)).collect())
    }
}

impl Users {
    /// Returns a profile that is there.
    pub(in crate::wire) fn get(&self, id: &str) -> Option<&pb::User> {
        self.0.get(id)
    }

    fn card<'a>(&'a self, id: &'a str) -> Card<'a> {
        Card::new(id, self.0.get(id))
    }
}

/// A conversation as both old families read it; `M` is a member, `L` the newest message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConversationDocument)]
pub(in crate::wire) struct Document<'a, M, L> {
    #[serde(rename = "_id")]
    id: &'a str,
    #[schema(inline)]
    participants: Vec<M>,
    #[schema(inline)]
    members: Vec<M>,
    is_group: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    last_message: Option<L>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_at: Option<String>,
    hidden_for: [&'a str; 0],
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    delivered_up_to: Times<'a>,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    read_up_to: Times<'a>,
    #[serde(flatten)]
    group: Option<InGroup<'a>>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// What the conversation of a group has beside. A group that was made without a name has none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConversationOfGroup)]
struct InGroup<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    admin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<&'a str>,
    group: &'a str,
    group_id: &'a str,
}

impl<'a> InGroup<'a> {
    fn new(conversation: &'a pb::Conversation) -> Option<Self> {
        let group = conversation.group.as_ref()?;
        Some(Self {
            name: &group.name,
            admin: &group.admin_id,
            avatar: group.avatar_url.as_deref(),
            avatar_url: group.avatar_url.as_deref(),
            group: &conversation.id,
            group_id: &conversation.id,
        })
    }
}

impl<'a, M, L> Document<'a, M, L> {
    fn new(
        conversation: &'a pb::Conversation,
        states: &'a States,
        member: impl Fn(&'a str) -> M,
        last_message: Option<L>,
    ) -> Self {
        let members = || {
            let ids = conversation.member_ids.iter();
            ids.map(|id| member(id)).collect()
        };
        let last = conversation.last_message.as_ref();
        Self {
            id: &conversation.id,
            participants: members(),
            members: members(),
            is_group: conversation.is_group,
            status: status(conversation),
            created_by: conversation.created_by.as_deref(),
            participant_key: conversation.participant_key.as_deref(),
            last_message,
            last_message_at: iso(last
                .and_then(|last| last.created_at.as_ref())
                .or(conversation.accepted_at.as_ref())),
            hidden_for: [],
            delivered_up_to: states.delivered(conversation),
            read_up_to: states.read(conversation),
            group: InGroup::new(conversation),
            created_at: iso(conversation.created_at.as_ref()),
            updated_at: iso(conversation.updated_at.as_ref()),
        }
    }
}

/// Returns an opened conversation: members with profiles, the newest message as an id.
pub(super) fn document<'a>(
    conversation: &'a pb::Conversation,
    states: &'a States,
    users: &'a Users,
) -> Document<'a, Card<'a>, &'a str> {
    Document::new(conversation, states, |id| users.card(id), row_id(conversation))
}

/// Returns a conversation that was asked for: members with profiles, the newest message as a document.
pub(super) fn details(conversation: &pb::Conversation, states: &States, users: &Users) -> Value {
    let last = last::in_details(conversation);
    let document = Document::new(conversation, states, |id| users.card(id), last);
    json!(Item::new(conversation, states, document))
}

/// Returns the conversation of a group that was made just now: members as ids, and no message yet.
pub(super) fn made_group(conversation: &pb::Conversation) -> Value {
    plain(conversation, |id| json!(id))
}

/// Returns a conversation by itself, whose time is null before its first message.
pub(super) fn plain(conversation: &pb::Conversation, member: impl Fn(&str) -> Value) -> Value {
    let states = States::default();
    let last = row_id(conversation);
    let mut document = json!(Document::new(conversation, &states, member, last));
    if let Some(fields) = document.as_object_mut() {
        fields.entry("lastMessageAt").or_insert(Value::Null);
    }
    document
}

/// A row of the list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConversationItem)]
pub(super) struct Item<'a, M, L> {
    #[serde(flatten)]
    #[schema(inline)]
    document: Document<'a, M, L>,
    last_preview: &'a str,
    last_from: &'a str,
    last_outgoing_at: Option<String>,
    unread_count: u32,
    #[serde(flatten)]
    marks: Marks,
}

impl<'a, M, L> Item<'a, M, L> {
    fn new(
        conversation: &'a pb::Conversation,
        states: &States,
        document: Document<'a, M, L>,
    ) -> Self {
        let last = conversation.last_message.as_ref();
        Self {
            document,
            last_preview: last.map_or("", |last| last.content.as_str()),
            last_from: last.map_or("", |last| last.sender_id.as_str()),
            last_outgoing_at: iso(conversation.last_sent_at.as_ref()),
            unread_count: states.unread(conversation),
            marks: Marks::of(conversation),
        }
    }
}

/// A conversation as new clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedConversation)]
pub(in crate::wire) struct Unified<'a> {
    id: &'a str,
    status: &'static str,
    is_group: bool,
    member_ids: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<UnifiedRights<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<UnifiedPreview<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sent_at: Option<String>,
    #[serde(skip_serializing_if = "fields::is_zero")]
    cleared_seq: i64,
    #[serde(flatten)]
    state: Option<UnifiedState<'a>>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// The newest message of a conversation as new clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UnifiedPreview<'a> {
    id: &'a str,
    seq: i64,
    sender_id: &'a str,
    content: &'a str,
    r#type: &'a str,
    created_at: Option<String>,
}

impl<'a> From<&'a pb::Conversation> for Unified<'a> {
    fn from(conversation: &'a pb::Conversation) -> Self {
        let last = conversation.last_message.as_ref();
        let last_message = last.map(|last| UnifiedPreview {
            id: &last.message_id,
            seq: last.seq,
            sender_id: &last.sender_id,
            content: &last.content,
            r#type: &last.r#type,
            created_at: iso(last.created_at.as_ref()),
        });
        Self {
            id: &conversation.id,
            status: status(conversation),
            is_group: conversation.is_group,
            member_ids: &conversation.member_ids,
            created_by: conversation.created_by.as_deref(),
            group: conversation.group.as_ref().map(Into::into),
            last_message,
            last_sent_at: iso(conversation.last_sent_at.as_ref()),
            cleared_seq: conversation.cleared_seq,
            state: None,
            created_at: iso(conversation.created_at.as_ref()),
            updated_at: iso(conversation.updated_at.as_ref()),
        }
    }
}

impl<'a> Unified<'a> {
    /// Shows a conversation with what its reader has heard and read of it.
    pub(super) fn with_state(conversation: &'a pb::Conversation, states: &'a States) -> Self {
        let receipts = UnifiedReceipts {
            unread_count: states.unread(conversation),
            cursors: states.cursors(conversation).map(Into::into).collect(),
        };
        let state = UnifiedState { marks: Marks::of(conversation), receipts };
        Self { state: Some(state), ..Self::from(conversation) }
    }
}

/// What the reader of a conversation has set for himself, and what has been heard and read of it, as new
/// clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedConversationState)]
struct UnifiedState<'a> {
    #[serde(flatten)]
    marks: Marks,
    #[serde(flatten)]
    receipts: UnifiedReceipts<'a>,
}

/// How far members have heard and read, and what the reader has not, as new clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedConversationReceipts)]
pub(in crate::wire) struct UnifiedReceipts<'a> {
    unread_count: u32,
    cursors: Vec<UnifiedCursor<'a>>,
}

impl<'a> From<&'a pb::ListState> for UnifiedReceipts<'a> {
    fn from(state: &'a pb::ListState) -> Self {
        let cursors = state.cursors.iter().map(Into::into).collect();
        Self { unread_count: state.unread_count, cursors }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UnifiedCursor<'a> {
    user_id: &'a str,
    delivered_seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<String>,
    read_seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_at: Option<String>,
}

impl<'a> From<&'a pb::ReceiptCursor> for UnifiedCursor<'a> {
    fn from(cursor: &'a pb::ReceiptCursor) -> Self {
        Self {
            user_id: &cursor.user_id,
            delivered_seq: cursor.delivered_seq,
            delivered_at: iso(cursor.delivered_at.as_ref()),
            read_seq: cursor.read_seq,
            read_at: iso(cursor.read_at.as_ref()),
        }
    }
}

fn status(conversation: &pb::Conversation) -> &'static str {
    match conversation.status() {
        pb::ConversationStatus::Unspecified | pb::ConversationStatus::Active => "active",
        pb::ConversationStatus::Pending => "pending",
        pb::ConversationStatus::Declined => "declined",
        pb::ConversationStatus::Blocked => "blocked",
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConversationPage)]
struct Page<'a, T> {
    #[schema(inline)]
    conversations: Vec<T>,
    next_cursor: Option<&'a str>,
}

pub(super) fn list(
    answer: Answer,
    response: &pb::ListConversationsResponse,
    states: &States,
    users: &Users,
) -> Response {
    let next = response.page.as_ref().map(|page| page.next_cursor.as_str());
    let next_cursor = next.filter(|cursor| !cursor.is_empty());
    let rows = response.conversations.iter();
    match answer {
        Answer::Bare => {
            let row = |row| {
                let last = row_id(row);
                Item::new(row, states, Document::new(row, states, |id| id, last))
            };
            envelope::json(StatusCode::OK, &rows.map(row).collect::<Vec<_>>())
        }
        Answer::Enveloped => {
            let row = |row| {
                let last = last::in_list(row, users);
                Item::new(row, states, Document::new(row, states, |id| users.card(id), last))
            };
            envelope::ok(Page { conversations: rows.map(row).collect(), next_cursor })
        }
        Answer::Unified => {
            let rows = rows.map(|row| Unified::with_state(row, states));
            envelope::ok(Page { conversations: rows.collect(), next_cursor })
        }
    }
}

fn row_id(conversation: &pb::Conversation) -> Option<&str> {
    let last = conversation.last_message.as_ref()?;
    Some(&last.message_id)
}

/// An opened conversation of the old families: members with profiles, the newest message as an id.
pub(super) type Opened<'a> = Document<'a, Card<'a>, &'a str>;
/// A conversation with the newest message as it is kept.
type Enveloped<'a> = Item<'a, Card<'a>, last::LastMessage<'a, Card<'a>>>;
/// A conversation that was asked for.
pub(super) type Details<'a> = Item<'a, Card<'a>, last::LastMessage<'a, &'a str>>;
/// The conversation of a chat request.
pub(in crate::wire) type OfRequest<'a> = Document<'a, crate::wire::group::Card<'a>, &'a str>;
/// The conversation of a group that was made just now.
pub(in crate::wire) type OfNewGroup<'a> = Document<'a, &'a str, &'a str>;

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let bare = || {
        let when = "With `me` or without prefix, for clients that declare `flutter` or nothing";
        Form::bare::<Vec<Item<'_, &str, &str>>>(when)
    };
    let whole = Form::old::<Page<'_, Enveloped<'_>>>;
    let unified = Form::unified::<Page<'_, Unified<'_>>>;
    schemas.answer("ConversationListAnswer", [whole(), bare(), unified()]);
    schemas.answer("BareConversationListAnswer", [bare(), whole(), unified()]);
}
