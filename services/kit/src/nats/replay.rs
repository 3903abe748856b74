//! Reading the stream of events again, for a subscriber that may have missed some.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::{
    Client,
    jetstream::{
        self,
        consumer::{DeliverPolicy, pull},
        context::{ContextBuilder, GetStreamErrorKind},
        stream,
    },
};
use bson::DateTime;
use chat_proto::subject;
use futures_util::StreamExt as _;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::TIMEOUT;

/// How far a replay could reach back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every event since the time asked for was handed over.
    Whole,
    /// The stream has lost events since then, or is another stream.
    TooShort,
}

/// How far ahead of its receiver a replay reads, in events.
pub(super) const BATCH: usize = 256;

/// Hands over every event that the stream keeps since a time, oldest first. `lost_since` is the earliest
/// time at which an event may have been missed: a stream that does not reach back to it is too short.
pub async fn replay(
    client: &Client,
    from: DateTime,
    lost_since: DateTime,
    receiver: &mpsc::Sender<async_nats::Message>,
) -> anyhow::Result<Reach> {
    // The server has heard the subscriptions when it answers: from here on they bring what is new.
    tokio::time::timeout(TIMEOUT, client.flush()).await.context("nats did not answer")??;
    let context = ContextBuilder::new().timeout(TIMEOUT).ack_timeout(TIMEOUT).build(client.clone());
    let stream = match context.get_stream(subject::LOG_STREAM).await {
        Ok(stream) => stream,
        Err(error) if is_missing(error.kind()) => return Ok(Reach::TooShort),
        Err(error) => return Err(error).context("stream of events"),
    };
    if !reaches(stream.cached_info(), lost_since) {
        return Ok(Reach::TooShort);
    }
    let config = pull::OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartTime { start_time: instant(from)? },
        max_batch: i64::try_from(BATCH)?,
        ..Default::default()
    };
    let created = tokio::time::timeout(TIMEOUT, stream.create_consumer(config));
    let consumer = created.await.context("jetstream did not answer")??;
    let mut left = consumer.cached_info().num_pending;
    let mut events = consumer.messages().await?;
    while left > 0 {
        let next = tokio::time::timeout(2 * TIMEOUT, events.next()).await;
        let event = next.context("the replay stands still")?.context("the replay ended")??;
        left = event
            .info()
            .map_err(|error| anyhow::anyhow!("event without a place: {error}"))?
            .pending;
        let (event, _) = event.split();
        if receiver.send(event).await.is_err() {
            break;
        }
    }
    Ok(Reach::Whole)
}

fn is_missing(kind: GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error)
        if error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND)
}

/// Says whether a stream has every event since a time.
fn reaches(info: &stream::Info, since: DateTime) -> bool {
    let Ok(since) = instant(since) else { return false };
    let has_lost_its_oldest = info.state.first_sequence > 1;
    info.created <= since && (!has_lost_its_oldest || info.state.first_timestamp <= since)
}

fn instant(time: DateTime) -> anyhow::Result<OffsetDateTime> {
    let millis = Duration::from_millis(u64::try_from(time.timestamp_millis())?);
    Ok(OffsetDateTime::UNIX_EPOCH + millis)
}
