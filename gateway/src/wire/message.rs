//! Messages: what clients send and ask for, and how a stored message looks to each family.

mod change;
mod history;
mod missed;
mod nobody;
mod parts;
mod render;
mod search;
mod shown;

use axum::response::Response;
use chat_kit::id::{MessageId, UserId};
use chat_proto::v1::{self as pb, mark_read_request, send_message_request::Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    change::{
        Delete, Edit, answer_deleted, answer_edited, answer_reacted, deleted, edited, reaction,
        taken_back, unified_left, unified_reactions,
    },
    history::{Answer, Query, View},
    missed::{MissedQuery, answer_missed, known, missed, shorten},
    nobody::NobodyThere,
    render::{
        addressed_to, client_id, history_item, live, payload, sent, unified, unified_received,
    },
    search::{Search, answer_found},
};
pub(super) use self::{
    render::AttachedFile,
    shown::{message_type, old_type},
};
use utoipa::ToSchema;

use crate::{
    error::ApiError,
    openapi::{Events, Form, OLD, Schemas, UNIFIED},
    wire::{Dialect, envelope, fields},
};

/// On which way a message comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A POST; the text is trimmed.
    Http,
    /// An event of a socket; the text is taken as it is.
    Socket,
}

/// A message to be sent, in every spelling of the old families.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the table of `wire` says what each spelling means")]
#[schema(as = SendRequest)]
pub struct Send {
    pub sender_id: Option<String>,
    pub from: Option<String>,
    pub conversation_id: Option<String>,
    pub conversation: Option<String>,
    pub to_id: Option<String>,
    pub to: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub to_phone: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub content: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub text: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub message: Option<String>,
    pub r#type: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub file_url: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub media: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub file_name: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub file_type: Option<String>,
    #[serde(deserialize_with = "fields::leading_whole")]
    pub audio_duration: Option<u32>,
    #[schema(value_type = Option<String>)]
    pub client_id: Option<Value>,
    #[serde(flatten)]
    pub parts: parts::OldParts,
}

