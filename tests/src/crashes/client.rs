//! A client as a careful developer would write it: it keeps a few messages under way, repeats with the
//! same id what was not acknowledged, comes back after every cut at the other gateway, and reads then
//! what it lacks.

mod requests;
mod sync;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use self::{
    requests::{Done, READ_PAUSE},
    sync::Sync,
};
use super::{
    account::Account,
    check::Conversation,
    random::Random,
    record::{Answer, Attempt, Connection, Dialect, Heard as HeardMessage, Record, Sent},
};
use crate::socket::{self, ConnectError, Event, Heard, Receiver, Sender};

/// How long a handshake or a write may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Messages of one client that are under way at once.
const UNDER_WAY: usize = 3;
/// One in so many tries is posted, not emitted.
const POSTED: usize = 8;
/// One in so many connections of a new client catches up by the histories, not by one question.
const BY_HISTORIES: usize = 3;
/// Pause before a message whose try was answered with a failure is tried again.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);
/// Shortest pause before a client comes back, and how much longer it may be, in milliseconds.
const RETURN_PAUSE: (usize, usize) = (50, 250);
/// An acknowledgement that takes longer breaks a promise: several calls of five seconds wait for one
/// another at most.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);
/// One in so many connections is not closed when its client leaves, but forgotten, for so long.
const FORGOTTEN: usize = 4;
const FORGOTTEN_FOR: Duration = Duration::from_secs(30);
/// Failures that a client may be told while processes die.
const TRANSIENT: [&str; 3] = ["unavailable", "timeout", "too_many_events"];

/// What the clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Send.
    Sending,
    /// Send nothing new, until all is acknowledged.
    Finishing,
    /// End.
    Over,
}

/// What a client does beside sending as fast as it may.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habits {
    /// Mean time from one new message to the next; none where absent.
    pub(super) pace: Option<Duration>,
    /// Mean time until it leaves without a word, and how long it is away then; it stays where absent.
    pub(super) stay: Option<(Duration, Duration)>,
}

/// A client.
pub(super) struct Client {
    account: Account,
    habits: Habits,
    /// When it writes its next message, where it has a pace.
    next_message: Instant,
    gateways: [SocketAddr; 2],
    conversations: Arc<Vec<Conversation>>,
    /// Indices of those that it is a member of.
    own: Vec<usize>,
    record: Arc<Mutex<Record>>,
    dialect: Dialect,
    random: Random,
    /// Messages to be sent again, and when.
    waiting: VecDeque<(Instant, usize)>,
    /// Of each conversation, the number up to which everything is known, and the known ones behind it.
    known: BTreeMap<usize, (i64, Vec<i64>)>,
    posted: usize,
    requests: JoinSet<Done>,
    start: Instant,
}

/// One connection of a client.
struct Session {
    connection: usize,
    gateway: SocketAddr,
    sender: Sender,
    receiver: Receiver,
    next_ack: u64,
    /// What was emitted under which number, and when.
    open: HashMap<u64, (usize, Instant)>,
    /// Conversations of which it is still to be read what is lacking.
    unsynced: usize,
    /// That question, where all is asked at once.
    sync: Option<Sync>,
    /// What reads them; it ends with the connection.
    reading: Vec<AbortHandle>,
    read_pause: Duration,
}

impl Client {
    pub(super) fn new(
        account: Account,
        habits: Habits,
        gateways: [SocketAddr; 2],
        conversations: Arc<Vec<Conversation>>,
        record: Arc<Mutex<Record>>,
        random: Random,
    ) -> Self {
        let number = account.number;
        let is_own =
            |(_, conversation): &(usize, &Conversation)| conversation.members.contains(&number);
        let own: Vec<usize> =
            conversations.iter().enumerate().filter(is_own).map(|(index, _)| index).collect();
        let dialect = record.lock().dialect;
        Self {
            account,
            habits,
            next_message: Instant::now(),
            gateways,
            conversations,
            own,
            record,
            dialect,
            random,
            waiting: VecDeque::new(),
            known: BTreeMap::new(),
            posted: 0,
            requests: JoinSet::new(),
            start: Instant::now(),
        }
    }

    /// Sends and hears until the story is over.
    pub(super) async fn run(mut self, start: Instant, mut phase: watch::Receiver<Phase>) {
        self.start = start;
        if let Some(pace) = self.habits.pace {
            self.next_message = Instant::now() + self.about(pace);
        }
        let mut turn = self.account.number;
        while *phase.borrow() != Phase::Over {
            let gateway = turn % self.gateways.len();
            turn += 1;
            let mut auth = json!({ "token": self.account.token });
            if self.dialect == Dialect::Unified {
                auth["clientType"] = "unified".into();
            }
            let mut away = Duration::ZERO;
            match socket::connect(self.gateways[gateway], &auth, WITHIN).await {
                Ok((sender, receiver)) => {
                    away = self.serve(gateway, sender, receiver.patient(), &mut phase).await;
                }
                Err(ConnectError::Refused(reason)) => {
                    self.fault(&format!("gateway {gateway} refused the namespace: {reason}"));
                }
                Err(error) => self.failure(match error {
                    ConnectError::Late => "connect: late",
                    _ => "connect: broken",
                }),
            }
            let pause = RETURN_PAUSE.0 + self.random.below(RETURN_PAUSE.1);
            sleep(away + Duration::from_millis(u64::try_from(pause).unwrap_or_default())).await;
        }
    }

