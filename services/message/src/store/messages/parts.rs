//! The parts of a stored message beside its text.

use bson::DateTime;
use chat_kit::id::{MessageId, UserId};
use serde::{Deserialize, Serialize};

use super::Message;

/// Longest beginning of an answered text that is kept, in characters: with everything else some 4 KiB.
const QUOTE_LENGTH: usize = 800;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Text alone.
    Text,
    /// A picture.
    Image,
    /// A film.
    Video,
    /// Any other file.
    File,
    /// A recording.
    Audio,
    /// A place.
    Location,
    /// Somebody's card.
    Contact,
    /// A recording made in the chat.
    Voice,
    /// What happened; nobody wrote it.
    System,
}

/// What happened in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemNote {
    /// The kind of happening.
    pub kind: String,
    /// Whom it happened to.
    pub user_ids: Vec<UserId>,
}

/// A file beside a message's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Where the file is.
    pub url: String,
    /// Name as its sender knew it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// What the sender's client calls it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file_type: Option<String>,
    /// Length of a recording in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_seconds: Option<u32>,
}

/// The message that another one answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Its id.
    pub to: MessageId,
    /// What it said when it was answered; absent once it is deleted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quote: Option<Quote>,
    /// The same as the client put it: the JSON text of an object.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub given: Option<String>,
}

/// What an answered message said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    /// Who wrote it.
    pub sender_id: UserId,
    /// The beginning of its text.
    pub content: String,
    /// What it was.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// File that belonged to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attachment: Option<Attachment>,
}

impl Quote {
    /// Quotes a message.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self {
            sender_id: message.sender_id,
            content: message.content.chars().take(QUOTE_LENGTH).collect(),
            kind: message.kind,
            attachment: message.attachment.clone(),
        }
    }
}

/// Where a forwarded message came from, as far as its sender's client tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// From whom: a name or an id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// The message that was forwarded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message_id: Option<String>,
}

/// What a message tells of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The way it went.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub direction: Option<String>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<String>,
    /// Whether it was a call with pictures.
    pub is_video: bool,
    /// When it began, as the client put it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<String>,
    /// How long it took, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_seconds: Option<u32>,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// What the place is called.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
}

/// Somebody's card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactCard {
    /// Name.
    pub name: String,
    /// Phone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub phone: Option<String>,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
}

/// What a member thinks of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Who.
    pub user_id: UserId,
    /// A sign or a short word.
    pub reaction: String,
    /// When he said so.
    pub at: DateTime,
}

/// What a message said before it was edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The text.
    pub content: String,
    /// Since when it said so.
    pub at: DateTime,
}
