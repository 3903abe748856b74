//! What chat requests can fail with beside what all conversations can.

use tonic::Code;

use crate::store::conversations::ConversationStatus;

/// A refused step of a chat request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// There is no such conversation.
    #[error("there is no such chat request")]
    NotFound,
    /// The one who asked wants to accept.
    #[error("the request is your own: the other side has to accept it")]
    Own,
    /// The conversation is no open request.
    #[error("{}", closed(*.0))]
    NotPending(ConversationStatus),
    /// The conversation is a group, which nobody asks for.
    #[error("a group is no chat request")]
    Group,
    /// The one who asked writes before he is answered.
    #[error("the other side has not accepted your request yet")]
    Unanswered,
    /// The one who was asked writes before he answers.
    #[error("accept the request of the other side before you write")]
    ToAnswer,
    /// Others changed the conversation each time.
    #[error("the request is being changed by others, try again")]
    Contended,
}

fn closed(status: ConversationStatus) -> &'static str {
    match status {
        ConversationStatus::Active => "the request has been accepted already",
        ConversationStatus::Pending => "the request is open",
        ConversationStatus::Declined => "the request was declined: it can be made again",
        ConversationStatus::Blocked => "the conversation is blocked",
    }
}

impl RequestError {
    pub(crate) fn code(self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::Own | Self::Unanswered | Self::ToAnswer => Code::PermissionDenied,
            Self::NotPending(_) | Self::Group => Code::FailedPrecondition,
            Self::Contended => Code::Aborted,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Own | Self::Unanswered | Self::ToAnswer => "forbidden",
            Self::NotPending(_) | Self::Group => "not_pending",
            Self::Contended => "conflict",
        }
    }
}
