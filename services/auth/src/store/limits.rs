//! The collection `limits`: how often something was done in a fixed window that begins with the first
//! time.

use std::time::Duration;

use bson::{DateTime, doc};
use chat_kit::{
    mongo::{MongoError, within},
    time,
};
use mongodb::{
    Collection, IndexModel,
    options::{IndexOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize};

/// A count in its window.
#[derive(Debug, Serialize, Deserialize)]
pub struct Counter {
    /// What is counted, and of whom.
    #[serde(rename = "_id")]
    pub key: String,
    /// How often it was done in the window. The window is over when all of it was given back.
    pub count: i64,
    /// When the window ends.
    pub ends_at: DateTime,
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

/// The indexes of the collection.
pub fn indexes() -> [IndexModel; 1] {
    let purge = IndexOptions::builder().expire_after(Duration::ZERO).build();
    [IndexModel::builder().keys(doc! { "ends_at": 1 }).options(purge).build()]
}

/// The queries on the collection.
#[derive(Clone)]
pub struct LimitStore(pub Collection<Counter>);

impl LimitStore {
    /// Takes one of the times that a limit allows, in one update; returns nothing if all are taken.
    pub async fn take(
        &self,
        key: &str,
        limit: Limit,
        now: DateTime,
    ) -> Result<Option<Taken>, MongoError> {
        let most = i64::from(limit.count);
        let new_end = time::after(now, limit.window);
        let is_open = doc! { "$and": [{ "$gt": ["$ends_at", now] }, { "$gt": ["$count", 0] }] };
        let one_more = doc! { "$min": [{ "$add": ["$count", 1] }, most] };
        let pipeline = vec![doc! { "$set": {
            "count": { "$cond": [&is_open, one_more, 1_i64] },
            "ends_at": { "$cond": [is_open, "$ends_at", new_end] },
        }}];
        let before = super::upsert(|| {
            let update = self.0.find_one_and_update(doc! { "_id": key }, pipeline.clone());
            within(update.upsert(true).return_document(ReturnDocument::Before))
        });
        // The state before the update tells whether there was one left: a full count stays as it is.
        let open = before.await?.filter(|counter| counter.ends_at > now && counter.count > 0);
        let ends_at = match open {
            Some(counter) if counter.count >= most => return Ok(None),
            Some(counter) => counter.ends_at,
            None => new_end,
        };
        Ok(Some(Taken { key: key.to_owned(), ends_at }))
    }

    /// Gives one back, unless its window is over.
    pub async fn give_back(&self, taken: &Taken) -> Result<(), MongoError> {
        let filter = doc! { "_id": &taken.key, "ends_at": taken.ends_at, "count": { "$gt": 0 } };
        let update = doc! { "$inc": { "count": -1 } };
        within(self.0.update_one(filter, update)).await.map(drop)
    }
}
