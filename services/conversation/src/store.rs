//! The service's database: its collections and their indexes. No queries.

pub(crate) mod audiences;
pub(crate) mod blocks;
pub(crate) mod changed;
pub(crate) mod clearing;
pub(crate) mod conversations;
pub(crate) mod groups;
pub(crate) mod marks;
pub(crate) mod memberships;
pub(crate) mod partners;
pub(crate) mod previews;
pub(crate) mod replaced;
pub(crate) mod requests;

use bson::{RawBsonRef, RawDocument};
use mongodb::Database;
use serde::de::DeserializeOwned;

use crate::error::Error;
use audiences::Audiences;
use blocks::Blocks;
use conversations::Conversations;
use groups::Groups;
use partners::Partners;
use previews::Previews;
use requests::Requests;

/// The database of the conversation service.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: Database,
    conversations: Conversations,
    groups: Groups,
    partners: Partners,
    blocks: Blocks,
    audiences: Audiences,
    previews: Previews,
    requests: Requests,
}

impl Store {
    /// Opens the collections; nothing is sent yet.
    pub(crate) fn new(database: Database) -> Self {
        Self {
            conversations: Conversations::new(&database),
            groups: Groups::new(&database),
            partners: Partners::new(&database),
            blocks: Blocks::new(&database),
            audiences: Audiences::new(&database),
            previews: Previews::new(&database),
            requests: Requests::new(&database),
            database,
        }
    }

    /// Makes the indexes that are not there yet.
    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        self.conversations.create_indexes().await?;
        self.conversations.create_mark_indexes().await?;
        self.groups.create_indexes().await?;
        self.requests.create_indexes().await?;
        self.blocks.create_indexes().await
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    pub(crate) fn partners(&self) -> &Partners {
        &self.partners
    }

    pub(crate) fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    pub(crate) fn audiences(&self) -> &Audiences {
        &self.audiences
    }

    pub(crate) fn previews(&self) -> &Previews {
        &self.previews
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
