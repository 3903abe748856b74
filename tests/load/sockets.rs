//! The sockets of a run: connected at a rate, speaking when the plan says so, and listening.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chat_e2e::socket::{self, Event, Heard, Receiver, Sender};
use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

use crate::{
    people::Person,
    plan::{Place, number_in, seq_in},
    tally::{Ear, Tally},
};

/// How long a handshake or a write may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Handshakes under way; further ones wait, and their time counts.
const MOST_CONNECTING: usize = 256;
/// How the acknowledgement of a stored message looks.
const ACCEPTED: &str = "\"ok\":true";

/// How the sockets' clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// New clients.
    Unified,
    /// The desktop client.
    Electron,
    /// The mobile client.
    Flutter,
    /// Clients that do not say who they are.
    Undeclared,
}

impl Dialect {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unified => "unified",
            Self::Electron => "electron",
            Self::Flutter => "flutter",
            Self::Undeclared => "undeclared",
        }
    }

    /// Returns what a client says as it connects.
    fn handshake(self, token: &str) -> Value {
        match self {
            Self::Undeclared => json!({ "token": token }),
            _ => json!({ "token": token, "clientType": self.name() }),
        }
    }

    fn sending_event(self) -> &'static str {
        match self {
            // The mobile client sends by request; its sockets may all the same.
            Self::Unified | Self::Flutter | Self::Undeclared => "message:send",
            Self::Electron => "send-message",
        }
    }

    fn heard_event(self) -> &'static str {
        match self {
            Self::Unified => "message:created",
            Self::Electron => "receive-message",
            Self::Flutter | Self::Undeclared => "message",
        }
    }
}

/// What all sockets of a run share.
#[derive(Clone, Debug)]
pub struct Run {
    /// How the clients speak.
    pub dialect: Dialect,
    /// When the first message is to be sent.
    pub start: Instant,
    tally: Arc<Mutex<Tally>>,
}

/// A connected socket.
pub type Halves = (Sender, Receiver);

impl Run {
    /// Makes a run whose first message is due at `start`.
    pub fn new(dialect: Dialect, tally: Tally) -> Self {
        Self { dialect, start: Instant::now(), tally: Arc::new(Mutex::new(tally)) }
    }

    /// Returns the counts.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("not poisoned")
    }

    /// Connects a socket for each person, `rate` in a second, and returns them when all are. One that fails
    /// is counted and left out.
    pub async fn connect(&self, people: &[Person], rate: u64) -> Vec<Option<Halves>> {
        let mut connecting: Vec<JoinHandle<Option<Halves>>> = Vec::new();
        self.pace(people, rate, |run, person, due, place| {
            connecting.push(tokio::spawn(async move {
                let _place = place;
                run.connect_one(&person, due).await
            }));
        })
        .await;
        let mut sockets = Vec::with_capacity(connecting.len());
        for socket in connecting {
            sockets.push(socket.await.unwrap_or_default());
        }
        sockets
    }

    /// Connects such sockets that hear nothing and are kept open, until the set is dropped. From its first
    /// moment each answers pings, however long the others take.
    pub async fn idle(&self, people: &[Person], rate: u64) -> JoinSet<()> {
        let mut idle = JoinSet::new();
        let (connected, mut all) = mpsc::channel::<()>(1);
        self.pace(people, rate, |run, person, due, place| {
            let connected = connected.clone();
            idle.spawn(async move {
                let socket = run.connect_one(&person, due).await;
                drop((place, connected));
                if let Some((_open, receiver)) = socket {
                    run.stay(receiver).await;
                }
            });
        })
        .await;
        drop(connected);
        // Nobody sends anything: it is closed once all are connected.
        all.recv().await;
        idle
    }

    /// Lets something begin for each person, `rate` in a second, where there is a place for it.
    async fn pace(
        &self,
        people: &[Person],
        rate: u64,
        mut begin: impl FnMut(Self, Person, Instant, Option<OwnedSemaphorePermit>),
    ) {
        let start = Instant::now();
        let places = Arc::new(Semaphore::new(MOST_CONNECTING));
        for (number, person) in (0_u32..).zip(people) {
            let due = start + Duration::from_secs(1) * number / u32::try_from(rate).unwrap_or(1);
            sleep_until(due).await;
            let place = Arc::clone(&places).acquire_owned().await.ok();
            begin(self.clone(), person.clone(), due, place);
        }
    }

    async fn connect_one(&self, person: &Person, due: Instant) -> Option<Halves> {
        let auth = self.dialect.handshake(&person.token);
        match socket::connect(person.gateway, &auth, TIMEOUT).await {
            Ok((sender, receiver)) => {
                self.tally().connect.record(due.elapsed());
                Some((sender, receiver.patient()))
            }
            Err(error) => {
                self.tally().fail(&format!("connect: {error}"));
                None
            }
        }
    }

    /// Emits what somebody is to send, when it is due.
    pub async fn speak(self, place: Place, sender: Sender, conversation: Arc<str>) {
        let plan = *self.tally().plan();
        for number in plan.sent_by(place) {
            let body = json!({
                "conversationId": &*conversation,
                "content": plan.text(number),
                "clientId": format!("load-{number}"),
            });
            let body = body.to_string();
            sleep_until(self.start + plan.due(number)).await;
            let sent = sender.emit_with_ack(number, self.dialect.sending_event(), &body).await;
            if let Err(error) = sent {
                return self.tally().fail(&format!("send: {error}"));
            }
        }
    }

    /// Counts what a socket hears until it ends.
    pub async fn listen(self, mut receiver: Receiver, ear: Arc<Mutex<Ear>>) {
        loop {
            match receiver.next().await {
                Heard::Event(event) => self.hear(&event, &mut ear.lock().expect("not poisoned")),
                Heard::Ack(number, answer) if answer.body().contains(ACCEPTED) => {
                    self.tally().acknowledge(number, self.start.elapsed());
                }
                Heard::Ack(_, answer) => self.tally().fail(&format!("send: {}", answer.body())),
                Heard::Other(packet) => self.tally().fail(&format!("heard: {packet}")),
                end @ (Heard::End | Heard::Goodbye | Heard::Silence) => {
                    return self.tally().fail(&format!("a socket ended: {end:?}"));
                }
            }
        }
    }

    fn hear(&self, event: &Event, ear: &mut Ear) {
        if event.name() != self.dialect.heard_event() {
            return;
        }
        match number_in(event.body()) {
            Some(number) => {
                let seq = seq_in(event.body());
                self.tally().hear(ear, number, seq, self.start.elapsed());
            }
            None => self.tally().fail("a message that this run did not send"),
        }
    }

    /// Answers pings until the socket ends, which is counted.
    async fn stay(&self, mut receiver: Receiver) {
        loop {
            let heard = receiver.next().await;
            if matches!(heard, Heard::End | Heard::Goodbye | Heard::Silence) {
                return self.tally().fail(&format!("an idle socket ended: {heard:?}"));
            }
        }
    }
}
