//! What a conversation shows beside itself: how far its members have heard and read, what the caller has
//! not read, and the newest message that he still sees.

use std::collections::{BTreeMap, HashMap, HashSet};

use chat_proto::v1 as pb;

use crate::wire::fields::iso;

/// Members of a group of which each row names how far they have read; of larger ones, the caller alone.
pub(in crate::wire) const MOST_CURSORS: usize = 100;

/// Times by the id of a member.
pub(super) type Times<'a> = BTreeMap<&'a str, String>;

/// What some conversations show, by their ids. Of one that is not among them, nothing is known.
#[derive(Clone, Debug, Default)]
pub struct States(HashMap<String, pb::ListState>);

impl From<pb::GetListStatesResponse> for States {
    fn from(response: pb::GetListStatesResponse) -> Self {
        let rows = response.rows.into_iter();
        Self(rows.map(|row| (row.conversation_id.clone(), row)).collect())
    }
}

/// Returns the request for what some conversations show; none where there is none of them.
#[must_use]
pub fn states_of(conversations: &[pb::Conversation]) -> Option<pb::GetListStatesRequest> {
    let rows = conversations.iter().map(|conversation| pb::ListRow {
        conversation_id: conversation.id.clone(),
        last_message_id: conversation.last_message.as_ref().map(|last| last.message_id.clone()),
        counted_after_seq: conversation.counted_after_seq,
        with_all_cursors: !conversation.is_group || conversation.member_ids.len() <= MOST_CURSORS,
    });
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then_some(pb::GetListStatesRequest { rows })
}

impl States {
    /// Shows the newest message that the caller still sees in the place of one that he has deleted for
    /// himself, but none that he has cleared.
    pub fn settle(&mut self, conversations: &mut [pb::Conversation]) {
        for conversation in conversations {
            let state = self.0.get_mut(&conversation.id);
            if let Some(shown) = state.and_then(|state| state.preview_override.take()) {
                let seen = shown.message.filter(|message| message.seq > conversation.cleared_seq);
                conversation.last_message = seen.map(preview);
            }
        }
    }

    /// Returns how many messages of others the caller has not read.
    pub(super) fn unread(&self, conversation: &pb::Conversation) -> u32 {
        self.0.get(&conversation.id).map_or(0, |state| state.unread_count)
    }

    /// Returns how far those who are members have heard and read.
    pub(super) fn cursors<'a>(
        &'a self,
        conversation: &'a pb::Conversation,
    ) -> impl Iterator<Item = &'a pb::ReceiptCursor> {
        let members: HashSet<&str> = conversation.member_ids.iter().map(String::as_str).collect();
        let cursors = self.0.get(&conversation.id).into_iter().flat_map(|state| &state.cursors);
        cursors.filter(move |cursor| members.contains(cursor.user_id.as_str()))
    }

    /// Returns when the newest message was stored that has reached each member.
    pub(super) fn delivered<'a>(&'a self, conversation: &'a pb::Conversation) -> Times<'a> {
        let cursors = self.cursors(conversation);
        let time = |at: &pb::ReceiptCursor| iso(at.delivered_at.as_ref());
        cursors.filter_map(|cursor| Some((cursor.user_id.as_str(), time(cursor)?))).collect()
    }

    /// Returns when the newest message was stored that each member has read.
    pub(super) fn read<'a>(&'a self, conversation: &'a pb::Conversation) -> Times<'a> {
        let cursors = self.cursors(conversation);
        let time = |at: &pb::ReceiptCursor| iso(at.read_at.as_ref());
        cursors.filter_map(|cursor| Some((cursor.user_id.as_str(), time(cursor)?))).collect()
    }
}

fn preview(message: pb::Message) -> pb::Preview {
    pb::Preview {
        message_id: message.id,
        seq: message.seq,
        sender_id: message.sender_id,
        content: message.content,
        r#type: message.r#type,
        created_at: message.created_at,
        attachment: message.attachment,
        change: message.change,
        edited_at: message.edited_at,
        is_call: message.call.is_some(),
        is_video: message.call.is_some_and(|call| call.is_video),
    }
}
