//! The NATS subject of every event, the wildcards to subscribe by, and the name of the stream. No
//! other place spells a subject.

use crate::v1::event::Payload;

/// The stream that keeps every event which must not be lost.
pub const LOG_STREAM: &str = "CHAT_V1_LOG";

/// All subjects of [`LOG_STREAM`].
pub const LOG_WILDCARD: &str = "chat.v1.log.>";

/// All subjects of events that are worthless a second later: in no stream, heard by who listens.
pub const LIVE_WILDCARD: &str = "chat.v1.live.>";

/// Returns the subject on which an event with this payload is published.
#[must_use]
pub fn of(payload: &Payload) -> &'static str {
    match payload {
        Payload::MessageCreated(_) => "chat.v1.log.message.created",
        Payload::SessionRevoked(_) => "chat.v1.log.session.revoked",
        Payload::ConversationCreated(_) => "chat.v1.log.conversation.created",
        Payload::ConversationUpdated(_) => "chat.v1.log.conversation.updated",
        Payload::MembersAdded(_) => "chat.v1.log.members.added",
        Payload::MembersRemoved(_) => "chat.v1.log.members.removed",
        Payload::RequestCreated(_) => "chat.v1.log.request.created",
        Payload::RequestAccepted(_) => "chat.v1.log.request.accepted",
        Payload::RequestDeclined(_) => "chat.v1.log.request.declined",
        Payload::ProfileUpdated(_) => "chat.v1.log.profile.updated",
        Payload::MarksChanged(_) => "chat.v1.log.marks.changed",
        Payload::PresenceChanged(_) => "chat.v1.log.presence.changed",
        Payload::MessageEdited(_) => "chat.v1.log.message.edited",
        Payload::MessageDeleted(_) => "chat.v1.log.message.deleted",
        Payload::MessageReacted(_) => "chat.v1.log.message.reacted",
        Payload::ReadAdvanced(_) => "chat.v1.log.receipt.read",
        Payload::DeliveredAdvanced(_) => "chat.v1.log.receipt.delivered",
        Payload::TypingChanged(_) => "chat.v1.live.typing.changed",
        Payload::CallPlaced(_) => "chat.v1.log.call.placed",
        Payload::CallAnswered(_) => "chat.v1.log.call.answered",
        Payload::CallDeclined(_) => "chat.v1.log.call.declined",
        Payload::CallEnded(_) => "chat.v1.log.call.ended",
        Payload::CandidateAdded(_) => "chat.v1.live.candidate.added",
    }
}
