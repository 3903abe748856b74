//! Users beside conversations, and who of them is a member.

use chat_proto::v1 as pb;

use super::{conversation_id, texts, user_id};
use crate::{audience::ConversationUsers, error::Error};

/// Most conversations of one question.
const MOST_CONVERSATIONS: usize = 500;
/// Most users of a conversation of it: somebody, and as many others as a large group has.
const MOST_USERS: usize = 1001;

/// Reads a question.
pub(crate) fn conversation_users(
    request: pb::FilterMembersRequest,
) -> Result<Vec<ConversationUsers>, Error> {
    if request.conversations.len() > MOST_CONVERSATIONS {
        return Err(Error::TooMany { field: "conversations", most: MOST_CONVERSATIONS });
    }
    let read = |asked: pb::ConversationUsers| {
        if asked.user_ids.len() > MOST_USERS {
            return Err(Error::TooMany { field: "conversations.user_ids", most: MOST_USERS });
        }
        let users = asked.user_ids.iter().map(|id| user_id("conversations.user_ids", id));
        Ok((conversation_id(&asked.conversation_id)?, users.collect::<Result<_, _>>()?))
    };
    request.conversations.into_iter().map(read).collect()
}

/// Writes the answer.
pub(crate) fn members(members: Vec<ConversationUsers>) -> pb::FilterMembersResponse {
    let conversations = members.into_iter().map(|(conversation, users)| pb::ConversationUsers {
        conversation_id: conversation.to_string(),
        user_ids: texts(&users),
    });
    pb::FilterMembersResponse { conversations: conversations.collect() }
}
