//! The collection `presences`, what others are told of whether somebody is online: its document, its
//! indexes and every query on it. A change writes its announcement into the document; the newest replaces
//! one that has not gone out yet. Beside it stands the announcement for those who alone see it differently.

use std::{collections::HashSet, time::Duration};

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc, oid::ObjectId};
use chat_kit::{
    id::UserId,
    mongo::{self, MongoError, within},
    outbox,
};
use futures_util::TryStreamExt as _;
use moka::future::Cache;
use mongodb::{
    Collection, Database, IndexModel,
    options::{Hint, IndexOptions},
};
use serde::{Deserialize, Serialize};

use super::{Id, millis, read};
use crate::error::Error;

pub(crate) const COLLECTION: &str = "presences";

/// How long it counts how many are online.
const COUNT_LIFE: Duration = Duration::from_secs(1);

/// What others are told of somebody.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Presence {
    #[serde(rename = "_id")]
    pub(crate) user_id: UserId,
    pub(crate) is_online: bool,
    /// Number of the newest transition; 0 before the first.
    pub(crate) number: i64,
    /// When it happened; absent before the first.
    pub(crate) at: Option<DateTime>,
    /// Grows whenever a socket comes: who decides by the sockets that he saw finds out whether one came
    /// meanwhile.
    pub(crate) arrivals: i64,
}

/// A transition that is still to be announced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Transition {
    pub(crate) is_online: bool,
    pub(crate) number: i64,
    pub(crate) at: DateTime,
    /// Whether it is announced because others see it differently from now on: to whom it is hidden, too.
    pub(crate) is_restated: bool,
    /// The only ones to whom it is announced, where they alone see it differently from now on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) viewers: Vec<UserId>,
}

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Presences {
    documents: Collection<RawDocumentBuf>,
    /// How many were online a moment ago.
    counted: Cache<(), u64>,
}

impl Presences {
    pub(crate) fn new(database: &Database) -> Self {
        let counted = Cache::builder().max_capacity(1).time_to_live(COUNT_LIFE).build();
        Self { documents: database.collection(COLLECTION), counted }
    }

