//! The collection `otps`: one document per phone and purpose, with its sessions and the hashes of its
//! codes. Each rule about them is one update of that one document.

use bson::{Binary, Bson, DateTime, Document, doc};
use chat_kit::mongo::{MongoError, within};
use mongodb::{Collection, IndexModel, options::IndexOptions};
use serde::{Deserialize, Serialize};

/// How many sessions, and how many codes, a document keeps; the newest stay.
const MOST_KEPT: i32 = 16;

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Logging in.
    Login,
    /// Registering.
    Registration,
}

impl Purpose {
    /// Its stored form.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Registration => "registration",
        }
    }
}

/// The one-time passwords of a phone for a purpose.
#[derive(Debug, Serialize, Deserialize)]
pub struct Otp {
    /// Purpose and phone, such as `login:+15550000001`.
    #[serde(rename = "_id")]
    pub id: String,
    /// What the codes are for.
    pub purpose: Purpose,
    /// The phone they went to.
    pub phone: String,
    /// The live sessions, and those that expired in the last hour.
    pub sessions: Vec<OtpSession>,
    /// The live codes.
    pub codes: Vec<OtpCode>,
    /// When MongoDB drops the document.
    pub purge_at: DateTime,
}

/// One request for a code.
#[derive(Debug, Serialize, Deserialize)]
pub struct OtpSession {
    /// Its id.
    pub id: String,
    /// Name proposed with this request. It stays with its session, so that nobody can have the owner
    /// of a phone renamed by asking for a code in his stead.
    pub name: Option<String>,
    /// When it ends; later requests of the same phone and purpose extend it.
    pub expires_at: DateTime,
}

/// One code.
#[derive(Debug, Serialize, Deserialize)]
pub struct OtpCode {
    /// Keyed hash.
    pub hash: Binary,
    /// When it ends.
    pub expires_at: DateTime,
}

impl Otp {
    /// Returns a session by its id.
    pub fn session(&self, id: &str) -> Option<&OtpSession> {
        self.sessions.iter().find(|session| session.id == id)
    }
}

/// A new code with its session.
pub struct Issue<'a> {
    /// What it is for.
    pub purpose: Purpose,
    /// Where it goes.
    pub phone: &'a str,
    /// Id of the new session.
    pub otp_session_id: &'a str,
    /// Name proposed with it.
    pub name: Option<&'a str>,
    /// Keyed hash of the code.
    pub hash: Binary,
    /// The present.
    pub now: DateTime,
    /// When the code ends, and with it all sessions that live now.
    pub expires_at: DateTime,
    /// Sessions that ended before are dropped.
    pub forget_before: DateTime,
    /// When MongoDB may drop the document.
    pub purge_at: DateTime,
}

/// A try of a code.
pub struct Guess<'a> {
    /// The document.
    pub otp_id: &'a str,
    /// The session it is tried with.
    pub otp_session_id: &'a str,
    /// Keyed hash of the code.
    pub hash: Binary,
    /// The present.
    pub now: DateTime,
}

/// The indexes of the collection.
pub fn indexes() -> [IndexModel; 2] {
    let purge = IndexOptions::builder().expire_after(std::time::Duration::ZERO).build();
    [
        IndexModel::builder().keys(doc! { "sessions.id": 1 }).build(),
        IndexModel::builder().keys(doc! { "purge_at": 1 }).options(purge).build(),
    ]
}

/// The queries on the collection.
#[derive(Clone)]
pub struct OtpStore(pub Collection<Otp>);

impl OtpStore {
    /// Adds a code and its session, extends the live sessions and drops what is long over.
    pub async fn issue(&self, issue: &Issue<'_>) -> Result<(), MongoError> {
        let id = format!("{}:{}", issue.purpose.name(), issue.phone);
        let pipeline = vec![doc! { "$set": {
            "purpose": issue.purpose.name(),
            "phone": issue.phone,
            "sessions": sessions_after(issue),
            "codes": codes_after(issue),
            "purge_at": { "$max": ["$purge_at", issue.purge_at] },
        }}];
        let issued = super::upsert(|| {
            let update = self.0.update_one(doc! { "_id": &id }, pipeline.clone());
            within(update.upsert(true))
        });
        issued.await.map(drop)
    }

    /// Returns the document that holds a session, live or expired, of a purpose.
    pub async fn find_by_session(
        &self,
        purpose: Purpose,
        otp_session_id: &str,
    ) -> Result<Option<Otp>, MongoError> {
        let filter = doc! { "sessions.id": otp_session_id, "purpose": purpose.name() };
        within(self.0.find_one(filter)).await
    }

    /// Removes the document if the session lives and the code is one of its live ones, and says whether
    /// it did: of several verifications only one can.
    pub async fn consume(&self, guess: &Guess<'_>) -> Result<bool, MongoError> {
        let is_live = doc! { "$gt": guess.now };
        let filter = doc! {
            "_id": guess.otp_id,
            "sessions": { "$elemMatch": { "id": guess.otp_session_id, "expires_at": &is_live } },
            "codes": { "$elemMatch": { "hash": &guess.hash, "expires_at": is_live } },
        };
        let removed = within(self.0.delete_one(filter)).await?;
        Ok(removed.deleted_count == 1)
    }
}

fn sessions_after(issue: &Issue<'_>) -> Document {
    let known = doc! { "$filter": {
        "input": { "$ifNull": ["$sessions", []] },
        "cond": { "$gt": ["$$this.expires_at", issue.forget_before] },
    }};
    let extended = doc! { "$cond": [
        { "$gt": ["$$this.expires_at", issue.now] },
        { "$max": ["$$this.expires_at", issue.expires_at] },
        "$$this.expires_at",
    ]};
    let kept = doc! { "$map": {
        "input": known,
        "in": { "$mergeObjects": ["$$this", { "expires_at": extended }] },
    }};
    // Literal: a name that begins with `$` would be read as the name of a field.
    let session = doc! { "$literal": {
        "id": issue.otp_session_id,
        "name": issue.name,
        "expires_at": issue.expires_at,
    }};
    newest(kept.into(), session)
}

fn codes_after(issue: &Issue<'_>) -> Document {
    let live = doc! { "$filter": {
        "input": { "$ifNull": ["$codes", []] },
        "cond": { "$gt": ["$$this.expires_at", issue.now] },
    }};
    let code = doc! { "$literal": { "hash": &issue.hash, "expires_at": issue.expires_at } };
    newest(live.into(), code)
}

fn newest(kept: Bson, added: Document) -> Document {
    doc! { "$slice": [{ "$concatArrays": [kept, [added]] }, -MOST_KEPT] }
}
