//! The NATS connection: publishing events with acknowledgement, subscribing to them, and the stream
//! that keeps them. Subjects are spelled in `chat_proto::subject` alone.

mod replay;

use std::{future::IntoFuture as _, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event as ConnectionEvent, HeaderMap, Subscriber,
    connection::State,
    jetstream::{
        self,
        context::{ContextBuilder, PublishAckFuture},
        message::PublishMessage,
        stream,
    },
};
use bson::DateTime;
use chat_proto::{subject, v1::Event};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::config;

pub use replay::{Reach, replay};

/// NATS header that carries the id of the request behind an event.
pub const REQUEST_ID: &str = "Chat-Request-Id";

/// How long NATS may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How many publishes may wait for their acknowledgement; further events are left to the relay.
const MOST_IN_FLIGHT: usize = 2048;

/// Span in which the stream refuses a second event of the same id.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// Least room of a subscription: twice what a replay reads ahead.
const SMALLEST_CAPACITY: usize = 2 * replay::BATCH;
/// How often an idle connection is tried; two silences end it.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Why an event was not acknowledged by the stream. It may be in the stream all the same.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection; nothing was queued.
    #[error("nats is not connected")]
    NotConnected,
    /// Too many publishes wait already; nothing was queued.
    #[error("too many events wait for nats")]
    Busy,
    /// The event carries no payload.
    #[error("event {0} has no payload")]
    NoPayload(String),
    /// NATS refused it or did not answer.
    #[error("nats: {0}")]
    Nats(String),
    /// NATS did not answer in time.
    #[error("nats did not answer within {TIMEOUT:?}")]
    Timeout,
}

/// A span in which events may have passed a subscriber by.
#[derive(Clone, Copy, Debug)]
pub struct Interruption {
    /// When the connection was lost, or when NATS said that a subscriber is too slow.
    pub since: DateTime,
}

/// Connects and waits for the server.
pub async fn connect(config: &config::Nats, name: &str) -> anyhow::Result<Client> {
    connect_watched(config, name).await.map(|(client, _)| client)
}