    /// Returns the raw documents, for the announcement of their changes.
    pub(crate) fn documents(&self) -> Collection<RawDocumentBuf> {
        self.documents.clone()
    }

    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        mongo::create_indexes(&self.documents, indexes()).await
    }

    /// Brings users online of whom a socket came, and has it looked after some time whether it is so.
    pub(crate) async fn arrive(&self, users: &[UserId], look: Duration) -> Result<(), Error> {
        let unless_online = |kept: Bson, set: Bson| doc! { "$cond": ["$is_online", kept, set] };
        let look_at = doc! { "$add": ["$$NOW", millis(look)] };
        let kept_look = doc! { "$ifNull": ["$look_at", "$$REMOVE"] };
        let kept_outbox = doc! { "$ifNull": ["$outbox", "$$REMOVE"] };
        let update = vec![doc! { "$set": {
            "arrivals": { "$add": ["$arrivals", 1] },
            "is_online": true,
            "number": unless_online("$number".into(), next().into()),
            "at": unless_online("$at".into(), "$$NOW".into()),
            "look_at": unless_online(kept_look.into(), look_at.into()),
            "outbox": unless_online(kept_outbox.into(), entry(true, "$$NOW".into(), false)),
        } }];
        let these = doc! { "_id": { "$in": users } };
        let arrived = within(self.documents.update_many(these.clone(), update.clone())).await?;
        if usize::try_from(arrived.matched_count).is_ok_and(|count| count == users.len()) {
            return Ok(());
        }
        self.make(users).await?;
        // Who is counted as having come twice has come all the same.
        within(self.documents.update_many(these, update)).await?;
        Ok(())
    }

    /// Makes the documents of users who were never online.
    async fn make(&self, users: &[UserId]) -> Result<(), Error> {
        let known: HashSet<UserId> =
            self.of(users).await?.iter().map(|presence| presence.user_id).collect();
        let new = users.iter().filter(|user| !known.contains(*user)).map(|user| {
            let document =
                doc! { "_id": user, "is_online": false, "number": 0_i64, "arrivals": 0_i64 };
            RawDocumentBuf::try_from(&document).expect("a document of an id and numbers")
        });
        let new: Vec<RawDocumentBuf> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        match within(self.documents.insert_many(new).ordered(false)).await {
            Err(error) if !has_only_doubles(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Takes users offline who left some time `ago`, unless a socket came since their presence was read;
    /// returns of how many none did.
    pub(crate) async fn depart(&self, read: &[Presence], ago: Duration) -> Result<usize, Error> {
        if read.is_empty() {
            return Ok(0);
        }
        // Never before they came.
        let at = doc! { "$max": ["$at", { "$subtract": ["$$NOW", millis(ago)] }] };
        let update = vec![doc! { "$set": {
            "is_online": false,
            "number": next(),
            "at": &at,
            "look_at": "$$REMOVE",
            "outbox": entry(false, at.into(), false),
        } }];
        let departed = within(self.documents.update_many(unchanged(read), update)).await?;
        Ok(usize::try_from(departed.matched_count).unwrap_or(usize::MAX))
    }

    /// Notes that users are online indeed, unless a socket came since their presence was read.
    pub(crate) async fn confirm(&self, read: &[Presence]) -> Result<(), Error> {
        if read.is_empty() {
            return Ok(());
        }
        let update = doc! { "$unset": { "look_at": "" } };
        within(self.documents.update_many(unchanged(read), update)).await?;
        Ok(())
    }

    /// Has the state of a user announced once more, under a new number, since others see it differently
    /// from now on.
    pub(crate) async fn restate(&self, user: UserId) -> Result<(), Error> {
        let was_ever_online = doc! { "_id": user, "number": { "$gt": 0 } };
        let update = vec![doc! { "$set": {
            "number": next(), "outbox": entry("$is_online", "$at".into(), true),
        } }];
        within(self.documents.update_one(was_ever_online, update)).await?;
        Ok(())
    }

    /// Has the state of a user announced once more to somebody who sees it differently from now on, under a
    /// new number, together with those to whom that is still to be done.
    pub(crate) async fn restate_to(&self, user: UserId, viewer: UserId) -> Result<(), Error> {
        let was_ever_online = doc! { "_id": user, "number": { "$gt": 0 } };
        let viewers = doc! { "$reduce": {
            "input": waiting(true),
            "initialValue": [viewer],
            "in": { "$setUnion": ["$$value", "$$this.change.viewers"] },
        } };
        let change = doc! {
            "is_online": "$is_online", "number": next(), "at": "$at", "is_restated": false,
            "viewers": viewers,
        };
        let own = doc! { "_id": ObjectId::new(), "at": "$$NOW", "change": change };
        let update = vec![doc! { "$set": {
            "number": next(), "outbox": { "$concatArrays": [waiting(false), [own]] },
        } }];
        within(self.documents.update_one(was_ever_online, update)).await?;
        Ok(())
    }

    /// Returns the presences of some users, of those who were ever online.
    pub(crate) async fn of(&self, users: &[UserId]) -> Result<Vec<Presence>, Error> {
        let room = u32::try_from(users.len()).unwrap_or(u32::MAX).saturating_add(1);
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(doc! { "_id": { "$in": users } })
                .projection(without_outbox())
                .batch_size(room)
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Returns users of whom it is to be looked whether they are online.
    pub(crate) async fn to_look_at(&self, limit: u32) -> Result<Vec<Presence>, Error> {
        let is_due =
            doc! { "look_at": { "$exists": true }, "$expr": { "$lte": ["$look_at", "$$NOW"] } };
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(is_due)
                .projection(without_outbox())
                .sort(by_look())
                .hint(Hint::Keys(by_look()))
                .limit(limit.into())
                .batch_size(limit.saturating_add(1))
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Returns those of some users whose presence is still to be announced.
    pub(crate) async fn unannounced(&self, users: &[UserId]) -> Result<Vec<ObjectId>, Error> {
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(doc! { "_id": { "$in": users }, "outbox.0": { "$exists": true } })
                .projection(doc! { "_id": 1 })
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| Ok(read::<Id>(COLLECTION, raw)?.id)).collect()
    }

    /// Counts who is online, from the index alone: as it was at most a second ago, and once for all who ask
    /// meanwhile, since it looks at everybody who is.
    pub(crate) async fn count(&self) -> Result<u64, Error> {
        let count = async {
            let online = self.documents.count_documents(doc! { "is_online": true });
            within(online.hint(Hint::Keys(doc! { "is_online": 1 }))).await
        };
        let counted = self.counted.try_get_with((), count).await;
        counted.map_err(|error| Error::Mongo(MongoError::clone(&error)))
    }
}

/// Returns the filter of users who are online and of whom no socket came since their presence was read.
fn unchanged(read: &[Presence]) -> Document {
    let each = read.iter().map(|presence| {
        doc! { "_id": presence.user_id, "arrivals": presence.arrivals, "is_online": true }
    });
    doc! { "$or": each.collect::<Vec<_>>() }
}

fn next() -> Document {
    doc! { "$add": ["$number", 1] }
}

/// Returns what is still to be announced to some viewers alone, or what is to be to all.
fn waiting(to_viewers: bool) -> Document {
    let is_to_all = doc! { "$eq": [{ "$type": "$$entry.change.viewers" }, "missing"] };
    let condition = if to_viewers {
        doc! { "$not": [is_to_all] }
    } else {
        is_to_all
    };
    let outbox = doc! { "$ifNull": ["$outbox", []] };
    doc! { "$filter": { "input": outbox, "as": "entry", "cond": condition } }
}

/// Returns the new value of `outbox`, in an update that makes the next number.
fn entry(is_online: impl Into<Bson>, at: Bson, is_restated: bool) -> Bson {
    let restated: Bson = if is_restated {
        true.into()
    } else {
        // One that has not gone out yet is to reach the same people.
        let waiting = doc! { "$ifNull": ["$outbox.change.is_restated", []] };
        doc! { "$in": [true, waiting] }.into()
    };
    let change = doc! {
        "is_online": is_online, "number": next(), "at": at, "is_restated": restated,
    };
    let own = doc! { "_id": ObjectId::new(), "at": "$$NOW", "change": change };
    doc! { "$concatArrays": [waiting(true), [own]] }.into()
}

fn has_only_doubles(error: &MongoError) -> bool {
    error.refused().is_some_and(|refused| refused.iter().all(|(_, index)| index.is_some()))
}

fn without_outbox() -> Document {
    doc! { "_id": 1, "is_online": 1, "number": 1, "at": 1, "arrivals": 1 }
}

fn by_look() -> Document {
    doc! { "look_at": 1 }
}

fn indexes() -> [IndexModel; 3] {
    let looked_at = doc! { "look_at": { "$exists": true } };
    let looked_at = IndexOptions::builder().partial_filter_expression(looked_at).build();
    let online =
        IndexOptions::builder().partial_filter_expression(doc! { "is_online": true }).build();
    [
        outbox::index(),
        IndexModel::builder().keys(by_look()).options(looked_at).build(),
        IndexModel::builder().keys(doc! { "is_online": 1 }).options(online).build(),
    ]
}
