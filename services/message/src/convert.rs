//! From requests to validated input, and from documents to protobuf. Pure: no I/O.

mod changes;
mod parts;
mod receipts;

use std::str::FromStr;

use bson::{DateTime, oid::ObjectId};
use chat_kit::{
    id::{ConversationId, InvalidId, MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1 as pb;

pub use self::changes::known;
pub use self::parts::Parts;
use self::parts::label;
pub use self::receipts::{ReadMark, ReadTo, delivered, read_to};
use crate::{
    error::Error,
    search::{Found, Position},
    states::{Row, State},
    store::{
        messages::{Kind, Message, SystemNote},
        receipts::Receipt,
    },
};

/// Longest client id, in characters.
const LONGEST_CLIENT_ID: usize = 512;
/// Longest name of a happening, in characters.
const LONGEST_KIND: usize = 64;
/// Most users of whom one system message speaks.
const MOST_SUBJECTS: usize = 1000;
/// Longest beginning of a text that a preview shows, in characters.
const PREVIEW_LENGTH: usize = 4000;

/// A message to be sent, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// Its id.
    pub id: MessageId,
    /// Where it goes.
    pub target: Target,
    /// Text.
    pub content: String,
    /// What it is.
    pub kind: Kind,
    /// What belongs to it beside the text.
    pub parts: Parts,
    /// JSON text of the client's id.
    pub client_id: Option<String>,
    /// The socket it is sent on.
    pub origin_id: Option<ObjectId>,
}

/// What happened in a conversation, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSystemMessage {
    /// Who did it.
    pub actor: UserId,
    /// Where.
    pub conversation_id: ConversationId,
    /// Its message.
    pub message: NewMessage,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a conversation.
    Conversation(ConversationId),
    /// To the direct conversation with somebody.
    Peer(pb::open_direct_conversation_request::Peer),
}

impl NewMessage {
    /// Checks a request.
    pub fn parse(request: pb::SendMessageRequest, longest: usize) -> Result<Self, Error> {
        if request.content.encode_utf16().count() > longest {
            return Err(Error::TooLong { limit: longest });
        }
        let message_id = id("message_id", &request.message_id)?;
        let origin_id = request.origin_id.as_deref().map(parse_origin).transpose()?;
        let target = target(request.target.clone())?;
        let kind = kind(&request.r#type)?;
        let client_id = request.client_id.clone();
        let content = request.content.clone();
        let parts = Parts::parse(request)?;
        if content.is_empty() && parts.are_nothing() {
            return Err(invalid("content", "a message needs a text or a file"));
        }
        let client_id =
            client_id.map(|id| label("client_id", id, LONGEST_CLIENT_ID)).transpose()?;
        Ok(Self { id: message_id, target, content, kind, parts, client_id, origin_id })
    }
}

impl NewSystemMessage {
    /// Checks a request.
    pub fn parse(request: pb::SendSystemMessageRequest, longest: usize) -> Result<Self, Error> {
        let note = request.note.unwrap_or_default();
        if request.content.is_empty() || note.kind.is_empty() {
            return Err(invalid("note", "a system message needs a text and a kind"));
        }
        if request.content.encode_utf16().count() > longest {
            return Err(Error::TooLong { limit: longest });
        }
        if note.user_ids.len() > MOST_SUBJECTS {
            let message = format!("a system message speaks of at most {MOST_SUBJECTS} users");
            return Err(invalid("note.user_ids", &message));
        }
        let user_ids = note.user_ids.iter().map(|user| id("note.user_ids", user));
        let system = SystemNote {
            kind: label("note.kind", note.kind, LONGEST_KIND)?,
            user_ids: user_ids.collect::<Result<_, _>>()?,
        };
        let conversation_id = conversation_id(&request.conversation_id)?;
        let message = NewMessage {
            id: id("message_id", &request.message_id)?,
            target: Target::Conversation(conversation_id),
            content: request.content,
            kind: Kind::System,
            parts: Parts { system: Some(system), ..Parts::default() },
            client_id: None,
            origin_id: None,
        };
        Ok(Self { actor: id("actor_id", &request.actor_id)?, conversation_id, message })
    }
}

fn target(target: Option<pb::send_message_request::Target>) -> Result<Target, Error> {
    use pb::{open_direct_conversation_request::Peer, send_message_request::Target as Given};
    match target {
        Some(Given::ConversationId(id)) => conversation_id(&id).map(Target::Conversation),
        Some(Given::UserId(user)) => {
            id::<UserId>("user_id", &user)?;
            Ok(Target::Peer(Peer::UserId(user)))
        }
        Some(Given::Contact(contact)) => Ok(Target::Peer(Peer::Contact(contact))),
        None => Err(invalid("target", "name a conversation, a user or a contact to write to")),
    }
}

/// Parses the id of a conversation.
pub fn conversation_id(text: &str) -> Result<ConversationId, Error> {
    text.parse().map_err(|_| Error::InvalidConversationId)
}

/// Parses an id in the field `field`.
pub fn id<T: FromStr<Err = InvalidId>>(field: &'static str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|InvalidId| Error::InvalidId { field })
}

fn parse_origin(text: &str) -> Result<ObjectId, Error> {
    ObjectId::parse_str(text).map_err(|_| Error::InvalidId { field: "origin_id" })
}

fn invalid(field: &'static str, message: &str) -> Error {
    Error::Invalid { field, message: message.to_owned() }
}

fn kind(text: &str) -> Result<Kind, Error> {
    Ok(match text {
        "" | "text" => Kind::Text,
        "image" => Kind::Image,
        "video" => Kind::Video,
        "file" => Kind::File,
        "audio" => Kind::Audio,
        "location" => Kind::Location,
        "contact" => Kind::Contact,
        "voice" => Kind::Voice,
        _ => {
            return Err(invalid(
                "type",
                "type is one of text, image, video, file, audio, location, contact, voice",
            ));
        }
    })
}

impl Kind {
    /// Returns the kind as it is spelled on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Video => "video",
            Self::File => "file",
            Self::Audio => "audio",
            Self::Location => "location",
            Self::Contact => "contact",
            Self::Voice => "voice",
            Self::System => "system",
        }
    }
}

