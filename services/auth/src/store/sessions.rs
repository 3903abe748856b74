//! The collection `sessions`: one document a login, kept until its token expires. The session's id
//! stands in the token alone; the store knows its hash.

use std::collections::HashMap;

use bson::{Binary, Bson, DateTime, doc, spec::BinarySubtype};
use chat_kit::{
    id::UserId,
    mongo::{MongoError, within},
    session::SessionHash,
};
use futures_util::TryStreamExt as _;
use mongodb::{Collection, IndexModel, options::IndexOptions};
use serde::{Deserialize, Serialize};

/// Where a login comes from.
#[derive(Debug, Clone, Default)]
pub struct Device {
    /// Label for the owner's list of sessions.
    pub name: String,
    /// Network address; empty where unknown.
    pub address: String,
    /// Text of the client's `User-Agent`.
    pub user_agent: String,
}

/// A session.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    /// SHA-256 of the session's id.
    #[serde(rename = "_id")]
    pub id_hash: Binary,
    /// Whose it is.
    pub user_id: UserId,
    /// Label of the device.
    pub device: String,
    /// Network address of the login.
    pub address: String,
    /// Text of the client's `User-Agent`.
    pub user_agent: String,
    /// When it was opened.
    pub created_at: DateTime,
    /// When it was last seen in use.
    pub last_activity_at: DateTime,
    /// When it expires, together with its token.
    pub expires_at: DateTime,
    /// When its owner ended it.
    pub revoked_at: Option<DateTime>,
}

impl Session {
    /// Says whether a user may still use it.
    pub fn is_live(&self, user_id: UserId, now: DateTime) -> bool {
        self.user_id == user_id && self.revoked_at.is_none() && now < self.expires_at
    }
}

/// A session to be opened.
pub struct NewSession<'a> {
    /// Its id.
    pub session_id: &'a str,
    /// Whose it is.
    pub user_id: UserId,
    /// Where the login comes from.
    pub device: Device,
    /// The present.
    pub created_at: DateTime,
    /// When its token expires.
    pub expires_at: DateTime,
}

/// The indexes of the collection.
pub fn indexes() -> [IndexModel; 1] {
    let purge = IndexOptions::builder().expire_after(std::time::Duration::ZERO).build();
    [IndexModel::builder().keys(doc! { "expires_at": 1 }).options(purge).build()]
}

/// The queries on the collection.
#[derive(Clone)]
pub struct SessionStore(pub Collection<Session>);

impl SessionStore {
    /// Opens a session.
    pub async fn insert(&self, new: NewSession<'_>) -> Result<(), MongoError> {
        let session = Session {
            id_hash: stored(SessionHash::of(new.session_id)),
            user_id: new.user_id,
            device: new.device.name,
            address: new.device.address,
            user_agent: new.device.user_agent,
            created_at: new.created_at,
            last_activity_at: new.created_at,
            expires_at: new.expires_at,
            revoked_at: None,
        };
        within(self.0.insert_one(session)).await.map(drop)
    }

    /// Returns those of many sessions that there are, whatever their state, with one command.
    pub async fn find_all(
        &self,
        hashes: &[SessionHash],
    ) -> Result<HashMap<SessionHash, Session>, MongoError> {
        if hashes.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<Bson> = hashes.iter().map(|hash| stored(*hash).into()).collect();
        let batch = u32::try_from(ids.len()).unwrap_or(u32::MAX).saturating_add(1);
        let sessions: Vec<Session> = within(async {
            self.0.find(doc! { "_id": { "$in": ids } }).batch_size(batch).await?.try_collect().await
        })
        .await?;
        let hash = |session: &Session| SessionHash::read(&session.id_hash.bytes);
        Ok(sessions.into_iter().filter_map(|session| Some((hash(&session)?, session))).collect())
    }

    /// Ends a session of a user, of which the first end counts, and says whether there is one.
    pub async fn revoke(
        &self,
        hash: SessionHash,
        user_id: UserId,
        now: DateTime,
    ) -> Result<bool, MongoError> {
        let filter = doc! { "_id": stored(hash), "user_id": user_id };
        let first = vec![doc! { "$set": { "revoked_at": { "$ifNull": ["$revoked_at", now] } } }];
        let revoked = within(self.0.update_one(filter, first)).await?;
        Ok(revoked.matched_count == 1)
    }
}

fn stored(hash: SessionHash) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: hash.bytes().to_vec() }
}
