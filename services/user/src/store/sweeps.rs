//! The collection `sweeps`: which replica does what one of them is enough for, and every query on it.

use std::time::Duration;

use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_kit::mongo::within;
use mongodb::{Collection, Database};

use super::millis;
use crate::error::Error;

/// Id of the one claim there is.
const PRESENCE: &str = "presence";

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Sweeps {
    documents: Collection<Document>,
}

impl Sweeps {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection("sweeps") }
    }

    /// Makes the claim that replicas take.
    pub(crate) async fn create(&self) -> anyhow::Result<()> {
        let free = doc! { "_id": PRESENCE, "until": DateTime::from_millis(0) };
        match within(self.documents.insert_one(free)).await {
            Err(error) if error.duplicate_key().is_none() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Takes the claim for a replica, or keeps it; says whether it has it.
    pub(crate) async fn claim(&self, replica: ObjectId, lease: Duration) -> Result<bool, Error> {
        let is_free = doc! { "$expr": { "$lte": ["$until", "$$NOW"] } };
        let claim = doc! { "_id": PRESENCE, "$or": [{ "replica": replica }, is_free] };
        let until = doc! { "$add": ["$$NOW", millis(lease)] };
        let take = vec![doc! { "$set": { "replica": replica, "until": until } }];
        let claimed = within(self.documents.update_one(claim, take)).await?;
        Ok(claimed.matched_count > 0)
    }
}
