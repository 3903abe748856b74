//! The outbox: announced changes are taken out of their documents in batches, and relays announce what a
//! crash or a broken NATS left behind.

use std::time::Duration;

use bson::DateTime;
use chat_kit::{
    caller,
    caller::Caller,
    error::ServiceError as _,
    id::MessageId,
    telemetry::trace::{self, Kind, Origin},
    time::before,
};
use chat_proto::v1::{self as pb, message_service_server::SERVICE_NAME};
use futures_util::future::join_all;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tonic::Code;
use tracing::Instrument as _;

use crate::{
    Service,
    error::Error,
    metrics::OUTBOX,
    store::{
        messages::{Message, OutboxEntry},
        receipts::Moved,
    },
};

/// Announced changes that wait to be taken out; further ones are left to the relay.
const MOST_WAITING: usize = 8192;
/// Most changes taken out at once.
const MOST_AT_ONCE: usize = 256;
/// How long announced changes are collected.
const COLLECTING: Duration = Duration::from_millis(50);
/// Documents that a relay announces side by side: after an outage there are many, and each takes some
/// calls one after the other.
const RELAYED_AT_ONCE: usize = 8;
/// How often the relay looks for changes that were left behind.
const RELAY_INTERVAL: Duration = Duration::from_millis(500);

/// The place where announced changes are handed in.
#[derive(Clone)]
pub struct Outbox {
    announced: mpsc::Sender<Change>,
}

/// The other end of [`Outbox`].
pub type Announced = mpsc::Receiver<Change>;

/// What was announced.
#[derive(Clone, Debug)]
pub enum Change {
    /// A change of a message, with the id of its event.
    Message(MessageId, String),
    /// The move of a cursor.
    Cursor(Moved),
}

/// What may be left behind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// Changes of messages.
    Messages,
    /// Moves of cursors.
    Receipts,
}

impl Outbox {
    /// Makes an outbox.
    #[must_use]
    pub fn new() -> (Self, Announced) {
        let (announced, waiting) = mpsc::channel(MOST_WAITING);
        (Self { announced }, waiting)
    }

    /// Hands in a change that the stream of events has.
    pub fn announced(&self, id: MessageId, event_id: String) {
        self.hand_in(Change::Message(id, event_id));
    }

    /// Hands in the move of a cursor that the stream of events has.
    pub fn cursor_announced(&self, moved: Moved) {
        self.hand_in(Change::Cursor(moved));
    }

    fn hand_in(&self, change: Change) {
        if let Err(error) = self.announced.try_send(change) {
            let change = error.into_inner();
            tracing::warn!(?change, "too many announced changes wait, leaving one to the relay");
        }
    }
}

impl Service {
    /// Takes announced changes out of their documents until the soft stop.
    pub(crate) async fn pull_announced(self, mut announced: Announced) -> anyhow::Result<()> {
        let mut batch = Vec::with_capacity(MOST_AT_ONCE);
        let mut are_taken_out = true;
        loop {
            tokio::select! {
                count = announced.recv_many(&mut batch, MOST_AT_ONCE) => {
                    if count == 0 { return Ok(()) }
                }
                () = self.life.stopping() => {
                    announced.close();
                    // Each try takes its time while MongoDB is away.
                    while are_taken_out && announced.recv_many(&mut batch, MOST_AT_ONCE).await > 0 {
                        are_taken_out = self.pull(&mut batch).await;
                    }
                    return Ok(());
                }
            }
            are_taken_out = self.pull(&mut batch).await;
            tokio::time::sleep(COLLECTING).await;
        }
    }

