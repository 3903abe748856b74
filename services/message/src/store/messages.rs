//! The collection `messages`: its documents, their indexes and every query on them.

mod changes;
mod delivered;
mod found;
mod hidden;
mod parts;
mod states;
mod synced;

use std::sync::Arc;

use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    mongo::{self, MongoError, WHOLE, within},
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{
        FindOneAndUpdateOptions, FindOneOptions, Hint, IndexOptions, ReadConcern, ReturnDocument,
    },
};
use serde::{Deserialize, Serialize};

pub use self::delivered::{Held, Located, Stretch};
pub use self::found::MOST_FOUND;
pub use self::hidden::Hidden;
pub use self::parts::{
    Attachment, Call, ContactCard, Forwarding, Kind, Location, Quote, Reaction, Reply, SystemNote,
    Version,
};
pub use self::states::{MOST_UNREAD, Place};
pub use self::synced::Known;
use super::inserts::{Inserts, inserts};
use crate::error::Error;

const COLLECTION: &str = "messages";

/// Messages that are looked at to say how many wait; after an outage they are many.
const MOST_COUNTED: i64 = 10_000;

/// Name of the index that makes a client id count once.
pub(super) const CLIENT_ID_INDEX: &str = "sender_client_id";
/// Name of the index that makes a number count once.
pub(super) const SEQ_INDEX: &str = "conversation_seq";
/// Name of the index of words.
const TOKENS_INDEX: &str = "tokens";
/// Name of the index of what is deleted for anybody.
const HIDDEN_INDEX: &str = "conversation_hidden";
/// Name of the index of what has changed.
const CHANGED_INDEX: &str = "conversation_changed";
/// Name of the index that MongoDB makes on `_id`.
pub(super) const ID_INDEX: &str = "_id_";

/// A stored message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Id, made by the gateway before the first try.
    #[serde(rename = "_id")]
    pub id: MessageId,
    /// Conversation it belongs to.
    pub conversation_id: ConversationId,
    /// Its number in the conversation, from 1, without gaps.
    pub seq: i64,
    /// Who wrote it.
    pub sender_id: UserId,
    /// The other member of a direct conversation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recipient_id: Option<UserId>,
    /// Text.
    pub content: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// File that belongs to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attachment: Option<Attachment>,
    /// JSON text of the id by which its client knows it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_id: Option<String>,
    /// When it was stored; strictly later than the number before.
    pub created_at: DateTime,
    /// When the number before was stored; absent for number 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous_created_at: Option<DateTime>,
    /// The socket it was sent on, which gets no echo.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin_id: Option<ObjectId>,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply: Option<Reply>,
    /// That it was forwarded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forwarding: Option<Forwarding>,
    /// The call that it tells of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call: Option<Call>,
    /// The place that it shows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub location: Option<Location>,
    /// The card that it shows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub contact: Option<ContactCard>,
    /// Members whom it mentions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub mention_ids: Vec<UserId>,
    /// What happened, where it was not written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub system: Option<SystemNote>,
    /// The tokens by which its text is found.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tokens: Vec<String>,
    /// What members think of it, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reactions: Vec<Reaction>,
    /// What it said before, oldest first: the first text and the newest of the others.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub versions: Vec<Version>,
    /// When its text was last changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edited_at: Option<DateTime>,
    /// Number of its last change; 0 before the first.
    #[serde(default)]
    pub change: i64,
    /// When it last changed for anybody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changed_at: Option<DateTime>,
    /// Who has deleted it for himself.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub deleted_for: Vec<UserId>,
    /// Whether it is deleted for anybody: such messages have an index of their own.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_hidden: bool,
    /// When it was deleted for everybody; nothing of what it said is left then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted_at: Option<DateTime>,
    /// Changes of this document that the stream of events has not acknowledged yet.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outbox: Vec<OutboxEntry>,
}

/// A change that is still to be announced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Id of the event, the same on every repetition.
    pub event_id: String,
    /// What changed.
    pub kind: OutboxKind,
    /// When it changed, or when a relay last took it up.
    pub at: DateTime,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxKind {
    /// The message was stored.
    Created,
    /// Its text changed.
    Edited,
    /// It was deleted for everybody.
    Deleted,
    /// A reaction came or went.
    Reacted,
}

impl OutboxKind {
    /// Returns the kind as it is stored, and stands in the ids of events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reacted => "reacted",
        }
    }
}

impl OutboxEntry {
    /// Returns the number of the change, with which the event's id ends.
    #[must_use]
    pub fn change(&self) -> i64 {
        let number = self.event_id.rsplit(':').next();
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

/// The last number given in a conversation, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Last {
    /// The number.
    pub seq: i64,
    /// When it was stored.
    pub created_at: DateTime,
}

/// What is not announced yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Waiting {
    /// How many messages, up to [`MOST_COUNTED`].
    pub count: u32,
    /// When the oldest of those was stored.
    pub oldest: Option<DateTime>,
}

