//! The service's database: its collections and their indexes. No queries.

pub(crate) mod gateways;
pub(crate) mod presences;
pub(crate) mod sockets;
pub(crate) mod sweeps;
pub(crate) mod users;

use std::time::Duration;

use bson::{RawBsonRef, RawDocument, oid::ObjectId};
use mongodb::Database;
use serde::{Deserialize, de::DeserializeOwned};

use crate::error::Error;
use gateways::Gateways;
use presences::Presences;
use sockets::Sockets;
use sweeps::Sweeps;
use users::Users;

/// The database of the user service.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: Database,
    users: Users,
    gateways: Gateways,
    sockets: Sockets,
    presences: Presences,
    sweeps: Sweeps,
}

impl Store {
    /// Opens the collections; nothing is sent yet.
    pub(crate) fn new(database: Database) -> Self {
        Self {
            users: Users::new(&database),
            gateways: Gateways::new(&database),
            sockets: Sockets::new(&database),
            presences: Presences::new(&database),
            sweeps: Sweeps::new(&database),
            database,
        }
    }

    /// Makes the indexes that are not there yet.
    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        self.users.create_indexes().await?;
        self.gateways.create_indexes().await?;
        self.sockets.create_indexes().await?;
        self.presences.create_indexes().await?;
        self.sweeps.create().await
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    pub(crate) fn gateways(&self) -> &Gateways {
        &self.gateways
    }

    pub(crate) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    pub(crate) fn presences(&self) -> &Presences {
        &self.presences
    }

    pub(crate) fn sweeps(&self) -> &Sweeps {
        &self.sweeps
    }
}

/// The id of a document.
#[derive(Deserialize)]
struct Id {
    #[serde(rename = "_id")]
    id: ObjectId,
}

/// Returns a span as MongoDB adds it to an instant.
fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
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
