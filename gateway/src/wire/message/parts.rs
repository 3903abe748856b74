//! What clients send beside the text of a message: answers, forwarding, calls, places, cards, mentions.

use chat_proto::v1 as pb;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    error::ApiError,
    wire::{conversation, fields},
};

/// The word by which both old families mark a message about a call.
pub(super) const CALL_ACTIVITY: &str = "call_activity";

/// What an old client may say of the message that it answers.
const QUOTED: [&str; 7] =
    ["id", "text", "fileType", "fileName", "fileUrl", "audioDuration", "from"];
/// Longest such object, as JSON text in bytes; of a longer one the server makes its own.
const LONGEST_QUOTE: usize = 4096;
/// Longest instant that is handed on as it was sent.
const LONGEST_INSTANT: usize = 64;

/// The fields of the old families beside the text and the file.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = OldPartsRequest)]
pub struct OldParts {
    pub reply_to: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub reply_to_message: Option<Value>,
    #[serde(deserialize_with = "truth")]
    pub forwarded: bool,
    #[serde(deserialize_with = "fields::text")]
    pub forwarded_from: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub forwarded_message_id: Option<String>,
    #[serde(deserialize_with = "truth")]
    pub call_activity: bool,
    #[schema(value_type = Option<String>)]
    pub message_type: Option<Value>,
    #[serde(deserialize_with = "fields::text")]
    pub call_type: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub call_status: Option<String>,
    #[serde(deserialize_with = "truth")]
    pub is_video_call: bool,
    #[schema(value_type = Option<String>)]
    pub call_start_time: Option<Value>,
    #[serde(deserialize_with = "fields::leading_whole")]
    pub call_duration: Option<u32>,
    #[serde(deserialize_with = "fields::named")]
    pub metadata: Option<Metadata>,
    #[serde(deserialize_with = "conversation::ids")]
    pub mentions: Option<Vec<String>>,
}

/// What a message is about beside its text.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
#[schema(as = MetadataRequest)]
pub struct Metadata {
    #[serde(deserialize_with = "fields::named")]
    pub location: Option<Location>,
    #[serde(deserialize_with = "fields::named")]
    pub contact: Option<Contact>,
}

/// A place.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = LocationRequest)]
pub struct Location {
    #[serde(deserialize_with = "fields::number")]
    pub latitude: f64,
    #[serde(deserialize_with = "fields::number")]
    pub longitude: f64,
    #[serde(default, deserialize_with = "fields::text")]
    pub address: Option<String>,
}

/// Somebody's card.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
#[schema(as = ContactRequest)]
pub struct Contact {
    #[serde(deserialize_with = "fields::text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub phone: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub email: Option<String>,
}

impl OldParts {
    /// Adds these parts to a request, whose type says `call_activity` where an old client put it there.
    pub(super) fn add_to(self, request: &mut pb::SendMessageRequest) -> Result<(), ApiError> {
        if let Some(id) = fields::first([self.reply_to]) {
            request.reply_to_id = Some(fields::message_id("replyTo", &id)?.to_string());
            request.given_quote = self.reply_to_message.as_ref().and_then(quote);
        }
        let from = fields::first([self.forwarded_from]);
        let message_id = fields::first([self.forwarded_message_id]);
        if self.forwarded {
            request.forwarding = Some(pb::Forwarding { from, message_id });
        }
        let is_call = self.call_activity
            || request.r#type == CALL_ACTIVITY
            || self.message_type.as_ref().is_some_and(|kind| kind == CALL_ACTIVITY);
        if is_call {
            if request.r#type == CALL_ACTIVITY {
                request.r#type.clear();
            }
            request.call = Some(pb::CallActivity {
                direction: fields::first([self.call_type]),
                status: fields::first([self.call_status]),
                is_video: self.is_video_call,
                started_at: self.call_start_time.as_ref().and_then(instant),
                duration_seconds: self.call_duration,
            });
            if request.content.is_empty() {
                "\u{1F4DE} Call".clone_into(&mut request.content);
            }
        }
        add_metadata(self.metadata, request);
        request.mention_ids = self.mentions.unwrap_or_default();
        Ok(())
    }
}

