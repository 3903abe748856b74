//! Requests to validated input, documents to protobuf. Pure.

mod block;
mod changed;
pub(crate) mod group;
pub(crate) mod marks;
mod members;
pub(crate) mod request;

use bson::DateTime;
use chat_kit::{
    caller::Actor,
    id::{ConversationId, UserId},
    time::{from_timestamp, to_timestamp},
};
use chat_proto::v1::{self as pb, Act, open_direct_conversation_request::Peer as PbPeer};

use tonic::Status;

pub(crate) use self::{
    block::{blocked, blocked_page},
    changed::{changed, conversations, since},
    members::{conversation_users, members},
};

use crate::{
    config::Limits,
    cursor::Cursor,
    direct::{Opened, Peer},
    error::Error,
    list::{Listed, Wanted},
    marks::Marks,
    store::{
        conversations::{Attachment, Audience, Conversation, ConversationStatus, Preview},
        marks::Shown,
        memberships::Membership,
        replaced::{DeletedMessage, Replacement},
    },
};

/// Most previews of one call: more than any caller collects.
const MOST_ACTIVITIES: usize = 256;
/// Most users of one question: as many as a list of conversations shows.
const MOST_USERS: usize = 5000;

/// A preview and its conversation, or what is wrong with it.
pub(crate) type Activity = Result<(ConversationId, Preview), Error>;

/// Reads the id of a user.
pub(crate) fn user_id(field: &'static str, text: &str) -> Result<UserId, Error> {
    text.parse().map_err(|_| Error::InvalidId(field))
}

/// Reads whom a question is about: the user who asks it, or the one that a service names.
pub(crate) fn subject(actor: &Actor, named: Option<&str>) -> Result<UserId, Error> {
    let named = named.map(|id| user_id("user_id", id)).transpose()?;
    match actor {
        Actor::User { id, .. } if named.is_none_or(|named| named == *id) => Ok(*id),
        Actor::User { .. } => Err(Error::ServicesOnly),
        Actor::Service(_) => named.ok_or(Error::Missing("user_id")),
    }
}

/// Reads ids of users, which are not too many.
pub(crate) fn users(field: &'static str, texts: &[String]) -> Result<Vec<UserId>, Error> {
    if texts.len() > MOST_USERS {
        return Err(Error::TooMany { field, most: MOST_USERS });
    }
    texts.iter().map(|id| user_id(field, id)).collect()
}

/// Writes ids of users.
pub(crate) fn texts(users: &[UserId]) -> Vec<String> {
    users.iter().map(UserId::to_string).collect()
}

pub(crate) fn conversation_id(text: &str) -> Result<ConversationId, Error> {
    text.parse().map_err(|_| Error::InvalidConversationId)
}

/// Reads whom a conversation is wanted with.
pub(crate) fn peer(request: pb::OpenDirectConversationRequest) -> Result<Peer, Error> {
    match request.peer {
        Some(PbPeer::UserId(id)) => Ok(Peer::Id(user_id("user_id", &id)?)),
        Some(PbPeer::Contact(contact)) => Ok(Peer::Contact(contact)),
        None => Err(Error::Missing("peer")),
    }
}

/// Reads which page of the list is wanted.
pub(crate) fn page(
    request: pb::ListConversationsRequest,
    limits: &Limits,
) -> Result<Wanted, Error> {
    let status = match pb::ConversationStatus::try_from(request.status) {
        Ok(pb::ConversationStatus::Unspecified | pb::ConversationStatus::Active) => {
            ConversationStatus::Active
        }
        Ok(pb::ConversationStatus::Pending) => ConversationStatus::Pending,
        Ok(pb::ConversationStatus::Declined) => ConversationStatus::Declined,
        Ok(pb::ConversationStatus::Blocked) => ConversationStatus::Blocked,
        Err(_) => return Err(Error::Invalid("status")),
    };
    let page = request.page.unwrap_or_default();
    let limit = match page.limit {
        0 => limits.page.get(),
        limit => limit,
    };
    let after = match page.cursor.as_str() {
        "" => None,
        cursor => Some(Cursor::parse(cursor)?),
    };
    let shown = Shown { archived: request.is_archived, pinned: request.is_pinned };
    Ok(Wanted { status, shown, limit: limit.min(limits.largest_page.get()), after })
}

