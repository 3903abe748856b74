//! What a member has cleared for himself, and what brings it back into his list.

use bson::{DateTime, Document, RawDocumentBuf, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::within,
};
use mongodb::options::{Hint, ReturnDocument};

use super::{
    changed::note_own,
    conversations::{COLLECTION, Conversation, Conversations},
    marks::{without, without_entry},
    previews::highest_seq,
    read,
};
use crate::error::Error;

impl Conversations {
    /// Returns a conversation.
    pub(crate) async fn get(&self, id: ConversationId) -> Result<Option<Conversation>, Error> {
        parsed(within(self.documents().find_one(doc! { "_id": id })).await?)
    }

    /// Clears a conversation for a member up to the newest message that is known; it is neither pinned nor
    /// archived when it comes back. His other devices are told. Returns it as it was before, if he is one.
    pub(crate) async fn clear(
        &self,
        id: ConversationId,
        member: UserId,
        now: DateTime,
    ) -> Result<Option<Conversation>, Error> {
        let cleared = format!("cleared.{member}");
        let seq = doc! { "$max": [format!("${cleared}.seq"), highest_seq()] };
        let hidden_for = doc! { "$ifNull": ["$hidden_for", []] };
        let mut fields = doc! {
            cleared: { "seq": seq, "at": now },
            "hidden_for": { "$setUnion": [hidden_for, [member]] },
            "archived_by": without("archived_by", member),
            "pinned_by": without_entry("pinned_by", member),
        };
        note_own(&mut fields, member, now);
        let documents = self.documents();
        let update = documents
            .find_one_and_update(of(id, member), vec![doc! { "$set": fields }])
            .hint(by_id());
        parsed(within(update).await?)
    }

    /// Puts a conversation into a member's list again, and tells his other devices. Returns it as it is then,
    /// if he is one.
    pub(crate) async fn show_again(
        &self,
        id: ConversationId,
        member: UserId,
        now: DateTime,
    ) -> Result<Option<Conversation>, Error> {
        let mut fields = doc! { "hidden_for": without("hidden_for", member) };
        note_own(&mut fields, member, now);
        let documents = self.documents();
        let update = documents
            .find_one_and_update(of(id, member), vec![doc! { "$set": fields }])
            .hint(by_id())
            .return_document(ReturnDocument::After);
        parsed(within(update).await?)
    }
}

pub(super) fn of(id: ConversationId, member: UserId) -> Document {
    doc! { "_id": id, "member_ids": member }
}

/// The index of the ids, which decides alone where a filter says more than the id.
pub(super) fn by_id() -> Hint {
    Hint::Keys(doc! { "_id": 1 })
}

pub(super) fn parsed(found: Option<RawDocumentBuf>) -> Result<Option<Conversation>, Error> {
    found.map(|raw| read(COLLECTION, &raw)).transpose()
}
