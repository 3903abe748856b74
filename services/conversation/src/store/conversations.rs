//! The collection `conversations`: its document, its indexes and every query on it.

use std::collections::HashMap;

use bson::{DateTime, Document, RawDocumentBuf, doc, oid::ObjectId};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    mongo::{self, MongoError, within},
    outbox::{self, Entry},
};
use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, Database, IndexModel,
    options::{Hint, IndexOptions, ReturnDocument},
};
use serde::{Deserialize, Serialize};

use super::{
    changed,
    groups::Group,
    marks::{Mute, Pin, Shown},
    read,
};
use crate::{
    announce::{Change, ChangeKind},
    cursor::Cursor,
    error::Error,
};

pub(crate) const COLLECTION: &str = "conversations";

/// How often an upsert is tried: a later one finds the document that a concurrent one inserted.
const UPSERT_ATTEMPTS: usize = 3;

/// A conversation as stored.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Conversation {
    #[serde(rename = "_id")]
    pub(crate) id: ConversationId,
    pub(crate) status: ConversationStatus,
    pub(crate) member_ids: Vec<UserId>,
    /// Both ids of a direct conversation, the smaller first, joined by a colon.
    pub(crate) participant_key: Option<String>,
    #[serde(default)]
    pub(crate) is_group: bool,
    pub(crate) created_by: Option<UserId>,
    /// Who asked to chat last.
    pub(crate) requested_by: Option<UserId>,
    /// When that was accepted.
    pub(crate) accepted_at: Option<DateTime>,
    /// The blocks that close a direct conversation.
    #[serde(default)]
    pub(crate) block_ids: Vec<ObjectId>,
    pub(crate) last_message: Option<Preview>,
    /// Stored as null before the first message: the list's index holds it in either case.
    pub(crate) last_message_at: Option<DateTime>,
    /// When each member last wrote what is not deleted, by his id. Beside it, `last_unsent` has when he wrote
    /// the newest that is.
    #[serde(default)]
    pub(crate) last_sent: HashMap<String, DateTime>,
    /// The highest number whose message was edited or deleted.
    pub(crate) replaced_seq: Option<i64>,
    /// Whose list does not show it until its next message.
    #[serde(default)]
    pub(crate) hidden_for: Vec<UserId>,
    /// What each member has cleared, by his id.
    #[serde(default)]
    pub(crate) cleared: HashMap<String, Cleared>,
    /// Number of the newest message when each later member came in, by his id.
    #[serde(default)]
    pub(crate) joined: HashMap<String, i64>,
    /// Who wants no notifications, by his id.
    #[serde(default)]
    pub(crate) muted: HashMap<String, Mute>,
    /// Above whose other conversations it stands.
    #[serde(default)]
    pub(crate) pinned_by: Vec<Pin>,
    /// Who has put it away.
    #[serde(default)]
    pub(crate) archived_by: Vec<UserId>,
    /// What a group has beside its members.
    pub(crate) group: Option<Group>,
    pub(crate) created_at: DateTime,
    /// When status or newest message last changed.
    pub(crate) updated_at: DateTime,
}

/// What a list shows of a conversation's newest message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Preview {
    pub(crate) message_id: MessageId,
    pub(crate) seq: i64,
    pub(crate) sender_id: UserId,
    pub(crate) content: String,
    pub(crate) r#type: String,
    pub(crate) created_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) attachment: Option<Attachment>,
    /// Number of the change by which the message became like this.
    #[serde(default)]
    pub(crate) change: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) edited_at: Option<DateTime>,
    /// Whether it tells of a call.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(crate) is_call: bool,
    /// Whether that was a call with video.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(crate) is_video: bool,
}

/// How much of the history a member has cleared for himself.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Cleared {
    /// The last message that he does not see any more.
    pub(crate) seq: i64,
}

/// A file beside a message's text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) url: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) file_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) duration_seconds: Option<u32>,
}

/// Which conversations are listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) member: UserId,
    pub(crate) status: ConversationStatus,
    pub(crate) shown: Shown,
}

/// The part of a conversation that decides who may act and who hears.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Audience {
    pub(crate) member_ids: Vec<UserId>,
    pub(crate) status: ConversationStatus,
    pub(crate) participant_key: Option<String>,
    pub(crate) created_by: Option<UserId>,
    pub(crate) requested_by: Option<UserId>,
    pub(crate) group: Option<Rights>,
    /// What those who asked have cleared, by their ids.
    #[serde(default)]
    pub(crate) cleared: HashMap<String, Cleared>,
}

