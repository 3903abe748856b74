//! Reading a conversation: pages for its members, and gaps for the services that announce.

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, UserId},
    time::from_timestamp,
};
use chat_proto::v1::{
    self as pb,
    list_messages_request::{Position, Target},
};
use tonic::Code;

use crate::{
    Service, convert,
    error::Error,
    store::messages::{Hidden, Message},
};

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

/// What somebody reads of a conversation.
struct Reading {
    conversation: ConversationId,
    reader: UserId,
    /// What lies up to this number is cleared from his history.
    cleared: i64,
    limit: i64,
    before: Option<DateTime>,
    show_deleted: bool,
}

impl Service {
    /// Returns a page of a conversation that `reader`, who calls, is a member of.
    pub async fn list(
        &self,
        caller: &Caller,
        reader: UserId,
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
        let reading = Reading {
            conversation,
            reader,
            cleared,
            limit: limit.into(),
            before: request.before.as_ref().map(from_timestamp),
            show_deleted: request.show_deleted,
        };
        match request.position {
            Some(Position::AfterSeq(seq)) => self.behind(&reading, seq).await,
            Some(Position::Page(page)) => self.page(&reading, page).await,
            None => self.page(&reading, 1).await,
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

    async fn behind(&self, reading: &Reading, seq: i64) -> Result<Page, Error> {
        let (last, hidden) = self.extent(reading).await?;
        let seq = seq.max(reading.cleared);
        let to = hidden.up(seq, reading.limit).min(last);
        self.span(reading, &hidden, seq, to, last).await
    }

    /// Returns a page counted from the newest message. Numbers are dense, so a page is a range of them,
    /// stretched by what its reader does not see.
    async fn page(&self, reading: &Reading, page: u32) -> Result<Page, Error> {
        let (last, hidden) = self.extent(reading).await?;
        let skipped = i64::from(page.max(1) - 1).saturating_mul(reading.limit);
        let to = hidden.down(last, skipped);
        let after = hidden.down(to, reading.limit).max(reading.cleared);
        self.span(reading, &hidden, after, to, last).await
    }

    /// Returns the last number of what is read, and those that its reader does not see.
    async fn extent(&self, reading: &Reading) -> Result<(i64, Hidden), Error> {
        let &Reading { conversation, reader, cleared, before, show_deleted, .. } = reading;
        let messages = &self.store.messages;
        let hidden = async {
            if show_deleted {
                Ok(Hidden::default())
            } else {
                messages.hidden_from(reader, conversation, cleared).await
            }
        };
        let last = messages.last_before(conversation, before);
        let (last, mut hidden) = tokio::try_join!(last, hidden)?;
        hidden.cut(last);
        Ok((last, hidden))
    }

    /// Returns what a reader sees between two numbers, of which the second is included.
    async fn span(
        &self,
        reading: &Reading,
        hidden: &Hidden,
        after: i64,
        to: i64,
        last: i64,
    ) -> Result<Page, Error> {
        let total_count = (last - reading.cleared - hidden.count()).max(0);
        if to <= after {
            return Ok(Page { messages: Vec::new(), total_count });
        }
        let found = self.store.messages.range(reading.conversation, after + 1, to).await?;
        let is_seen = |message: &Message| {
            reading.show_deleted
                || message.deleted_at.is_none() && !message.deleted_for.contains(&reading.reader)
        };
        Ok(Page { messages: found.into_iter().filter(is_seen).collect(), total_count })
    }
}

/// History has its own word for a conversation that is not there.
pub(crate) fn not_found(error: Error) -> Error {
    match error {
        Error::Upstream(status) if status.code() == Code::NotFound => Error::NotFound,
        other => other,
    }
}
