//! The newest message of a conversation, as a document inside the conversation's own.

use chat_proto::v1 as pb;
use serde::Serialize;
use utoipa::ToSchema;

use super::Users;
use crate::wire::{
    fields::iso,
    message::{AttachedFile, message_type, old_type},
    user::Card,
};

/// The newest message; `P` is a person. What a preview does not know of its message is the same for all.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own on the wire")]
pub(in crate::wire::conversation) struct LastMessage<'a, P> {
    #[serde(rename = "_id")]
    id: &'a str,
    message_id: &'a str,
    /// The id again, where clients look for it under this name.
    #[serde(rename = "id", skip_serializing_if = "Option::is_none")]
    twin: Option<&'a str>,
    conversation: &'a str,
    conversation_id: &'a str,
    #[schema(inline)]
    from: P,
    #[schema(inline)]
    sender: P,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<String>,
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
#[derive(Debug, Serialize, ToSchema)]
struct Voice {
    waveform: [u8; 0],
}

/// Returns the newest message of a row, its sender with a profile.
pub(super) fn in_list<'a>(
    conversation: &'a pb::Conversation,
    users: &'a Users,
) -> Option<LastMessage<'a, Card<'a>>> {
    new(conversation, |id| users.card(id))
}

/// Returns the newest message of one conversation, its sender as an id.
pub(super) fn in_details(conversation: &pb::Conversation) -> Option<LastMessage<'_, &str>> {
    let last = new(conversation, |id| id)?;
    Some(LastMessage { twin: Some(last.id), ..last })
}

fn new<'a, P>(
    conversation: &'a pb::Conversation,
    person: impl Fn(&'a str) -> P,
) -> Option<LastMessage<'a, P>> {
    let last = conversation.last_message.as_ref()?;
    let file = last.attachment.as_ref();
    let mut others = conversation.member_ids.iter().filter(|_| !conversation.is_group);
    Some(LastMessage {
        id: &last.message_id,
        message_id: &last.message_id,
        twin: None,
        conversation: &conversation.id,
        conversation_id: &conversation.id,
        from: person(&last.sender_id),
        sender: person(&last.sender_id),
        to: others.find(|id| **id != last.sender_id).map(String::as_str),
        text: &last.content,
        content: &last.content,
        r#type: old_type(&last.r#type),
        message_type: message_type(last.is_call, &last.r#type),
        status: "sent",
        read_by: [],
        deleted: false,
        is_deleted: false,
        deleted_for: [],
        edited: last.edited_at.is_some(),
        edited_at: iso(last.edited_at.as_ref()),
        forwarded: false,
        call_activity: last.is_call,
        is_video_call: last.is_video,
        reactions: [],
        voice: Voice { waveform: [] },
        file: file.map(|attachment| AttachedFile::new(attachment, &last.r#type)),
        created_at: iso(last.created_at.as_ref()),
        updated_at: iso(last.edited_at.as_ref().or(last.created_at.as_ref())),
    })
}
