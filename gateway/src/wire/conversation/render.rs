//! How a conversation looks: to the old families with every spelling, to new clients with one.

use std::collections::HashMap;

use axum::{http::StatusCode, response::Response};
use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::{Value, json};

use super::Answer;
use crate::wire::{
    envelope,
    fields::iso,
    group::UnifiedRights,
    message::{self, AttachedFile},
    user::Card,
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

/// A JSON object without fields: times by member are not known yet.
#[derive(Debug, Serialize)]
struct NoTimes {}

/// A conversation as both old families read it; `M` is a member, `L` the newest message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a, M, L> {
    #[serde(rename = "_id")]
    id: &'a str,
    participants: Vec<M>,
    members: Vec<M>,
    is_group: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<L>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_at: Option<String>,
    hidden_for: [&'a str; 0],
    delivered_up_to: NoTimes,
    read_up_to: NoTimes,
    #[serde(flatten)]
    group: Option<InGroup<'a>>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// What the conversation of a group has beside. A group that was made without a name has none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InGroup<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    admin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
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
            group: &conversation.id,
            group_id: &conversation.id,
        })
    }
}

impl<'a, M, L> Document<'a, M, L> {
    fn new(
        conversation: &'a pb::Conversation,
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
            last_message_at: last.and_then(|last| iso(last.created_at.as_ref())),
            hidden_for: [],
            delivered_up_to: NoTimes {},
            read_up_to: NoTimes {},
            group: InGroup::new(conversation),
            created_at: iso(conversation.created_at.as_ref()),
            updated_at: iso(conversation.updated_at.as_ref()),
        }
    }
}

/// Returns an opened conversation: members with profiles, the newest message as an id.
pub(super) fn document<'a>(
    conversation: &'a pb::Conversation,
    users: &'a Users,
) -> Document<'a, Card<'a>, &'a str> {
    let last = conversation.last_message.as_ref();
    Document::new(conversation, |id| users.card(id), last.map(|last| last.message_id.as_str()))
}

/// Returns the conversation of a group that was made just now: members as ids, and no message yet.
pub(super) fn made_group(conversation: &pb::Conversation) -> Value {
    let mut document = json!(Document::new(conversation, |id| id, None::<&str>));
    document["lastMessageAt"] = Value::Null;
    document
}

/// A row of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a, M, L> {
    #[serde(flatten)]
    document: Document<'a, M, L>,
    last_preview: &'a str,
    last_from: &'a str,
    last_outgoing_at: Option<String>,
}

impl<'a, M, L> Item<'a, M, L> {
    fn new(conversation: &'a pb::Conversation, document: Document<'a, M, L>) -> Self {
        let last = conversation.last_message.as_ref();
        Self {
            document,
            last_preview: last.map_or("", |last| last.content.as_str()),
            last_from: last.map_or("", |last| last.sender_id.as_str()),
            last_outgoing_at: iso(conversation.last_sent_at.as_ref()),
        }
    }
}

/// The newest message inside a row. What no service knows of messages yet is the same for all.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own on the wire")]
struct LastMessage<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    conversation: &'a str,
    conversation_id: &'a str,
    from: Card<'a>,
    sender: Card<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    text: &'a str,
    content: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_type: Option<&'static str>,
    status: &'static str,
    read_by: [&'a str; 0],
    deleted: bool,
    is_deleted: bool,
    deleted_for: [&'a str; 0],
    edited: bool,
    forwarded: bool,
    call_activity: bool,
    is_video_call: bool,
    reactions: [&'a str; 0],
    voice: Voice,
    #[serde(flatten)]
    file: Option<AttachedFile<'a>>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// The curve of a recording.
#[derive(Debug, Serialize)]
struct Voice {
    waveform: [u8; 0],
}

fn last_message<'a>(
    conversation: &'a pb::Conversation,
    users: &'a Users,
) -> Option<LastMessage<'a>> {
    let last = conversation.last_message.as_ref()?;
    let file = last.attachment.as_ref();
    let mut others = conversation.member_ids.iter().filter(|_| !conversation.is_group);
    Some(LastMessage {
        id: &last.message_id,
        conversation: &conversation.id,
        conversation_id: &conversation.id,
        from: users.card(&last.sender_id),
        sender: users.card(&last.sender_id),
        to: others.find(|id| **id != last.sender_id).map(String::as_str),
        text: &last.content,
        content: &last.content,
        r#type: message::old_type(&last.r#type),
        message_type: (last.r#type == message::SYSTEM).then_some(message::SYSTEM),
        status: "sent",
        read_by: [],
        deleted: false,
        is_deleted: false,
        deleted_for: [],
        edited: false,
        forwarded: false,
        call_activity: false,
        is_video_call: false,
        reactions: [],
        voice: Voice { waveform: [] },
        file: file.map(|attachment| AttachedFile::new(attachment, &last.r#type)),
        created_at: iso(last.created_at.as_ref()),
        updated_at: iso(last.created_at.as_ref()),
    })
}

/// A conversation as new clients read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unified<'a> {
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
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// The newest message of a conversation as new clients read it.
#[derive(Debug, Serialize)]
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
            created_at: iso(conversation.created_at.as_ref()),
            updated_at: iso(conversation.updated_at.as_ref()),
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a, T> {
    conversations: Vec<T>,
    next_cursor: Option<&'a str>,
}

#[derive(Serialize)]
struct Whole<T> {
    conversations: Vec<T>,
}

pub(super) fn list(
    answer: Answer,
    response: &pb::ListConversationsResponse,
    users: &Users,
) -> Response {
    let rows = response.conversations.iter();
    match answer {
        Answer::Bare => {
            let row = |row| {
                let last = row_id(row);
                Item::new(row, Document::new(row, |id| id, last))
            };
            envelope::json(StatusCode::OK, &rows.map(row).collect::<Vec<_>>())
        }
        Answer::Enveloped => {
            let row = |row| {
                let last = last_message(row, users);
                Item::new(row, Document::new(row, |id| users.card(id), last))
            };
            envelope::ok(Whole { conversations: rows.map(row).collect() })
        }
        Answer::Unified => {
            let next = response.page.as_ref().map(|page| page.next_cursor.as_str());
            envelope::ok(Page {
                conversations: rows.map(Unified::from).collect(),
                next_cursor: next.filter(|cursor| !cursor.is_empty()),
            })
        }
    }
}

fn row_id(conversation: &pb::Conversation) -> Option<&str> {
    let last = conversation.last_message.as_ref()?;
    Some(&last.message_id)
}
