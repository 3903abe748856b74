//! Opens the collections of the message service and ensures their indexes.

mod inserts;
pub mod messages;

use mongodb::Database;

use messages::Messages;

/// The collections of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// Stored messages.
    pub messages: Messages,
}

impl Store {
    /// Opens the collections; an index that cannot be made is an error.
    pub async fn open(database: &Database) -> anyhow::Result<Self> {
        Ok(Self { messages: Messages::open(database).await? })
    }
}