impl Send {
    /// Folds the spellings into the canonical request, with an id for the new message.
    pub fn into_request(
        self,
        caller: UserId,
        source: Source,
        origin_id: Option<String>,
    ) -> Result<pb::SendMessageRequest, ApiError> {
        for sender in [&self.sender_id, &self.from].into_iter().flatten() {
            check_sender(sender, caller)?;
        }
        let target = target(
            fields::first([self.conversation_id, self.conversation]),
            fields::first([self.to_id, self.to]),
            fields::first([self.to_phone]),
        )?;
        let kind = fields::first([self.r#type]);
        let file_type = fields::first([self.file_type]);
        let file_url = fields::first([self.file_url]);
        let is_uploaded = file_url.is_some();
        let url = fields::first([file_url, self.media]);
        let attachment = url.map(|url| pb::Attachment {
            url,
            name: fields::first([self.file_name]),
            file_type,
            duration_seconds: self.audio_duration,
        });
        let content = fields::first([self.content, self.text, self.message]);
        let mut content = content_of(content, source);
        if let Some(file) = attachment.as_ref().filter(|_| is_uploaded && content.is_empty()) {
            content = text_of(file);
        }
        let mut request = pb::SendMessageRequest {
            target: Some(target),
            message_id: MessageId::new().to_string(),
            content,
            r#type: type_of(kind, attachment.as_ref()),
            attachment,
            client_id: self.client_id.map(client_id_text).transpose()?.flatten(),
            origin_id,
            ..Default::default()
        };
        self.parts.add_to(&mut request)?;
        Ok(request)
    }
}

/// A message to be sent, as new clients say it. `toPhone` stands for `toContact`.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the canonical names, as in the contract")]
#[schema(as = UnifiedSendRequest)]
pub struct UnifiedSend {
    pub conversation_id: Option<String>,
    pub to_id: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub to_contact: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub to_phone: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub content: Option<String>,
    pub r#type: Option<String>,
    #[serde(deserialize_with = "fields::named")]
    pub attachment: Option<UnifiedAttachment>,
    #[schema(value_type = Option<String>)]
    pub client_id: Option<Value>,
    #[serde(flatten)]
    pub parts: parts::UnifiedParts,
}

/// A file beside a message, as new clients say it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the canonical names, as in the contract")]
#[schema(as = UnifiedAttachmentRequest)]
pub struct UnifiedAttachment {
    #[serde(deserialize_with = "fields::text")]
    pub url: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub file_type: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    pub duration_seconds: Option<u32>,
}

impl UnifiedSend {
    /// Makes the canonical request, with an id for the new message.
    pub fn into_request(
        self,
        source: Source,
        origin_id: Option<String>,
    ) -> Result<pb::SendMessageRequest, ApiError> {
        let target = target(
            fields::first([self.conversation_id]),
            fields::first([self.to_id]),
            fields::first([self.to_contact, self.to_phone]),
        )?;
        let attachment = self.attachment.map(|attachment| pb::Attachment {
            url: attachment.url.unwrap_or_default(),
            name: fields::first([attachment.name]),
            file_type: fields::first([attachment.file_type]),
            duration_seconds: attachment.duration_seconds,
        });
        let mut request = pb::SendMessageRequest {
            target: Some(target),
            message_id: MessageId::new().to_string(),
            content: content_of(self.content, source),
            r#type: type_of(fields::first([self.r#type]), attachment.as_ref()),
            attachment,
            client_id: self.client_id.map(client_id_text).transpose()?.flatten(),
            origin_id,
            ..Default::default()
        };
        self.parts.add_to(&mut request)?;
        Ok(request)
    }
}

/// Reads the body of a POST in the dialect that it declares.
pub fn posted(
    dialect: Dialect,
    body: Value,
    caller: UserId,
) -> Result<pb::SendMessageRequest, ApiError> {
    read(dialect, body, caller, Source::Http, None)
}

/// Reads a message to be sent in the dialect that its client declares.
pub fn read(
    dialect: Dialect,
    body: Value,
    caller: UserId,
    source: Source,
    origin_id: Option<String>,
) -> Result<pb::SendMessageRequest, ApiError> {
    if dialect == Dialect::Unified {
        let send = fields::read_with::<UnifiedSend, parts::UnifiedParts>(body)?;
        return send.into_request(source, origin_id);
    }
    fields::read_with::<Send, parts::OldParts>(body)?.into_request(caller, source, origin_id)
}

/// Answers a POST with the stored message.
pub fn answer(dialect: Dialect, response: &pb::SendMessageResponse) -> Result<Response, ApiError> {
    let message = response.message.as_ref();
    let message = message.ok_or_else(|| ApiError::incomplete("message"))?;
    Ok(match dialect {
        Dialect::Unified => envelope::ok(render::UnifiedAnswer::new(message)),
        _ => envelope::ok(render::Answer::new(message)),
    })
}

/// Asks for a conversation to be marked as read up to the message in a path.
pub fn read_up_to(id: &str) -> Result<pb::MarkReadRequest, ApiError> {
    let id = fields::message_id("id", id)?;
    Ok(pb::MarkReadRequest { target: Some(mark_read_request::Target::MessageId(id.to_string())) })
}

/// Answers that a message is marked as read.
#[must_use]
pub fn marked_read() -> Response {
    envelope::ok(envelope::Said { message: "marked as read" })
}

fn check_sender(claimed: &str, caller: UserId) -> Result<(), ApiError> {
    if claimed.is_empty() || claimed.parse() == Ok(caller) {
        return Ok(());
    }
    Err(ApiError::forbidden("the sender is not the caller"))
}

fn target(
    conversation: Option<String>,
    user: Option<String>,
    contact: Option<String>,
) -> Result<Target, ApiError> {
    match (conversation, user, contact) {
        (Some(id), _, _) => {
            let id = fields::conversation_id("conversationId", &id)?;
            Ok(Target::ConversationId(id.to_string()))
        }
        (None, Some(id), _) => Ok(Target::UserId(fields::user_id("toId", &id)?.to_string())),
        (None, None, Some(contact)) => Ok(Target::Contact(contact)),
        (None, None, None) => Err(ApiError::validation("a conversation or a recipient is needed")),
    }
}

fn content_of(content: Option<String>, source: Source) -> String {
    let content = content.unwrap_or_default();
    match source {
        Source::Http => content.trim().to_owned(),
        Source::Socket => content,
    }
}

/// Returns the text of an uploaded file that came without one, as the old families show it.
fn text_of(file: &pb::Attachment) -> String {
    let name = file.name.as_deref().unwrap_or_default();
    let is_voice = matches!(file.file_type.as_deref(), Some("audio" | "voice"))
        || [".m4a", ".mp3"].iter().any(|extension| name.ends_with(extension))
        || name.starts_with("voice_");
    match name {
        _ if is_voice => "Voice Message".to_owned(),
        "" => "\u{1F4CE} File".to_owned(),
        name => format!("\u{1F4CE} {name}"),
    }
}

/// Returns the type given, else the one that the file tells; empty stands for text.
fn type_of(given: Option<String>, attachment: Option<&pb::Attachment>) -> String {
    if let Some(given) = given {
        return given;
    }
    let by_file = match attachment.map(|attachment| attachment.file_type.as_deref()) {
        None => "",
        Some(Some(kind @ ("image" | "video" | "audio" | "voice"))) => kind,
        Some(_) => "file",
    };
    by_file.to_owned()
}

/// Returns the JSON text of a client's id, so that it comes back unchanged; empty text is no id.
fn client_id_text(value: Value) -> Result<Option<String>, ApiError> {
    match value {
        Value::Object(_) | Value::Array(_) => {
            Err(ApiError::validation("clientId: a string, number or boolean is needed"))
        }
        Value::String(text) if text.is_empty() => Ok(None),
        scalar => Ok(Some(scalar.to_string())),
    }
}

fn value(body: impl Serialize) -> Value {
    serde_json::to_value(body).expect("structs with text keys are JSON")
}

/// Says which events messages bring and are sent by.
pub(super) fn events(events: &mut Events) {
    render::events(events);
    change::events(events);
    missed::events(events);
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let unified = Form::unified::<render::UnifiedAnswer<'_>>();
    schemas.answer("SentMessageAnswer", [Form::old::<render::Answer<'_>>(), unified]);
    let old = Form::said::<Send>("Old", OLD);
    schemas.answer("SendMessageBody", [old, Form::said::<UnifiedSend>("Unified", UNIFIED)]);
    change::answers(schemas);
    history::answers(schemas);
    missed::answers(schemas);
    search::answers(schemas);
}

#[cfg(test)]
mod tests;
