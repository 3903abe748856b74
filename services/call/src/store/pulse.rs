//! The collection `pulse`: one document that says when a replica last looked at what is due.

use std::time::Duration;

use bson::{Bson, DateTime, doc};
use chat_kit::mongo::within;
use mongodb::{Collection, Database, options::ReturnDocument};
use serde::{Deserialize, Serialize};

use crate::error::Error;

const COLLECTION: &str = "pulse";
const ID: &str = "look";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pulse {
    /// When the looking went on after an interruption; absent once that was made up for.
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_at: Option<DateTime>,
}

/// The collection. Its times are those of the database, as replicas must agree on them.
#[derive(Clone, Debug)]
pub(crate) struct Pulses {
    documents: Collection<Pulse>,
}

impl Pulses {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection(COLLECTION) }
    }

    /// Says that a replica looks. Returns the time since which replicas look again, if they did not for that
    /// long and nobody has made up for it yet.
    pub(crate) async fn beat(&self, interruption: Duration) -> Result<Option<DateTime>, Error> {
        let span = i64::try_from(interruption.as_millis()).unwrap_or(i64::MAX);
        let last = doc! { "$ifNull": ["$at", DateTime::from_millis(0)] };
        let was_interrupted = doc! { "$gt": [{ "$subtract": ["$$NOW", last] }, span] };
        let update = doc! { "$set": {
            "resumed_at": { "$cond": [was_interrupted, "$$NOW", "$resumed_at"] },
            "at": { "$max": ["$at", "$$NOW"] },
        } };
        let beat = self.documents.find_one_and_update(doc! { "_id": ID }, vec![update]);
        let beat = beat.upsert(true).return_document(ReturnDocument::After);
        Ok(within(beat).await?.and_then(|pulse| pulse.resumed_at))
    }

    /// Says that the interruption which ended then was made up for.
    pub(crate) async fn settle(&self, resumed_at: DateTime) -> Result<(), Error> {
        let filter = doc! { "_id": ID, "resumed_at": Bson::from(resumed_at) };
        let update = doc! { "$unset": { "resumed_at": "" } };
        within(self.documents.update_one(filter, update)).await?;
        Ok(())
    }
}
