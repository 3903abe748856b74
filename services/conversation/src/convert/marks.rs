//! What a member sets of a conversation for himself: requests to what is wanted, and back.

use chat_kit::{
    id::ConversationId,
    time::{from_timestamp, to_timestamp},
};
use chat_proto::v1::{self as pb, set_mark_request::Mark};

use super::conversation_id;
use crate::{
    error::Error,
    marks::{Marks, WantedMark},
};

/// Reads what is to be set of which conversation.
pub(crate) fn wanted(request: &pb::SetMarkRequest) -> Result<(ConversationId, WantedMark), Error> {
    let id = conversation_id(&request.conversation_id)?;
    let wanted = match request.mark.as_ref().ok_or(Error::Missing("mark"))? {
        Mark::Mute(pb::Mute { is_muted: true, until }) => {
            WantedMark::Mute { until: until.as_ref().map(from_timestamp) }
        }
        Mark::Mute(pb::Mute { is_muted: false, .. }) => WantedMark::Unmute,
        Mark::IsPinned(true) => WantedMark::Pin,
        Mark::IsPinned(false) => WantedMark::Unpin,
        Mark::IsArchived(true) => WantedMark::Archive,
        Mark::IsArchived(false) => WantedMark::Unarchive,
    };
    Ok((id, wanted))
}

impl From<Marks> for pb::Marks {
    fn from(marks: Marks) -> Self {
        Self {
            is_muted: marks.is_muted,
            muted_until: marks.muted_until.map(to_timestamp),
            is_pinned: marks.is_pinned,
            is_archived: marks.is_archived,
        }
    }
}
