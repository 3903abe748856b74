//! The collection `credentials`: one document an account. Ids of accounts are made here.

use bson::{DateTime, doc};
use chat_kit::{
    id::UserId,
    mongo::{MongoError, within},
};
use mongodb::{
    Collection, IndexModel,
    options::{IndexOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Debug, Serialize, Deserialize)]
pub struct Credentials {
    /// Id of the account and of its profile.
    #[serde(rename = "_id")]
    pub id: UserId,
    /// The phone that proves who it is; unique.
    pub phone: String,
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
    pub async fn insert(&self, phone: &str, now: DateTime) -> Result<Option<UserId>, MongoError> {
        let account = Credentials { id: UserId::new(), phone: phone.to_owned(), created_at: now };
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

    /// Says whether an account exists.
    pub async fn has_account(&self, user_id: UserId) -> Result<bool, MongoError> {
        let found = within(self.0.find_one(doc! { "_id": user_id })).await?;
        Ok(found.is_some())
    }
}