impl From<Message> for pb::Message {
    fn from(message: Message) -> Self {
        Self {
            id: message.id.to_string(),
            conversation_id: message.conversation_id.to_string(),
            seq: message.seq,
            sender_id: message.sender_id.to_string(),
            recipient_id: message.recipient_id.map(|id| id.to_string()),
            content: message.content,
            r#type: message.kind.as_str().to_owned(),
            attachment: message.attachment.map(Into::into),
            client_id: message.client_id,
            created_at: Some(to_timestamp(message.created_at)),
            previous_created_at: message.previous_created_at.map(to_timestamp),
            origin_id: message.origin_id.map(ObjectId::to_hex),
            reply_to_id: message.reply.as_ref().map(|reply| reply.to.to_string()),
            quote: message.reply.as_ref().and_then(parts::quote),
            given_quote: message.reply.and_then(|reply| reply.given),
            forwarding: message.forwarding.map(Into::into),
            call: message.call.map(Into::into),
            location: message.location.map(Into::into),
            contact_card: message.contact.map(Into::into),
            system: message.system.map(Into::into),
            mention_ids: message.mention_ids.iter().map(ToString::to_string).collect(),
            edited_at: message.edited_at.map(to_timestamp),
            deleted_at: message.deleted_at.map(to_timestamp),
            change: message.change,
            reactions: message.reactions.into_iter().map(Into::into).collect(),
        }
    }
}

/// Reads the cursor of a page of what was found; empty for the first.
pub fn position(cursor: &str) -> Result<Option<Position>, Error> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let parsed = cursor.split_once('-').and_then(|(millis, id)| {
        Some((DateTime::from_millis(millis.parse().ok()?), id.parse().ok()?))
    });
    parsed.map(Some).ok_or_else(|| invalid("page.cursor", "the cursor is none of this list's"))
}

/// Writes what was found.
#[must_use]
pub fn found(found: Found) -> pb::SearchMessagesResponse {
    let next = found.next.map(|(at, id)| format!("{}-{id}", at.timestamp_millis()));
    pb::SearchMessagesResponse {
        messages: found.messages.into_iter().map(Into::into).collect(),
        page: Some(pb::PageResponse { next_cursor: next.unwrap_or_default() }),
    }
}

/// Longest reaction, in characters.
const LONGEST_REACTION: usize = 32;

/// Checks the new text of a message.
pub fn new_content(content: String, longest: usize) -> Result<String, Error> {
    if content.trim().is_empty() {
        return Err(invalid("content", "an edited message needs a text; delete it to remove it"));
    }
    if content.encode_utf16().count() > longest {
        return Err(Error::TooLong { limit: longest });
    }
    Ok(content)
}

/// Checks a reaction.
pub fn reaction(text: &str) -> Result<&str, Error> {
    let is_one = !text.trim().is_empty()
        && text.chars().count() <= LONGEST_REACTION
        && !text.chars().any(char::is_control);
    if is_one {
        return Ok(text);
    }
    let message = format!("a reaction is a sign or a word of 1 to {LONGEST_REACTION} characters");
    Err(invalid("reaction", &message))
}

/// Writes a message for one of its readers: of what he has deleted for himself he sees what is left of any
/// deleted message.
#[must_use]
pub fn seen_by(reader: UserId, message: Message) -> pb::Message {
    if message.deleted_at.is_none() && message.deleted_for.contains(&reader) {
        let deleted_at = message.changed_at.map(to_timestamp);
        return pb::Message { deleted_at, ..left_of(&message) };
    }
    message.into()
}

