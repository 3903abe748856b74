//! The collection `calls`: its indexes and every query on it. A call is changed by one guarded update, which
//! carries what is announced of it.

mod update;

use std::time::Duration;

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use chat_kit::{
    id::UserId,
    mongo::{self, within},
    outbox::{self, Entry},
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{Hint, IndexOptions, ReturnDocument},
};

use super::read;
use crate::{
    announce::Change,
    error::Error,
    history::Cursor,
    state::{Call, CallId, Candidate, Party, Role, Rung, State, Step},
};

pub(crate) const COLLECTION: &str = "calls";

/// Name of the index that lets nobody be in two calls.
const LIVE: &str = "live_parties";

/// Devices of a callee beyond which no more are noted; together with one request less than 50 KB.
const MOST_RUNG: usize = 256;

/// Candidates of a side after the answer that are kept.
const MOST_LATE: i32 = 64;

/// A call and its sockets, of a gateway that says that they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) call_id: CallId,
    pub(crate) socket_id: String,
}

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    documents: Collection<RawDocumentBuf>,
}

impl Calls {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection(COLLECTION) }
    }

    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        mongo::create_indexes(&self.documents, indexes()).await
    }

    pub(crate) fn documents(&self) -> Collection<RawDocumentBuf> {
        self.documents.clone()
    }

    /// Stores a new call. Fails with [`Error::Busy`] where one of its parties is in another.
    pub(crate) async fn insert(&self, call: &Call, placed: &Entry<Change>) -> Result<(), Error> {
        let mut document = bson::serialize_to_document(call).expect("a call has fields of BSON");
        document.insert("outbox", vec![placed.document()]);
        let raw = RawDocumentBuf::try_from(&document).expect("a document");
        match within(self.documents.insert_one(raw)).await {
            Err(error) if error.duplicate_key() == Some(LIVE) => Err(Error::Busy),
            stored => Ok(stored.map(drop)?),
        }
    }

    /// Returns a call, without its descriptions and candidates.
    pub(crate) async fn get(&self, id: &CallId) -> Result<Option<Call>, Error> {
        let find = self.documents.find_one(doc! { "_id": id }).projection(without_bulk());
        parse(within(find).await?)
    }

    /// Returns a call with its descriptions and candidates.
    pub(crate) async fn whole(&self, id: &CallId) -> Result<Option<Call>, Error> {
        let find = self.documents.find_one(doc! { "_id": id }).projection(doc! { "outbox": 0 });
        parse(within(find).await?)
    }

    /// Returns a call as no write has changed it since, once a majority has it. A plain read may still see
    /// it as it was before the write that has just refused another one.
    pub(crate) async fn settled(&self, id: &CallId) -> Result<Option<Call>, Error> {
        // Changes nothing, as nothing is inserted.
        let nothing = doc! { "$setOnInsert": { "is_live": false } };
        let update = self.documents.find_one_and_update(doc! { "_id": id }, nothing);
        parse(within(update.projection(without_bulk())).await?)
    }

    /// Returns the call that a user is in.
    pub(crate) async fn live_of(&self, user: UserId) -> Result<Option<Call>, Error> {
        let find = self.documents.find_one(doc! { "parties": user, "is_live": true });
        let find = find.hint(Hint::Name(LIVE.to_owned())).projection(without_bulk());
        parse(within(find).await?)
    }

    /// Makes a step of a call that is as it was when the step was decided on; returns the call after it, or
    /// nothing where another step has come before.
    pub(crate) async fn step(
        &self,
        call: &Call,
        step: &Step,
        retention: Duration,
        now: DateTime,
    ) -> Result<Option<Call>, Error> {
        let guard = doc! { "_id": &call.id, "revision": call.revision };
        self.update(guard, step, retention, now).await
    }

    /// Does the same for a step that time makes, unless a renewal has put it off.
    pub(crate) async fn step_if_due(
        &self,
        call: &Call,
        step: &Step,
        retention: Duration,
        now: DateTime,
    ) -> Result<Option<Call>, Error> {
        let due = doc! { "$lte": now };
        let guard = doc! { "_id": &call.id, "revision": call.revision, "due_at": due };
        self.update(guard, step, retention, now).await
    }

    async fn update(
        &self,
        guard: Document,
        step: &Step,
        retention: Duration,
        now: DateTime,
    ) -> Result<Option<Call>, Error> {
        let update = self
            .documents
            .find_one_and_update(guard, update::pipeline(step, retention, now))
            .return_document(ReturnDocument::After)
            .projection(without_bulk());
        parse(within(update).await?)
    }

    /// Keeps a candidate of a call that rings; says whether it still does and the side may add one.
    pub(crate) async fn keep_candidate(
        &self,
        id: &CallId,
        role: Role,
        candidate: &Candidate,
        most: u32,
    ) -> Result<bool, Error> {
        let side = role.field();
        let candidate = bson::serialize_to_document(candidate).expect("texts");
        let filter = doc! {
            "_id": id,
            "state": State::Ringing.as_str(),
            format!("{side}.candidate_count"): { "$lt": i64::from(most) },
        };
        let update = doc! {
            "$push": { format!("{side}.candidates"): candidate },
            "$inc": { format!("{side}.candidate_count"): 1_i64 },
        };
        Ok(within(self.documents.update_one(filter, update)).await?.matched_count == 1)
    }

    /// Counts a candidate of an answered call, and keeps it with the newest; returns the call then, unless it
    /// is no such call any more or the side may add none.
    pub(crate) async fn count_candidate(
        &self,
        id: &CallId,
        role: Role,
        candidate: &str,
        most: u32,
    ) -> Result<Option<Call>, Error> {
        let side = role.field();
        let count = format!("{side}.candidate_count");
        let filter = doc! {
            "_id": id,
            "state": State::Answered.as_str(),
            &count: { "$lt": i64::from(most) },
        };
        let late = doc! { "$each": [candidate], "$slice": -MOST_LATE };
        let counted = doc! { "$inc": { count: 1_i64 }, "$push": { format!("{side}.late"): late } };
        let update = self
            .documents
            .find_one_and_update(filter, counted)
            .return_document(ReturnDocument::After)
            .projection(without_bulk());
        parse(within(update).await?)
    }

    /// Notes on which of the callee's devices a call that rings has done so. Where there are very many, more
    /// are not noted.
    pub(crate) async fn note_rung(&self, id: &CallId, rung: &[Rung]) -> Result<(), Error> {
        let filter = doc! {
            "_id": id,
            "state": State::Ringing.as_str(),
            format!("callee.rung.{MOST_RUNG}"): { "$exists": false },
        };
        let rung = bson::serialize_to_bson(rung).expect("hashes");
        let update = doc! { "$addToSet": { "callee.rung": { "$each": rung } } };
        within(self.documents.update_one(filter, update)).await?;
        Ok(())
    }

    /// Notes that a call that rings does so on a socket of the callee that has come; says whether it is to,
    /// as it has on no other socket of that session.
    pub(crate) async fn ring_on(&self, id: &CallId, by: &Party) -> Result<bool, Error> {
        let session = by.session.clone().map_or(Bson::Null, Bson::Binary);
        let other = doc! { "session": session, "socket_id": { "$ne": &by.socket_id } };
        let filter = doc! {
            "_id": id,
            "state": State::Ringing.as_str(),
            "callee.rung": { "$not": { "$elemMatch": other } },
            format!("callee.rung.{MOST_RUNG}"): { "$exists": false },
        };
        let rung = Rung { session: by.session.clone(), socket_id: Some(by.socket_id.clone()) };
        let rung = bson::serialize_to_document(&rung).expect("a hash and a text");
        let update = doc! { "$addToSet": { "callee.rung": rung } };
        Ok(within(self.documents.update_one(filter, update)).await?.matched_count == 1)
    }

    /// Holds the sockets that are bound or stand by until then, those aside that are gone.
    pub(crate) async fn renew(&self, held: &[Held], until: DateTime) -> Result<(), Error> {
        let ids: Vec<&CallId> = held.iter().map(|held| &held.call_id).collect();
        let sockets = held.iter().map(|held| held.socket_id.as_str());
        let filter = doc! { "_id": { "$in": ids }, "is_live": true };
        let update = self.documents.update_many(filter, update::renewal(sockets, until));
        within(update.hint(by_id())).await?;
        Ok(())
    }

    /// Gives the sockets of all calls whose time would come before then another lease, and those that have
    /// left another grace.
    pub(crate) async fn extend(&self, lease: DateTime, grace: DateTime) -> Result<(), Error> {
        let filter = doc! { "due_at": { "$lte": lease.max(grace) } };
        let update = self.documents.update_many(filter, update::extension(lease, grace));
        within(update.hint(by_due())).await?;
        Ok(())
    }

    /// Returns those of some calls that are live.
    pub(crate) async fn live(&self, held: &[Held]) -> Result<Vec<Call>, Error> {
        let ids: Vec<&CallId> = held.iter().map(|held| &held.call_id).collect();
        let find = self.documents.find(doc! { "_id": { "$in": ids }, "is_live": true });
        let size = u32::try_from(held.len()).unwrap_or(u32::MAX);
        let find = find.projection(without_bulk()).hint(by_id()).batch_size(size.saturating_add(1));
        let found: Vec<RawDocumentBuf> =
            within(async { find.await?.try_collect::<Vec<_>>().await }).await?;
        found.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Returns calls with which time has something to do, what is due longest first. One that cannot be read
    /// is not in the way of the others.
    pub(crate) async fn due(
        &self,
        now: DateTime,
        limit: u32,
    ) -> Result<Vec<Result<Call, Error>>, Error> {
        let find = self
            .documents
            .find(doc! { "due_at": { "$lte": now } })
            .sort(doc! { "due_at": 1 })
            .hint(by_due())
            .projection(without_bulk())
            .limit(limit.into())
            .batch_size(limit.saturating_add(1));
        let found: Vec<RawDocumentBuf> =
            within(async { find.await?.try_collect::<Vec<_>>().await }).await?;
        Ok(found.iter().map(|raw| read(COLLECTION, raw)).collect())
    }

    /// Returns the first `limit` calls of a user behind a place, the newest first.
    pub(crate) async fn page(
        &self,
        user: UserId,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Vec<Call>, Error> {
        let find = self
            .documents
            .find(listed(user, after))
            .sort(doc! { "placed_at": -1, "_id": -1 })
            .hint(Hint::Keys(list_keys()))
            .projection(without_bulk())
            .limit(limit.into())
            .batch_size(limit.saturating_add(1));
        let found: Vec<RawDocumentBuf> =
            within(async { find.await?.try_collect::<Vec<_>>().await }).await?;
        found.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Removes from a call that has ended what nobody needs any more.
    pub(crate) async fn strip(&self, id: &CallId) -> Result<(), Error> {
        let bulk = doc! { "$unset": {
            "offer": "",
            "answer": "",
            "caller.candidates": "",
            "caller.late": "",
            "caller.session": "",
            "callee.candidates": "",
            "callee.late": "",
            "callee.session": "",
        } };
        within(self.documents.update_one(doc! { "_id": id, "is_live": false }, bulk)).await?;
        Ok(())
    }
}

fn parse(found: Option<RawDocumentBuf>) -> Result<Option<Call>, Error> {
    found.map(|raw| read(COLLECTION, &raw)).transpose()
}

/// Returns the projection that leaves out what no rule needs.
fn without_bulk() -> Document {
    doc! {
        "offer": 0,
        "answer": 0,
        "caller.candidates": 0,
        "caller.late": 0,
        "callee.candidates": 0,
        "callee.late": 0,
        "outbox": 0,
    }
}

fn indexes() -> [IndexModel; 5] {
    let live = IndexOptions::builder()
        .name(LIVE.to_owned())
        .unique(true)
        .partial_filter_expression(doc! { "is_live": true })
        .build();
    let is_due = doc! { "due_at": { "$exists": true } };
    let due = IndexOptions::builder().partial_filter_expression(is_due).build();
    let purge = IndexOptions::builder().expire_after(Duration::ZERO).build();
    [
        // An array's values are indexed one by one, and are unique among all documents. That both parties
        // of one differ, the request says.
        IndexModel::builder().keys(doc! { "parties": 1 }).options(live).build(),
        IndexModel::builder().keys(doc! { "due_at": 1 }).options(due).build(),
        IndexModel::builder().keys(list_keys()).build(),
        IndexModel::builder().keys(doc! { "expires_at": 1 }).options(purge).build(),
        outbox::index(),
    ]
}

fn by_due() -> Hint {
    Hint::Keys(doc! { "due_at": 1 })
}

fn by_id() -> Hint {
    Hint::Keys(doc! { "_id": 1 })
}

/// Returns the keys of a user's calls, in the order of their list.
fn list_keys() -> Document {
    doc! { "parties": 1, "placed_at": -1, "_id": -1 }
}

/// Returns the filter of [`Calls::page`]; a place makes one branch per key that may differ.
fn listed(user: UserId, after: Option<&Cursor>) -> Document {
    let Some(Cursor { placed_at, id }) = after else {
        return doc! { "parties": user };
    };
    doc! { "$or": [
        { "parties": user, "placed_at": placed_at, "_id": { "$lt": id } },
        { "parties": user, "placed_at": { "$lt": placed_at } },
    ] }
}
