//! The collection `users`: its document, its indexes and every query on it.

use bson::{DateTime, Document, RawDocumentBuf, doc};
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
use serde::Deserialize;

use super::read;
use crate::{
    announce::Change, cursor::Cursor, error::Error, profile::Changes, visibility::Privacy,
};

mod update;

pub(crate) const COLLECTION: &str = "users";
const PHONE_INDEX: &str = "phone_1";

/// How often an upsert is tried: a second one finds the document that a concurrent first one inserted.
const UPSERT_ATTEMPTS: usize = 2;

/// How many of a list are counted.
const MOST_COUNTED: u64 = 10_000;

/// What stands in `name_key` of somebody without a name of his own, who is named by his phone: behind
/// all names, and never found by the begin of one, lest phones be guessed digit by digit.
const UNNAMED: &str = "\u{10ffff}";

/// A profile as stored.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct User {
    #[serde(rename = "_id")]
    pub(crate) id: UserId,
    pub(crate) name: String,
    /// The name in lower case, by which lists are sorted and searched, or [`UNNAMED`]. Absent in documents
    /// that older versions wrote, until the next login.
    pub(crate) name_key: Option<String>,
    /// `+` and digits.
    pub(crate) phone: String,
    /// In lower case.
    pub(crate) email: Option<String>,
    pub(crate) avatar_url: Option<String>,
    pub(crate) bio: Option<String>,
    /// Who sees his presence; everybody where he has not said.
    #[serde(default)]
    pub(crate) last_seen_privacy: Privacy,
    /// When he was last seen before his presence was kept; see `presences`.
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

/// A part of the list of users.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    /// What names begin with, in lower case; empty for all.
    pub(crate) prefix: &'a str,
    /// Who is left out.
    pub(crate) but: UserId,
    /// Where the page before ended.
    pub(crate) after: Option<&'a Cursor>,
    /// How many are passed over.
    pub(crate) skip: u32,
    /// How many are wanted.
    pub(crate) limit: u32,
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

    /// Returns the raw documents, for the announcement of their changes.
    pub(crate) fn documents(&self) -> Collection<RawDocumentBuf> {
        self.documents.clone()
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
                .find_one_and_update(doc! { "_id": profile.user_id }, update::kept(profile, now))
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

    /// Changes a profile that exists, with an entry that the change is still to be announced; one that
    /// changes nothing writes nothing. Says also whether anything is to be announced.
    pub(crate) async fn update(
        &self,
        id: UserId,
        changes: &Changes,
        now: DateTime,
    ) -> Result<Option<(User, bool)>, Error> {
        let entry = Entry::new(Change { is_of_privacy: changes.last_seen_privacy.is_some() }, now);
        let update = self
            .documents
            .find_one_and_update(doc! { "_id": id }, update::changed(changes, &entry))
            .return_document(ReturnDocument::After);
        let Some(raw) = within(update).await? else { return Ok(None) };
        let has_changes = matches!(raw.get("outbox"), Ok(Some(_)));
        Ok(Some((read(COLLECTION, &raw)?, has_changes)))
    }

    /// Returns those in the list, by name.
    pub(crate) async fn list(&self, listed: &Listed<'_>) -> Result<Vec<User>, Error> {
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(listed.filter())
                .sort(by_name())
                .hint(Hint::Keys(by_name()))
                .skip(listed.skip.into())
                .limit(listed.limit.into())
                .batch_size(listed.limit.saturating_add(1))
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    /// Counts whom a list has on all its pages, up to a limit, from the index alone.
    pub(crate) async fn count(&self, prefix: &str, but: UserId) -> Result<u64, Error> {
        let all = doc! { "name_key": begins_with(prefix), "_id": { "$ne": but } };
        let count = self.documents.count_documents(all).limit(MOST_COUNTED);
        Ok(within(count.hint(Hint::Keys(by_name()))).await?)
    }

    /// Returns who has one of some phones, but for one user, with one command.
    pub(crate) async fn by_phones(
        &self,
        phones: &[String],
        but: UserId,
    ) -> Result<Vec<User>, Error> {
        let batch = u32::try_from(phones.len()).unwrap_or(u32::MAX).saturating_add(1);
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(doc! { "phone": { "$in": phones }, "_id": { "$ne": but } })
                .projection(doc! { "bio": 0, "email": 0, "outbox": 0 })
                .hint(Hint::Keys(doc! { "phone": 1 }))
                .batch_size(batch)
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }

    async fn one(&self, filter: Document) -> Result<Option<User>, Error> {
        let found = within(self.documents.find_one(filter)).await?;
        found.map(|raw| read(COLLECTION, &raw)).transpose()
    }
}

impl Listed<'_> {
    /// A cursor makes one branch for those of the same name and one for those behind; each is a range of
    /// the index, and MongoDB merges them in its order.
    fn filter(&self) -> Document {
        let range = begins_with(self.prefix);
        let Some(cursor) = self.after else {
            return doc! { "name_key": range, "_id": { "$ne": self.but } };
        };
        let mut behind = range;
        behind.remove("$gte");
        behind.insert("$gt", &cursor.name_key);
        let namesakes = doc! { "$gt": cursor.id, "$ne": self.but };
        doc! { "$or": [
            { "name_key": &cursor.name_key, "_id": namesakes },
            { "name_key": behind, "_id": { "$ne": self.but } },
        ] }
    }
}

/// Returns the range of the names that begin with a text, in lower case.
fn begins_with(prefix: &str) -> Document {
    let mut range = doc! { "$gte": prefix };
    if !prefix.is_empty() {
        // Behind every character that occurs in a name.
        range.insert("$lt", format!("{prefix}\u{10ffff}"));
    }
    range
}

/// Returns the order of the list, and the keys of its index.
fn by_name() -> Document {
    doc! { "name_key": 1, "_id": 1 }
}

fn indexes() -> [IndexModel; 5] {
    let unique = IndexOptions::builder().name(PHONE_INDEX.to_owned()).unique(true).build();
    [
        IndexModel::builder().keys(doc! { "phone": 1 }).options(unique).build(),
        IndexModel::builder().keys(doc! { "email": 1, "_id": 1 }).build(),
        IndexModel::builder().keys(doc! { "name": 1, "_id": 1 }).build(),
        IndexModel::builder().keys(by_name()).build(),
        outbox::index(),
    ]
}
