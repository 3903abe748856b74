//! The collection `receipts`: how far each member has heard and read a conversation, its indexes and every
//! query on it.

mod moves;
mod outbox;

use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{self, WHOLE, within},
    outbox::index as by_waiting,
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{IndexOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::moves::Move;
pub use self::outbox::{Advance, Cursor, LeftBehind, Moved, Step};
use crate::error::Error;

const COLLECTION: &str = "receipts";

/// How often an upsert is tried: a later one finds the document that a concurrent one inserted.
const UPSERT_ATTEMPTS: usize = 3;

/// How far somebody has heard and read a conversation. Numbers and times only grow; each time is that of
/// the message with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Id of the document.
    #[serde(rename = "_id")]
    pub id: ObjectId,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Who.
    pub user_id: UserId,
    /// The newest message that has been delivered to him.
    #[serde(default)]
    pub delivered_seq: i64,
    /// When that was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<DateTime>,
    /// The last message that was looked at for what is to be delivered; those behind the delivered one are
    /// his own or deleted.
    #[serde(default)]
    pub examined_seq: i64,
    /// The newest message that he has read.
    #[serde(default)]
    pub read_seq: i64,
    /// When that was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<DateTime>,
}

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Number of the newest message that the member has read by now.
    pub read_seq: i64,
    /// The advance, to be announced, if there was one.
    pub advance: Option<Advance>,
}

/// Every query on receipts.
#[derive(Clone, Debug)]
pub struct Receipts {
    database: Database,
    collection: Collection<Document>,
}

impl Receipts {
    /// Opens the collection and ensures its indexes.
    pub async fn open(database: &Database) -> anyhow::Result<Self> {
        let collection = database.collection(COLLECTION);
        let index = IndexModel::builder()
            .keys(doc! { "conversation_id": 1, "user_id": 1 })
            .options(IndexOptions::builder().unique(true).build())
            .build();
        mongo::create_indexes(&collection, [index, by_waiting()]).await?;
        Ok(Self { database: database.clone(), collection })
    }

    /// Raises what a member has read, and what has been delivered to him with it, to a message, and notes that
    /// this is to be announced. Repeated or late, it changes nothing.
    pub async fn advance_read(
        &self,
        conversation: ConversationId,
        user: UserId,
        step: &Step,
    ) -> Result<Raised, Error> {
        #[derive(Deserialize)]
        struct Changed {
            read_seq: i64,
            #[serde(default)]
            outbox: Vec<Advance>,
        }
        let (seq, at) = step.target();
        let changed = doc! {
            "outbox": step.noted(),
            "read_seq": { "$max": ["$read_seq", seq] },
            "read_at": { "$max": ["$read_at", at] },
            "delivered_seq": { "$max": ["$delivered_seq", seq] },
            "delivered_at": { "$max": ["$delivered_at", at] },
        };
        let mut attempt = 1;
        loop {
            let raised = self
                .collection
                .find_one_and_update(
                    doc! { "conversation_id": conversation, "user_id": user },
                    vec![doc! { "$set": &changed }],
                )
                .projection(doc! { "read_seq": 1, "outbox": 1 })
                .upsert(true)
                .return_document(ReturnDocument::After);
            match within(raised).await {
                Ok(after) => {
                    let Some(after) = after else {
                        return Ok(Raised { read_seq: 0, advance: None });
                    };
                    let Changed { read_seq, outbox } = parse(after)?;
                    let advance = outbox.into_iter().find(|advance| step.is_of(advance));
                    return Ok(Raised { read_seq, advance });
                }
                Err(error) if error.duplicate_key().is_some() && attempt < UPSERT_ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns how far a user has read a conversation.
    pub async fn read_seq(&self, conversation: ConversationId, user: UserId) -> Result<i64, Error> {
        let filter = doc! { "conversation_id": conversation, "user_id": user };
        let found = within(self.collection.find_one(filter)).await?;
        let found: Option<Receipt> = found.map(parse).transpose()?;
        Ok(found.map_or(0, |receipt| receipt.read_seq))
    }

    /// Returns the receipts of all members of several conversations.
    pub async fn of_all(&self, conversations: &[ConversationId]) -> Result<Vec<Receipt>, Error> {
        self.find(doc! { "conversation_id": { "$in": conversations } }).await
    }

    /// Returns a user's own receipts of several conversations.
    pub async fn of_user(
        &self,
        user: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Receipt>, Error> {
        self.find(doc! { "conversation_id": { "$in": conversations }, "user_id": user }).await
    }

    async fn find(&self, filter: Document) -> Result<Vec<Receipt>, Error> {
        let found = self.collection.find(filter).batch_size(WHOLE);
        let found: Vec<Document> = within(async { found.await?.try_collect().await }).await?;
        found.into_iter().map(parse).collect()
    }
}

fn parse<T: DeserializeOwned>(document: Document) -> Result<T, Error> {
    let id = document.get_object_id("_id").map_or_else(|_| "?".to_owned(), ObjectId::to_hex);
    bson::deserialize_from_document(document).map_err(|error| Error::Damaged {
        collection: COLLECTION,
        id,
        detail: error.to_string(),
    })
}
