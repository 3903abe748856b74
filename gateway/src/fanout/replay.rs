//! After an interruption of the subscription: what the stream still has is heard again, and what it has
//! not makes the clients come back.

use std::{collections::VecDeque, time::Duration};

use chat_kit::{
    config,
    nats::{self, Place, Reach},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, Interval, MissedTickBehavior, interval},
};

/// How often the subscription proves that it has brought everything so far.
const PROOF_INTERVAL: Duration = Duration::from_secs(5);
/// Proofs that are kept. A replay begins at the oldest, about thirty seconds before the newest: by then
/// what was on its way, here or between the servers of NATS, has come or is known to be lost.
const MOST_PROOFS: usize = 7;
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

/// Steps of a replay under way; at its end, the place in the stream up to which all has been heard.
enum Step {
    Event(async_nats::Message),
    End(Reach, Option<Place>),
}

/// Where the stream ended when the subscription answered, on the so-many-eth connection.
struct Proof {
    place: Place,
    connects: u64,
}

/// Replays, one at a time.
pub struct Replays {
    client: async_nats::Client,
    config: config::Nats,
    interruptions: watch::Receiver<()>,
    /// Oldest first; none after a replay that failed.
    proofs: VecDeque<Place>,
    /// The connection that they are of.
    connects: u64,
    ticks: Interval,
    asked: Option<oneshot::Receiver<Option<Proof>>>,
    /// Whether a question was not answered since the last proof: the way to the stream was broken, perhaps
    /// behind the server that this connection ends at, and nothing says what passed by.
    is_doubtful: bool,
    current: Option<mpsc::Receiver<Step>>,
}

impl Replays {
    /// Watches a connection whose subscription is younger than `since`.
    pub fn new(
        client: async_nats::Client,
        config: config::Nats,
        interruptions: watch::Receiver<()>,
        since: Place,
    ) -> Self {
        let mut ticks = interval(PROOF_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let connects = nats::connects(&client);
        let proofs = VecDeque::from([since]);
        Self {
            client,
            config,
            interruptions,
            proofs,
            connects,
            ticks,
            asked: None,
            is_doubtful: false,
            current: None,
        }
    }

    /// Waits for what a replay brings. Cancel safe.
    pub async fn next(&mut self) -> Replayed {
        loop {
            if let Some(current) = &mut self.current {
                match current.recv().await {
                    Some(Step::Event(event)) => return Replayed::Event(event),
                    Some(Step::End(reach, end)) => return self.end(reach, end),
                    None => return self.end(Reach::TooShort, None),
                }
            }
            tokio::select! {
                changed = self.interruptions.changed() => match changed {
                    Ok(()) => self.start(),
                    // The connection is closed for good: the subscription says so, too.
                    Err(_) => std::future::pending().await,
                },
                proof = answer(&mut self.asked) => {
                    self.asked = None;
                    match proof {
                        Some(proof) => self.prove(&proof),
                        None => self.is_doubtful = true,
                    }
                }
                _ = self.ticks.tick() => self.ask(),
            }
        }
    }

    /// Says whether events that the stream has may still have to be heard again.
    pub fn are_due(&self) -> bool {
        self.current.is_some() || self.interruptions.has_changed().unwrap_or(true)
    }

    fn start(&mut self) {
        self.connects = nats::connects(&self.client);
        self.asked = None;
        self.is_doubtful = false;
        let (client, config) = (self.client.clone(), self.config.clone());
        let since = self.proofs.front().copied();
        let (steps, current) = mpsc::channel(1);
        self.current = Some(current);
        tokio::spawn(async move {
            let (events, mut replayed) = mpsc::channel(MOST_WAITING);
            let forward = async {
                while let Some(event) = replayed.recv().await {
                    if steps.send(Step::Event(event)).await.is_err() {
                        break;
                    }
                }
            };
            let (end, ()) = tokio::join!(attempt(&client, &config, since, events), forward);
            let (reach, place) =
                end.map_or((Reach::TooShort, None), |(reach, at)| (reach, Some(at)));
            // Closed only when the gateway ends.
            steps.send(Step::End(reach, place)).await.ok();
        });
    }

    fn end(&mut self, reach: Reach, end: Option<Place>) -> Replayed {
        self.current = None;
        self.proofs = end.into_iter().collect();
        Replayed::End(reach)
    }

    /// Asks where the stream ends: when the answer comes, so has everything before it.
    fn ask(&mut self) {
        if self.asked.is_some() {
            return;
        }
        let (client, config) = (self.client.clone(), self.config.clone());
        let (proven, asked) = oneshot::channel();
        self.asked = Some(asked);
        tokio::spawn(async move {
            let connects = nats::connects(&client);
            let end = nats::end(&client, &config).await;
            let end = end.inspect_err(|error| tracing::debug!(%error, "no proof"));
            // A question of one connection that was answered on the next proves nothing.
            let is_one = nats::connects(&client) == connects;
            let proof = end.ok().filter(|_| is_one).map(|place| Proof { place, connects });
            proven.send(proof).ok();
        });
    }

    fn prove(&mut self, &Proof { place, connects }: &Proof) {
        if self.interruptions.has_changed().unwrap_or(true) {
            return;
        }
        if connects != self.connects {
            tracing::warn!("the connection was lost without a word");
            return self.start();
        }
        if self.is_doubtful {
            tracing::warn!("the stream could not be reached for a while");
            return self.start();
        }
        if self.proofs.len() == MOST_PROOFS {
            self.proofs.pop_front();
        }
        self.proofs.push_back(place);
    }
}

/// Waits for a proof, for ever where none was asked for.
async fn answer(asked: &mut Option<oneshot::Receiver<Option<Proof>>>) -> Option<Proof> {
    match asked {
        Some(asked) => asked.await.unwrap_or(None),
        None => std::future::pending().await,
    }
}

/// Replays until it succeeds once; events of failed tries are heard twice, which does no harm. Returns
/// nothing where it did not succeed in time.
async fn attempt(
    client: &async_nats::Client,
    config: &config::Nats,
    since: Option<Place>,
    events: mpsc::Sender<async_nats::Message>,
) -> Option<(Reach, Place)> {
    let since = since?;
    let until = Instant::now() + PATIENCE;
    loop {
        match nats::replay(client, config, since, &events).await {
            Ok((reach, end)) => {
                tracing::info!(?since, ?end, ?reach, "events replayed");
                return Some((reach, end));
            }
            Err(error) if Instant::now() >= until => {
                tracing::error!(error = format!("{error:#}"), "replay failed");
                return None;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "replay failed, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
