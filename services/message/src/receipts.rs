//! How far members have read: they say so, and the others hear of it.

pub(crate) mod announce;

use std::future::Future;

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, MessageId, UserId},
};
use chat_proto::v1::{self as pb, mark_read_request::Target};
use tokio::sync::oneshot;

use crate::{
    Service,
    convert::{self, ReadMark, ReadTo},
    error::Error,
    history::not_found,
    store::{
        messages::{Located, Place},
        receipts::{Cursor, Moved, Step},
    },
};

/// How far somebody has read by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Number of the newest message that he has read.
    pub read_seq: i64,
    /// Whether it was moved just now.
    pub has_advanced: bool,
}

impl Read {
    fn as_before(read_seq: i64) -> Self {
        Self { read_seq, has_advanced: false }
    }
}

impl Service {
    /// Raises what `reader`, who calls, has read.
    pub async fn mark_read(
        &self,
        caller: Caller,
        reader: UserId,
        target: Option<Target>,
    ) -> Result<Read, Error> {
        let (conversation, member_ids, place) = match convert::read_to(target, DateTime::now())? {
            ReadTo::In(conversation, mark) => {
                let member_ids = self.readers(&caller, conversation).await?;
                (conversation, member_ids, self.place_of(conversation, reader, mark).await?)
            }
            ReadTo::Message(id) => {
                let message = self.store.messages.located(&[id]).await?.pop();
                let message = message.ok_or(Error::MessageNotFound)?;
                let member_ids = self.readers(&caller, message.conversation_id).await;
                let member_ids = member_ids.map_err(not_found)?;
                let place = (message.sender_id != reader).then(|| message.place());
                (message.conversation_id, member_ids, place)
            }
        };
        if let Some(place) = place {
            return self.advance(caller, reader, conversation, place, member_ids).await;
        }
        let read_seq = self.store.receipts.read_seq(conversation, reader).await?;
        Ok(Read::as_before(read_seq))
    }

    /// Finds the message up to which a mark says that `reader` has read.
    async fn place_of(
        &self,
        conversation: ConversationId,
        reader: UserId,
        mark: ReadMark,
    ) -> Result<Option<Place>, Error> {
        let messages = &self.store.messages;
        Ok(match mark {
            ReadMark::End => messages.newest_place(conversation).await?,
            ReadMark::Until(at) => messages.place_at(conversation, at).await?,
            ReadMark::Number(seq) => messages.place_numbered(conversation, seq).await?,
            ReadMark::Messages(ids) => self.newest_of(conversation, reader, &ids).await?,
        })
    }

    /// Returns the newest of some messages, where it is of this conversation and somebody else's.
    async fn newest_of(
        &self,
        conversation: ConversationId,
        reader: UserId,
        ids: &[MessageId],
    ) -> Result<Option<Place>, Error> {
        let found = self.store.messages.located(ids).await?.into_iter();
        let counting = found.filter(|message| {
            message.conversation_id == conversation && message.sender_id != reader
        });
        Ok(counting.map(|message| Located::place(&message)).max_by_key(|place| place.seq))
    }

    async fn readers(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<Vec<String>, Error> {
        let audience = self.get_audience(caller, conversation, pb::Act::Read).await;
        Ok(audience?.member_ids)
    }

    /// Raises the cursor, and lets the members hear of it once it has moved. Of two calls at once each
    /// announces its own part.
    async fn advance(
        &self,
        caller: Caller,
        user_id: UserId,
        conversation_id: ConversationId,
        to: Place,
        member_ids: Vec<String>,
    ) -> Result<Read, Error> {
        let service = self.clone();
        self.to_the_end(async move {
            let step = Step::new(Cursor::Read, (to.seq, to.created_at), DateTime::now());
            let receipts = &service.store.receipts;
            let raised = receipts.advance_read(conversation_id, user_id, &step).await?;
            let read_seq = raised.read_seq;
            let Some(advance) = raised.advance else { return Ok(Read::as_before(read_seq)) };
            // From here on nothing fails the call: what is not announced now, a relay announces.
            let moved = Moved { conversation_id, user_id, advance };
            service.tell_reading(&caller, moved, member_ids).await;
            Ok(Read { read_seq, has_advanced: true })
        })
        .await
    }

    /// Does what a caller's going away does not end.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let work = async move {
            // The caller may have gone away.
            answer.send(work.await).ok();
        };
        self.life.spawn_work(tracing::Instrument::in_current_span(work));
        answered.await.unwrap_or(Err(Error::Stopping))
    }
}
