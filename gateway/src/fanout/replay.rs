//! After an interruption of the subscription: what the stream still has is heard again, and what it has
//! not makes the clients come back.

use std::time::Duration;

use bson::DateTime;
use chat_kit::{
    nats::{self, Interruption, Reach},
    time::before,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// How long a broken connection may look alive, and how much earlier the replay begins than needed.
const SLACK: Duration = Duration::from_secs(30);
/// How long a replay is tried again before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Replayed events that wait for the fan-out.
const MOST_WAITING: usize = 256;

/// What a replay brings.
pub enum Replayed {
    /// An event, perhaps a known one.
    Event(async_nats::Message),
    /// The end, and whether everything was there.
    End(Reach),
}

/// Replays, one at a time.
pub struct Replays {
    client: async_nats::Client,
    interruptions: watch::Receiver<Option<Interruption>>,
    subscribed_at: DateTime,
    current: Option<mpsc::Receiver<Replayed>>,
}

impl Replays {
    /// Watches a connection.
    pub fn new(
        client: async_nats::Client,
        interruptions: watch::Receiver<Option<Interruption>>,
    ) -> Self {
        Self { client, interruptions, subscribed_at: DateTime::now(), current: None }
    }

    /// Waits for what a replay brings. `heard_at` is when the subscription last brought an event. Cancel
    /// safe.
    pub async fn next(&mut self, heard_at: DateTime) -> Replayed {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(replayed) = current.recv().await {
                    return replayed;
                }
                self.current = None;
            }
            if self.interruptions.changed().await.is_err() {
                // The connection is closed for good: the subscription says so, too.
                std::future::pending::<()>().await;
            }
            let interruption = *self.interruptions.borrow_and_update();
            if let Some(interruption) = interruption {
                let lost_since = heard_at.max(before(interruption.since, SLACK));
                // What was announced before this gateway listened, nobody here was to hear.
                let from = before(lost_since, SLACK).max(self.subscribed_at);
                self.current = Some(start(self.client.clone(), from, lost_since));
            }
        }
    }
}

fn start(
    client: async_nats::Client,
    from: DateTime,
    lost_since: DateTime,
) -> mpsc::Receiver<Replayed> {
    let (steps, current) = mpsc::channel(1);
    tokio::spawn(async move {
        let (events, mut replayed) = mpsc::channel(MOST_WAITING);
        let forward = async {
            while let Some(event) = replayed.recv().await {
                if steps.send(Replayed::Event(event)).await.is_err() {
                    break;
                }
            }
        };
        let (reach, ()) = tokio::join!(attempt(client, from, lost_since, events), forward);
        // Closed only when the gateway ends.
        steps.send(Replayed::End(reach)).await.ok();
    });
    current
}

/// Replays until it succeeds once; events of failed tries are heard twice, which does no harm.
async fn attempt(
    client: async_nats::Client,
    from: DateTime,
    lost_since: DateTime,
    events: mpsc::Sender<async_nats::Message>,
) -> Reach {
    let until = Instant::now() + PATIENCE;
    loop {
        match nats::replay(&client, from, lost_since, &events).await {
            Ok(reach) => {
                tracing::info!(%lost_since, ?reach, "events replayed");
                return reach;
            }
            Err(error) if Instant::now() >= until => {
                tracing::error!(error = format!("{error:#}"), "replay failed");
                return Reach::TooShort;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "replay failed, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