/// The part of a group that decides who may act.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rights {
    pub(crate) admin_ids: Vec<UserId>,
    #[serde(default)]
    pub(crate) only_admins_can_send: bool,
}

/// The state of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConversationStatus {
    Active,
    Pending,
    Declined,
    Blocked,
}

impl Conversation {
    /// Returns the number up to which a user has cleared his history; 0 if he has not.
    pub(crate) fn cleared_seq(&self, user: UserId) -> i64 {
        self.cleared.get(&user.to_string()).map_or(0, |cleared| cleared.seq)
    }

    /// Returns the highest number that was ever shown or replaced.
    pub(crate) fn highest_seq(&self) -> i64 {
        let shown = self.last_message.as_ref().map_or(0, |last| last.seq);
        shown.max(self.replaced_seq.unwrap_or_default())
    }

    /// Returns who asked for a conversation that is pending or declined. Who made it asked first.
    pub(crate) fn requester(&self) -> Option<UserId> {
        self.requested_by.or(self.created_by)
    }

    /// Returns where a page ends that ends with this conversation.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { last_message_at: self.last_message_at, updated_at: self.updated_at, id: self.id }
    }
}

impl Audience {
    /// Returns who asked for a conversation that is pending.
    pub(crate) fn requester(&self) -> Option<UserId> {
        self.requested_by.or(self.created_by)
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.participant_key.is_some()
    }

    /// Returns the number up to which a user has cleared his history; 0 if he has not.
    pub(crate) fn cleared_seq(&self, user: UserId) -> i64 {
        self.cleared.get(&user.to_string()).map_or(0, |cleared| cleared.seq)
    }

    /// Says whether a user administers the group.
    pub(crate) fn is_admin(&self, user: UserId) -> bool {
        self.group.as_ref().is_some_and(|group| group.admin_ids.contains(&user))
    }

    /// Says whether nobody but administrators may write.
    pub(crate) fn only_admins_write(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.only_admins_can_send)
    }
}

impl ConversationStatus {
    pub(crate) const ALL: [Self; 4] = [Self::Active, Self::Pending, Self::Declined, Self::Blocked];

    /// Returns the stored text.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Declined => "declined",
            Self::Blocked => "blocked",
        }
    }
}

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Conversations {
    documents: Collection<RawDocumentBuf>,
}

impl Conversations {
    pub(crate) fn new(database: &Database) -> Self {
        Self { documents: database.collection(COLLECTION) }
    }

    /// Returns the raw documents, for what goes through all kinds of their changes.
    pub(crate) fn documents(&self) -> Collection<RawDocumentBuf> {
        self.documents.clone()
    }

    pub(crate) async fn create_indexes(&self) -> anyhow::Result<()> {
        let indexes = indexes().into_iter().chain(changed::indexes());
        mongo::create_indexes(&self.documents, indexes).await
    }

    /// Returns the direct conversation of two users.
    pub(crate) async fn direct(
        &self,
        one: UserId,
        other: UserId,
    ) -> Result<Option<Conversation>, Error> {
        let filter = doc! { "participant_key": participant_key(one, other) };
        let found = within(self.documents.find_one(filter)).await?;
        found.map(|raw| read(COLLECTION, &raw)).transpose()
    }

    /// Returns the direct conversation of two users, made with the id `new` by this call if there is
    /// none. The write is repeated when a concurrent one wins: a majority read in its place might not
    /// see the winner's document yet.
    pub(crate) async fn open_direct(
        &self,
        new: ConversationId,
        created_by: UserId,
        peer: UserId,
        now: DateTime,
    ) -> Result<Conversation, Error> {
        let filter = doc! { "participant_key": participant_key(created_by, peer) };
        let members = [created_by.min(peer), created_by.max(peer)];
        let mut insert = active(&members, created_by, now);
        insert.extend(doc! { "_id": new, "created_by": created_by });
        self.upsert(filter, insert).await
    }

    /// Returns the group `id`, made by this call if there is none. Its first member makes it.
    pub(crate) async fn make_group(
        &self,
        id: ConversationId,
        members: &[UserId],
        group: &Group,
        now: DateTime,
    ) -> Result<Conversation, Error> {
        let made_by = *members.first().ok_or(Error::EmptyGroup)?;
        let filter = doc! { "_id": id, "created_by": made_by, "is_group": true };
        let mut insert = active(members, made_by, now);
        let group = bson::serialize_to_bson(group).map_err(mongodb::error::Error::from);
        insert.insert("group", group.map_err(MongoError::from)?);
        self.upsert(filter, insert).await.map_err(|error| match error {
            Error::Mongo(error) if error.duplicate_key().is_some() => Error::ConversationIdInUse,
            error => error,
        })
    }

