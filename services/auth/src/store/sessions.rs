//! The collection `sessions`: one document a login, kept until its token expires. The session's id
//! stands in the token alone; the store knows its hash.

use aws_lc_rs::digest;
use bson::{Binary, DateTime, doc, spec::BinarySubtype};
use chat_kit::{
    id::UserId,
    mongo::{MongoError, within},
};
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
            id_hash: hash(new.session_id),
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

    /// Returns a session, whatever its state.
    pub async fn find(&self, session_id: &str) -> Result<Option<Session>, MongoError> {
        within(self.0.find_one(doc! { "_id": hash(session_id) })).await
    }

    /// Ends a session of a user; the first end counts.
    pub async fn revoke(
        &self,
        session_id: &str,
        user_id: UserId,
        now: DateTime,
    ) -> Result<(), MongoError> {
        let filter = doc! { "_id": hash(session_id), "user_id": user_id, "revoked_at": null };
        let update = doc! { "$set": { "revoked_at": now } };
        within(self.0.update_one(filter, update)).await.map(drop)
    }
}

fn hash(session_id: &str) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: digest::digest(&digest::SHA256, session_id.as_bytes()).as_ref().to_vec(),
    }
}
