//! The collection `users`: its document, its indexes and every query on it.

use bson::{DateTime, Document, RawDocumentBuf, doc};
use chat_kit::{
    id::UserId,
    mongo::{self, within},
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{IndexOptions, ReturnDocument},
};
use serde::Deserialize;

use super::read;
use crate::error::Error;

const COLLECTION: &str = "users";
const PHONE_INDEX: &str = "phone_1";

/// How often an upsert is tried: a second one finds the document that a concurrent first one inserted.
const UPSERT_ATTEMPTS: usize = 2;

/// A profile as stored.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct User {
    #[serde(rename = "_id")]
    pub(crate) id: UserId,
    pub(crate) name: String,
    /// `+` and digits.
    pub(crate) phone: String,
    /// In lower case.
    pub(crate) email: Option<String>,
    pub(crate) avatar_url: Option<String>,
    pub(crate) bio: Option<String>,
    pub(crate) last_seen_at: DateTime,
    pub(crate) created_at: DateTime,
    pub(crate) updated_at: DateTime,
}

/// What a login knows of an account.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) user_id: UserId,
    /// `+` and digits.
    pub(crate) phone: String,
    /// Absent keeps the present name.
    pub(crate) name: Option<String>,
}

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    documents: Collection<RawDocumentBuf>,
}

impl Users {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection(COLLECTION) }
    }

    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        mongo::create_indexes(&self.documents, indexes()).await
    }

    /// Makes a profile, named by its phone where no name is given, or brings it up to date.
    /// `updated_at` moves only if something else does.
    pub(crate) async fn upsert(&self, profile: &Profile, now: DateTime) -> Result<User, Error> {
        let mut attempt = 1;
        let written = loop {
            let upsert = self
                .documents
                .find_one_and_update(doc! { "_id": profile.user_id }, changes(profile, now))
                .upsert(true)
                .return_document(ReturnDocument::After);
            match within(upsert).await {
                Err(error) if error.duplicate_key() == Some(PHONE_INDEX) => {
                    return Err(Error::PhoneTaken);
                }
                Err(error) if error.duplicate_key().is_some() && attempt < UPSERT_ATTEMPTS => {
                    attempt += 1;
                }
                written => break written?,
            }
        };
        let written = written.expect("an upsert returns the document it wrote");
        read(COLLECTION, &written)
    }

    pub(crate) async fn by_id(&self, id: UserId) -> Result<Option<User>, Error> {
        self.one(doc! { "_id": id }).await
    }

    pub(crate) async fn by_phone(&self, phone: &str) -> Result<Option<User>, Error> {
        self.one(doc! { "phone": phone }).await
    }

    /// Returns the oldest profile with an e-mail address.
    pub(crate) async fn by_email(&self, email: &str) -> Result<Option<User>, Error> {
        let oldest = self.documents.find_one(doc! { "email": email });
        let found = within(oldest.sort(doc! { "_id": 1 })).await?;
        found.map(|raw| read(COLLECTION, &raw)).transpose()
    }

    /// Returns those that exist, in no order, with one command.
    pub(crate) async fn by_ids(&self, ids: &[UserId]) -> Result<Vec<User>, Error> {
        let batch = u32::try_from(ids.len()).unwrap_or(u32::MAX).saturating_add(1);
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(doc! { "_id": { "$in": ids } })
                .batch_size(batch)
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Returns the ids of the oldest profiles with a name, two at most, from the index alone.
    pub(crate) async fn ids_by_name(&self, name: &str) -> Result<Vec<UserId>, Error> {
        #[derive(Deserialize)]
        struct Namesake {
            #[serde(rename = "_id")]
            id: UserId,
        }
        let namesakes: Vec<RawDocumentBuf> = within(async {
            let oldest = self.documents.find(doc! { "name": name });
            let oldest = oldest.projection(doc! { "_id": 1 }).sort(doc! { "_id": 1 });
            oldest.limit(2).await?.try_collect().await
        })
        .await?;
        let id = |raw: &RawDocumentBuf| read(COLLECTION, raw).map(|Namesake { id }| id);
        namesakes.iter().map(id).collect()
    }

    async fn one(&self, filter: Document) -> Result<Option<User>, Error> {
        let found = within(self.documents.find_one(filter)).await?;
        found.map(|raw| read(COLLECTION, &raw)).transpose()
    }
}

fn indexes() -> [IndexModel; 3] {
    let unique = IndexOptions::builder().name(PHONE_INDEX.to_owned()).unique(true).build();
    [
        IndexModel::builder().keys(doc! { "phone": 1 }).options(unique).build(),
        IndexModel::builder().keys(doc! { "email": 1, "_id": 1 }).build(),
        IndexModel::builder().keys(doc! { "name": 1, "_id": 1 }).build(),
    ]
}

/// Returns the update of [`Users::upsert`]. It is a pipeline, because only that can compare with what
/// is stored; texts are literals in it, lest a name beginning with `$` be read as a field.
fn changes(profile: &Profile, now: DateTime) -> Vec<Document> {
    let phone = doc! { "$literal": &profile.phone };
    let named = profile.name.as_ref().map(|name| doc! { "$literal": name });
    let name = named.unwrap_or_else(|| doc! { "$ifNull": ["$name", &phone] });
    let is_unchanged =
        doc! { "$and": [{ "$eq": ["$phone", &phone] }, { "$eq": ["$name", &name] }] };
    vec![doc! { "$set": {
        "phone": phone,
        "name": name,
        "last_seen_at": { "$ifNull": ["$last_seen_at", now] },
        "created_at": { "$ifNull": ["$created_at", now] },
        "updated_at": { "$cond": [is_unchanged, "$updated_at", now] },
    } }]
}
