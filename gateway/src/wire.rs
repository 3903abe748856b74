//! The boundary between the clients' spellings and the canonical names. Everything beneath this file
//! implements the table and nothing else; no I/O, no clients.
//!
//! Where a client may say one thing several ways, the first spelling that is present and not empty
//! counts; unknown fields are ignored. The old families share their answers: every spelling is
//! emitted. Clients that declare `unified` send and get the canonical name in camelCase alone.
//!
//! | Canonical | Accepted, in order | Emitted to the old families |
//! | --- | --- | --- |
//! | **message** | | |
//! | `id` | – | `_id`, `messageId` |
//! | `conversation_id` | `conversationId`, `conversation` | `conversationId`, `conversation` |
//! | `sender_id` | `senderId`, `from`; only checked against the caller | `from`, `sender` |
//! | `recipient_id` | `toId`, `to` | `to`; in a group that of each recipient, in live events alone |
//! | target `contact` | `toPhone`, any JSON scalar | – |
//! | `content` | `content`, `text`, `message`, any JSON scalar; else by the file at `fileUrl` | `text`, `content` |
//! | `type` | `type`, else by `fileType` | `type`; `text` and `messageType` for `system` |
//! | `attachment.url` | `fileUrl`, `media` | `fileUrl`, `media` |
//! | `attachment.name` | `fileName` | `fileName` |
//! | `attachment.file_type` | `fileType` | `fileType`, else `type` |
//! | `attachment.duration_seconds` | the digits that `audioDuration` begins with | `audioDuration` |
//! | `client_id` | `clientId`, any JSON scalar but empty text | `clientId`, to its sender alone |
//! | `reply_to_id` | `replyTo` | `replyTo` |
//! | `given_quote`, else `quote` | known fields of `replyToMessage` of at most 4 KiB | `replyToMessage` |
//! | `forwarding` | `forwarded`, `forwardedFrom`, `forwardedMessageId` | the same |
//! | `call` | `callActivity`, `messageType` or `type` is `call_activity` | `callActivity`, `messageType` |
//! | `call.direction`, `.status`, `.is_video` | `callType`, `callStatus`, `isVideoCall` | the same |
//! | `call.started_at` | `callStartTime`, if it is an instant | `callStartTime`, as it was sent |
//! | `call.duration_seconds` | the digits that `callDuration` begins with | `callDuration`, as text |
//! | `location`, `contact_card` | `metadata.location`, `metadata.contact` | the same |
//! | `mention_ids` | `mentions` | `mentions` |
//! | new `content` | `text`, `content` | `text`, `content` |
//! | `edited_at` | – | `edited`, `editedAt` |
//! | `deleted_at` | – | `deleted`, `isDeleted`, `deletedAt` |
//! | `for_caller_alone` | `deleteForBoth` is `false` | – |
//! | `reactions` | – | `reactions`, each with a `timestamp` |
//! | `created_at` | – | `createdAt`; in live events also `lastMessageAt` |
//! | **conversation** | | |
//! | `id` | `conversationId`, `conversation` | `_id` |
//! | `member_ids` | `participants`, `members`, `memberIds`, else `otherUserId` | `participants`, `members` |
//! | `is_group` | `type` is `group` | `isGroup` |
//! | `status` | `status` | `status` |
//! | `created_by`, `participant_key` | – | `createdBy`, `participantKey` |
//! | `last_message` | – | `lastMessage`, `lastMessageAt`, `lastPreview`, `lastFrom` |
//! | `last_sent_at` | – | `lastOutgoingAt` |
//! | cursors: `delivered_at`, `read_at` | – | `deliveredUpTo`, `readUpTo`, by the member's id |
//! | `unread_count` | – | `unreadCount` |
//! | `hidden_count` | – | `messagesHidden` |
//! | `marks` | `until` of a mute; `archived`, `pinned` of a list | `isMuted`, `mutedUntil`, `isPinned`, `isArchived` |
//! | the caller | `me`; `from` where somebody is asked to chat | – |
//! | peer `contact` | `toPhone`, else `toContact`, any JSON scalar | – |
//! | `accepted_at` | – | `lastMessageAt` before the first message |
//! | **group**, whose `id` is that of its conversation | | |
//! | `id` | `groupId`, `conversationId` | `_id`, `conversation`, `conversationId`; in a conversation `group`, `groupId` |
//! | `member_ids` | `participants`, `members`, `memberIds` | `participants`, `members` |
//! | `user_id` | `userId`, `memberId` | – |
//! | `avatar_url` | `avatar`, `avatarUrl` | `avatar`, `avatarUrl` |
//! | `admin_id` | – | `admin` |
//! | `admin_ids` | – | `admins` |
//! | `only_admins_can_send` | `settings`: `onlyAdminsCanSendMessages`, `onlyAdminsCanSend` | `settings.onlyAdminsCanSendMessages` |
//! | `only_admins_can_add` | `settings`: `onlyAdminsCanAddMembers`, `onlyAdminsCanAdd` | `settings.onlyAdminsCanAddMembers` |
//! | `invite.link` | `inviteLink` | `inviteLink`, `settings.inviteLink` |
//! | `invite.expires_at` | `expiresAt`, else the seconds `expiresIn` | `expiresAt` |
//! | `updated_at` | – | `updatedAt`, `lastActivity` |
//! | **user** | | |
//! | `id` | – | `id`, `_id`, `uid`, `userId`, by object |
//! | `avatar_url` | `avatarUrl`, `avatar`; one with a value before one without | `avatar`, `avatarUrl` |
//! | `name`, `bio`, `username` | the same; null removes, but for the name | `name`, `bio` |
//! | `date_of_birth` | `dateOfBirth`, an instant | – |
//! | `search` | `search`, `q` | – |
//! | `phones` of an address book | `contacts`: texts, numbers, or objects with `phone` | – |
//! | `last_seen_at` | – | `lastSeen` |
//! | `last_seen_privacy` | `lastSeenPrivacy` | `lastSeenPrivacy`, to oneself |
//! | is online | – | `isOnline`, `online`, by object |
//! | is blocked by the caller | – | `blocked` |
//! | **call** | | |
//! | `callee_id` | `userId`, `to` | `to`, to the caller |
//! | `caller_id` | – | `from`, to the callee |
//! | `call_id` | `callId` | `callId` |
//! | `kind` | `kind` is `video`; every other text stands for sound | `kind` |
//! | to answer | `accept` counts as true | – |
//! | `sdp`, `candidate` | the same, objects of any kind | the same, as it was written |
//! | **auth** | | |
//! | `otp_session_id` | `sessionId` | `sessionId` |
//! | `code` | `otp`, any JSON scalar | `otp` |
//! | `device.name` | header `X-Device-Name`, else the first word of `User-Agent` | – |
//! | dialect | query `clientType`, header `Client-Type` | – |

