//! Announcing that cursors have moved, now or by the relay. What fails is left to the relay, and every step
//! may be repeated.

use chat_kit::{caller::Caller, telemetry::trace};
use chat_proto::v1 as pb;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tonic::Code;

use crate::{
    Service,
    error::Error,
    event,
    store::{
        messages::{Place, Stretch},
        receipts::{Cursor, Moved},
    },
};

/// Events of one call that are published side by side.
const PUBLISHED_AT_ONCE: usize = 16;

/// Messages that have reached somebody.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// Whom, and how far.
    pub moved: Moved,
    /// The newest of each sender among them.
    pub newest: Vec<Place>,
    /// Those senders who hear of it.
    pub hearers: Vec<String>,
}

impl Service {
    /// Lets the members hear how far one of them has read, beside the call in which he says so.
    pub(crate) async fn tell_reading(
        &self,
        caller: &Caller,
        moved: Moved,
        member_ids: Vec<String>,
    ) {
        let (service, caller) = (self.clone(), caller.clone());
        let announcing = async move {
            if let Err(error) = service.announce_reading(&caller, moved, &member_ids).await {
                let Moved { conversation_id, user_id, .. } = moved;
                tracing::warn!(%conversation_id, %user_id, %error, "a receipt is left to the relay");
            }
        };
        self.announce_beside(announcing).await;
    }

    /// Lets the senders hear what has reached somebody, beside the call in which he says so. After a failure
    /// nothing more is tried: the relay does.
    pub(crate) async fn tell_deliveries(&self, caller: &Caller, deliveries: Vec<Delivery>) {
        if deliveries.is_empty() {
            return;
        }
        let (service, caller) = (self.clone(), caller.clone());
        let announcing = async move {
            let announce = async |delivery| service.announce_delivery(&caller, &delivery).await;
            let all = stream::iter(deliveries).map(Ok);
            let told = all.try_for_each_concurrent(PUBLISHED_AT_ONCE, announce).await;
            if let Err(error) = told {
                tracing::warn!(%error, "deliveries are left to the relay");
            }
        };
        self.announce_beside(announcing).await;
    }

    async fn announce_reading(
        &self,
        caller: &Caller,
        moved: Moved,
        member_ids: &[String],
    ) -> Result<(), Error> {
        let Moved { conversation_id, advance, .. } = moved;
        let messages = &self.store.messages;
        let covered = messages.covered(conversation_id, advance.after, advance.to).await?;
        for event in event::read_advanced(&moved, &covered, member_ids) {
            self.publisher.publish(&event, &caller.request_id).await?;
        }
        self.outbox.cursor_announced(moved);
        Ok(())
    }

    async fn announce_delivery(&self, caller: &Caller, delivery: &Delivery) -> Result<(), Error> {
        let Delivery { moved, newest, hearers } = delivery;
        if !hearers.is_empty() {
            let event = event::delivered_advanced(moved, newest, hearers);
            self.publisher.publish(&event, &caller.request_id).await?;
        }
        self.outbox.cursor_announced(*moved);
        Ok(())
    }

    /// Announces a move that was left behind. Who hears of it is asked again.
    pub(crate) async fn relay_moved(&self, caller: &Caller, moved: Moved) -> Result<(), Error> {
        trace::note("conversation_id", moved.conversation_id);
        match moved.advance.cursor {
            Cursor::Read => {
                let conversation_id = moved.conversation_id;
                let audience = self.get_audience(caller, conversation_id, pb::Act::Deliver).await;
                match audience {
                    Ok(audience) => {
                        self.announce_reading(caller, moved, &audience.member_ids).await?;
                    }
                    // Nobody is left who could hear of it.
                    Err(Error::Upstream(status)) if status.code() == Code::NotFound => {
                        self.outbox.cursor_announced(moved);
                    }
                    Err(error) => return Err(error),
                }
            }
            Cursor::Delivered => self.relay_delivery(caller, moved).await?,
        }
        let Moved { conversation_id, user_id, advance } = moved;
        tracing::info!(%conversation_id, %user_id, to = advance.to, "relay announced a receipt");
        Ok(())
    }

    async fn relay_delivery(&self, caller: &Caller, moved: Moved) -> Result<(), Error> {
        let Moved { conversation_id, user_id, advance } = moved;
        let stretch = Stretch { conversation_id, after: advance.after, to: advance.to };
        let held = self.store.messages.held(user_id, &[stretch]).await?;
        let heard = self.hearers(caller, user_id, held).await?;
        // None where he has left meanwhile.
        let (newest, hearers) = heard.into_iter().next().map_or_else(Default::default, |heard| {
            let (held, hearers) = heard;
            (held.of_others, hearers)
        });
        self.announce_delivery(caller, &Delivery { moved, newest, hearers }).await
    }
}
