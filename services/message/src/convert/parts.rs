//! The parts of a message beside its text: checked on the way in, written on the way out. Every text has
//! its bound, since whatever is stored is sent to every member.

use chat_kit::{
    id::{MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1 as pb;

use super::{id, invalid};
use crate::{
    error::Error,
    store::messages::{
        Attachment, Call, ContactCard, Forwarding, Location, Quote, Reaction, Reply, SystemNote,
    },
};

/// Longest address of a file, in characters.
const LONGEST_URL: usize = 2048;
/// Longest name or type of a file, or name of somebody, in characters.
const LONGEST_LABEL: usize = 255;
/// Longest phone, foreign id or instant, in characters.
const LONGEST_WORD: usize = 64;
/// Longest word about a call, in characters.
const LONGEST_CALL_WORD: usize = 32;
/// Longest address of a place, in characters.
const LONGEST_ADDRESS: usize = 500;
/// Longest quote that a client gives, in bytes.
const LONGEST_QUOTE: usize = 4096;
/// Most members that one message mentions.
const MOST_MENTIONS: usize = 50;

/// What belongs to a message beside its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// File.
    pub attachment: Option<Attachment>,
    /// The message that it answers.
    pub reply: Option<Reply>,
    /// That it is forwarded.
    pub forwarding: Option<Forwarding>,
    /// The call that it tells of.
    pub call: Option<Call>,
    /// The place that it shows.
    pub location: Option<Location>,
    /// The card that it shows.
    pub contact: Option<ContactCard>,
    /// Members whom it mentions, each once.
    pub mention_ids: Vec<UserId>,
    /// What happened, where it was not written.
    pub system: Option<SystemNote>,
}

impl Parts {
    /// Checks the parts of a request. That a quote is one, and that who is mentioned is a member, is
    /// decided with the conversation.
    pub(super) fn parse(request: pb::SendMessageRequest) -> Result<Self, Error> {
        Ok(Self {
            attachment: request.attachment.map(attachment).transpose()?,
            reply: reply(request.reply_to_id, request.given_quote)?,
            forwarding: request.forwarding.map(forwarding).transpose()?,
            call: request.call.map(call).transpose()?,
            location: request.location.map(location).transpose()?,
            contact: request.contact_card.map(contact).transpose()?,
            mention_ids: mention_ids(&request.mention_ids)?,
            system: None,
        })
    }

    /// Says whether there is nothing that a message could consist of.
    pub(super) fn are_nothing(&self) -> bool {
        self.attachment.is_none()
            && self.call.is_none()
            && self.location.is_none()
            && self.contact.is_none()
    }
}

/// Checks a text that is shown beside others.
pub(super) fn label(field: &'static str, text: String, longest: usize) -> Result<String, Error> {
    if text.chars().count() > longest {
        return Err(invalid(field, &format!("{field} exceeds {longest} characters")));
    }
    Ok(text)
}

fn optional(
    field: &'static str,
    text: Option<String>,
    longest: usize,
) -> Result<Option<String>, Error> {
    text.map(|text| label(field, text, longest)).transpose()
}

fn attachment(attachment: pb::Attachment) -> Result<Attachment, Error> {
    if attachment.url.is_empty() {
        return Err(invalid("attachment.url", "a file needs an address"));
    }
    Ok(Attachment {
        url: label("attachment.url", attachment.url, LONGEST_URL)?,
        name: optional("attachment.name", attachment.name, LONGEST_LABEL)?,
        file_type: optional("attachment.file_type", attachment.file_type, LONGEST_LABEL)?,
        duration_seconds: attachment.duration_seconds,
    })
}

fn reply(to: Option<String>, given: Option<String>) -> Result<Option<Reply>, Error> {
    let Some(to) = to else { return Ok(None) };
    let to: MessageId = id("reply_to_id", &to)?;
    if given.as_ref().is_some_and(|given| given.len() > LONGEST_QUOTE) {
        return Err(invalid("given_quote", &format!("a quote exceeds {LONGEST_QUOTE} bytes")));
    }
    Ok(Some(Reply { to, quote: None, given }))
}

fn forwarding(forwarding: pb::Forwarding) -> Result<Forwarding, Error> {
    Ok(Forwarding {
        from: optional("forwarding.from", forwarding.from, LONGEST_LABEL)?,
        message_id: optional("forwarding.message_id", forwarding.message_id, LONGEST_WORD)?,
    })
}

fn call(call: pb::CallActivity) -> Result<Call, Error> {
    Ok(Call {
        direction: optional("call.direction", call.direction, LONGEST_CALL_WORD)?,
        status: optional("call.status", call.status, LONGEST_CALL_WORD)?,
        is_video: call.is_video,
        started_at: optional("call.started_at", call.started_at, LONGEST_WORD)?,
        duration_seconds: call.duration_seconds,
    })
}

fn location(location: pb::Location) -> Result<Location, Error> {
    let pb::Location { latitude, longitude, address } = location;
    // What is no number lies in no range.
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        let message = "a place lies between -90 and 90 degrees north, -180 and 180 degrees east";
        return Err(invalid("location", message));
    }
    let address = optional("location.address", address, LONGEST_ADDRESS)?;
    Ok(Location { latitude, longitude, address })
}

