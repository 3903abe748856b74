//! How the parts of a stored message beside its text look, to the old families and to new clients.

use chat_kit::id::MessageId;
use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::parts::CALL_ACTIVITY;

/// What no person wrote, in both vocabularies.
const SYSTEM: &str = "system";

/// Returns the type of a message as the old families know it: what says what happened is a text to them.
pub(in crate::wire) fn old_type(kind: &str) -> &str {
    if kind == SYSTEM { "text" } else { kind }
}

/// Returns what both old families read beside the type: that it tells of a call, or that no person wrote it.
pub(in crate::wire) fn message_type(is_call: bool, kind: &str) -> Option<&'static str> {
    if is_call { Some(CALL_ACTIVITY) } else { (kind == SYSTEM).then_some(SYSTEM) }
}

/// The parts of a message as both old families read them.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OldMessageParts)]
pub(super) struct OldParts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    reply_to_message: Option<Value>,
    #[serde(flatten)]
    forwarded: Option<OldForwarded<'a>>,
    #[serde(flatten)]
    call: Option<OldCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mentions: &'a [String],
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OldForwarded<'a> {
    forwarded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_message_id: Option<&'a str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OldCall<'a> {
    call_activity: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_status: Option<&'a str>,
    is_video_call: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_start_time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_duration: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageMetadata)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Contact<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Location<'a> {
    latitude: f64,
    longitude: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ContactCard)]
struct Contact<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

impl<'a> From<&'a pb::Message> for OldParts<'a> {
    fn from(message: &'a pb::Message) -> Self {
        let call = message.call.as_ref();
        Self {
            message_type: message_type(call.is_some(), &message.r#type),
            reply_to: message.reply_to_id.as_deref(),
            reply_to_message: old_quote(message),
            forwarded: message.forwarding.as_ref().map(|forwarding| OldForwarded {
                forwarded: true,
                forwarded_from: forwarding.from.as_deref(),
                forwarded_message_id: forwarding.message_id.as_deref(),
            }),
            call: call.map(|call| OldCall {
                call_activity: true,
                call_type: call.direction.as_deref(),
                call_status: call.status.as_deref(),
                is_video_call: call.is_video,
                call_start_time: call.started_at.as_deref(),
                call_duration: call.duration_seconds.map(|seconds| seconds.to_string()),
            }),
            metadata: metadata(message),
            mentions: &message.mention_ids,
        }
    }
}

/// Returns what the answered message said: as the sender's client put it, else in the same form.
fn old_quote(message: &pb::Message) -> Option<Value> {
    if let Some(given) = message.given_quote.as_deref() {
        match serde_json::from_str(given) {
            Ok(quote) => return Some(quote),
            Err(error) => tracing::error!(id = message.id, %error, "stored quote is not JSON"),
        }
    }
    let quote = message.quote.as_ref()?;
    let file = quote.attachment.as_ref();
    let file_type =
        |file: &'_ pb::Attachment| file.file_type.clone().unwrap_or_else(|| quote.r#type.clone());
    Some(json!({
        "id": quote.message_id,
        "text": quote.content,
        "fileType": file.map(file_type),
        "fileName": file.and_then(|file| file.name.as_deref()),
        "fileUrl": file.map(|file| file.url.as_str()),
        "audioDuration": file.and_then(|file| file.duration_seconds),
        "from": quote.sender_id,
    }))
}

fn metadata(message: &pb::Message) -> Option<Metadata<'_>> {
    let (location, contact) = (message.location.as_ref(), message.contact_card.as_ref());
    if location.is_none() && contact.is_none() {
        return None;
    }
    Some(Metadata {
        location: location.map(|place| Location {
            latitude: place.latitude,
            longitude: place.longitude,
            address: place.address.as_deref(),
        }),
        contact: contact.map(|card| Contact {
            name: &card.name,
            phone: card.phone.as_deref(),
            email: card.email.as_deref(),
        }),
    })
}

/// The parts of a message as new clients read them.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedMessageParts)]
pub(super) struct UnifiedParts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<Quote<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded: Option<Forwarded<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mentions: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<SystemNote<'a>>,
}

/// A file as new clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedAttachment)]
struct Attachment<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedQuote)]
struct Quote<'a> {
    id: &'a str,
    sender_id: &'a str,
    content: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedForwarded)]
struct Forwarded<'a> {
    /// Whom it came from, as the sender's client put it: an id, or a name
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^")]
    from: Option<&'a str>,
    /// The message that was forwarded, where its sender's client named it by its id
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedCall)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    is_video: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<u32>,
}

/// What happened, as new clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SystemNote<'a> {
    kind: &'a str,
    user_ids: &'a [String],
}

impl<'a> From<&'a pb::Attachment> for Attachment<'a> {
    fn from(attachment: &'a pb::Attachment) -> Self {
        Self {
            url: &attachment.url,
            name: attachment.name.as_deref(),
            file_type: attachment.file_type.as_deref(),
            duration_seconds: attachment.duration_seconds,
        }
    }
}

impl<'a> From<&'a pb::Message> for UnifiedParts<'a> {
    fn from(message: &'a pb::Message) -> Self {
        Self {
            attachment: message.attachment.as_ref().map(Into::into),
            reply_to: message.reply_to_id.as_deref(),
            quote: message.quote.as_ref().map(|quote| Quote {
                id: &quote.message_id,
                sender_id: &quote.sender_id,
                content: &quote.content,
                r#type: &quote.r#type,
                attachment: quote.attachment.as_ref().map(Into::into),
            }),
            forwarded: message.forwarding.as_ref().map(|forwarding| Forwarded {
                from: forwarding.from.as_deref(),
                message_id: forwarding
                    .message_id
                    .as_deref()
                    .filter(|id| id.parse::<MessageId>().is_ok()),
            }),
            call: message.call.as_ref().map(|call| Call {
                direction: call.direction.as_deref(),
                status: call.status.as_deref(),
                is_video: call.is_video,
                started_at: call.started_at.as_deref(),
                duration_seconds: call.duration_seconds,
            }),
            metadata: metadata(message),
            mentions: &message.mention_ids,
            system: message
                .system
                .as_ref()
                .map(|note| SystemNote { kind: &note.kind, user_ids: &note.user_ids }),
        }
    }
}
