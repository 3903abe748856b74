//! What a member sets of a conversation for himself: mute, pin and archive. All families read and write it
//! alike.

use axum::response::Response;
use chat_proto::v1::{self as pb, set_mark_request::Mark};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    error::ApiError,
    openapi::{Form, Schemas},
    wire::{
        envelope,
        fields::{self, iso},
    },
};

/// How long a conversation is muted.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = MuteRequest)]
pub struct MuteBody {
    until: Option<String>,
}

impl MuteBody {
    /// Reads the time; without one the mute has no end.
    pub fn into_mark(self) -> Result<Mark, ApiError> {
        let until = fields::first([self.until]);
        let until = until.map(|until| fields::instant("until", &until)).transpose()?;
        Ok(Mark::Mute(pb::Mute { is_muted: true, until }))
    }
}

/// What a member has set.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConversationMarks)]
pub(in crate::wire) struct Marks {
    is_muted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<String>,
    is_pinned: bool,
    is_archived: bool,
}

impl From<&pb::Marks> for Marks {
    fn from(marks: &pb::Marks) -> Self {
        Self {
            is_muted: marks.is_muted,
            muted_until: iso(marks.muted_until.as_ref()),
            is_pinned: marks.is_pinned,
            is_archived: marks.is_archived,
        }
    }
}

impl Marks {
    /// Returns what the reader of a conversation has set.
    pub(super) fn of(conversation: &pb::Conversation) -> Self {
        conversation.marks.as_ref().map(Self::from).unwrap_or_default()
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MarkedConversation)]
struct Marked<'a> {
    conversation_id: &'a str,
    #[serde(flatten)]
    marks: Marks,
}

/// Answers with what the caller has set of a conversation.
#[must_use]
pub fn marked(conversation_id: &str, marks: &pb::Marks) -> Response {
    envelope::ok(Marked { conversation_id, marks: marks.into() })
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    schemas.answer("MarksAnswer", [Form::same::<Marked<'_>>()]);
}
