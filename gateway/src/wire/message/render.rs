//! How a stored message looks: to the old families with every spelling, to new clients with one.

use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use super::{
    Send, UnifiedSend,
    change::{OldReaction, Tombstone, UnifiedReaction, old_reactions, reactions},
    shown::{OldParts, UnifiedParts, old_type},
    value,
};
use crate::{
    openapi::{DESKTOP, Events, MOBILE, NEW},
    wire::{event, fields::iso},
};

/// A message as both old families read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagePayload)]
pub(super) struct Payload<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    message_id: &'a str,
    conversation_id: &'a str,
    conversation: &'a str,
    from: &'a str,
    sender: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    text: &'a str,
    content: &'a str,
    r#type: &'a str,
    deleted: bool,
    is_deleted: bool,
    created_at: Option<String>,
    #[serde(flatten)]
    file: Option<AttachedFile<'a>>,
    #[serde(flatten)]
    parts: OldParts<'a>,
}

/// The file of a message as both old families read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::wire) struct AttachedFile<'a> {
    file_url: &'a str,
    media: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<&'a str>,
    file_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_duration: Option<u32>,
}

impl<'a> AttachedFile<'a> {
    /// Shows the file of a message, whose type stands for that of the file where its sender left it out.
    pub(in crate::wire) fn new(attachment: &'a pb::Attachment, message_type: &'a str) -> Self {
        Self {
            file_url: &attachment.url,
            media: &attachment.url,
            file_name: attachment.name.as_deref(),
            file_type: attachment.file_type.as_deref().unwrap_or(message_type),
            audio_duration: attachment.duration_seconds,
        }
    }
}

impl<'a> From<&'a pb::Message> for Payload<'a> {
    fn from(message: &'a pb::Message) -> Self {
        let file = message.attachment.as_ref();
        let file = file.map(|attachment| AttachedFile::new(attachment, &message.r#type));
        Self {
            id: &message.id,
            message_id: &message.id,
            conversation_id: &message.conversation_id,
            conversation: &message.conversation_id,
            from: &message.sender_id,
            sender: &message.sender_id,
            to: message.recipient_id.as_deref(),
            text: &message.content,
            content: &message.content,
            r#type: old_type(&message.r#type),
            deleted: message.deleted_at.is_some(),
            is_deleted: message.deleted_at.is_some(),
            created_at: iso(message.created_at.as_ref()),
            file,
            parts: message.into(),
        }
    }
}

/// A message in an event; the id that a client gave is its sender's alone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveMessage)]
pub(super) struct Live<'a> {
    #[serde(flatten)]
    payload: Payload<'a>,
    last_message_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<Value>,
}

impl<'a> From<&'a pb::Message> for Live<'a> {
    fn from(message: &'a pb::Message) -> Self {
        Self {
            payload: message.into(),
            last_message_at: iso(message.created_at.as_ref()),
            client_id: client_id(message),
        }
    }
}

/// A message in the history.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryItem<'a> {
    #[serde(flatten)]
    payload: Payload<'a>,
    edited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<OldReaction<'a>>,
}

impl<'a> From<&'a pb::Message> for HistoryItem<'a> {
    fn from(message: &'a pb::Message) -> Self {
        Self {
            payload: message.into(),
            edited: message.edited_at.is_some(),
            edited_at: iso(message.edited_at.as_ref()),
            reactions: old_reactions(message),
        }
    }
}

/// The answer to a send.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SentMessage)]
pub(super) struct Answer<'a> {
    ok: bool,
    message: Payload<'a>,
    data: Payload<'a>,
    conversation_id: &'a str,
}

impl<'a> Answer<'a> {
    pub(super) fn new(message: &'a pb::Message) -> Self {
        Self {
            ok: true,
            message: message.into(),
            data: message.into(),
            conversation_id: &message.conversation_id,
        }
    }
}

/// A message as new clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedMessage)]
pub(super) struct Unified<'a> {
    id: &'a str,
    conversation_id: &'a str,
    seq: i64,
    sender_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<&'a str>,
    content: &'a str,
    r#type: &'a str,
    #[serde(flatten)]
    parts: UnifiedParts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<Value>,
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<UnifiedReaction<'a>>,
}

