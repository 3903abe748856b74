//! Changes of documents that are still to be announced: each is written into the field `outbox` of its
//! document, in the update that makes the change, and taken out when it has been announced. Whoever
//! announces holds a lease of the document, so that its changes go out in their order, whatever the
//! number of replicas; a relay in every replica takes up what a crash left behind.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc, oid::ObjectId};
use mongodb::{
    Collection, IndexModel,
    action::{Action as _, FindOneAndUpdate},
    options::{Hint, IndexOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::MissedTickBehavior;

use crate::{
    mongo::{MongoError, within},
    shutdown::Lifecycle,
    time::{after, before},
};

/// How long whoever announces has a document for himself. Longer than one announcement may take; one
/// that takes longer is made twice, which everybody who hears it knows.
const LEASE: Duration = Duration::from_secs(15);
/// How long a document rests of which a change could not be announced.
const PAUSE: Duration = Duration::from_secs(1);
/// How old a change is before a relay takes it up.
const RELAY_AFTER: Duration = Duration::from_secs(2);
/// How often the relay looks for changes that were left behind.
const RELAY_INTERVAL: Duration = Duration::from_millis(500);
/// Documents that a relay has announced before it looks whether it is to end.
const RELAYED_AT_ONCE: usize = 64;

/// A change that is still to be announced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry<T> {
    /// Id of the change, part of the id of its event.
    #[serde(rename = "_id")]
    pub id: ObjectId,
    /// When it was made.
    pub at: DateTime,
    /// What changed.
    pub change: T,
}

impl<T: Serialize> Entry<T> {
    /// Describes a change that is about to be made.
    #[must_use]
    pub fn new(change: T, now: DateTime) -> Self {
        Self { id: ObjectId::new(), at: now, change }
    }

    /// Returns what stands in the document: what an insert puts into `outbox`.
    #[must_use]
    pub fn document(&self) -> Document {
        bson::serialize_to_document(self).expect("a change has fields that BSON knows")
    }

    /// Returns what `$push` is given.
    #[must_use]
    pub fn pushed(&self) -> Document {
        doc! { "outbox": self.document() }
    }

    /// Returns the new value of `outbox` for an update that is a pipeline.
    #[must_use]
    pub fn appended(&self) -> Document {
        let own = doc! { "$literal": [self.document()] };
        doc! { "$concatArrays": [{ "$ifNull": ["$outbox", []] }, own] }
    }
}

/// Returns the index by which the relay finds what was left behind.
#[must_use]
pub fn index() -> IndexModel {
    let waiting = doc! { "outbox.at": { "$exists": true } };
    let options = IndexOptions::builder().partial_filter_expression(waiting).build();
    IndexModel::builder().keys(doc! { "outbox.at": 1 }).options(options).build()
}

type Announcing = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;
type Announce<T> = dyn Fn(RawDocumentBuf, Entry<T>) -> Announcing + Send + Sync;

/// Announces the changes of one collection. Clones share everything.
pub struct Outbox<T> {
    documents: Collection<RawDocumentBuf>,
    announce: Arc<Announce<T>>,
    life: Lifecycle,
    lease: Duration,
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        let announce = Arc::clone(&self.announce);
        let (documents, life) = (self.documents.clone(), self.life.clone());
        Self { documents, announce, life, lease: self.lease }
    }
}

impl<T> std::fmt::Debug for Outbox<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Outbox").finish_non_exhaustive()
    }
}

/// A document that is held, as far as this module reads it.
#[derive(Deserialize)]
struct Held<T> {
    #[serde(rename = "_id")]
    id: Bson,
    #[serde(default = "Vec::new")]
    outbox: Vec<Entry<T>>,
}