/// Connects and waits for the server. The receiver changes whenever an interruption of the
/// subscriptions is over.
pub async fn connect_watched(
    config: &config::Nats,
    name: &str,
) -> anyhow::Result<(Client, watch::Receiver<Option<Interruption>>)> {
    anyhow::ensure!(
        config.subscription_capacity >= SMALLEST_CAPACITY,
        "nats.subscription_capacity is {}, at least {SMALLEST_CAPACITY} are needed",
        config.subscription_capacity,
    );
    let (interrupted, interruptions) = watch::channel(None);
    let watcher = Arc::new(Watcher { lost_at: Mutex::default(), interrupted });
    let options = ConnectOptions::new()
        .name(name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(TIMEOUT)
        .request_timeout(Some(TIMEOUT))
        .subscription_capacity(config.subscription_capacity)
        .reconnect_delay_callback(|attempt| Duration::from_millis((50 << attempt.min(5)).min(2000)))
        .event_callback(move |event| {
            watcher.hear(&event);
            std::future::ready(())
        });
    let connecting = options.connect(config.url.expose());
    match tokio::time::timeout(2 * TIMEOUT, connecting).await {
        Ok(Ok(client)) => Ok((client, interruptions)),
        Ok(Err(error)) => anyhow::bail!("nats is not reachable (nats.url): {error}"),
        Err(_) => anyhow::bail!("nats did not answer (nats.url)"),
    }
}

/// Turns what the client says of its connection into interruptions.
struct Watcher {
    lost_at: Mutex<Option<DateTime>>,
    interrupted: watch::Sender<Option<Interruption>>,
}

impl Watcher {
    fn hear(&self, event: &ConnectionEvent) {
        let mut lost_at = self.lost_at.lock();
        let since = match event {
            ConnectionEvent::Connected => {
                tracing::info!("nats connected");
                lost_at.take()
            }
            ConnectionEvent::Disconnected => {
                tracing::warn!("nats connection lost");
                lost_at.get_or_insert_with(DateTime::now);
                None
            }
            ConnectionEvent::SlowConsumer(_) => {
                tracing::warn!("nats dropped events for want of room");
                Some(DateTime::now())
            }
            event => {
                tracing::warn!(%event, "nats");
                None
            }
        };
        if let Some(since) = since {
            self.interrupted.send_replace(Some(Interruption { since }));
        }
    }
}

/// Subscribes to events without a queue group: every subscriber hears all.
pub async fn subscribe(client: &Client, wildcard: &'static str) -> anyhow::Result<Subscriber> {
    let subscriber = client.subscribe(wildcard).await?;
    match tokio::time::timeout(TIMEOUT, client.flush()).await {
        Ok(flushed) => flushed?,
        Err(_) => anyhow::bail!("nats did not confirm the subscription to {wildcard}"),
    }
    Ok(subscriber)
}

/// Publishes events.
#[derive(Clone)]
pub struct Publisher {
    client: Client,
    context: jetstream::Context,
    config: config::Nats,
    in_flight: Arc<Semaphore>,
}

/// An event on its way to the stream.
pub struct Publishing {
    acknowledgement: PublishAckFuture,
    _permit: OwnedSemaphorePermit,
}

impl Publisher {
    /// Wraps a connection and makes the stream if it is missing.
    pub async fn new(client: Client, config: &config::Nats) -> anyhow::Result<Self> {
        let context = ContextBuilder::new()
            .timeout(TIMEOUT)
            .ack_timeout(TIMEOUT)
            .max_ack_inflight(MOST_IN_FLIGHT)
            .build(client.clone());
        let in_flight = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
        let publisher = Self { client, context, config: config.clone(), in_flight };
        publisher.ensure_stream().await?;
        Ok(publisher)
    }

    /// Makes the stream of events if it is missing.
    pub async fn ensure_stream(&self) -> anyhow::Result<()> {
        let wanted = stream::Config {
            name: subject::LOG_STREAM.to_owned(),
            subjects: vec![subject::LOG_WILDCARD.to_owned()],
            storage: stream::StorageType::File,
            num_replicas: self.config.replicas,
            max_age: self.config.max_age,
            max_bytes: self.config.max_bytes,
            duplicate_window: DUPLICATE_WINDOW.min(self.config.max_age),
            allow_direct: true,
            ..Default::default()
        };
        match tokio::time::timeout(TIMEOUT, self.context.get_or_create_stream(wanted)).await {
            Ok(made) => {
                made.map(drop).map_err(|error| anyhow::anyhow!("stream of events: {error}"))
            }
            Err(_) => anyhow::bail!("jetstream did not answer: is nats-server running with -js?"),
        }
    }

    /// Says whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Hands an event to the connection. Events handed over one after the other keep their order.
    /// Without a connection nothing is queued.
    pub async fn start(&self, event: &Event, request_id: &str) -> Result<Publishing, PublishError> {
        if !self.is_connected() {
            return Err(PublishError::NotConnected);
        }
        let permit =
            Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| PublishError::Busy)?;
        let payload =
            event.payload.as_ref().ok_or_else(|| PublishError::NoPayload(event.id.clone()))?;
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, request_id);
        let message = PublishMessage::build()
            .message_id(&event.id)
            .headers(headers)
            .payload(event.encode_to_vec().into());
        let sending = self.context.send_publish(subject::of(payload), message);
        match tokio::time::timeout(TIMEOUT, sending).await {
            Ok(Ok(acknowledgement)) => Ok(Publishing { acknowledgement, _permit: permit }),
            Ok(Err(error)) => Err(PublishError::Nats(error.to_string())),
            Err(_) => Err(PublishError::Timeout),
        }
    }

    /// Publishes an event and waits until the stream has it; a missing stream is made again.
    pub async fn publish(&self, event: &Event, request_id: &str) -> Result<(), PublishError> {
        match self.start(event, request_id).await?.confirmed().await {
            Err(PublishError::Nats(error)) => {
                tracing::warn!(error, "event refused, looking after the stream");
                self.ensure_stream()
                    .await
                    .map_err(|error| PublishError::Nats(error.to_string()))?;
                self.start(event, request_id).await?.confirmed().await
            }
            outcome => outcome,
        }
    }
}

impl Publishing {
    /// Waits until the stream has the event.
    pub async fn confirmed(self) -> Result<(), PublishError> {
        match tokio::time::timeout(TIMEOUT, self.acknowledgement.into_future()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(PublishError::Nats(error.to_string())),
            Err(_) => Err(PublishError::Timeout),
        }
    }
}
