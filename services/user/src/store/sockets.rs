//! The collection `sockets`: one document for each connected socket, with the lease that it is held under,
//! and every query on it. One that is gone stays for the grace period, and until what follows from its end
//! has been done: the document itself says that there is something to be done.

use std::{collections::HashSet, time::Duration};

use bson::{DateTime, Document, RawDocumentBuf, doc, oid::ObjectId};
use chat_kit::{
    id::UserId,
    mongo::{self, MongoError, within},
    time::after,
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{Hint, IndexOptions},
};
use serde::{Deserialize, Serialize};

use super::{Id, millis, read};
use crate::error::Error;

const COLLECTION: &str = "sockets";

/// How long it is remembered that a socket is gone which nobody has registered: longer than a call that
/// was given up may still be under way.
const REMEMBERED: Duration = Duration::from_mins(1);
/// How often sockets are taken over: one that a sweep has forgotten between two steps is new the next time.
const ATTEMPTS: usize = 3;

/// A connected socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Socket {
    #[serde(rename = "_id")]
    pub(crate) id: ObjectId,
    pub(crate) user_id: UserId,
}

/// A socket that is gone.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Gone {
    #[serde(rename = "_id")]
    pub(crate) id: ObjectId,
    /// Absent where it was never registered.
    pub(crate) user_id: Option<UserId>,
}

/// What is stored of a socket that was to be taken over.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Known {
    #[serde(rename = "_id")]
    id: ObjectId,
    gateway_id: Option<ObjectId>,
    leaves_at: Option<DateTime>,
}

impl Known {
    /// Says whether nothing is left to be done: it is gone, or held under this lease.
    fn is_settled(&self, gateway: ObjectId) -> bool {
        self.leaves_at.is_some() || self.gateway_id == Some(gateway)
    }
}

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    documents: Collection<RawDocumentBuf>,
}