impl<T: DeserializeOwned + Send + 'static> Outbox<T> {
    /// Describes how one change of a document is announced: a second time does no harm.
    pub fn new<F>(
        documents: Collection<RawDocumentBuf>,
        life: &Lifecycle,
        announce: impl Fn(RawDocumentBuf, Entry<T>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let announce =
            Arc::new(move |document, entry| -> Announcing { Box::pin(announce(document, entry)) });
        Self { documents, announce, life: life.clone(), lease: LEASE }
    }

    /// Lets whoever announces have a document for this long, instead of 15 seconds: what he leaves behind
    /// when he dies waits no longer.
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Announces what waits in a document, beside the caller. What fails is left to the relay.
    pub fn announce(&self, id: impl Into<Bson>) {
        let (outbox, id) = (self.clone(), id.into());
        let work = async move {
            let claimed = outbox.claim(doc! { "_id": &id }, None).await;
            let outcome = match claimed {
                Ok(Some(document)) => outbox.empty(document).await,
                // Nothing waits any more, or whoever has the document finds this change as well.
                Ok(None) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = outcome {
                tracing::warn!(%id, error = format!("{error:#}"), "left to the relay");
            }
        };
        self.life.spawn_work(tracing::Instrument::in_current_span(work));
    }

    /// Announces until the soft stop what was left behind, oldest first.
    pub async fn relay(self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(RELAY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.life.stopping() => return Ok(()),
            }
            for _ in 0..RELAYED_AT_ONCE {
                if self.life.is_stopping() {
                    return Ok(());
                }
                let document = match self.claim_left_behind().await {
                    Ok(Some(document)) => document,
                    Ok(None) => break,
                    Err(error) => {
                        // The next try fails as this one did, and each takes its time.
                        tracing::warn!(%error, "nothing can be relayed, trying later");
                        break;
                    }
                };
                if let Err(error) = self.empty(document).await {
                    // Its lease keeps the document back, so that the others have their turn.
                    tracing::warn!(error = format!("{error:#}"), "relay failed, trying later");
                }
            }
        }
    }

    /// Takes the document whose changes have waited longest for a relay.
    async fn claim_left_behind(&self) -> Result<Option<RawDocumentBuf>, MongoError> {
        let cutoff = before(DateTime::now(), RELAY_AFTER);
        let filter = doc! { "outbox.at": { "$lt": cutoff } };
        // By the order of the index alone, as it holds arrays.
        let by_age = Hint::Keys(doc! { "outbox.at": 1 });
        self.claim(filter, Some(by_age)).await
    }

    /// Takes a document that has changes to announce and that nobody holds.
    async fn claim(
        &self,
        mut filter: Document,
        hint: Option<Hint>,
    ) -> Result<Option<RawDocumentBuf>, MongoError> {
        let now = DateTime::now();
        filter.extend(doc! {
            "outbox.0": { "$exists": true },
            "outbox_until": { "$not": { "$gt": now } },
        });
        let take = doc! { "$set": { "outbox_until": after(now, self.lease) } };
        let claim = self.documents.find_one_and_update(filter, take);
        let claim = claim.optional(hint, FindOneAndUpdate::hint);
        within(claim.return_document(ReturnDocument::After)).await
    }

    /// Announces the changes of a document that is held, also those that come meanwhile, and lets go.
    async fn empty(&self, document: RawDocumentBuf) -> anyhow::Result<()> {
        let mut next = Some(document);
        while let Some(document) = next {
            let held: Held<T> = bson::deserialize_from_slice(document.as_bytes())?;
            let mut announced = Vec::with_capacity(held.outbox.len());
            let mut failure = None;
            for entry in held.outbox {
                let id = entry.id;
                if let Err(error) = (self.announce)(document.clone(), entry).await {
                    failure = Some(error);
                    break;
                }
                announced.push(id);
            }
            let lease = if failure.is_some() { PAUSE } else { self.lease };
            let rest = self.settle(held.id, &announced, lease).await?;
            if let Some(error) = failure {
                return Err(error);
            }
            next = rest;
        }
        Ok(())
    }

    /// Takes announced changes out, and lets go of the document unless others wait in it. Returns it then.
    async fn settle(
        &self,
        id: Bson,
        announced: &[ObjectId],
        lease: Duration,
    ) -> Result<Option<RawDocumentBuf>, MongoError> {
        let is_left = doc! { "$not": [{ "$in": ["$$entry._id", announced] }] };
        let outbox = doc! { "$ifNull": ["$outbox", []] };
        let left = doc! { "$filter": { "input": outbox, "as": "entry", "cond": is_left } };
        let is_empty = doc! { "$eq": ["$outbox", []] };
        let unless_empty = |value: Bson| -> Document {
            doc! { "$cond": [&is_empty, "$$REMOVE", value] }
        };
        let update = vec![
            doc! { "$set": { "outbox": left } },
            doc! { "$set": {
                "outbox_until": unless_empty(after(DateTime::now(), lease).into()),
                "outbox": unless_empty("$outbox".into()),
            } },
        ];
        let settle = self
            .documents
            .find_one_and_update(doc! { "_id": id }, update)
            .return_document(ReturnDocument::After);
        let document = within(settle).await?;
        Ok(document.filter(|document| matches!(document.get("outbox"), Ok(Some(_)))))
    }
}