    /// Returns the document that a filter finds, inserted by this call if there is none.
    pub(super) async fn upsert(
        &self,
        filter: Document,
        insert: Document,
    ) -> Result<Conversation, Error> {
        let insert = doc! { "$setOnInsert": insert };
        let mut attempt = 1;
        let opened = loop {
            let upsert = self
                .documents
                .find_one_and_update(filter.clone(), insert.clone())
                .upsert(true)
                .return_document(ReturnDocument::After);
            match within(upsert).await {
                Err(error) if error.duplicate_key().is_some() && attempt < UPSERT_ATTEMPTS => {
                    attempt += 1;
                }
                opened => break opened?,
            }
        };
        let opened = opened.expect("an upsert returns the document it found or made");
        read(COLLECTION, &opened)
    }

    /// Returns the first `limit` conversations of a list behind a cursor.
    pub(crate) async fn page(
        &self,
        list: List,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Conversation>, Error> {
        let order = doc! { "last_message_at": -1, "updated_at": -1, "_id": -1 };
        let raw: Vec<RawDocumentBuf> = within(async {
            self.documents
                .find(listed(list, after))
                .sort(order)
                .hint(Hint::Keys(list.shown.keys()))
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

/// Returns the fields of a new conversation in which everybody may write; that it was made is still to be
/// announced.
fn active(members: &[UserId], created_by: UserId, now: DateTime) -> Document {
    let created = Entry::new(Change::new(ChangeKind::Created, created_by), now);
    doc! {
        "outbox": [created.document()],
        "status": ConversationStatus::Active.as_str(),
        "member_ids": members,
        "last_message_at": null,
        "last_sent": {},
        "created_at": now,
        "updated_at": now,
    }
}

/// Returns the key of a direct conversation. Ids order as their texts do.
pub(super) fn participant_key(one: UserId, other: UserId) -> String {
    format!("{}:{}", one.min(other), one.max(other))
}

fn indexes() -> [IndexModel; 3] {
    let one_per_pair = IndexOptions::builder()
        .unique(true)
        .partial_filter_expression(doc! { "participant_key": { "$exists": true } })
        .build();
    [
        IndexModel::builder().keys(doc! { "participant_key": 1 }).options(one_per_pair).build(),
        IndexModel::builder().keys(list_keys()).build(),
        outbox::index(),
    ]
}

/// Returns the keys of the list's index. The list names them as a hint: where a cursor leaves only
/// the id to compare, MongoDB might else take the index of the ids and sort what it finds.
pub(super) fn list_keys() -> Document {
    doc! { "member_ids": 1, "status": 1, "last_message_at": -1, "updated_at": -1, "_id": -1 }
}

/// Returns the filter of [`Conversations::page`]. A cursor makes one branch per key that may differ;
/// each branch is a range of the list's index, and MongoDB merges them in its order.
fn listed(list: List, after: Option<Cursor>) -> Document {
    let List { member, status, shown } = list;
    let mut own = doc! {
        "member_ids": member, "status": status.as_str(), "hidden_for": { "$ne": member },
    };
    own.extend(shown.filter(member));
    let Some(cursor) = after else {
        return own;
    };
    let at = cursor.last_message_at;
    let mut behind = vec![
        doc! { "last_message_at": at, "updated_at": { "$lt": cursor.updated_at } },
        doc! { "last_message_at": at, "updated_at": cursor.updated_at, "_id": { "$lt": cursor.id } },
    ];
    if let Some(at) = at {
        // `$lt` compares dates with dates alone, null needs a branch of its own.
        behind.push(doc! { "last_message_at": { "$lt": at } });
        behind.push(doc! { "last_message_at": null });
    }
    for branch in &mut behind {
        branch.extend(own.clone());
    }
    doc! { "$or": behind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_the_same_participant_key() {
        let (one, other) = (UserId::new(), UserId::new());
        let key = participant_key(one, other);
        assert_eq!(key, participant_key(other, one));
        let (smaller, larger) = key.split_once(':').expect("a colon");
        assert!(smaller < larger, "{key}");
    }
}
