//! The service's database: its collections and their indexes. No queries.

pub(crate) mod users;

use bson::{RawBsonRef, RawDocument};
use mongodb::Database;
use serde::de::DeserializeOwned;

use crate::error::Error;
use users::Users;

/// The database of the user service.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: Database,
    users: Users,
}

impl Store {
    /// Opens the collections; nothing is sent yet.
    pub(crate) fn new(database: Database) -> Self {
        Self { users: Users::new(&database), database }
    }

    /// Makes the indexes that are not there yet.
    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        self.users.create_indexes().await
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn users(&self) -> &Users {
        &self.users
    }
}

/// Reads a document; the error of one that is broken names it.
pub(crate) fn read<T: DeserializeOwned>(
    collection: &'static str,
    raw: &RawDocument,
) -> Result<T, Error> {
    bson::deserialize_from_slice(raw.as_bytes()).map_err(|source| Error::Corrupt {
        collection,
        id: id(raw),
        source: Box::new(source),
    })
}

fn id(raw: &RawDocument) -> String {
    match raw.get("_id") {
        Ok(Some(RawBsonRef::ObjectId(id))) => id.to_hex(),
        other => format!("{other:?}"),
    }
}