/// Reads what is wanted in which conversation.
pub(crate) fn act(request: &pb::GetAudienceRequest) -> Result<(ConversationId, Act), Error> {
    let id = conversation_id(&request.conversation_id)?;
    match Act::try_from(request.act) {
        Ok(act @ (Act::Read | Act::Post | Act::Deliver)) => Ok((id, act)),
        Ok(Act::Unspecified) | Err(_) => Err(Error::Invalid("act")),
    }
}

/// Reads a preview and its conversation.
pub(crate) fn activity(request: pb::RecordActivityRequest, limits: &Limits) -> Activity {
    let id = conversation_id(&request.conversation_id)?;
    Ok((id, preview(request.preview.ok_or(Error::Missing("preview"))?, limits)?))
}

/// Reads what is to be shown in the place of a message.
pub(crate) fn replacement(
    request: pb::ReplacePreviewRequest,
    limits: &Limits,
) -> Result<Replacement, Error> {
    let conversation = conversation_id(&request.conversation_id)?;
    let preview = request.preview.map(|shown| preview(shown, limits)).transpose()?;
    if request.seq < 1 {
        return Err(Error::Invalid("seq"));
    }
    if request.change < 1 {
        return Err(Error::Invalid("change"));
    }
    if preview.as_ref().is_some_and(|shown| shown.seq > request.seq) {
        return Err(Error::Invalid("preview.seq"));
    }
    let deleted = request.deleted.as_ref().map(deleted).transpose()?;
    Ok(Replacement { conversation, seq: request.seq, change: request.change, preview, deleted })
}

/// Reads what the sender of a deleted message has written.
fn deleted(message: &pb::DeletedMessage) -> Result<DeletedMessage, Error> {
    let created_at = message.created_at.ok_or(Error::Missing("deleted.created_at"))?;
    let created_at = from_timestamp(&created_at);
    let previous_created_at = message.previous_created_at.as_ref().map(from_timestamp);
    if previous_created_at.is_some_and(|previous| previous >= created_at) {
        return Err(Error::Invalid("deleted.previous_created_at"));
    }
    let sender_id = user_id("deleted.sender_id", &message.sender_id)?;
    Ok(DeletedMessage { sender_id, created_at, previous_created_at })
}

/// Reads a preview; its text is cut to the preview's length.
fn preview(preview: pb::Preview, limits: &Limits) -> Result<Preview, Error> {
    if preview.seq < 1 {
        return Err(Error::Invalid("preview.seq"));
    }
    let message_id = preview.message_id.parse();
    let created_at = preview.created_at.ok_or(Error::Missing("preview.created_at"))?;
    let content = preview.content.chars();
    let preview = Preview {
        message_id: message_id.map_err(|_| Error::InvalidId("preview.message_id"))?,
        seq: preview.seq,
        sender_id: user_id("preview.sender_id", &preview.sender_id)?,
        content: content.take(limits.preview_length.get()).collect(),
        r#type: preview.r#type,
        created_at: from_timestamp(&created_at),
        attachment: preview.attachment.map(Into::into),
        change: preview.change,
        edited_at: preview.edited_at.as_ref().map(from_timestamp),
        is_call: preview.is_call,
        is_video: preview.is_video,
    };
    Ok(preview)
}

/// Reads several previews, of which each may be wrong for itself.
pub(crate) fn activities(
    request: pb::RecordActivitiesRequest,
    limits: &Limits,
) -> Result<Vec<Activity>, Error> {
    if request.activities.len() > MOST_ACTIVITIES {
        return Err(Error::Invalid("activities"));
    }
    let activities = request.activities.into_iter();
    Ok(activities.map(|one| activity(one, limits)).collect())
}