/// The fields of new clients beside the text and the file.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = UnifiedPartsRequest)]
pub struct UnifiedParts {
    pub reply_to: Option<String>,
    #[serde(deserialize_with = "fields::named")]
    pub forwarded: Option<Forwarded>,
    #[serde(deserialize_with = "fields::named")]
    pub call: Option<Call>,
    #[serde(deserialize_with = "fields::named")]
    pub metadata: Option<Metadata>,
    #[serde(deserialize_with = "conversation::ids")]
    pub mentions: Option<Vec<String>>,
}

/// Where a forwarded message came from.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = ForwardedRequest)]
pub struct Forwarded {
    /// Whom it came from: an id, or a name
    #[schema(pattern = "^")]
    #[serde(deserialize_with = "fields::text")]
    pub from: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub message_id: Option<String>,
}

/// What a message tells of a call.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = CallRequest)]
pub struct Call {
    #[serde(deserialize_with = "fields::text")]
    pub direction: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "fields::flag")]
    pub is_video: Option<bool>,
    pub started_at: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    pub duration_seconds: Option<u32>,
}

impl UnifiedParts {
    /// Adds these parts to a request.
    pub(super) fn add_to(self, request: &mut pb::SendMessageRequest) -> Result<(), ApiError> {
        if let Some(id) = fields::first([self.reply_to]) {
            request.reply_to_id = Some(fields::message_id("replyTo", &id)?.to_string());
        }
        request.forwarding = self.forwarded.map(|forwarded| pb::Forwarding {
            from: fields::first([forwarded.from]),
            message_id: fields::first([forwarded.message_id]),
        });
        if let Some(call) = self.call {
            let started_at = fields::first([call.started_at]);
            if let Some(started_at) = &started_at {
                fields::instant("call.startedAt", started_at)?;
            }
            request.call = Some(pb::CallActivity {
                direction: fields::first([call.direction]),
                status: fields::first([call.status]),
                is_video: call.is_video.unwrap_or_default(),
                started_at,
                duration_seconds: call.duration_seconds,
            });
        }
        add_metadata(self.metadata, request);
        request.mention_ids = self.mentions.unwrap_or_default();
        Ok(())
    }
}

fn add_metadata(metadata: Option<Metadata>, request: &mut pb::SendMessageRequest) {
    let Metadata { location, contact } = metadata.unwrap_or_default();
    request.location = location.map(|place| pb::Location {
        latitude: place.latitude,
        longitude: place.longitude,
        address: fields::first([place.address]),
    });
    request.contact_card = contact.map(|card| pb::ContactCard {
        name: card.name.unwrap_or_default(),
        phone: fields::first([card.phone]),
        email: fields::first([card.email]),
    });
    if request.r#type.is_empty() {
        let by_part = match (&request.location, &request.contact_card) {
            (Some(_), _) => "location",
            (None, Some(_)) => "contact",
            (None, None) => "",
        };
        by_part.clone_into(&mut request.r#type);
    }
}

/// Returns the known fields of a client's quote as JSON text: scalars as they are. Whatever is no object
/// or says too much is none.
fn quote(given: &Value) -> Option<String> {
    let given = given.as_object()?;
    let known = QUOTED.iter().filter_map(|key| {
        let value = given.get(*key).filter(|value| !value.is_object() && !value.is_array())?;
        Some(((*key).to_owned(), value.clone()))
    });
    let known: Map<String, Value> = known.collect();
    let text = Value::Object(known).to_string();
    (text.len() > 2 && text.len() <= LONGEST_QUOTE).then_some(text)
}

/// Returns an instant as it was written, if it is one.
fn instant(given: &Value) -> Option<String> {
    let text = given.as_str()?;
    let is_instant =
        text.len() <= LONGEST_INSTANT && fields::instant("callStartTime", text).is_ok();
    is_instant.then(|| text.to_owned())
}

/// Reads whether something is said at all, as the language of the old server has it.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => false,
        Value::Bool(truth) => truth,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        // Forms know no booleans.
        Value::String(text) => !matches!(text.as_str(), "" | "false" | "0"),
        Value::Array(_) | Value::Object(_) => true,
    })
}
