//! The NATS subject of every event, the wildcards to subscribe by, and the name of the stream. No
//! other place spells a subject.

use crate::v1::event::Payload;

/// The stream that keeps every event which must not be lost.
pub const LOG_STREAM: &str = "CHAT_V1_LOG";

/// All subjects of [`LOG_STREAM`].
pub const LOG_WILDCARD: &str = "chat.v1.log.>";

/// Returns the subject on which an event with this payload is published.
#[must_use]
pub fn of(payload: &Payload) -> &'static str {
    match payload {
        Payload::MessageCreated(_) => "chat.v1.log.message.created",
        Payload::SessionRevoked(_) => "chat.v1.log.session.revoked",
    }
}
