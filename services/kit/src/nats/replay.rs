//! Reading the stream of events again, for a subscriber that may have missed some. Places in the stream
//! are numbers of its own, so no clock of any machine has a say.

use anyhow::Context as _;
use async_nats::{
    Client,
    jetstream::{
        consumer::{DeliverPolicy, pull},
        stream::{Info, Stream},
    },
};
use futures_util::StreamExt as _;
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::Duration};

use super::{TIMEOUT, context, ensure_stream};
use crate::config;

/// How far ahead of its receiver a replay reads, in events.
pub(super) const BATCH: usize = 256;

/// How long a new subscription may take to be known to all servers of a NATS cluster: what they publish
/// until then reaches the stream alone, so a replay goes on until then.
const SPREADING: Duration = Duration::from_secs(1);

/// A place in the stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When the stream was made, which tells it from another one of its name.
    made_at: OffsetDateTime,
    /// The number of the event there, 0 in front of the first one.
    number: u64,
}

/// How far a replay could reach back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every event behind the place asked for was handed over.
    Whole,
    /// The stream has lost events since then, or is another stream.
    TooShort,
}

/// Returns the end of the stream, which is made if it is missing. Everything that the server had sent to
/// this connection before it answers has been received.
pub async fn end(client: &Client, config: &config::Nats) -> anyhow::Result<Place> {
    let stream = ensure_stream(&context(client), config).await?;
    Ok(place(stream.cached_info()))
}

/// Hands over every event behind a place, oldest first. Returns where it ended: what came later, the
/// subscriptions of this connection have brought, or will.
pub async fn replay(
    client: &Client,
    config: &config::Nats,
    after: Place,
    receiver: &mpsc::Sender<async_nats::Message>,
) -> anyhow::Result<(Reach, Place)> {
    // The server had heard the subscriptions of this connection when it answered.
    let stream = ensure_stream(&context(client), config).await?;
    if !reaches(stream.cached_info(), after) {
        return Ok((Reach::TooShort, place(stream.cached_info())));
    }
    let mut reader = Reader { stream: &stream, at: after, receiver };
    let reach = reader.read_to(place(stream.cached_info())).await?;
    tokio::time::sleep(SPREADING).await;
    let end = end(client, config).await?;
    if reach == Reach::TooShort || end.made_at != after.made_at {
        return Ok((Reach::TooShort, end));
    }
    Ok((reader.read_to(end).await?, end))
}

struct Reader<'a> {
    stream: &'a Stream,
    at: Place,
    receiver: &'a mpsc::Sender<async_nats::Message>,
}

impl Reader<'_> {
    /// Hands over every event up to a place.
    async fn read_to(&mut self, end: Place) -> anyhow::Result<Reach> {
        if self.at.number >= end.number {
            return Ok(Reach::Whole);
        }
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.at.number + 1 },
            max_batch: i64::try_from(BATCH)?,
            ..Default::default()
        };
        let created = tokio::time::timeout(TIMEOUT, self.stream.create_consumer(config));
        let consumer = created.await.context("jetstream did not answer")??;
        let mut events = consumer.messages().await?;
        while self.at.number < end.number {
            let next = tokio::time::timeout(2 * TIMEOUT, events.next()).await;
            let event = next.context("the replay stands still")?.context("the replay ended")??;
            let number = event
                .info()
                .map_err(|error| anyhow::anyhow!("event without a place: {error}"))?
                .stream_sequence;
            if number > self.at.number + 1 {
                // The stream has reached its size and dropped what was to be read next.
                return Ok(Reach::TooShort);
            }
            self.at.number = number;
            let (event, _) = event.split();
            if self.receiver.send(event).await.is_err() {
                break;
            }
        }
        Ok(Reach::Whole)
    }
}

fn place(info: &Info) -> Place {
    Place { made_at: info.created, number: info.state.last_sequence }
}

/// Says whether a stream has every event behind a place. One that ends before it has been restored from
/// an older state.
fn reaches(info: &Info, after: Place) -> bool {
    let (first, last) = (info.state.first_sequence, info.state.last_sequence);
    info.created == after.made_at && first <= after.number + 1 && last >= after.number
}
