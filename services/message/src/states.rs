//! What a list shows of conversations beside the conversations themselves, in a fixed number of queries.

use std::collections::HashMap;

use chat_kit::id::{ConversationId, MessageId, UserId};

use crate::{
    Service,
    error::Error,
    store::{messages::Message, receipts::Receipt},
};

/// Messages before a preview that are looked at for one that its reader has not deleted for himself.
const MOST_HIDDEN: i64 = 1000;

/// A row of a list.
#[derive(Clone, Debug)]
pub struct Row {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The message that its preview shows.
    pub last_message_id: Option<MessageId>,
    /// Only messages behind this number count as unread.
    pub counted_after: i64,
    /// Whether the receipts of all members are wanted.
    pub with_all_cursors: bool,
}

/// What a row shows.
#[derive(Clone, Debug)]
pub struct State {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// How far members have heard and read.
    pub receipts: Vec<Receipt>,
    /// What the reader has not read.
    pub unread_count: u32,
    /// What he sees in place of the preview that he has deleted for himself.
    pub preview: Option<Option<Message>>,
}

impl Service {
    /// Returns what the rows of a user's list show, in their order.
    pub async fn list_states(&self, user: UserId, rows: Vec<Row>) -> Result<Vec<State>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids = |all: bool| -> Vec<ConversationId> {
            let rows = rows.iter().filter(|row| row.with_all_cursors == all);
            rows.map(|row| row.conversation_id).collect()
        };
        let (all, own) = (ids(true), ids(false));
        let receipts = &self.store.receipts;
        let (of_all, of_user) =
            tokio::try_join!(receipts.of_all(&all), receipts.of_user(user, &own))?;
        let mut by_row: HashMap<ConversationId, Vec<Receipt>> = HashMap::new();
        for receipt in of_all.into_iter().chain(of_user) {
            by_row.entry(receipt.conversation_id).or_default().push(receipt);
        }
        let behind = |row: &Row| {
            let receipts = by_row.get(&row.conversation_id).into_iter().flatten();
            let own = receipts.filter(|receipt| receipt.user_id == user);
            own.map(|receipt| receipt.read_seq).fold(row.counted_after, i64::max)
        };
        let read: Vec<_> = rows.iter().map(|row| (row.conversation_id, behind(row))).collect();
        let counted = async { Ok(self.store.messages.unread(user, &read).await?) };
        let (unread, mut previews) = tokio::try_join!(counted, self.previews_of(user, &rows))?;
        let states = rows.into_iter().map(|row| State {
            conversation_id: row.conversation_id,
            receipts: by_row.remove(&row.conversation_id).unwrap_or_default(),
            unread_count: unread.get(&row.conversation_id).copied().unwrap_or(0),
            preview: previews.remove(&row.conversation_id),
        });
        Ok(states.collect())
    }

    /// Returns what a user sees last in those conversations whose preview he has deleted for himself.
    async fn previews_of(
        &self,
        user: UserId,
        rows: &[Row],
    ) -> Result<HashMap<ConversationId, Option<Message>>, Error> {
        let last: Vec<_> = rows.iter().filter_map(|row| row.last_message_id).collect();
        let messages = &self.store.messages;
        let deleted = if last.is_empty() {
            HashMap::new()
        } else {
            messages.deleted_for(user, &last).await?
        };
        if deleted.is_empty() {
            return Ok(HashMap::new());
        }
        let concerned: Vec<_> = rows
            .iter()
            .filter_map(|row| {
                let last = deleted.get(&row.last_message_id?)?;
                let after = row.counted_after.max(last.saturating_sub(MOST_HIDDEN));
                Some((row.conversation_id, after))
            })
            .collect();
        let mut previews: HashMap<_, _> =
            concerned.iter().map(|(conversation, _)| (*conversation, None)).collect();
        for message in messages.newest_seen(user, &concerned).await? {
            previews.insert(message.conversation_id, Some(message));
        }
        Ok(previews)
    }
}
