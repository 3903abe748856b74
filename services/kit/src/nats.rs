//! The NATS connection: publishing events with acknowledgement, subscribing to them, and the stream
//! that keeps them. Subjects are spelled in `chat_proto::subject` alone.

mod replay;

use std::{
    future::IntoFuture as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::metrics::Counter;
use async_nats::{
    Client, ConnectOptions, Event as ConnectionEvent, HeaderMap, Subscriber,
    connection::State,
    jetstream::{
        self,
        context::{ContextBuilder, PublishAckFuture},
        message::PublishMessage,
        stream::{self, Stream},
    },
};
use chat_proto::{subject, v1::Event};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    config,
    telemetry::{metrics, metrics::PUBLISHED, trace},
};

pub use replay::{Place, Reach, end, replay};

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

/// Connects and waits for the server.
pub async fn connect(config: &config::Nats, name: &str) -> anyhow::Result<Client> {
    connect_watched(config, name).await.map(|(client, _)| client)
}

/// Connects and waits for the server. The receiver changes whenever an interruption, in which events may
/// have passed the subscriptions by, is over.
pub async fn connect_watched(
    config: &config::Nats,
    name: &str,
) -> anyhow::Result<(Client, watch::Receiver<()>)> {
    anyhow::ensure!(
        config.subscription_capacity >= SMALLEST_CAPACITY,
        "nats.subscription_capacity is {}, at least {SMALLEST_CAPACITY} are needed",
        config.subscription_capacity,
    );
    let (interrupted, interruptions) = watch::channel(());
    let watcher = Arc::new(Watcher {
        name: name.to_owned(),
        is_lost: AtomicBool::new(false),
        interrupted,
        interruptions: metrics::nats_interruptions(name),
    });
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
    name: String,
    is_lost: AtomicBool,
    interrupted: watch::Sender<()>,
    interruptions: Counter,
}

impl Watcher {
    fn hear(&self, event: &ConnectionEvent) {
        let is_over = match event {
            ConnectionEvent::Connected => {
                tracing::info!("nats connected");
                metrics::nats(&self.name, true);
                self.is_lost.swap(false, Ordering::Relaxed)
            }
            ConnectionEvent::Disconnected => {
                tracing::warn!("nats connection lost");
                metrics::nats(&self.name, false);
                self.interruptions.increment(1);
                self.is_lost.store(true, Ordering::Relaxed);
                false
            }
            ConnectionEvent::SlowConsumer(_) => {
                tracing::warn!("nats dropped events for want of room");
                self.interruptions.increment(1);
                true
            }
            event => {
                tracing::warn!(%event, "nats");
                false
            }
        };
        if is_over {
            self.interrupted.send_replace(());
        }
    }
}

/// Returns how often a client has been connected. What it is told of its connection may be lost where it
/// is told much at once; this number is not.
#[must_use]
pub fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

/// Subscribes to events without a queue group: every subscriber hears all.
pub async fn subscribe(client: &Client, wildcard: &'static str) -> anyhow::Result<Subscriber> {
    let subscriber = client.subscribe(wildcard).await?;
    // The server reads a connection in order: it has the subscription when it answers. A flush would
    // only say that the bytes have left.
    match tokio::time::timeout(TIMEOUT, context(client).query_account()).await {
        Ok(Ok(_)) => Ok(subscriber),
        Ok(Err(error)) => anyhow::bail!("subscription to {wildcard}: {error}"),
        Err(_) => anyhow::bail!("nats did not confirm the subscription to {wildcard}"),
    }
}

fn context(client: &Client) -> jetstream::Context {
    ContextBuilder::new()
        .timeout(TIMEOUT)
        .ack_timeout(TIMEOUT)
        .max_ack_inflight(MOST_IN_FLIGHT)
        .build(client.clone())
}