/// How an insert went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The message is stored, on a majority and in the journal.
    Stored,
    /// The number is taken, by another replica or by an earlier try whose answer was lost.
    SeqTaken,
    /// The sender's client id is taken in this conversation.
    ClientIdTaken,
    /// The id is taken.
    IdTaken,
}

/// Every query on stored messages.
#[derive(Clone, Debug)]
pub struct Messages {
    database: Database,
    collection: Collection<Message>,
    inserts: Inserts,
}

impl Messages {
    /// Opens the collection and ensures its indexes.
    pub async fn open(database: &Database) -> anyhow::Result<Self> {
        let collection = database.collection(COLLECTION);
        mongo::create_indexes(&collection, indexes()).await?;
        let database = database.clone();
        Ok(Self { database, inserts: inserts(&collection), collection })
    }

    /// Stores a message unless its id, client id or number is taken. Where several are, the id is
    /// named before the client id, and that before the number.
    pub async fn insert(&self, message: &Arc<Message>) -> Result<Inserted, Error> {
        Ok(self.inserts.submit(Arc::clone(message)).await??)
    }

    /// Returns the last number of a conversation, also one that is not yet on a majority.
    pub async fn last(&self, conversation: ConversationId) -> Result<Option<Last>, MongoError> {
        let options = FindOneOptions::builder()
            .sort(doc! { "seq": -1 })
            .projection(doc! { "_id": 0, "seq": 1, "created_at": 1 })
            .read_concern(ReadConcern::local())
            .build();
        let collection = self.collection.clone_with_type::<Last>();
        let filter = doc! { "conversation_id": conversation };
        within(collection.find_one(filter).with_options(options)).await
    }

    /// Returns a message by its id.
    pub async fn by_id(&self, id: MessageId) -> Result<Option<Message>, MongoError> {
        within(self.collection.find_one(doc! { "_id": id })).await
    }

    /// Returns the message that a sender's client knows by an id.
    pub async fn by_client_id(
        &self,
        conversation: ConversationId,
        sender: UserId,
        client_id: &str,
    ) -> Result<Option<Message>, MongoError> {
        let filter = doc! {
            "conversation_id": conversation,
            "sender_id": sender,
            "client_id": client_id,
        };
        within(self.collection.find_one(filter)).await
    }

    /// Returns the last number stored before a time, or the last of all.
    pub async fn last_before(
        &self,
        conversation: ConversationId,
        before: Option<DateTime>,
    ) -> Result<i64, MongoError> {
        let mut filter = doc! { "conversation_id": conversation };
        let mut sort = doc! { "seq": -1 };
        if let Some(before) = before {
            filter.insert("created_at", doc! { "$lt": before });
            sort = doc! { "created_at": -1 };
        }
        let options = FindOneOptions::builder()
            .sort(sort)
            .projection(doc! { "_id": 0, "seq": 1, "created_at": 1 })
            .build();
        let collection = self.collection.clone_with_type::<Last>();
        let last = within(collection.find_one(filter).with_options(options)).await?;
        Ok(last.map_or(0, |last| last.seq))
    }

    /// Returns the messages numbered `from` to `to`, both included, in order.
    pub async fn range(
        &self,
        conversation: ConversationId,
        from: i64,
        to: i64,
    ) -> Result<Vec<Message>, Error> {
        let filter = numbered(conversation, from, to);
        self.read(filter, doc! { "seq": 1 }, to.saturating_sub(from).saturating_add(1)).await
    }

    /// Returns those of the messages numbered `from` to `to` that are still to be announced.
    pub async fn unannounced(
        &self,
        conversation: ConversationId,
        from: i64,
        to: i64,
    ) -> Result<Vec<Message>, Error> {
        let mut filter = numbered(conversation, from, to);
        filter.insert("outbox.kind", OutboxKind::Created.as_str());
        self.read(filter, doc! { "seq": 1 }, to.saturating_sub(from).saturating_add(1)).await
    }

    /// Takes up the oldest announcement that has been waiting since before `cutoff`, so that no other
    /// relay takes it up before as much time has passed again. Returns it with its outbox as it was.
    pub async fn claim_outbox(
        &self,
        cutoff: DateTime,
        now: DateTime,
    ) -> Result<Option<Message>, Error> {
        // Oldest first by the order of the index alone: where an index holds arrays, MongoDB sorts all
        // that a range finds before it takes the first, and after an outage that is a lot.
        let options = FindOneAndUpdateOptions::builder()
            .hint(Hint::Keys(doc! { "outbox.at": 1 }))
            .return_document(ReturnDocument::Before)
            .build();
        let documents = self.collection.clone_with_type::<Document>();
        let claim = documents
            .find_one_and_update(
                doc! { "outbox.at": { "$lt": cutoff } },
                doc! { "$set": { "outbox.$[].at": now } },
            )
            .with_options(options);
        within(claim).await?.map(parse).transpose()
    }

