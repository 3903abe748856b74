//! Changes of stored messages: each is one guarded update that also numbers the change and puts its
//! announcement into the outbox, so that of two at once each takes effect whole, one after the other.

use bson::{Bson, DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    mongo::{MongoError, within},
};
use mongodb::options::{Hint, ReturnDocument};

use super::{Kind, Message, Messages, OutboxKind, SEQ_INDEX, parse};
use crate::{error::Error, words};

/// Most earlier texts that are kept beside the first.
const MOST_VERSIONS: i32 = 20;
/// Most different reactions of a message.
const MOST_REACTIONS: i32 = 20;
/// Most reactions of all members together: every event of a message carries them all.
const MOST_REACTIONS_IN_ALL: i32 = 1000;
/// Messages that are looked at for the newest that is not deleted.
const MOST_DELETED: i64 = 1000;

/// What is left of a deleted message is none of these.
const BLANKED: [&str; 11] = [
    "tokens",
    "attachment",
    "reply",
    "forwarding",
    "call",
    "location",
    "contact",
    "mention_ids",
    "reactions",
    "versions",
    "edited_at",
];

impl Messages {
    /// Gives a sender's message another text, unless it has that text or is deleted. What nobody wrote
    /// has no sender in this sense.
    pub async fn edit(
        &self,
        id: MessageId,
        sender: UserId,
        content: &str,
        now: DateTime,
    ) -> Result<Option<Message>, Error> {
        let mut filter = written_by(id, sender);
        filter.insert("content", doc! { "$ne": content });
        let mut set = changed(OutboxKind::Edited, now);
        set.extend(doc! {
            "content": { "$literal": content }, "edited_at": now, "versions": versions(),
            "tokens": { "$literal": words::tokens(content) },
        });
        self.change(filter, vec![doc! { "$set": set }]).await
    }

    /// Deletes a sender's message for everybody, unless it is deleted. Nothing is left but its place and
    /// the id by which its client knows it.
    pub async fn delete(
        &self,
        id: MessageId,
        sender: UserId,
        now: DateTime,
    ) -> Result<Option<Message>, Error> {
        let mut set = changed(OutboxKind::Deleted, now);
        set.extend(doc! { "content": "", "deleted_at": now, "is_hidden": true });
        let blanked = BLANKED.to_vec();
        let update = vec![doc! { "$set": set }, doc! { "$unset": blanked }];
        self.change(written_by(id, sender), update).await
    }

    /// Deletes a message for one member.
    pub async fn delete_for(
        &self,
        id: MessageId,
        member: UserId,
        now: DateTime,
    ) -> Result<(), MongoError> {
        let filter = doc! { "_id": id, "deleted_for": { "$ne": member } };
        let update = doc! {
            "$addToSet": { "deleted_for": member },
            "$set": { "is_hidden": true, "changed_at": now },
        };
        within(self.collection.update_one(filter, update)).await.map(drop)
    }

    /// Forgets what a message said wherever it is quoted.
    pub async fn forget_quotes(
        &self,
        conversation: ConversationId,
        of: MessageId,
    ) -> Result<(), MongoError> {
        let filter = doc! {
            "conversation_id": conversation, "reply.to": of,
            "$or": [{ "reply.quote": { "$exists": true } }, { "reply.given": { "$exists": true } }],
        };
        within(self.collection.update_many(filter, without_quote())).await.map(drop)
    }

    /// Forgets what a message quotes.
    pub async fn forget_quote(&self, id: MessageId) -> Result<(), MongoError> {
        within(self.collection.update_one(doc! { "_id": id }, without_quote())).await.map(drop)
    }

    /// Adds a member's reaction, unless he has said so, or the message is deleted or has as many as it may.
    pub async fn react(
        &self,
        id: MessageId,
        member: UserId,
        reaction: &str,
        now: DateTime,
    ) -> Result<Option<Message>, Error> {
        let said = doc! { "$ifNull": ["$reactions", []] };
        let different = doc! { "$setUnion": [{ "$ifNull": ["$reactions.reaction", []] }, []] };
        let filter = doc! {
            "_id": id,
            "deleted_at": { "$exists": false },
            "reactions": { "$not": { "$elemMatch": { "user_id": member, "reaction": reaction } } },
            "$and": [
                { "$expr": { "$lt": [{ "$size": &said }, MOST_REACTIONS_IN_ALL] } },
                { "$or": [
                    { "reactions.reaction": reaction },
                    { "$expr": { "$lt": [{ "$size": different }, MOST_REACTIONS] } },
                ] },
            ],
        };
        let mut set = changed(OutboxKind::Reacted, now);
        let new = doc! {
            "user_id": member, "reaction": { "$literal": reaction }, "at": now,
        };
        set.insert("reactions", doc! { "$concatArrays": [said, [new]] });
        self.change(filter, vec![doc! { "$set": set }]).await
    }