/// Writes what became of several previews.
pub(crate) fn recorded(outcomes: Vec<Result<(), Error>>) -> pb::RecordActivitiesResponse {
    let failures = (0..).zip(outcomes).filter_map(|(place, outcome)| {
        let status = Status::from(outcome.err()?);
        Some(pb::ActivityFailure {
            place,
            code: status.code().into(),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
        })
    });
    pb::RecordActivitiesResponse { failures: failures.collect() }
}

/// Writes an opened conversation as `user` sees it.
pub(crate) fn opened(opened: Opened, user: UserId) -> pb::OpenDirectConversationResponse {
    pb::OpenDirectConversationResponse {
        conversation: Some(conversation(opened.conversation, user)),
        created: opened.is_new,
    }
}

/// Writes a page of the list as `user` sees it.
pub(crate) fn listed(listed: Listed, user: UserId) -> pb::ListConversationsResponse {
    let next = listed.next.map(|cursor| cursor.to_string());
    let conversations = listed.conversations.into_iter();
    pb::ListConversationsResponse {
        conversations: conversations.map(|found| conversation(found, user)).collect(),
        page: Some(pb::PageResponse { next_cursor: next.unwrap_or_default() }),
    }
}

/// Reads which conversation is meant.
pub(crate) fn one(id: &str) -> Result<ConversationId, Error> {
    conversation_id(id)
}

/// Writes a conversation as `user` sees it.
pub(crate) fn found(found: Conversation, user: UserId) -> pb::GetConversationResponse {
    pb::GetConversationResponse { conversation: Some(conversation(found, user)) }
}

impl From<Conversation> for pb::FindDirectConversationResponse {
    fn from(found: Conversation) -> Self {
        let status = pb::ConversationStatus::from(found.status).into();
        Self { conversation_id: Some(found.id.to_string()), status }
    }
}

/// Writes a conversation as everybody may see it.
pub(crate) fn shown_to_all(found: Conversation) -> pb::Conversation {
    pb::Conversation {
        id: found.id.to_string(),
        status: pb::ConversationStatus::from(found.status).into(),
        last_sent_at: None,
        member_ids: found.member_ids.iter().map(UserId::to_string).collect(),
        created_by: made_by(&found).map(|id| id.to_string()),
        accepted_at: found.accepted_at.map(to_timestamp),
        participant_key: found.participant_key,
        last_message: None,
        created_at: Some(to_timestamp(found.created_at)),
        updated_at: Some(to_timestamp(found.updated_at)),
        is_group: found.is_group,
        cleared_seq: 0,
        counted_after_seq: 0,
        marks: None,
        group: found.group.map(Into::into),
    }
}

/// Who asked counts while it is not accepted: he need not be who made it.
fn made_by(found: &Conversation) -> Option<UserId> {
    match found.status {
        ConversationStatus::Pending | ConversationStatus::Declined => found.requester(),
        ConversationStatus::Active | ConversationStatus::Blocked => found.created_by,
    }
}

/// Writes a conversation as `user` sees it.
pub(crate) fn conversation(mut found: Conversation, user: UserId) -> pb::Conversation {
    let own = user.to_string();
    let cleared_seq = found.cleared_seq(user);
    let joined_seq = found.joined.get(&own).copied().unwrap_or_default();
    let last_message = found.last_message.take().filter(|last| last.seq > cleared_seq);
    let last_sent_at = found.last_sent.get(&own).copied();
    let marks = Marks::of(&found, user, DateTime::now());
    pb::Conversation {
        last_sent_at: last_sent_at.map(to_timestamp),
        last_message: last_message.map(Into::into),
        cleared_seq,
        counted_after_seq: cleared_seq.max(joined_seq),
        marks: Some(marks.into()),
        ..shown_to_all(found)
    }
}

/// Writes who hears of an act to who asked.
pub(crate) fn audience(audience: &Audience, actor: &Actor) -> pb::GetAudienceResponse {
    pb::GetAudienceResponse {
        is_direct: audience.is_direct(),
        member_ids: audience.member_ids.iter().map(UserId::to_string).collect(),
        cleared_seq: match actor {
            Actor::User { id, .. } => audience.cleared_seq(*id),
            Actor::Service(_) => 0,
        },
    }
}