    /// Says what is not announced yet, by whichever replica.
    pub async fn waiting(&self) -> Result<Waiting, MongoError> {
        let counted = self
            .collection
            .aggregate([
                doc! { "$match": { "outbox.at": { "$gte": DateTime::from_millis(0) } } },
                doc! { "$limit": MOST_COUNTED },
                doc! { "$group": {
                    "_id": null, "count": { "$sum": 1 }, "oldest": { "$min": "$created_at" },
                } },
            ])
            .hint(Hint::Keys(doc! { "outbox.at": 1 }))
            .with_type::<Waiting>();
        let counted = within(async { counted.await?.try_next().await }).await?;
        Ok(counted.unwrap_or_default())
    }

    /// Removes announced changes from their documents.
    pub async fn pull_outbox(&self, announced: &[(MessageId, String)]) -> Result<(), MongoError> {
        let ids: Vec<ObjectId> = announced.iter().map(|(id, _)| id.0).collect();
        let event_ids: Vec<&str> = announced.iter().map(|(_, event)| event.as_str()).collect();
        let pulled = self.collection.update_many(
            doc! { "_id": { "$in": ids } },
            doc! { "$pull": { "outbox": { "event_id": { "$in": event_ids } } } },
        );
        within(pulled).await.map(drop)
    }

    /// Returns messages of one conversation in the order of their numbers, up or down.
    async fn read(
        &self,
        filter: Document,
        sort: Document,
        limit: i64,
    ) -> Result<Vec<Message>, Error> {
        let raw = self.collection.clone_with_type::<Document>();
        // Where a filter names the outbox as well, MongoDB might else go by that, and sort.
        let by_seq = Hint::Name(SEQ_INDEX.to_owned());
        let found = raw.find(filter).sort(sort).hint(by_seq).limit(limit).batch_size(WHOLE);
        let found = found.projection(unread_parts());
        let documents: Vec<Document> = within(async { found.await?.try_collect().await }).await?;
        documents.into_iter().map(parse).collect()
    }
}

/// Returns what is left in the database of messages that are shown: what a message said before, and the tokens
/// by which it is found, may be more than all the rest.
fn unread_parts() -> Document {
    doc! { "tokens": 0, "versions": 0 }
}

fn numbered(conversation: ConversationId, from: i64, to: i64) -> Document {
    doc! { "conversation_id": conversation, "seq": { "$gte": from, "$lte": to } }
}

fn parse(document: Document) -> Result<Message, Error> {
    let id = document.get_object_id("_id").map_or_else(|_| "?".to_owned(), ObjectId::to_hex);
    bson::deserialize_from_document(document).map_err(|error| Error::Damaged {
        collection: COLLECTION,
        id,
        detail: error.to_string(),
    })
}

/// The indexes, in the order in which a violation of several is to be named.
fn indexes() -> [IndexModel; 8] {
    let unique = |name: &str| IndexOptions::builder().name(name.to_owned()).unique(true);
    [
        IndexModel::builder()
            .keys(doc! { "conversation_id": 1, "sender_id": 1, "client_id": 1 })
            .options(
                unique(CLIENT_ID_INDEX)
                    .partial_filter_expression(doc! { "client_id": { "$exists": true } })
                    .build(),
            )
            .build(),
        IndexModel::builder()
            .keys(doc! { "conversation_id": 1, "seq": 1 })
            .options(unique(SEQ_INDEX).build())
            .build(),
        IndexModel::builder().keys(doc! { "conversation_id": 1, "created_at": 1 }).build(),
        IndexModel::builder()
            .keys(doc! { "tokens": 1, "conversation_id": 1, "created_at": -1, "_id": -1 })
            .options(
                IndexOptions::builder()
                    .name(TOKENS_INDEX.to_owned())
                    .partial_filter_expression(doc! { "tokens": { "$exists": true } })
                    .build(),
            )
            .build(),
        IndexModel::builder()
            .keys(doc! { "conversation_id": 1, "reply.to": 1 })
            .options(
                IndexOptions::builder()
                    .partial_filter_expression(doc! { "reply.to": { "$exists": true } })
                    .build(),
            )
            .build(),
        IndexModel::builder()
            .keys(doc! { "conversation_id": 1, "seq": 1 })
            .options(
                IndexOptions::builder()
                    .name(HIDDEN_INDEX.to_owned())
                    .partial_filter_expression(doc! { "is_hidden": true })
                    .build(),
            )
            .build(),
        IndexModel::builder()
            .keys(doc! { "conversation_id": 1, "changed_at": 1, "seq": 1 })
            .options(
                IndexOptions::builder()
                    .name(CHANGED_INDEX.to_owned())
                    .partial_filter_expression(doc! { "changed_at": { "$exists": true } })
                    .build(),
            )
            .build(),
        IndexModel::builder()
            .keys(doc! { "outbox.at": 1 })
            .options(
                IndexOptions::builder()
                    .partial_filter_expression(doc! { "outbox.at": { "$exists": true } })
                    .build(),
            )
            .build(),
    ]
}
