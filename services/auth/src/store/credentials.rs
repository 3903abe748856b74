//! The collection `credentials`: one document an account. Ids of accounts are made here.

use std::collections::HashSet;

use bson::{DateTime, doc};
use chat_kit::{
    id::UserId,
    mongo::{MongoError, within},
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, IndexModel,
    options::{IndexOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize};

/// An account. Not to be printed: it holds the hash of a password.
#[derive(Serialize, Deserialize)]
pub struct Credentials {
    /// Id of the account and of its profile.
    #[serde(rename = "_id")]
    pub id: UserId,
    /// The phone that proves who it is; unique.
    pub phone: String,
    /// Argon2id in the PHC form, or bcrypt as the predecessor wrote it; absent without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// When the account was made.
    pub created_at: DateTime,
}

/// The indexes of the collection.
pub fn indexes() -> [IndexModel; 1] {
    [IndexModel::builder()
        .keys(doc! { "phone": 1 })
        .options(IndexOptions::builder().unique(true).build())
        .build()]
}

/// The queries on the collection.
#[derive(Clone)]
pub struct CredentialsStore(pub Collection<Credentials>);

impl CredentialsStore {
    /// Returns the account of a phone, made now where there is none. Of parallel calls one makes it.
    pub async fn find_or_create(&self, phone: &str, now: DateTime) -> Result<UserId, MongoError> {
        let made = doc! { "$setOnInsert": { "_id": UserId::new(), "created_at": now } };
        let account = super::upsert(|| {
            let update = self.0.find_one_and_update(doc! { "phone": phone }, made.clone());
            within(update.upsert(true).return_document(ReturnDocument::After))
        });
        match account.await? {
            Some(account) => Ok(account.id),
            None => Err(mongodb::error::Error::custom("the upsert of an account gave none").into()),
        }
    }

    /// Makes the account of a phone; returns nothing if there is one.
    pub async fn insert(
        &self,
        phone: &str,
        password_hash: Option<String>,
        now: DateTime,
    ) -> Result<Option<UserId>, MongoError> {
        let (id, phone) = (UserId::new(), phone.to_owned());
        let account = Credentials { id, phone, password_hash, created_at: now };
        match within(self.0.insert_one(&account)).await {
            Ok(_) => Ok(Some(account.id)),
            Err(error) if error.duplicate_key().is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says whether a phone has an account.
    pub async fn has_phone(&self, phone: &str) -> Result<bool, MongoError> {
        let found = within(self.0.find_one(doc! { "phone": phone })).await?;
        Ok(found.is_some())
    }

    /// Returns an account.
    pub async fn find(&self, user_id: UserId) -> Result<Option<Credentials>, MongoError> {
        within(self.0.find_one(doc! { "_id": user_id })).await
    }

    /// Returns the account of a phone.
    pub async fn find_by_phone(&self, phone: &str) -> Result<Option<Credentials>, MongoError> {
        within(self.0.find_one(doc! { "phone": phone })).await
    }

    /// Returns those of many accounts that exist, with one command.
    pub async fn existing(&self, user_ids: &[UserId]) -> Result<HashSet<UserId>, MongoError> {
        #[derive(Deserialize)]
        struct Existing {
            #[serde(rename = "_id")]
            id: UserId,
        }
        let accounts = self.0.clone_with_type::<Existing>();
        let batch = u32::try_from(user_ids.len()).unwrap_or(u32::MAX).saturating_add(1);
        let existing: Vec<Existing> = within(async {
            let found = accounts.find(doc! { "_id": { "$in": user_ids } });
            found.projection(doc! { "_id": 1 }).batch_size(batch).await?.try_collect().await
        })
        .await?;
        Ok(existing.into_iter().map(|account| account.id).collect())
    }

    /// Replaces the hash of a password, unless it was replaced meanwhile.
    pub async fn replace_hash(
        &self,
        user_id: UserId,
        present: &str,
        replacement: &str,
    ) -> Result<(), MongoError> {
        let filter = doc! { "_id": user_id, "password_hash": present };
        let update = doc! { "$set": { "password_hash": replacement } };
        within(self.0.update_one(filter, update)).await.map(drop)
    }
}
