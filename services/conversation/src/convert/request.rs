//! Chat requests: requests to validated input, documents to protobuf. Pure.

use chat_kit::id::UserId;
use chat_proto::v1::{
    self as pb, request_chat_request::Peer as PbRequested, start_chat_request::Peer as PbStarted,
};

use super::{conversation, user_id};
use crate::{
    config::Limits,
    direct::Peer,
    error::Error,
    request::list::{Cursor, Listed, Wanted},
    store::conversations::ConversationStatus,
};

/// Reads who is asked to chat.
pub(crate) fn requested(request: pb::RequestChatRequest) -> Result<Peer, Error> {
    match request.peer {
        Some(PbRequested::UserId(id)) => Ok(Peer::Id(user_id("user_id", &id)?)),
        Some(PbRequested::Contact(contact)) => Ok(Peer::Contact(contact)),
        None => Err(Error::Missing("peer")),
    }
}

/// Reads whom a chat is started with.
pub(crate) fn started(request: pb::StartChatRequest) -> Result<Peer, Error> {
    match request.peer {
        Some(PbStarted::UserId(id)) => Ok(Peer::Id(user_id("user_id", &id)?)),
        Some(PbStarted::Contact(contact)) => Ok(Peer::Contact(contact)),
        None => Err(Error::Missing("peer")),
    }
}

/// Reads which page of the list is wanted.
pub(crate) fn page(request: pb::ListChatRequestsRequest, limits: &Limits) -> Result<Wanted, Error> {
    let status = match pb::ConversationStatus::try_from(request.status) {
        Ok(pb::ConversationStatus::Unspecified | pb::ConversationStatus::Pending) => {
            ConversationStatus::Pending
        }
        Ok(pb::ConversationStatus::Active) => ConversationStatus::Active,
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
    Ok(Wanted { status, limit: limit.min(limits.largest_page.get()), after })
}

/// Writes a page of the list as `user` sees it.
pub(crate) fn listed(listed: Listed, user: UserId) -> pb::ListChatRequestsResponse {
    let next = listed.next.map(|cursor| cursor.to_string());
    let conversations = listed.conversations.into_iter();
    pb::ListChatRequestsResponse {
        conversations: conversations.map(|found| conversation(found, user)).collect(),
        page: Some(pb::PageResponse { next_cursor: next.unwrap_or_default() }),
    }
}