    /// Takes a member's reaction back, if he has said so and the message is not deleted.
    pub async fn take_back(
        &self,
        id: MessageId,
        member: UserId,
        reaction: &str,
        now: DateTime,
    ) -> Result<Option<Message>, Error> {
        let filter = doc! {
            "_id": id,
            "deleted_at": { "$exists": false },
            "reactions": { "$elemMatch": { "user_id": member, "reaction": reaction } },
        };
        let is_it = doc! { "$and": [
            { "$eq": ["$$this.user_id", member] },
            { "$eq": ["$$this.reaction", { "$literal": reaction }] },
        ] };
        let mut set = changed(OutboxKind::Reacted, now);
        set.insert(
            "reactions",
            doc! { "$filter": { "input": "$reactions", "cond": { "$not": is_it } } },
        );
        self.change(filter, vec![doc! { "$set": set }]).await
    }

    /// Returns the newest message before a number that is not deleted for everybody, of one sender if one is
    /// named.
    pub async fn newest_left(
        &self,
        conversation: ConversationId,
        before: i64,
        sender: Option<UserId>,
    ) -> Result<Option<Message>, Error> {
        let mut filter =
            super::numbered(conversation, before.saturating_sub(MOST_DELETED), before - 1);
        filter.insert("deleted_at", doc! { "$exists": false });
        if let Some(sender) = sender {
            filter.insert("sender_id", sender);
        }
        let raw = self.collection.clone_with_type::<Document>();
        let by_seq = Hint::Name(SEQ_INDEX.to_owned());
        let found = raw.find_one(filter).sort(doc! { "seq": -1 }).hint(by_seq);
        within(found).await?.map(parse).transpose()
    }

    async fn change(
        &self,
        filter: Document,
        update: Vec<Document>,
    ) -> Result<Option<Message>, Error> {
        let raw = self.collection.clone_with_type::<Document>();
        let changed =
            raw.find_one_and_update(filter, update).return_document(ReturnDocument::After);
        within(changed).await?.map(parse).transpose()
    }
}

/// Returns the filter of a message that a user wrote, and that is not deleted.
fn written_by(id: MessageId, sender: UserId) -> Document {
    doc! {
        "_id": id,
        "sender_id": sender,
        "deleted_at": { "$exists": false },
        "type": { "$ne": Kind::System.as_str() },
    }
}

/// Returns the update that forgets a quote. Who comes back is told of it like of any change.
fn without_quote() -> Document {
    doc! {
        "$unset": { "reply.quote": "", "reply.given": "" },
        "$set": { "changed_at": DateTime::now() },
    }
}

/// Returns the fields that every change sets: its number, its time, and what is to be announced.
fn changed(kind: OutboxKind, now: DateTime) -> Document {
    let next = doc! { "$add": [{ "$ifNull": ["$change", Bson::Int64(0)] }, Bson::Int64(1)] };
    let prefix = format!(":{}:", kind.as_str());
    let entry = doc! {
        "event_id": { "$concat": [{ "$toString": "$_id" }, prefix, { "$toString": &next }] },
        "kind": kind.as_str(),
        "at": now,
    };
    doc! {
        "change": next,
        "changed_at": now,
        "outbox": { "$concatArrays": [{ "$ifNull": ["$outbox", []] }, [entry]] },
    }
}

/// Returns the earlier texts with the present one: the first, and the newest of the others.
fn versions() -> Document {
    let present = doc! {
        "content": "$content", "at": { "$ifNull": ["$edited_at", "$created_at"] },
    };
    let all = doc! { "$concatArrays": [{ "$ifNull": ["$versions", []] }, [present]] };
    let newest = doc! { "$slice": ["$$all", -MOST_VERSIONS] };
    doc! { "$let": { "vars": { "all": all }, "in": { "$cond": [
        { "$gt": [{ "$size": "$$all" }, MOST_VERSIONS + 1] },
        { "$concatArrays": [[{ "$first": "$$all" }], newest] },
        "$$all",
    ] } } }
}