/// A message in the history as new clients read it, or what is left of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "most are messages")]
#[schema(as = UnifiedHistoryItem)]
pub(super) enum UnifiedItem<'a> {
    Message(Unified<'a>),
    Deleted(Tombstone<'a>),
}

impl<'a> UnifiedItem<'a> {
    /// Shows a message to one of its readers.
    pub(super) fn seen_by(reader: &str, message: &'a pb::Message) -> Self {
        match message.deleted_at {
            None => Self::Message(Unified::seen_by(reader, message)),
            Some(_) => Self::Deleted(message.into()),
        }
    }
}

impl<'a> From<&'a pb::Message> for Unified<'a> {
    fn from(message: &'a pb::Message) -> Self {
        Self {
            id: &message.id,
            conversation_id: &message.conversation_id,
            seq: message.seq,
            sender_id: &message.sender_id,
            recipient_id: message.recipient_id.as_deref(),
            content: &message.content,
            r#type: &message.r#type,
            parts: message.into(),
            client_id: client_id(message),
            created_at: iso(message.created_at.as_ref()),
            edited_at: iso(message.edited_at.as_ref()),
            reactions: reactions(message),
        }
    }
}

impl<'a> Unified<'a> {
    /// Shows a message to one of its readers: the id that a client gave is its sender's alone.
    pub(super) fn seen_by(reader: &str, message: &'a pb::Message) -> Self {
        let mut seen = Self::from(message);
        seen.client_id = seen.client_id.filter(|_| message.sender_id == reader);
        seen
    }
}

/// The answer to a send, for new clients.
#[derive(Serialize, ToSchema)]
#[schema(as = UnifiedSentMessage)]
pub(super) struct UnifiedAnswer<'a> {
    message: Unified<'a>,
}

impl<'a> UnifiedAnswer<'a> {
    pub(super) fn new(message: &'a pb::Message) -> Self {
        Self { message: message.into() }
    }
}

/// Returns a message as the answer to a send carries it to the old families.
#[must_use]
pub fn payload(message: &pb::Message) -> Value {
    value(Payload::from(message))
}

/// Returns a message as an event carries it to the old families.
#[must_use]
pub fn live(message: &pb::Message) -> Value {
    value(Live { client_id: None, ..message.into() })
}

/// Returns a message as an event carries it to its sender's own sockets of the old families.
#[must_use]
pub fn sent(message: &pb::Message) -> Value {
    value(Live::from(message))
}

/// Returns an event's body that names no recipient with this one named. Nothing else is encoded again.
pub fn addressed_to(recipient_id: &str, live: &RawValue) -> serde_json::Result<Box<RawValue>> {
    let recipient_id = Value::from(recipient_id);
    let fields = live.get().strip_prefix('{').unwrap_or_default();
    RawValue::from_string(format!("{{\"to\":{recipient_id},{fields}"))
}

/// Returns a message as the history carries it to the old families.
#[must_use]
pub fn history_item(message: &pb::Message) -> Value {
    value(HistoryItem::from(message))
}

/// Returns a message as new clients read it.
#[must_use]
pub fn unified(message: &pb::Message) -> Value {
    value(Unified::from(message))
}

/// Returns a message as new clients read it that did not send it.
#[must_use]
pub fn unified_received(message: &pb::Message) -> Value {
    value(Unified::seen_by("", message))
}

/// Returns the id that the sender's client gave, as it gave it.
#[must_use]
pub fn client_id(message: &pb::Message) -> Option<Value> {
    let text = message.client_id.as_deref()?;
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(message_id = message.id, %error, "stored client id is not JSON");
            None
        }
    }
}

/// The acknowledgement of a sent message.
#[derive(ToSchema)]
#[schema(as = AcceptedMessage)]
struct Accepted<'a> {
    #[expect(dead_code, reason = "describes what is made of it")]
    message: Live<'a>,
}

/// Says which events messages bring and are sent by.
pub(super) fn events(events: &mut Events) {
    let send = "Sends a message; the same `clientId` again stores nothing and answers the same";
    events.said::<Send, Accepted<'_>>(DESKTOP, event::SEND_MESSAGE, send);
    events.said::<UnifiedSend, UnifiedAnswer<'_>>(NEW, event::MESSAGE_SEND, send);
    let stored = "A message was stored";
    events.heard::<Live<'_>>(DESKTOP, "receive-message", stored);
    events.heard::<Live<'_>>(MOBILE, "message", stored);
    events.heard::<Unified<'_>>(NEW, "message:created", stored);
    let own = "A message of the user's own was stored, also one that was sent again";
    events.heard::<Live<'_>>(DESKTOP, event::MESSAGE_SENT, own);
}
