//! The service's database: its collections and their indexes. No queries.

pub(crate) mod calls;
pub(crate) mod pulse;

use bson::{RawBsonRef, RawDocument};
use chat_kit::limit::Limits;
use mongodb::Database;
use serde::de::DeserializeOwned;

use crate::error::Error;
use calls::Calls;
use pulse::Pulses;

/// The database of the call service.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: Database,
    calls: Calls,
    pulse: Pulses,
    limits: Limits,
}

impl Store {
    /// Opens the collections; nothing is sent yet.
    pub(crate) fn new(database: Database) -> Self {
        Self {
            calls: Calls::new(&database),
            pulse: Pulses::new(&database),
            limits: Limits::new(&database),
            database,
        }
    }

    /// Makes the indexes that are not there yet.
    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        self.calls.create_indexes().await?;
        self.limits.create_indexes().await
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn pulse(&self) -> &Pulses {
        &self.pulse
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
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
        Ok(Some(RawBsonRef::String(id))) => id.to_owned(),
        other => format!("{other:?}"),
    }
}