    /// Returns a time about as long as this, the same on average.
    fn about(&mut self, mean: Duration) -> Duration {
        let most = usize::try_from(mean.as_millis()).unwrap_or(usize::MAX).max(1);
        let some = u64::try_from(self.random.below(most)).unwrap_or_default();
        mean / 2 + Duration::from_millis(some)
    }

    /// Uses a connection until it ends, the client leaves, or the story is over. Returns how long the
    /// client is away.
    async fn serve(
        &mut self,
        gateway: usize,
        sender: Sender,
        receiver: Receiver,
        phase: &mut watch::Receiver<Phase>,
    ) -> Duration {
        let stay = self.habits.stay.map(|(stay, away)| (Instant::now() + self.about(stay), away));
        let mut away = None;
        let connection = self.opened(gateway);
        let mut session = Session {
            connection,
            gateway: self.gateways[gateway],
            sender,
            receiver,
            next_ack: 0,
            open: HashMap::new(),
            unsynced: self.own.len(),
            sync: None,
            reading: Vec::new(),
            read_pause: READ_PAUSE,
        };
        if self.dialect == Dialect::Unified && self.random.below(BY_HISTORIES) > 0 {
            session.sync = Some(self.sync());
        } else {
            for conversation in self.own.clone() {
                self.read_history(&mut session, conversation);
            }
        }
        loop {
            let now = *phase.borrow_and_update();
            if now == Phase::Over
                || !self.ask_sync(&mut session).await
                || !self.send(&mut session, now).await
            {
                break;
            }
            let oldest = sync::oldest(&session);
            let next_page = session.sync.as_ref().and_then(Sync::due);
            let has_place = self.has_place(&session);
            let next_repeat = self.waiting.front().map(|(at, _)| *at).filter(|_| has_place);
            let is_sending = now == Phase::Sending;
            let next_message = (is_sending && has_place && self.habits.pace.is_some())
                .then_some(self.next_message);
            let leaves = stay.filter(|_| is_sending);
            tokio::select! {
                heard = session.receiver.next() => {
                    if !self.hear(&mut session, heard) {
                        break;
                    }
                }
                Some(done) = self.requests.join_next() => match done {
                    Ok(done) => self.requested(&mut session, done),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => self.fault(&format!("a request of the test failed: {error}")),
                },
                () = until(oldest.map(|at| at + LONGEST_ANSWER)) => {
                    self.fault("an event was not acknowledged in time");
                    break;
                }
                () = until(next_repeat) => {}
                () = until(next_page) => {}
                () = until(next_message) => {}
                () = until(leaves.map(|(at, _)| at)) => {
                    away = leaves.map(|(_, away)| away);
                    break;
                }
                _ = phase.changed() => {}
            }
        }
        session.reading.drain(..).for_each(|reading| reading.abort());
        let now = Instant::now();
        self.waiting.extend(session.open.values().map(|(sent, _)| (now, *sent)));
        self.record.lock().connections[connection].ended = Some(self.start.elapsed());
        if away.is_some() {
            self.leave(session);
        }
        away.unwrap_or_default()
    }

    /// Ends a connection without a word, or lets it stand as one behind which nobody is any more.
    fn leave(&mut self, session: Session) {
        if self.random.below(FORGOTTEN) > 0 {
            return self.failure("cut: closed");
        }
        self.failure("cut: forgotten");
        tokio::spawn(async move {
            sleep(FORGOTTEN_FOR).await;
            drop(session);
        });
    }

    fn has_place(&self, session: &Session) -> bool {
        session.unsynced == 0 && session.open.len() + self.posted < UNDER_WAY
    }

    /// Sends what there is a place for; says whether the connection still works.
    async fn send(&mut self, session: &mut Session, phase: Phase) -> bool {
        while self.has_place(session) {
            let now = Instant::now();
            let due = self.waiting.front().is_some_and(|(at, _)| *at <= now);
            let sent = match self.waiting.pop_front_if(|_| due) {
                Some((_, sent)) => sent,
                None if phase == Phase::Sending && self.is_due(now) => self.write(),
                None => return true,
            };
            let body = self.body(sent).to_string();
            if self.random.below(POSTED) == 0 {
                self.tried(sent, None);
                self.post(session, sent, body);
                continue;
            }
            self.tried(sent, Some(session.connection));
            let name = match self.dialect {
                Dialect::Unified => "message:send",
                Dialect::Undeclared => "send-message",
            };
            let number = session.next_ack;
            session.next_ack += 1;
            session.open.insert(number, (sent, now));
            let emitted = session.sender.emit_with_ack(number, name, &body);
            if emitted.await.is_err() {
                return false;
            }
        }
        true
    }

