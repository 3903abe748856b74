//! Builds events. Does not publish.

use bson::DateTime;
use chat_kit::{id::UserId, session::SessionHash, time::to_timestamp};
use chat_proto::v1::{Event, SessionRevoked, event::Payload};

/// Builds the event of a session that was ended.
#[must_use]
pub fn session_revoked(user_id: UserId, hash: SessionHash, now: DateTime) -> Event {
    let user_id = user_id.to_string();
    Event {
        id: format!("{hash}:revoked:0"),
        occurred_at: Some(to_timestamp(now)),
        recipient_ids: vec![user_id.clone()],
        payload: Some(Payload::SessionRevoked(SessionRevoked {
            user_id,
            session_hash: hash.bytes().to_vec(),
        })),
    }
}