/// Makes the stream of events if it is missing.
async fn ensure_stream(
    context: &jetstream::Context,
    config: &config::Nats,
) -> anyhow::Result<Stream> {
    let wanted = stream::Config {
        name: subject::LOG_STREAM.to_owned(),
        subjects: vec![subject::LOG_WILDCARD.to_owned()],
        storage: stream::StorageType::File,
        num_replicas: config.replicas,
        max_age: config.max_age,
        max_bytes: config.max_bytes,
        duplicate_window: DUPLICATE_WINDOW.min(config.max_age),
        allow_direct: true,
        ..Default::default()
    };
    match tokio::time::timeout(TIMEOUT, context.get_or_create_stream(wanted)).await {
        Ok(made) => made.map_err(|error| anyhow::anyhow!("stream of events: {error}")),
        Err(_) => anyhow::bail!("jetstream did not answer: is nats-server running with -js?"),
    }
}

/// Returns the headers of an event.
fn headers(request_id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(REQUEST_ID, request_id);
    trace::inject_event(&mut headers);
    headers
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
        let context = context(&client);
        let in_flight = Arc::new(Semaphore::new(MOST_IN_FLIGHT));
        let publisher = Self { client, context, config: config.clone(), in_flight };
        publisher.ensure_stream().await?;
        Ok(publisher)
    }

    /// Makes the stream of events if it is missing.
    pub async fn ensure_stream(&self) -> anyhow::Result<()> {
        ensure_stream(&self.context, &self.config).await.map(drop)
    }

    /// Says whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Hands an event to the connection. Events handed over one after the other keep their order.
    /// Without a connection nothing is queued.
    pub async fn start(&self, event: &Event, request_id: &str) -> Result<Publishing, PublishError> {
        let started = self.hand_over(event, request_id).await;
        if started.is_err() {
            PUBLISHED.count(&started);
        }
        started
    }

    async fn hand_over(&self, event: &Event, request_id: &str) -> Result<Publishing, PublishError> {
        if !self.is_connected() {
            return Err(PublishError::NotConnected);
        }
        let permit =
            Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| PublishError::Busy)?;
        let payload =
            event.payload.as_ref().ok_or_else(|| PublishError::NoPayload(event.id.clone()))?;
        let message = PublishMessage::build()
            .message_id(&event.id)
            .headers(headers(request_id))
            .payload(event.encode_to_vec().into());
        let sending = self.context.send_publish(subject::of(payload), message);
        match tokio::time::timeout(TIMEOUT, sending).await {
            Ok(Ok(acknowledgement)) => Ok(Publishing { acknowledgement, _permit: permit }),
            Ok(Err(error)) => Err(PublishError::Nats(error.to_string())),
            Err(_) => Err(PublishError::Timeout),
        }
    }

    /// Tells an event that is worthless a second later to whoever listens, and does not wait until they
    /// have it. Without a connection it is lost.
    pub async fn tell(&self, event: &Event, request_id: &str) -> Result<(), PublishError> {
        if !self.is_connected() {
            return Err(PublishError::NotConnected);
        }
        let payload =
            event.payload.as_ref().ok_or_else(|| PublishError::NoPayload(event.id.clone()))?;
        let subject = subject::of(payload);
        let body = event.encode_to_vec().into();
        let telling = self.client.publish_with_headers(subject, headers(request_id), body);
        match tokio::time::timeout(TIMEOUT, telling).await {
            Ok(Ok(())) => Ok(()),
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
        let answer = tokio::time::timeout(TIMEOUT, self.acknowledgement.into_future()).await;
        let outcome = match answer {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(PublishError::Nats(error.to_string())),
            Err(_) => Err(PublishError::Timeout),
        };
        PUBLISHED.count(&outcome);
        outcome
    }
}

/// Publishes an event that nobody keeps. Where there is no connection it is dropped, for it would come too
/// late.
pub async fn publish_live(
    client: &Client,
    event: &Event,
    request_id: &str,
) -> Result<(), PublishError> {
    if client.connection_state() != State::Connected {
        return Err(PublishError::NotConnected);
    }
    let payload =
        event.payload.as_ref().ok_or_else(|| PublishError::NoPayload(event.id.clone()))?;
    let mut headers = HeaderMap::new();
    headers.insert(REQUEST_ID, request_id);
    let subject = subject::of(payload);
    let sending = client.publish_with_headers(subject, headers, event.encode_to_vec().into());
    match tokio::time::timeout(TIMEOUT, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(PublishError::Nats(error.to_string())),
        Err(_) => Err(PublishError::Timeout),
    }
}