    /// Takes changes out of their documents; says whether that went well.
    async fn pull(&self, batch: &mut Vec<Change>) -> bool {
        let (mut messages, mut cursors) = (Vec::new(), Vec::new());
        for change in batch.drain(..) {
            match change {
                Change::Message(id, event_id) => messages.push((id, event_id)),
                Change::Cursor(moved) => cursors.push(moved),
            }
        }
        let of_messages = async {
            if messages.is_empty() {
                Ok(())
            } else {
                self.store.messages.pull_outbox(&messages).await
            }
        };
        let of_cursors = async {
            if cursors.is_empty() { Ok(()) } else { self.store.receipts.pull(&cursors).await }
        };
        let (of_messages, of_cursors) = tokio::join!(of_messages, of_cursors);
        let went_well = of_messages.is_ok() && of_cursors.is_ok();
        for (outcome, count) in [(of_messages, messages.len()), (of_cursors, cursors.len())] {
            if let Err(error) = outcome {
                tracing::warn!(%error, count, "announced changes are left to the relay");
            }
        }
        went_well
    }

    /// Announces until the soft stop what was left behind, oldest first.
    pub(crate) async fn relay(self, left: Left) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(RELAY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.life.stopping() => return Ok(()),
            }
            // One looks: mostly there is nothing.
            if self.relay_next(left).await {
                join_all((0..RELAYED_AT_ONCE).map(|_| self.relay_all(left))).await;
            }
        }
    }

    async fn relay_all(&self, left: Left) {
        while self.relay_next(left).await {}
    }

    /// Announces the changes of one document; says whether there may be another.
    async fn relay_next(&self, left: Left) -> bool {
        if !self.publisher.is_connected() || self.life.is_stopping() {
            return false;
        }
        let relayed = match left {
            Left::Messages => self.relay_message().await,
            Left::Receipts => self.relay_receipt().await,
        };
        relayed.unwrap_or_else(|error| {
            let error_text = chat_kit::error::chain(&error);
            tracing::warn!(error = error_text, "relay failed, trying again later");
            // One document that cannot be announced does not hold up the others.
            error.code() != Code::Unavailable
        })
    }

    /// Announces the changes of one message; says whether there was one.
    async fn relay_message(&self) -> Result<bool, Error> {
        let now = DateTime::now();
        let cutoff = before(now, self.relay_after);
        let Some(mut claimed) = self.store.messages.claim_outbox(cutoff, now).await? else {
            return Ok(false);
        };
        let entries = std::mem::take(&mut claimed.outbox);
        for entry in entries {
            relaying(async |caller| self.relay_entry(caller, &claimed, entry).await).await?;
        }
        Ok(true)
    }

    /// Announces the moves of one receipt's cursors; says whether there was one.
    async fn relay_receipt(&self) -> Result<bool, Error> {
        let now = DateTime::now();
        let cutoff = before(now, self.relay_after);
        let Some(claimed) = self.store.receipts.claim(cutoff, now).await? else {
            return Ok(false);
        };
        for moved in claimed.moved() {
            relaying(async |caller| self.relay_moved(caller, moved).await).await?;
        }
        Ok(true)
    }

    async fn relay_entry(
        &self,
        caller: &Caller,
        message: &Message,
        entry: OutboxEntry,
    ) -> Result<(), Error> {
        trace::note("message_id", message.id);
        let conversation_id = message.conversation_id;
        // Asked again: a member added since may hear it, a removed one does not.
        let audience = self.get_audience(caller, conversation_id, pb::Act::Deliver).await?;
        self.announce_entry(caller, message, &entry, &audience.member_ids).await?;
        tracing::info!(id = %message.id, event_id = entry.event_id, "relay announced");
        Ok(())
    }
}

/// Relays one announcement in the name of this service, under an id and in a span of its own.
async fn relaying(relay: impl AsyncFnOnce(&Caller) -> Result<(), Error>) -> Result<(), Error> {
    let caller = Caller::service("message", &caller::new_request_id());
    let span = trace::begin(
        &caller.request_id,
        Kind::Internal,
        SERVICE_NAME,
        format_args!("relay"),
        &Origin::default(),
    );
    let relayed = relay(&caller).instrument(span).await;
    let counter = if relayed.is_ok() { &OUTBOX.relayed } else { &OUTBOX.failed };
    counter.increment(1);
    relayed
}
