//! The collection `gateways`: the leases under which gateways hold their sockets, and every query on them.
//! The clock is MongoDB's. A lease that has run out is over for good, so that what is taken from it is
//! never given back: its gateway goes on under another id.

use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc, oid::ObjectId};
use chat_kit::mongo::{self, within};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{Hint, IndexOptions, ReturnDocument},
};
use serde::Deserialize;

use super::{Id, millis, read};
use crate::error::Error;

const COLLECTION: &str = "gateways";

/// How long a lease that is over is remembered, so that nobody begins it again.
const REMEMBERED: Duration = Duration::from_hours(1);
/// How long after its end a lease is still looked at: longer than any call that began before.
const WATCHED: Duration = Duration::from_mins(1);
/// How often a renewal is tried: a second one finds the document that a concurrent first one inserted.
const ATTEMPTS: usize = 2;
/// Leases of one read; there are as many living ones as gateways.
const MOST: i64 = 1000;

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Gateways {
    documents: Collection<RawDocumentBuf>,
}

impl Gateways {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection(COLLECTION) }
    }

    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        mongo::create_indexes(&self.documents, indexes()).await
    }

    /// Renews a lease, or begins it; says whether it lives.
    pub(crate) async fn renew(&self, id: ObjectId, lease: Duration) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Renewed {
            is_over: bool,
        }
        let has_run_out = doc! { "$lte": [{ "$ifNull": ["$expires_at", "$$NOW"] }, "$$NOW"] };
        let is_begun = doc! { "$ne": [{ "$type": "$expires_at" }, "missing"] };
        let is_over = doc! { "$and": [is_begun, has_run_out] };
        let renewed = doc! { "$add": ["$$NOW", millis(lease)] };
        let update = vec![
            doc! { "$set": { "is_over": { "$or": [{ "$ifNull": ["$is_over", false] }, is_over] } } },
            doc! { "$set": { "expires_at": { "$cond": ["$is_over", "$expires_at", renewed] } } },
        ];
        let mut attempt = 1;
        let written = loop {
            let renew = self
                .documents
                .find_one_and_update(doc! { "_id": id }, update.clone())
                .upsert(true)
                .return_document(ReturnDocument::After);
            match within(renew).await {
                Err(error) if error.duplicate_key().is_some() && attempt < ATTEMPTS => attempt += 1,
                written => break written?,
            }
        };
        let written = written.expect("an upsert returns the document it wrote");
        Ok(!read::<Renewed>(COLLECTION, &written)?.is_over)
    }

    /// Returns the leases that live.
    pub(crate) async fn living(&self) -> Result<Vec<ObjectId>, Error> {
        let lives = doc! {
            "is_over": false, "$expr": { "$gt": ["$expires_at", "$$NOW"] },
        };
        self.ids(lives).await
    }

    /// Returns the leases that have run out and under which there may still be sockets, and sees to it that
    /// they are over.
    pub(crate) async fn run_out(&self) -> Result<Vec<ObjectId>, Error> {
        let has_run_out = doc! {
            "swept_at": { "$exists": false }, "$expr": { "$lte": ["$expires_at", "$$NOW"] },
        };
        let ids = self.ids(has_run_out).await?;
        if !ids.is_empty() {
            let ends = doc! { "_id": { "$in": &ids }, "is_over": false };
            let end = doc! { "$set": { "is_over": true } };
            within(self.documents.update_many(ends, end)).await?;
        }
        Ok(ids)
    }

    /// Notes that there is no socket under some leases, of those under which none can come any more.
    pub(crate) async fn note_empty(&self, ids: &[ObjectId]) -> Result<(), Error> {
        let long_ago = doc! { "$subtract": ["$$NOW", millis(WATCHED)] };
        let is_old = doc! {
            "_id": { "$in": ids }, "$expr": { "$lte": ["$expires_at", long_ago] },
        };
        let sweep = vec![doc! { "$set": { "swept_at": "$$NOW" } }];
        within(self.documents.update_many(is_old, sweep)).await?;
        Ok(())
    }

    async fn ids(&self, filter: Document) -> Result<Vec<ObjectId>, Error> {
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(filter)
                .projection(doc! { "_id": 1 })
                .hint(Hint::Keys(by_end()))
                .limit(MOST)
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| Ok(read::<Id>(COLLECTION, raw)?.id)).collect()
    }
}

/// Returns the keys by which leases are found.
fn by_end() -> Document {
    doc! { "expires_at": 1 }
}

fn indexes() -> [IndexModel; 2] {
    let forgotten = IndexOptions::builder().expire_after(REMEMBERED).build();
    [
        IndexModel::builder().keys(by_end()).build(),
        IndexModel::builder().keys(doc! { "swept_at": 1 }).options(forgotten).build(),
    ]
}
