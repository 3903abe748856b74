//! Reading a conversation: pages for its members, and gaps for the services that announce.

use bson::DateTime;
use chat_kit::{caller::Caller, id::ConversationId, time::from_timestamp};
use chat_proto::v1::{
    self as pb,
    list_messages_request::{Position, Target},
};
use tonic::Code;

use crate::{Service, convert, error::Error, store::messages::Message};

/// Messages of a page where the caller names no number.
const DEFAULT_LIMIT: u32 = 50;
/// Most messages of a page.
const MOST_MESSAGES: u32 = 1000;

/// A page of history.
#[derive(Debug, Default)]
pub struct Page {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// How many messages there are.
    pub total_count: i64,
}

impl Service {
    /// Returns a page of a conversation that the caller is a member of.
    pub async fn list(
        &self,
        caller: &Caller,
        request: pb::ListMessagesRequest,
    ) -> Result<Page, Error> {
        let conversation = match request.target {
            Some(Target::ConversationId(id)) => convert::conversation_id(&id)?,
            Some(Target::UserId(user)) => match self.find_direct(caller, user).await? {
                Some(id) => id,
                None => return Ok(Page::default()),
            },
            None => {
                let message = "name a conversation or a user".to_owned();
                return Err(Error::Invalid { field: "target", message });
            }
        };
        let audience = self.get_audience(caller, conversation, pb::Act::Read).await;
        let cleared = audience.map_err(not_found)?.cleared_seq;
        let limit = match request.limit {
            0 => DEFAULT_LIMIT,
            limit => limit.min(MOST_MESSAGES),
        };
        let before = request.before.as_ref().map(from_timestamp);
        match request.position {
            Some(Position::AfterSeq(seq)) => {
                let mut page = self.behind(conversation, seq.max(cleared), limit, before).await?;
                page.total_count = page.total_count.saturating_sub(cleared).max(0);
                Ok(page)
            }
            Some(Position::Page(page)) => {
                self.page(conversation, cleared, page, limit, before).await
            }
            None => self.page(conversation, cleared, 1, limit, before).await,
        }
    }

    /// Returns the messages behind a number, in order.
    pub async fn list_after(&self, request: pb::ListAfterRequest) -> Result<Vec<Message>, Error> {
        let conversation = convert::conversation_id(&request.conversation_id)?;
        let after = request.after_seq.max(0);
        let to = after.saturating_add(i64::from(request.limit.clamp(1, MOST_MESSAGES)));
        let (from, messages) = (after.saturating_add(1), &self.store.messages);
        if request.unannounced {
            messages.unannounced(conversation, from, to).await
        } else {
            messages.range(conversation, from, to).await
        }
    }

    async fn behind(
        &self,
        conversation: ConversationId,
        seq: i64,
        limit: u32,
        before: Option<DateTime>,
    ) -> Result<Page, Error> {
        let seq = seq.max(0);
        let total_count = self.store.messages.last_before(conversation, before).await?;
        let to = seq.saturating_add(i64::from(limit)).min(total_count);
        let messages = if to > seq {
            self.store.messages.range(conversation, seq + 1, to).await?
        } else {
            Vec::new()
        };
        Ok(Page { messages, total_count })
    }

    /// Returns a page counted from the newest message, of those behind the number up to which the history
    /// is cleared. Numbers are dense, so a page is a range of them.
    async fn page(
        &self,
        conversation: ConversationId,
        cleared: i64,
        page: u32,
        limit: u32,
        before: Option<DateTime>,
    ) -> Result<Page, Error> {
        let limit = i64::from(limit);
        if page <= 1 && before.is_none() {
            let mut messages = self.store.messages.newest(conversation, limit).await?;
            let total_count = messages.first().map_or(0, |newest| newest.seq);
            let total_count = total_count.saturating_sub(cleared).max(0);
            messages.retain(|message| message.seq > cleared);
            messages.reverse();
            return Ok(Page { messages, total_count });
        }
        let last = self.store.messages.last_before(conversation, before).await?;
        let skipped = i64::from(page.max(1) - 1).saturating_mul(limit);
        let to = last.saturating_sub(skipped);
        let from = to.saturating_sub(limit).max(cleared).max(0).saturating_add(1);
        let total_count = last.saturating_sub(cleared).max(0);
        let messages = if to >= from {
            self.store.messages.range(conversation, from, to).await?
        } else {
            Vec::new()
        };
        Ok(Page { messages, total_count })
    }
}

/// History has its own word for a conversation that is not there.
pub(crate) fn not_found(error: Error) -> Error {
    match error {
        Error::Upstream(status) if status.code() == Code::NotFound => Error::NotFound,
        other => other,
    }
}
