//! Opens the collections of the message service and ensures their indexes.

mod inserts;
pub mod messages;
pub mod receipts;

use mongodb::Database;

use messages::Messages;
use receipts::Receipts;

/// The collections of this service.
#[derive(Clone, Debug)]
pub struct Store {
    /// Stored messages.
    pub messages: Messages,
    /// How far members have heard and read.
    pub receipts: Receipts,
}

impl Store {
    /// Opens the collections; an index that cannot be made is an error.
    pub async fn open(database: &Database) -> anyhow::Result<Self> {
        Ok(Self {
            messages: Messages::open(database).await?,
            receipts: Receipts::open(database).await?,
        })
    }
}