/// Returns what is left of a message for somebody who does not see it any more.
#[must_use]
pub fn left_of(message: &Message) -> pb::Message {
    pb::Message {
        id: message.id.to_string(),
        conversation_id: message.conversation_id.to_string(),
        seq: message.seq,
        sender_id: message.sender_id.to_string(),
        recipient_id: message.recipient_id.map(|id| id.to_string()),
        r#type: message.kind.as_str().to_owned(),
        created_at: Some(to_timestamp(message.created_at)),
        previous_created_at: message.previous_created_at.map(to_timestamp),
        deleted_at: message.deleted_at.map(to_timestamp),
        change: message.change,
        ..pb::Message::default()
    }
}

/// Most rows of a list.
const MOST_ROWS: usize = 500;

/// Reads the rows of a list.
pub fn rows(request: pb::GetListStatesRequest) -> Result<Vec<Row>, Error> {
    if request.rows.len() > MOST_ROWS {
        return Err(invalid("rows", &format!("a list has at most {MOST_ROWS} rows")));
    }
    let row = |row: pb::ListRow| {
        let last = row.last_message_id.filter(|id| !id.is_empty());
        Ok(Row {
            conversation_id: conversation_id(&row.conversation_id)?,
            last_message_id: last.map(|last| id("last_message_id", &last)).transpose()?,
            counted_after: row.counted_after_seq.max(0),
            with_all_cursors: row.with_all_cursors,
        })
    };
    request.rows.into_iter().map(row).collect()
}

impl From<State> for pb::ListState {
    fn from(state: State) -> Self {
        Self {
            conversation_id: state.conversation_id.to_string(),
            cursors: state.receipts.into_iter().map(Into::into).collect(),
            unread_count: state.unread_count,
            preview_override: state
                .preview
                .map(|message| pb::PreviewOverride { message: message.map(Into::into) }),
        }
    }
}

impl From<Receipt> for pb::ReceiptCursor {
    fn from(receipt: Receipt) -> Self {
        Self {
            user_id: receipt.user_id.to_string(),
            delivered_seq: receipt.delivered_seq,
            delivered_at: receipt.delivered_at.map(to_timestamp),
            read_seq: receipt.read_seq,
            read_at: receipt.read_at.map(to_timestamp),
        }
    }
}

/// Returns what a list shows of a message.
#[must_use]
pub fn preview(message: &Message) -> pb::Preview {
    pb::Preview {
        message_id: message.id.to_string(),
        seq: message.seq,
        sender_id: message.sender_id.to_string(),
        content: preview_text(message),
        r#type: message.kind.as_str().to_owned(),
        created_at: Some(to_timestamp(message.created_at)),
        attachment: message.attachment.clone().map(Into::into),
        change: message.change,
        edited_at: message.edited_at.map(to_timestamp),
        is_call: message.call.is_some(),
        is_video: message.call.as_ref().is_some_and(|call| call.is_video),
    }
}

/// Returns the text that a list shows of a message; a place or a card without one has a name.
fn preview_text(message: &Message) -> String {
    if message.content.is_empty() {
        if message.location.is_some() {
            return "\u{1F4CD} Location".to_owned();
        }
        if message.contact.is_some() {
            return "\u{1F464} Contact".to_owned();
        }
    }
    message.content.chars().take(PREVIEW_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> pb::SendMessageRequest {
        pb::SendMessageRequest {
            target: Some(pb::send_message_request::Target::ConversationId(
                ConversationId::new().to_string(),
            )),
            message_id: MessageId::new().to_string(),
            content: "hi".to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn plain_text_is_a_message() {
        let message = NewMessage::parse(request(), 4000).expect("a message");
        assert_eq!((message.content.as_str(), message.kind), ("hi", Kind::Text));
    }

    #[test]
    fn neither_text_nor_file_is_not_a_message() {
        let error =
            NewMessage::parse(pb::SendMessageRequest { content: String::new(), ..request() }, 4000);
        assert!(matches!(error, Err(Error::Invalid { field: "content", .. })));
    }

    #[test]
    fn length_counts_utf16_units() {
        let content = "😀".repeat(2001);
        let error = NewMessage::parse(pb::SendMessageRequest { content, ..request() }, 4000);
        assert!(matches!(error, Err(Error::TooLong { limit: 4000 })));
    }

    #[test]
    fn unknown_type_is_refused() {
        let r#type = "sticker".to_owned();
        let error = NewMessage::parse(pb::SendMessageRequest { r#type, ..request() }, 4000);
        assert!(matches!(error, Err(Error::Invalid { field: "type", .. })));
    }

    #[test]
    fn message_without_target_is_refused() {
        let error = NewMessage::parse(pb::SendMessageRequest { target: None, ..request() }, 4000);
        assert!(matches!(error, Err(Error::Invalid { field: "target", .. })));
    }
}