/// Writes the conversations of a user.
pub(crate) fn memberships(memberships: Vec<Membership>) -> pb::ListMembershipsResponse {
    let memberships = memberships.into_iter().map(|membership| pb::Membership {
        conversation_id: membership.conversation.to_string(),
        cleared_seq: membership.cleared_seq,
        newest_seq: membership.newest_seq,
        counted_after_seq: membership.counted_after_seq,
        member_ids: texts(&membership.member_ids),
    });
    pb::ListMembershipsResponse { memberships: memberships.collect() }
}

impl From<Preview> for pb::Preview {
    fn from(preview: Preview) -> Self {
        Self {
            message_id: preview.message_id.to_string(),
            seq: preview.seq,
            sender_id: preview.sender_id.to_string(),
            content: preview.content,
            r#type: preview.r#type,
            created_at: Some(to_timestamp(preview.created_at)),
            attachment: preview.attachment.map(Into::into),
            change: preview.change,
            edited_at: preview.edited_at.map(to_timestamp),
            is_call: preview.is_call,
            is_video: preview.is_video,
        }
    }
}

impl From<pb::Attachment> for Attachment {
    fn from(attachment: pb::Attachment) -> Self {
        Self {
            url: attachment.url,
            name: attachment.name,
            file_type: attachment.file_type,
            duration_seconds: attachment.duration_seconds,
        }
    }
}

impl From<Attachment> for pb::Attachment {
    fn from(attachment: Attachment) -> Self {
        Self {
            url: attachment.url,
            name: attachment.name,
            file_type: attachment.file_type,
            duration_seconds: attachment.duration_seconds,
        }
    }
}

impl From<ConversationStatus> for pb::ConversationStatus {
    fn from(status: ConversationStatus) -> Self {
        match status {
            ConversationStatus::Active => Self::Active,
            ConversationStatus::Pending => Self::Pending,
            ConversationStatus::Declined => Self::Declined,
            ConversationStatus::Blocked => Self::Blocked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview() -> pb::Preview {
        pb::Preview {
            message_id: UserId::new().to_string(),
            seq: 1,
            sender_id: UserId::new().to_string(),
            content: "é".repeat(4001),
            r#type: "text".to_owned(),
            created_at: Some(prost_types::Timestamp::default()),
            attachment: None,
            ..Default::default()
        }
    }

    fn read(preview: Option<pb::Preview>) -> Result<Preview, Error> {
        let request = pb::RecordActivityRequest {
            conversation_id: ConversationId::new().to_string(),
            preview,
        };
        activity(request, &Limits::default()).map(|(_, preview)| preview)
    }

    #[test]
    fn preview_is_cut_to_4000_characters() {
        let read = read(Some(preview())).expect("a preview");
        assert_eq!(read.content, "é".repeat(4000));
    }

    #[test]
    fn incomplete_preview_is_refused() {
        let broken: [fn(&mut pb::Preview); 4] = [
            |preview| preview.seq = 0,
            |preview| preview.created_at = None,
            |preview| preview.sender_id = "$where".to_owned(),
            |preview| preview.message_id = String::new(),
        ];
        for breaks in broken {
            let mut preview = preview();
            breaks(&mut preview);
            read(Some(preview)).expect_err("not a preview");
        }
        read(None).expect_err("no preview");
    }

    #[test]
    fn page_has_a_default_and_a_cap() {
        for (asked, expected) in [(0, 50), (7, 7), (501, 500), (u32::MAX, 500)] {
            let request = pb::ListConversationsRequest {
                status: 0,
                page: Some(pb::PageRequest { limit: asked, cursor: String::new() }),
                ..Default::default()
            };
            let wanted = page(request, &Limits::default()).expect("a page");
            assert_eq!(wanted.limit, expected);
            assert_eq!(wanted.status, ConversationStatus::Active);
        }
    }
}
