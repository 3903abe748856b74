//! Reads of who may act and who hears: those that are wanted together go in one query.

use std::{collections::HashMap, num::NonZeroUsize};

use bson::{RawDocumentBuf, doc, oid::ObjectId};
use chat_kit::{
    batch::{Batches, Bounds},
    id::{ConversationId, UserId},
    mongo::{MongoError, OPERATION_TIMEOUT, within},
};
use futures_util::TryStreamExt as _;
use mongodb::{Collection, Database};

use super::{
    conversations::{Audience, COLLECTION},
    read,
};
use crate::error::Error;

/// Two queries side by side, so that one slow answer does not hold up everybody. More would only make
/// them smaller.
const BOUNDS: Bounds = Bounds {
    under_way: NonZeroUsize::new(2).expect("not zero"),
    // Two MiB of the largest groups.
    at_once: NonZeroUsize::new(64).expect("not zero"),
    waiting: 8192,
    // A query before it, and its own.
    patience: OPERATION_TIMEOUT.saturating_mul(2),
};

/// A conversation, and whose own marks in it are wanted beside what is everybody's.
type Wanted = (ConversationId, Option<UserId>);

/// A conversation's parts as they are stored, to be read by whoever wants them.
type Found = Result<Option<RawDocumentBuf>, MongoError>;

/// The way to the collection. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Audiences {
    batches: Batches<Wanted, Found>,
}

impl Audiences {
    pub(crate) fn new(database: &Database) -> Self {
        let documents = database.collection(COLLECTION);
        Self { batches: Batches::new(BOUNDS, move |wanted| find(documents.clone(), wanted)) }
    }

    /// Returns what decides about acts in a conversation, by a query that begins after this call: what
    /// was acknowledged before it is seen. Of what each member has cleared, that of `user` is known.
    pub(crate) async fn get(
        &self,
        id: ConversationId,
        user: Option<UserId>,
    ) -> Result<Option<Audience>, Error> {
        let found = self.batches.submit((id, user)).await??;
        found.map(|raw| read(COLLECTION, &raw)).transpose()
    }

    /// Returns the same of several conversations, in their order, without what anybody has cleared.
    pub(crate) async fn get_all(
        &self,
        ids: Vec<ConversationId>,
    ) -> Result<Vec<Option<Audience>>, Error> {
        let wanted = ids.into_iter().map(|id| (id, None)).collect();
        let found = self.batches.submit_all(wanted).await.into_iter();
        found.map(|found| found??.map(|raw| read(COLLECTION, &raw)).transpose()).collect()
    }
}

async fn find(documents: Collection<RawDocumentBuf>, wanted: Vec<Wanted>) -> Vec<Found> {
    let mut parts = doc! {
        "member_ids": 1, "status": 1, "participant_key": 1,
        "created_by": 1, "requested_by": 1,
        "group.admin_ids": 1, "group.only_admins_can_send": 1,
    };
    for user in wanted.iter().filter_map(|(_, user)| *user) {
        parts.insert(format!("cleared.{user}.seq"), 1);
    }
    let ids: Vec<ConversationId> = wanted.into_iter().map(|(id, _)| id).collect();
    let room = u32::try_from(ids.len()).unwrap_or(u32::MAX).saturating_add(1);
    let query = documents.find(doc! { "_id": { "$in": &ids } }).projection(parts).batch_size(room);
    let found = within(async { query.await?.try_collect::<Vec<_>>().await }).await;
    let found = match found {
        Ok(found) => found,
        Err(error) => return vec![Err(error); ids.len()],
    };
    let mut by_id: HashMap<ObjectId, RawDocumentBuf> = HashMap::with_capacity(found.len());
    for raw in found {
        let id = raw.get_object_id("_id").expect("it was found by its id");
        by_id.insert(id, raw);
    }
    // Several may want the same one.
    ids.iter().map(|id| Ok(by_id.get(&id.0).cloned())).collect()
}
