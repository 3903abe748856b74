//! Announcing what a document's outbox holds, in its order: first whoever reads lists and quotes sees the
//! change, then the members hear of it. Every step may be repeated; what fails is left to the relay.

use std::time::Duration;

use chat_kit::{caller::Caller, time::to_timestamp};
use chat_proto::v1 as pb;
use tokio::sync::oneshot;

use crate::{
    Service, convert,
    error::Error,
    event,
    store::messages::{Message, OutboxEntry, OutboxKind},
};

/// How long an answer waits for the announcement of its change.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often what the list shows is put right, where that changed meanwhile.
const PREVIEW_ATTEMPTS: usize = 10;

impl Service {
    /// Announces a change that is stored. From here on nothing fails the call, which waits for the
    /// announcement for a while, so that what is read after its answer shows the change.
    pub(crate) async fn announce_change(
        &self,
        caller: &Caller,
        changed: &Message,
        member_ids: Vec<String>,
    ) {
        let (service, caller, message) = (self.clone(), caller.clone(), changed.clone());
        let announcing = async move {
            let entries = message.outbox.clone();
            for entry in entries {
                let announced = service.announce_entry(&caller, &message, &entry, &member_ids);
                if let Err(error) = announced.await {
                    tracing::warn!(id = %message.id, %error, "announcement is left to the relay");
                    break;
                }
            }
        };
        self.announce_beside(announcing).await;
    }

    /// Lets an announcement go on beside a call, which waits for it for a while.
    pub(crate) async fn announce_beside(
        &self,
        announcing: impl Future<Output = ()> + Send + 'static,
    ) {
        let (done, announced) = oneshot::channel();
        let work = async move {
            announcing.await;
            // The caller may have gone away.
            done.send(()).ok();
        };
        self.life.spawn_work(tracing::Instrument::in_current_span(work));
        tokio::time::timeout(ANNOUNCE_TIMEOUT, announced).await.ok();
    }

    /// Announces one change of a document, which may have changed again since.
    pub(crate) async fn announce_entry(
        &self,
        caller: &Caller,
        message: &Message,
        entry: &OutboxEntry,
        member_ids: &[String],
    ) -> Result<(), Error> {
        let mut message = message.clone();
        match entry.kind {
            OutboxKind::Created => {
                self.forget_stale_quote(&mut message).await?;
                self.record_activity(&message).await?;
            }
            OutboxKind::Edited => self.refresh_preview(caller, &message).await?,
            OutboxKind::Deleted => {
                let (conversation, id) = (message.conversation_id, message.id);
                self.store.messages.forget_quotes(conversation, id).await?;
                self.refresh_preview(caller, &message).await?;
            }
            OutboxKind::Reacted => {}
        }
        let id = message.id;
        let event = event::build(entry, message, member_ids.to_vec());
        self.publisher.publish(&event, &caller.request_id).await?;
        self.outbox.announced(id, entry.event_id.clone());
        Ok(())
    }

    /// Forgets what a new message quotes if that was deleted since it was read. Whoever deletes a message
    /// forgets its quotes after it is deleted: so either he finds this one, or it is found here.
    pub(crate) async fn forget_stale_quote(&self, message: &mut Message) -> Result<(), Error> {
        let Some(reply) = &mut message.reply else { return Ok(()) };
        if reply.quote.is_none() && reply.given.is_none() {
            return Ok(());
        }
        let answered = self.store.messages.by_id(reply.to).await?;
        if answered.is_some_and(|answered| answered.deleted_at.is_none()) {
            return Ok(());
        }
        (reply.quote, reply.given) = (None, None);
        self.store.messages.forget_quote(message.id).await?;
        Ok(())
    }

    /// Shows in the conversation's list what a changed message, or the one before it, says now, and when the
    /// sender of a deleted one has last written.
    async fn refresh_preview(&self, caller: &Caller, changed: &Message) -> Result<(), Error> {
        let messages = &self.store.messages;
        let mut all_changed = vec![changed.clone()];
        for _ in 0..PREVIEW_ATTEMPTS {
            let Some(changed) = all_changed.pop() else { return Ok(()) };
            let (conversation, before) = (changed.conversation_id, changed.seq);
            let (shown, own) = if changed.deleted_at.is_none() {
                (Some(changed.clone()), None)
            } else {
                tokio::try_join!(
                    messages.newest_left(conversation, before, None),
                    messages.newest_left(conversation, before, Some(changed.sender_id)),
                )?
            };
            self.replace_preview(caller, &changed, shown.as_ref(), own.as_ref()).await?;
            let mut looked_at = vec![changed.id];
            for seen in [shown, own].into_iter().flatten() {
                if looked_at.contains(&seen.id) {
                    continue;
                }
                looked_at.push(seen.id);
                // What changes before it is told of has nothing to replace: so it is looked at again.
                let now = messages.by_id(seen.id).await?;
                all_changed.extend(now.filter(|now| now.change != seen.change));
            }
        }
        if all_changed.is_empty() { Ok(()) } else { Err(Error::Contended) }
    }

    async fn replace_preview(
        &self,
        caller: &Caller,
        changed: &Message,
        shown: Option<&Message>,
        own: Option<&Message>,
    ) -> Result<(), Error> {
        let service = Caller::service("message", &caller.request_id);
        let deleted = changed.deleted_at.map(|_| pb::DeletedMessage {
            sender_id: changed.sender_id.to_string(),
            created_at: Some(to_timestamp(changed.created_at)),
            previous_created_at: own.map(|own| to_timestamp(own.created_at)),
        });
        let request = service.request(pb::ReplacePreviewRequest {
            conversation_id: changed.conversation_id.to_string(),
            seq: changed.seq,
            change: changed.change,
            preview: shown.map(convert::preview),
            deleted,
        });
        let replaced = self.conversation.clone().replace_preview(request).await;
        replaced.map(drop).map_err(Error::Upstream)
    }
}