    /// Says whether the client writes another message now, and plans the next one then: what was not
    /// written while the client was away comes later.
    fn is_due(&mut self, now: Instant) -> bool {
        let Some(pace) = self.habits.pace else { return true };
        let is_due = self.next_message <= now;
        if is_due {
            let pause = self.about(pace);
            self.next_message += pause;
        }
        is_due
    }

    /// Writes a new message and returns its index.
    fn write(&mut self) -> usize {
        let conversation = self.own[self.random.below(self.own.len())];
        let mut record = self.record.lock();
        let client_id = format!("c{}-{:06}", record.client, record.sent.len());
        record.sent.push(Sent { client_id, conversation, attempts: Vec::new(), answer: None });
        record.sent.len() - 1
    }

    fn body(&self, sent: usize) -> Value {
        let record = self.record.lock();
        let Sent { client_id, conversation, .. } = &record.sent[sent];
        let conversation = &self.conversations[*conversation].id;
        json!({ "conversationId": conversation, "content": client_id, "clientId": client_id })
    }

    fn tried(&self, sent: usize, connection: Option<usize>) {
        let at = self.start.elapsed();
        self.record.lock().sent[sent].attempts.push(Attempt { connection, at });
    }

    /// Takes in what a connection brings; says whether it goes on.
    fn hear(&mut self, session: &mut Session, heard: Heard) -> bool {
        match heard {
            Heard::Event(event) => self.event(session.connection, &event),
            Heard::Ack(number, arguments) => match session.open.remove(&number) {
                Some((sent, _)) => self.answered(sent, arguments.body()),
                None if sync::is_answer(session, number) => self.synced(session, arguments.body()),
                None => self.fault(&format!("acknowledgement {number} came twice")),
            },
            Heard::End => return false,
            Heard::Silence => {
                self.failure("connection: silent");
                return false;
            }
            Heard::Goodbye => {
                self.fault("the server said goodbye, after which old clients never come back");
                return false;
            }
            Heard::Other(packet) => self.fault(&format!("an odd packet: {packet}")),
        }
        true
    }

    fn event(&mut self, connection: usize, event: &Event) {
        let name = event.name();
        // Of a group that was made just before new clients may still hear, and senders of what arrives.
        if ["connected", "error", "conversation:created", "delivered", "receipt:delivered"]
            .contains(&name)
        {
            return;
        }
        let body: Value = serde_json::from_str(event.body()).unwrap_or_default();
        let conversation = self
            .conversations
            .iter()
            .position(|conversation| body["conversationId"].as_str() == Some(&conversation.id));
        let (Ok(item), Some(conversation)) = (super::account::item(&body), conversation) else {
            return self.fault(&format!("an odd event: {name} {}", event.body()));
        };
        let heard = HeardMessage {
            name: name.to_owned(),
            id: item.id,
            seq: item.seq,
            conversation,
            at: self.start.elapsed(),
        };
        self.record.lock().connections[connection].heard.push(heard);
        self.learn(conversation, item.seq);
    }

    /// Takes in an acknowledgement or the answer to a post, which look alike.
    fn answered(&mut self, sent: usize, body: &str) {
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        let item = super::account::item(&answer["message"]);
        match (answer["error"].as_str(), item) {
            (None, Ok(item)) => {
                let at = self.start.elapsed();
                let mut record = self.record.lock();
                let sent = &mut record.sent[sent];
                sent.answer = Some(Answer { id: item.id, seq: item.seq, at });
                let conversation = sent.conversation;
                drop(record);
                self.learn(conversation, item.seq);
            }
            (Some(error), _) => {
                self.failure(error);
                if !TRANSIENT.contains(&error) {
                    self.fault(&format!("message {sent} was refused: {body}"));
                }
                self.waiting.push_back((Instant::now() + REPEAT_PAUSE, sent));
            }
            (None, Err(_)) => self.fault(&format!("message {sent} was answered oddly: {body}")),
        }
    }

    /// Moves on the number up to which everything in a conversation is known.
    fn learn(&mut self, conversation: usize, seq: Option<i64>) {
        let Some(seq) = seq else { return };
        let (whole, behind) = self.known.entry(conversation).or_default();
        if seq > *whole && !behind.contains(&seq) {
            behind.push(seq);
        }
        while let Some(position) = behind.iter().position(|seq| *seq == *whole + 1) {
            behind.swap_remove(position);
            *whole += 1;
        }
    }

    fn opened(&self, gateway: usize) -> usize {
        let mut record = self.record.lock();
        record.connections.push(Connection {
            gateway,
            opened: self.start.elapsed(),
            ended: None,
            heard: Vec::new(),
            synced: BTreeMap::new(),
        });
        record.connections.len() - 1
    }

    fn failure(&self, name: &str) {
        *self.record.lock().failures.entry(name.to_owned()).or_default() += 1;
    }

    fn fault(&self, what: &str) {
        let mut record = self.record.lock();
        let (client, connection) = (record.client, record.connections.len());
        let at = self.start.elapsed().as_secs_f64();
        record.faults.push(format!("{at:8.3} client {client}, connection {connection}: {what}"));
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