impl Sockets {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection(COLLECTION) }
    }

    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        mongo::create_indexes(&self.documents, indexes()).await
    }

    /// Holds sockets under a lease: those that are new, and those that were held under another one, even
    /// if that one's sweep forgets them at this moment. Returns the users of those that are held now, some
    /// of them more than once; of those that are gone already, none.
    pub(crate) async fn hold(
        &self,
        gateway: ObjectId,
        sockets: &[Socket],
    ) -> Result<Vec<UserId>, Error> {
        let mut left = sockets.to_vec();
        let mut gone = HashSet::new();
        for _ in 0..ATTEMPTS {
            let documents = left.iter().map(|socket| held(gateway, socket)).collect();
            let refused = self.insert(documents).await?;
            left = refused.into_iter().map(|index| left[index]).collect();
            if !left.is_empty() {
                let known = self.take(gateway, &left).await?;
                gone.extend(known.iter().filter(|known| known.leaves_at.is_some()).map(|k| k.id));
                let settled: HashSet<ObjectId> =
                    known.iter().filter(|known| known.is_settled(gateway)).map(|k| k.id).collect();
                left.retain(|socket| !settled.contains(&socket.id));
            }
            if left.is_empty() {
                let here = sockets.iter().filter(|socket| !gone.contains(&socket.id));
                return Ok(here.map(|socket| socket.user_id).collect());
            }
        }
        Err(Error::SocketsContended)
    }

    /// Takes sockets over that are there, and returns what is stored of them afterwards: nothing of those
    /// that were forgotten meanwhile.
    async fn take(&self, gateway: ObjectId, sockets: &[Socket]) -> Result<Vec<Known>, Error> {
        let ids: Vec<ObjectId> = sockets.iter().map(|socket| socket.id).collect();
        let is_there = doc! { "_id": { "$in": &ids }, "leaves_at": { "$exists": false } };
        let take = doc! { "$set": { "gateway_id": gateway } };
        within(self.documents.update_many(is_there, take)).await?;
        let raw: Vec<RawDocumentBuf> = within(async {
            let known = self.documents.find(doc! { "_id": { "$in": &ids } });
            let known = known.projection(doc! { "gateway_id": 1, "leaves_at": 1 });
            known.await?.try_collect().await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Notes that sockets are gone, which counts after the grace period. One that is not there yet never
    /// comes.
    pub(crate) async fn release(&self, ids: &[ObjectId], grace: Duration) -> Result<(), Error> {
        let left = self.leave(ids, grace).await?;
        if left == ids.len() {
            return Ok(());
        }
        let known: Vec<RawDocumentBuf> = within(async {
            let known = self.documents.find(doc! { "_id": { "$in": ids } });
            known.projection(doc! { "_id": 1 }).await?.try_collect().await
        })
        .await?;
        let known: HashSet<ObjectId> = known
            .iter()
            .map(|raw| Ok(read::<Id>(COLLECTION, raw)?.id))
            .collect::<Result<_, Error>>()?;
        let forgotten_at = after(DateTime::now(), REMEMBERED);
        let unknown = ids.iter().filter(|id| !known.contains(*id)).map(|id| {
            let document = doc! { "_id": id, "leaves_at": forgotten_at };
            RawDocumentBuf::try_from(&document).expect("a document of an id and an instant")
        });
        let unknown: Vec<RawDocumentBuf> = unknown.collect();
        // Who was registered at this moment is there now, and leaves.
        if !unknown.is_empty() && !self.insert(unknown).await?.is_empty() {
            self.leave(ids, grace).await?;
        }
        Ok(())
    }

    async fn leave(&self, ids: &[ObjectId], grace: Duration) -> Result<usize, Error> {
        let is_there = doc! { "_id": { "$in": ids }, "leaves_at": { "$exists": false } };
        let leaves_at = doc! { "$add": ["$$NOW", millis(grace)] };
        let leave = vec![doc! { "$set": { "leaves_at": leaves_at } }];
        let left = within(self.documents.update_many(is_there, leave)).await?;
        Ok(usize::try_from(left.matched_count).unwrap_or(usize::MAX))
    }

    /// Inserts documents; returns the places of those whose id is taken.
    async fn insert(&self, documents: Vec<RawDocumentBuf>) -> Result<Vec<usize>, Error> {
        let inserted = within(self.documents.insert_many(documents).ordered(false)).await;
        let Err(error) = inserted else { return Ok(Vec::new()) };
        taken(&error).ok_or(Error::Mongo(error))
    }

    /// Returns sockets whose grace period is over, the longest gone first.
    pub(crate) async fn gone(&self, limit: u32) -> Result<Vec<Gone>, Error> {
        let is_over = doc! {
            "leaves_at": { "$exists": true }, "$expr": { "$lte": ["$leaves_at", "$$NOW"] },
        };
        self.some(is_over, by_leaving(), limit).await
    }

    /// Returns sockets that are held under a lease.
    pub(crate) async fn of(&self, gateway: ObjectId, limit: u32) -> Result<Vec<Gone>, Error> {
        self.some(doc! { "gateway_id": gateway }, doc! { "gateway_id": 1 }, limit).await
    }

    async fn some(
        &self,
        filter: Document,
        index: Document,
        limit: u32,
    ) -> Result<Vec<Gone>, Error> {
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(filter)
                .projection(doc! { "_id": 1, "user_id": 1 })
                .sort(index.clone())
                .hint(Hint::Keys(index))
                .limit(limit.into())
                .batch_size(limit.saturating_add(1))
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Returns those of some users who have a socket under one of some leases, `but` for some sockets.
    pub(crate) async fn users_of(
        &self,
        gateways: &[ObjectId],
        users: &[UserId],
        but: &[ObjectId],
    ) -> Result<HashSet<UserId>, Error> {
        #[derive(Deserialize)]
        struct Online {
            #[serde(rename = "_id")]
            user_id: UserId,
        }
        let held = doc! {
            "user_id": { "$in": users },
            "gateway_id": { "$in": gateways },
            "_id": { "$nin": but },
        };
        let pipeline = [doc! { "$match": held }, doc! { "$group": { "_id": "$user_id" } }];
        let found: Vec<Document> = within(async {
            self.documents
                .aggregate(pipeline)
                .hint(Hint::Keys(by_user()))
                .await?
                .try_collect()
                .await
        })
        .await?;
        found
            .into_iter()
            .map(|found| {
                let online: Online = bson::deserialize_from_document(found).map_err(|source| {
                    let (collection, id) = (COLLECTION, "of a group".to_owned());
                    Error::Corrupt { collection, id, source: Box::new(source) }
                })?;
                Ok(online.user_id)
            })
            .collect()
    }

    /// Forgets sockets that are gone.
    pub(crate) async fn forget_gone(&self, ids: &[ObjectId]) -> Result<(), Error> {
        let gone = doc! { "_id": { "$in": ids }, "leaves_at": { "$exists": true } };
        within(self.documents.delete_many(gone)).await?;
        Ok(())
    }

    /// Forgets sockets, unless they are held under another lease by now.
    pub(crate) async fn forget_of(&self, gateway: ObjectId, ids: &[ObjectId]) -> Result<(), Error> {
        let held = doc! { "_id": { "$in": ids }, "gateway_id": gateway };
        within(self.documents.delete_many(held)).await?;
        Ok(())
    }
}

fn held(gateway: ObjectId, socket: &Socket) -> RawDocumentBuf {
    let document = doc! {
        "_id": socket.id, "user_id": socket.user_id, "gateway_id": gateway,
    };
    RawDocumentBuf::try_from(&document).expect("a document of ids")
}

/// Returns the places of the documents whose id is taken, if that is all that went wrong.
fn taken(error: &MongoError) -> Option<Vec<usize>> {
    let refused = error.refused()?;
    refused.into_iter().map(|(place, index)| index.map(|_| place)).collect()
}

/// Returns the keys by which the sockets of users are found.
fn by_user() -> Document {
    doc! { "user_id": 1, "gateway_id": 1, "_id": 1 }
}

/// Returns the keys by which sockets are found that are gone.
fn by_leaving() -> Document {
    doc! { "leaves_at": 1 }
}

fn indexes() -> [IndexModel; 3] {
    let gone = doc! { "leaves_at": { "$exists": true } };
    let gone = IndexOptions::builder().partial_filter_expression(gone).build();
    [
        IndexModel::builder().keys(by_user()).build(),
        IndexModel::builder().keys(doc! { "gateway_id": 1 }).build(),
        IndexModel::builder().keys(by_leaving()).options(gone).build(),
    ]
}