fn contact(contact: pb::ContactCard) -> Result<ContactCard, Error> {
    if contact.name.is_empty() {
        return Err(invalid("contact_card.name", "a card needs a name"));
    }
    Ok(ContactCard {
        name: label("contact_card.name", contact.name, LONGEST_LABEL)?,
        phone: optional("contact_card.phone", contact.phone, LONGEST_WORD)?,
        email: optional("contact_card.email", contact.email, LONGEST_LABEL)?,
    })
}

fn mention_ids(given: &[String]) -> Result<Vec<UserId>, Error> {
    if given.len() > MOST_MENTIONS {
        let message = format!("a message mentions at most {MOST_MENTIONS} members");
        return Err(invalid("mention_ids", &message));
    }
    let mut ids = Vec::with_capacity(given.len());
    for user in given {
        let user: UserId = id("mention_ids", user)?;
        if !ids.contains(&user) {
            ids.push(user);
        }
    }
    Ok(ids)
}

/// Writes what an answered message said.
pub(super) fn quote(reply: &Reply) -> Option<pb::Quote> {
    let Quote { sender_id, content, kind, attachment } = reply.quote.clone()?;
    Some(pb::Quote {
        message_id: reply.to.to_string(),
        sender_id: sender_id.to_string(),
        content,
        r#type: kind.as_str().to_owned(),
        attachment: attachment.map(Into::into),
    })
}

impl From<Attachment> for pb::Attachment {
    fn from(attachment: Attachment) -> Self {
        let Attachment { url, name, file_type, duration_seconds } = attachment;
        Self { url, name, file_type, duration_seconds }
    }
}

impl From<Forwarding> for pb::Forwarding {
    fn from(forwarding: Forwarding) -> Self {
        Self { from: forwarding.from, message_id: forwarding.message_id }
    }
}

impl From<Call> for pb::CallActivity {
    fn from(call: Call) -> Self {
        let Call { direction, status, is_video, started_at, duration_seconds } = call;
        Self { direction, status, is_video, started_at, duration_seconds }
    }
}

impl From<Location> for pb::Location {
    fn from(location: Location) -> Self {
        let Location { latitude, longitude, address } = location;
        Self { latitude, longitude, address }
    }
}

impl From<ContactCard> for pb::ContactCard {
    fn from(contact: ContactCard) -> Self {
        Self { name: contact.name, phone: contact.phone, email: contact.email }
    }
}

impl From<SystemNote> for pb::SystemNote {
    fn from(note: SystemNote) -> Self {
        let user_ids = note.user_ids.iter().map(ToString::to_string).collect();
        Self { kind: note.kind, user_ids }
    }
}

impl From<Reaction> for pb::Reaction {
    fn from(reaction: Reaction) -> Self {
        Self {
            user_id: reaction.user_id.to_string(),
            reaction: reaction.reaction,
            created_at: Some(to_timestamp(reaction.at)),
        }
    }
}
