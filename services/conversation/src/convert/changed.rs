//! What has changed of a user's conversations.

use bson::DateTime;
use chat_kit::{
    id::{ConversationId, UserId},
    time::from_timestamp,
};
use chat_proto::v1 as pb;

use super::{conversation, conversation_id};
use crate::{error::Error, list::Changed};

/// Most conversations that one question names.
const MOST_NAMED: usize = 500;

/// Reads ids of conversations, which are not too many.
pub(crate) fn conversations(ids: &[String]) -> Result<Vec<ConversationId>, Error> {
    if ids.len() > MOST_NAMED {
        return Err(Error::TooMany { field: "conversation_ids", most: MOST_NAMED });
    }
    ids.iter().map(|id| conversation_id(id)).collect()
}

/// Reads since when changes are wanted.
pub(crate) fn since(request: &pb::ListChangedConversationsRequest) -> Result<DateTime, Error> {
    request.since.as_ref().map(from_timestamp).ok_or(Error::Missing("since"))
}

/// Writes what has changed, as `user` sees it.
pub(crate) fn changed(changed: Changed, user: UserId) -> pb::ListChangedConversationsResponse {
    let conversations = changed.conversations.into_iter();
    pb::ListChangedConversationsResponse {
        conversations: conversations.map(|found| conversation(found, user)).collect(),
        left_ids: changed.left.iter().map(ToString::to_string).collect(),
        hidden_ids: changed.hidden.iter().map(ToString::to_string).collect(),
        has_more: changed.has_more,
    }
}
