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
//! | `recipient_id` | `toId`, `to` | `to` |
//! | target `contact` | `toPhone` | – |
//! | `content` | `content`, `text`, `message` | `text`, `content` |
//! | `type` | `type`, else by `fileType` | `type` |
//! | `attachment.url` | `fileUrl`, `media` | `fileUrl`, `media` |
//! | `attachment.name` | `fileName` | `fileName` |
//! | `attachment.file_type` | `fileType` | `fileType`, else `type` |
//! | `attachment.duration_seconds` | `audioDuration`, also as text | `audioDuration` |
//! | `client_id` | `clientId`, any JSON scalar | `clientId`, to its sender alone |
//! | not deleted | – | `deleted`, `isDeleted` |
//! | `created_at` | – | `createdAt`; in live events also `lastMessageAt` |
//! | **conversation** | | |
//! | `id` | `conversationId`, `conversation` | `_id` |
//! | `member_ids` | `participants`, `members`, else `otherUserId` | `participants`, `members` |
//! | `status` | `status` | `status` |
//! | `created_by`, `participant_key` | – | `createdBy`, `participantKey` |
//! | `last_message` | – | `lastMessage`, `lastMessageAt`, `lastPreview`, `lastFrom` |
//! | `last_sent_at` | – | `lastOutgoingAt` |
//! | the caller | `me` | – |
//! | **user** | | |
//! | `id` | – | `id`, `_id`, `uid`, `userId`, by object |
//! | `avatar_url` | – | `avatar`, `avatarUrl` |
//! | `last_seen_at` | – | `lastSeen` |
//! | is online | – | `isOnline`, `online`, by object |
//! | **auth** | | |
//! | `otp_session_id` | `sessionId` | `sessionId` |
//! | `code` | `otp` | `otp` |
//! | `device.name` | header `X-Device-Name`, else the first word of `User-Agent` | – |
//! | dialect | header `Client-Type`, query `clientType` | – |

pub mod auth;
pub mod conversation;
pub mod envelope;
pub mod event;
pub mod fields;
pub mod handshake;
pub mod health;
pub mod message;
pub mod socket;
pub mod user;

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use serde_json::Value;

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

/// The dialect that an HTTP request declares: header `Client-Type`, else query `clientType`.
#[derive(Clone, Copy, Debug)]
pub struct Declared(pub Dialect);

impl<S: Sync> FromRequestParts<S> for Declared {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = parts.headers.get("client-type");
        let in_query = || {
            let query = fields::pairs(parts.uri.query()?.as_bytes()).ok()?;
            query.get("clientType").and_then(Value::as_str).map(str::to_owned)
        };
        let declared = match header.map(|value| value.to_str()) {
            Some(text) => text.ok().map(str::to_owned),
            None => in_query(),
        };
        Ok(Self(declared.map_or(Dialect::Undeclared, |text| Dialect::from_declared(&text))))
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
    async fn header_wins_over_query() {
        let both = declared("/?clientType=flutter", Some("electron")).await;
        assert_eq!(both, Dialect::Electron);
        assert_eq!(declared("/?clientType=unified", None).await, Dialect::Unified);
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
