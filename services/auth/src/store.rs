//! Opens the collections and makes their indexes. The queries are in the files beneath.

pub mod credentials;
pub mod otps;
pub mod sessions;

use chat_kit::{
    limit::Limits,
    mongo::{self, MongoError},
};
use mongodb::Database;

use credentials::CredentialsStore;
use otps::OtpStore;
use sessions::SessionStore;

/// The database of the service.
#[derive(Clone)]
pub struct Store {
    /// The database itself.
    pub database: Database,
    /// Accounts.
    pub credentials: CredentialsStore,
    /// One-time passwords.
    pub otps: OtpStore,
    /// Sessions.
    pub sessions: SessionStore,
    /// Counts of limited acts.
    pub limits: Limits,
}

impl Store {
    /// Opens the collections.
    pub fn new(database: Database) -> Self {
        Self {
            credentials: CredentialsStore(database.collection("credentials")),
            otps: OtpStore(database.collection("otps")),
            sessions: SessionStore(database.collection("sessions")),
            limits: Limits::new(&database),
            database,
        }
    }

    /// Makes the indexes that are not there yet.
    pub async fn create_indexes(&self) -> anyhow::Result<()> {
        mongo::create_indexes(&self.credentials.0, credentials::indexes()).await?;
        mongo::create_indexes(&self.otps.0, otps::indexes()).await?;
        mongo::create_indexes(&self.sessions.0, sessions::indexes()).await?;
        self.limits.create_indexes().await
    }
}

/// Runs an upsert once more where another one made the document at the same moment: it is there then.
async fn upsert<T, F>(operation: impl Fn() -> F) -> Result<T, MongoError>
where
    F: Future<Output = Result<T, MongoError>>,
{
    match operation().await {
        Err(error) if error.duplicate_key().is_some() => operation().await,
        outcome => outcome,
    }
}
