//! Chat requests, which are direct conversations before they are active: every query on them, and the index
//! of their list.

use bson::{DateTime, Document, RawDocumentBuf, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{self, within},
    outbox::Entry,
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{Hint, ReturnDocument},
};

use super::{
    conversations::{COLLECTION, Conversation, ConversationStatus, Conversations, participant_key},
    read,
};
use crate::{
    announce::{Change, ChangeKind},
    error::Error,
    request::{Step, list::Cursor},
};

/// The way to the requests in the collection.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    conversations: Conversations,
    documents: Collection<RawDocumentBuf>,
}

impl Requests {
    pub(crate) fn new(database: &Database) -> Self {
        Self {
            conversations: Conversations::new(database),
            documents: database.collection(COLLECTION),
        }
    }

    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        let list = IndexModel::builder().keys(list_keys()).build();
        mongo::create_indexes(&self.documents, [list]).await
    }

    /// Returns the direct conversation of two users, made with the id `new` as a request of the first if
    /// there is none.
    pub(crate) async fn open(
        &self,
        new: ConversationId,
        by: UserId,
        peer: UserId,
        now: DateTime,
    ) -> Result<Conversation, Error> {
        let filter = doc! { "participant_key": participant_key(by, peer) };
        let asked = Entry::new(Change::new(ChangeKind::RequestCreated, by), now);
        let insert = doc! {
            "_id": new,
            "outbox": [asked.document()],
            "status": ConversationStatus::Pending.as_str(),
            "member_ids": [by.min(peer), by.max(peer)],
            "created_by": by,
            "requested_by": by,
            "last_message_at": null,
            "last_sent": {},
            "created_at": now,
            "updated_at": now,
        };
        self.conversations.upsert(filter, insert).await
    }

    /// Returns a conversation as no write has changed it since, once a majority has it. A plain read may
    /// still see it as it was before a write that has just refused another one.
    pub(crate) async fn settled(&self, id: ConversationId) -> Result<Option<Conversation>, Error> {
        // Changes nothing, as nothing is inserted.
        let nothing = doc! { "$setOnInsert": { "is_group": false } };
        let update = self.documents.find_one_and_update(doc! { "_id": id }, nothing);
        let found = within(update).await?;
        found.map(|raw| read(COLLECTION, &raw)).transpose()
    }

    /// Makes a step, unless the conversation is not any more what it was found to be.
    pub(crate) async fn apply(
        &self,
        found: &Conversation,
        step: Step,
        by: UserId,
        now: DateTime,
    ) -> Result<Option<Conversation>, Error> {
        // Null finds what is absent.
        let filter = doc! {
            "_id": found.id, "status": found.status.as_str(), "requested_by": found.requested_by,
        };
        let change = match step {
            Step::Ask | Step::Remind => Change::new(ChangeKind::RequestCreated, by),
            Step::Accept => answer(ChangeKind::RequestAccepted, by, found),
            Step::Decline => answer(ChangeKind::RequestDeclined, by, found),
        };
        let mut fields = step.fields(by, now);
        if step != Step::Remind {
            // Clocks of two replicas differ; the order of lists goes by what is stored.
            fields.insert("updated_at", doc! { "$max": ["$updated_at", now] });
        }
        fields.insert("outbox", Entry::new(change, now).appended());
        let update = self
            .documents
            .find_one_and_update(filter, vec![doc! { "$set": fields }])
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .return_document(ReturnDocument::After);
        let changed = within(update).await?;
        changed.map(|raw| read(COLLECTION, &raw)).transpose()
    }

    /// Returns the first `limit` conversations of a member and a status behind a cursor, the newest first.
    pub(crate) async fn page(
        &self,
        member: UserId,
        status: ConversationStatus,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Conversation>, Error> {
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(listed(member, status, after))
                .sort(doc! { "created_at": -1, "_id": -1 })
                .hint(Hint::Keys(list_keys()))
                .limit(limit.into())
                .batch_size(limit.saturating_add(1))
                .await?
                .try_collect()
                .await
        })
        .await?;
        raw.iter().map(|raw| read(COLLECTION, raw)).collect()
    }
}

impl Step {
    /// Returns the fields that a step sets.
    fn fields(self, by: UserId, now: DateTime) -> Document {
        match self {
            Self::Ask => doc! {
                "status": ConversationStatus::Pending.as_str(), "requested_by": by,
            },
            // Who hid the request sees the conversation that it became.
            Self::Accept => doc! {
                "status": ConversationStatus::Active.as_str(),
                "accepted_at": now,
                "last_message_at": { "$ifNull": ["$last_message_at", now] },
                "hidden_for": [],
            },
            Self::Decline => doc! { "status": ConversationStatus::Declined.as_str() },
            Self::Remind => doc! {},
        }
    }
}

fn answer(kind: ChangeKind, by: UserId, found: &Conversation) -> Change {
    Change { kind, actor_id: by, user_ids: found.requester().into_iter().collect(), note: None }
}

/// Returns the keys of the list's index, which the list names as a hint.
fn list_keys() -> Document {
    doc! { "member_ids": 1, "status": 1, "created_at": -1, "_id": -1 }
}

/// Returns the filter of [`Requests::page`]; a cursor makes one branch per key that may differ.
fn listed(member: UserId, status: ConversationStatus, after: Option<Cursor>) -> Document {
    let own = doc! { "member_ids": member, "status": status.as_str() };
    let Some(Cursor { created_at, id }) = after else {
        return own;
    };
    let mut behind = [
        doc! { "created_at": created_at, "_id": { "$lt": id } },
        doc! { "created_at": { "$lt": created_at } },
    ];
    for branch in &mut behind {
        branch.extend(own.clone());
    }
    doc! { "$or": behind.to_vec() }
}