pub mod auth;
pub mod block;
pub mod call;
pub mod contact;
pub mod conversation;
pub mod envelope;
pub mod event;
pub mod fields;
pub mod group;
pub mod handshake;
pub mod health;
pub mod message;
pub mod receipt;
pub mod request;
pub mod socket;
pub mod typing;
pub mod user;

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::openapi::{Events, Schemas};

/// Returns how all answers look.
pub(crate) fn schemas() -> Schemas {
    let mut schemas = Schemas::default();
    let of_modules = [
        auth::answers,
        block::answers,
        call::answers,
        contact::answers,
        conversation::answers,
        envelope::answers,
        group::answers,
        health::answers,
        message::answers,
        request::answers,
        user::answers,
    ];
    for answers in of_modules {
        answers(&mut schemas);
    }
    schemas
}

/// Returns all events of sockets.
pub(crate) fn events() -> Events {
    let mut events = Events::default();
    let of_modules = [
        handshake::events,
        message::events,
        receipt::events,
        typing::events,
        event::events,
        call::events,
        socket::events,
    ];
    for module in of_modules {
        module(&mut events);
    }
    events
}

/// The vocabulary that a client declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The desktop client.
    Electron,
    /// The mobile client.
    Flutter,
    /// New clients: one spelling of everything.
    Unified,
    /// Nothing declared; both old families are served.
    #[default]
    Undeclared,
}

impl Dialect {
    /// Returns the dialect of a declaration. Everything but the exact names is no declaration.
    #[must_use]
    pub fn from_declared(text: &str) -> Self {
        match text {
            "electron" => Self::Electron,
            "flutter" => Self::Flutter,
            "unified" => Self::Unified,
            _ => Self::Undeclared,
        }
    }
}

/// The dialect that an HTTP request declares: query `clientType`, else header `Client-Type`.
#[derive(Clone, Copy, Debug)]
pub struct Declared(pub Dialect);

impl<S: Sync> FromRequestParts<S> for Declared {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = fields::pairs(parts.uri.query().unwrap_or_default().as_bytes()).ok();
        let in_query = query.as_ref().and_then(|query| query.get("clientType")?.as_str());
        let in_header = || parts.headers.get("client-type")?.to_str().ok();
        let declared = in_query.or_else(in_header);
        Ok(Self(declared.map_or(Dialect::Undeclared, Dialect::from_declared)))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn declared(uri: &str, header: Option<&str>) -> Dialect {
        let mut request = Request::builder().uri(uri);
        if let Some(header) = header {
            request = request.header("Client-Type", header);
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        let Ok(Declared(dialect)) = Declared::from_request_parts(&mut parts, &()).await;
        dialect
    }

    #[tokio::test]
    async fn query_wins_over_header() {
        let both = declared("/?clientType=flutter", Some("electron")).await;
        assert_eq!(both, Dialect::Flutter);
        assert_eq!(declared("/?clientType=web", Some("electron")).await, Dialect::Undeclared);
        assert_eq!(declared("/?clientType=unified", None).await, Dialect::Unified);
        assert_eq!(declared("/?x=1", Some("electron")).await, Dialect::Electron);
        assert_eq!(declared("/", None).await, Dialect::Undeclared);
    }

    #[tokio::test]
    async fn only_exact_names_are_declarations() {
        for text in ["Electron", "flutter ", "web", "unified,electron"] {
            let uri = format!("/?clientType={}", text.replace(' ', "+"));
            assert_eq!(declared(&uri, None).await, Dialect::Undeclared, "{text}");
        }
    }
}
