//! How often something was done, in fixed windows that begin with the first time. The counts are in
//! MongoDB, so that they hold for all replicas; whoever cannot ask lets nobody through.

use std::time::Duration;

use bson::{DateTime, doc};
use mongodb::{
    Collection, Database, IndexModel,
    options::{IndexOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize};

use crate::{
    mongo::{self, MongoError, within},
    time,
};

const COLLECTION: &str = "limits";

/// A count in its window.
#[derive(Debug, Serialize, Deserialize)]
struct Counter {
    /// What is counted, and of whom.
    #[serde(rename = "_id")]
    key: String,
    /// How often it was done in the window. The window is over when all of it was given back.
    count: i64,
    /// When the window ends.
    ends_at: DateTime,
}

/// How often something may be done.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// How often in a window.
    pub count: u32,
    /// How long a window is.
    pub window: Duration,
}

/// One of the times that a limit allows, taken.
#[derive(Debug)]
pub struct Taken {
    key: String,
    ends_at: DateTime,
}

/// The counts of a service.
#[derive(Clone, Debug)]
pub struct Limits(Collection<Counter>);

impl Limits {
    /// Opens the collection; nothing is sent yet.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self(database.collection(COLLECTION))
    }

    /// Makes the index that is not there yet.
    pub async fn create_indexes(&self) -> anyhow::Result<()> {
        let purge = IndexOptions::builder().expire_after(Duration::ZERO).build();
        let index = IndexModel::builder().keys(doc! { "ends_at": 1 }).options(purge).build();
        mongo::create_indexes(&self.0, [index]).await
    }

    /// Takes one of the times that a limit allows, in one update; returns nothing if all are taken.
    pub async fn take(
        &self,
        key: &str,
        limit: Limit,
        now: DateTime,
    ) -> Result<Option<Taken>, MongoError> {
        let most = i64::from(limit.count);
        let new_end = time::after(now, limit.window);
        let before = match self.count(key, most, new_end, now).await {
            // Another one made the document at the same moment: it is there now.
            Err(error) if error.duplicate_key().is_some() => {
                self.count(key, most, new_end, now).await?
            }
            outcome => outcome?,
        };
        // The state before the update tells whether there was one left: a full count stays as it is.
        let open = before.filter(|counter| counter.ends_at > now && counter.count > 0);
        let ends_at = match open {
            Some(counter) if counter.count >= most => return Ok(None),
            Some(counter) => counter.ends_at,
            None => new_end,
        };
        Ok(Some(Taken { key: key.to_owned(), ends_at }))
    }

    /// Counts one more, up to `most`; returns the state before.
    async fn count(
        &self,
        key: &str,
        most: i64,
        new_end: DateTime,
        now: DateTime,
    ) -> Result<Option<Counter>, MongoError> {
        let is_open = doc! { "$and": [{ "$gt": ["$ends_at", now] }, { "$gt": ["$count", 0] }] };
        let one_more = doc! { "$min": [{ "$add": ["$count", 1] }, most] };
        let pipeline = vec![doc! { "$set": {
            "count": { "$cond": [&is_open, one_more, 1_i64] },
            "ends_at": { "$cond": [is_open, "$ends_at", new_end] },
        }}];
        let update = self.0.find_one_and_update(doc! { "_id": key }, pipeline);
        within(update.upsert(true).return_document(ReturnDocument::Before)).await
    }

    /// Gives one back, unless its window is over.
    pub async fn give_back(&self, taken: &Taken) -> Result<(), MongoError> {
        let filter = doc! { "_id": &taken.key, "ends_at": taken.ends_at, "count": { "$gt": 0 } };
        let update = doc! { "$inc": { "count": -1 } };
        within(self.0.update_one(filter, update)).await.map(drop)
    }
}
