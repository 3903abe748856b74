//! From NATS events to the sockets of this gateway: every message once per socket, in the order of its
//! conversation. Who hears is decided by the services and travels inside the event.

mod calls;
mod cause;
mod change;
mod cursors;
mod emit;
mod entry;
mod gap;
mod latest;
mod notices;
mod presence;
mod receipt;
mod replay;
mod seen;
mod settled;
mod typing;
mod window;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use async_nats::Subscriber;
use chat_kit::{
    id::{ConversationId, UserId},
    nats::{Place, Reach},
    session::SessionHash,
    telemetry,
};
use chat_proto::v1::{self as pb, event::Payload};
use futures_util::StreamExt as _;
use prost::Message as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::ApiError,
    metrics::{Cut, FANOUT},
    socket::Sockets,
    state::AppState,
    wire::event::Change,
};
use calls::Steps;
use cause::Cause;
use cursors::Cursors;
use entry::{Entry, Pending, make_room};
use gap::MOST_CALLS;
use latest::Latest;
use notices::{Notices, Way};
use replay::{Replayed, Replays};
use seen::Seen;
use settled::{SETTLED_AFTER, Settled};
use typing::{Sent, Typing};
use window::{Offered, Window};

/// How long a message waits for those before it until they are fetched.
const GAP_TIMEOUT: Duration = Duration::from_millis(250);
/// Conversations whose order this gateway remembers; the longest unheard go when there are more.
const MOST_WINDOWS: usize = 50_000;
/// Messages of all conversations together that wait for earlier ones.
const MOST_WAITING_IN_ALL: usize = 20_000;

/// A message, who hears it, and what brought it here.
struct Item {
    message: pb::Message,
    recipients: Arc<[UserId]>,
    cause: Arc<Cause>,
    /// Given back when it has been emitted, or dropped; what need not wait needs none.
    _place: Option<OwnedSemaphorePermit>,
}

/// The messages of a gap, or the failure to fetch them.
struct Filled {
    conversation: ConversationId,
    since: Instant,
    messages: anyhow::Result<Vec<pb::Message>>,
    recipients: Arc<[UserId]>,
    cause: Arc<Cause>,
}

struct Fanout {
    state: AppState,
    sockets: Sockets,
    windows: HashMap<ConversationId, Entry>,
    settled: Settled,
    seen: Seen,
    latest: Latest,
    cursors: Cursors,
    typing: Typing,
    steps: Steps,
    notices: Notices,
    /// Windows that the metrics know of.
    counted: u32,
    /// Gaps in the order in which their waiting ends: all wait equally long.
    timers: VecDeque<(Instant, ConversationId)>,
    places: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    filled: mpsc::Sender<Filled>,
}

/// What is to be taken in next.
enum Next {
    Event(async_nats::Message),
    Replayed(Replayed),
    Filled(Filled),
    /// A message has waited long enough for those before it.
    EndOfWait,
    /// Somebody has not said for long enough that he types.
    EndOfTyping,
    /// A candidate of a call has waited long enough for the answer.
    EndOfHold,
}

/// Where events come from.
pub struct Source {
    /// The plain subscription to all events that are kept.
    pub events: Subscriber,
    /// The plain subscription to those that nobody keeps.
    pub live: Subscriber,
    /// The connection behind it, for reading again what it missed.
    pub client: async_nats::Client,
    /// Says when it may have missed some.
    pub interruptions: watch::Receiver<()>,
    /// Where the stream ended before the subscription began.
    pub since: Place,
}

/// Emits what the source brings until `stop`.
pub async fn run(
    state: AppState,
    sockets: Sockets,
    source: Source,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Source { mut events, mut live, client, interruptions, since } = source;
    let mut replays = Replays::new(client, state.config.nats.clone(), interruptions, since);
    let (filled, mut fills) = mpsc::channel(MOST_CALLS);
    let mut fanout = Fanout::new(state, sockets, filled);
    loop {
        let timer = fanout.timers.front().map(|(at, _)| *at);
        let silence = fanout.typing.next_end();
        let hold = fanout.steps.next_wait();
        let next = tokio::select! {
            event = events.next() => Next::Event(event.context("the subscription to events ended")?),
            event = live.next() => {
                Next::Event(event.context("the subscription to live events ended")?)
            }
            replayed = replays.next() => Next::Replayed(replayed),
            Some(filled) = fills.recv() => Next::Filled(filled),
            () = sleep_until(timer) => Next::EndOfWait,
            () = sleep_until(silence) => Next::EndOfTyping,
            () = sleep_until(hold) => Next::EndOfHold,
            () = stop.cancelled() => return Ok(()),
        };
        // What a replay brings may be all that has come since the interruption.
        let has_replayed = matches!(next, Next::Replayed(_));
        fanout.settled.note(replays.are_due(), has_replayed, Instant::now());
        fanout.take_in(next);
        fanout.count();
    }
}

async fn sleep_until(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Fanout {
    /// Describes one that has heard nothing yet.
    fn new(state: AppState, sockets: Sockets, filled: mpsc::Sender<Filled>) -> Self {
        Self {
            state,
            sockets,
            windows: HashMap::new(),
            settled: Settled::default(),
            seen: Seen::default(),
            latest: Latest::default(),
            cursors: Cursors::default(),
            typing: Typing::default(),
            steps: Steps::default(),
            notices: Notices::default(),
            counted: 0,
            timers: VecDeque::new(),
            places: Arc::new(Semaphore::new(MOST_WAITING_IN_ALL)),
            calls: Arc::new(Semaphore::new(MOST_CALLS)),
            filled,
        }
    }

    fn take_in(&mut self, next: Next) {
        match next {
            Next::Event(event) => self.hear(&event, Way::Live),
            Next::Replayed(replayed) => self.hear_again(replayed),
            Next::Filled(filled) => self.close_gap(filled),
            Next::EndOfWait => self.end_wait(),
            Next::EndOfTyping => self.end_silent_typing(),
            Next::EndOfHold => self.end_holds(),
        }
    }

    fn hear(&mut self, message: &async_nats::Message, way: Way) {
        let cause = Cause::of(message.headers.as_ref());
        let _span = telemetry::request_span(cause.request_id()).entered();
        let event = match pb::Event::decode(message.payload.clone()) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(%error, subject = %message.subject, "event cannot be read");
                return;
            }
        };
        match event.payload {
            Some(Payload::MessageCreated(pb::MessageCreated { message: Some(message) })) => {
                let recipients = recipients(&event.id, &event.recipient_ids);
                let sent = Sent::of(&message);
                self.deliver(message, recipients, &Arc::new(cause));
                if let Some(sent) = sent {
                    self.end_typing_by(&sent);
                }
            }
            Some(Payload::MessageEdited(pb::MessageEdited { message, change })) => {
                let recipients = recipients(&event.id, &event.recipient_ids);
                self.hear_change(Change::Edited, change, message, recipients, &Arc::new(cause));
            }
            Some(Payload::MessageDeleted(pb::MessageDeleted { message, change })) => {
                let recipients = recipients(&event.id, &event.recipient_ids);
                self.hear_change(Change::Deleted, change, message, recipients, &Arc::new(cause));
            }
            Some(Payload::MessageReacted(pb::MessageReacted { message, change })) => {
                let recipients = recipients(&event.id, &event.recipient_ids);
                self.hear_change(Change::Reacted, change, message, recipients, &Arc::new(cause));
            }
            Some(Payload::SessionRevoked(revoked)) => self.end_session(&revoked),
            Some(Payload::ReadAdvanced(advanced)) => {
                if self.seen.note(&event.id) {
                    self.tell_reading(&advanced, &recipients(&event.id, &event.recipient_ids));
                }
            }
            Some(Payload::PresenceChanged(changed)) => {
                if self.seen.note(&event.id) {
                    self.tell_presence(&changed, &recipients(&event.id, &event.recipient_ids));
                }
            }
            Some(Payload::DeliveredAdvanced(advanced)) => {
                if self.seen.note(&event.id) {
                    self.tell_delivery(&advanced, &recipients(&event.id, &event.recipient_ids));
                }
            }
            Some(Payload::TypingChanged(changed)) => {
                self.hear_typing(&changed, &recipients(&event.id, &event.recipient_ids));
            }
            Some(Payload::MessageCreated(_)) | None => {
                tracing::debug!(
                    id = event.id,
                    "event of a newer version of the suite, passed over"
                );
            }
            Some(payload) => {
                let is_new = self.seen.note(&event.id);
                // Told in its place, and not when the replay ends: its id may be forgotten by then.
                let has_waited = way == Way::Again && self.notices.forget(&event.id);
                if is_new || has_waited {
                    let recipients = recipients(&event.id, &event.recipient_ids);
                    if !self.tell_call(&payload, &recipients) {
                        self.note_members(&payload);
                        self.hear_notice(&event.id, payload, recipients, way);
                    }
                }
            }
        }
    }

    fn hear_again(&mut self, replayed: Replayed) {
        self.state.typists.doubt();
        match replayed {
            Replayed::Event(event) => self.hear(&event, Way::Again),
            Replayed::End(Reach::Whole) => {
                FANOUT.replays_whole.increment(1);
                self.end_replay_of_calls();
                if !self.settled.is_replaying() {
                    self.end_notices();
                }
            }
            Replayed::End(Reach::TooShort) => {
                tracing::error!("events are lost, cutting all sockets");
                FANOUT.replays_too_short.increment(1);
                // Who comes back reads what happened meanwhile; nobody is owed an old number any more.
                self.windows.clear();
                self.timers.clear();
                self.notices.clear();
                self.steps.doubt();
                let sockets = self.sockets.clone();
                tokio::spawn(async move { sockets.cut_all(Cut::EventsLost).await });
            }
        }
    }

    /// Ends the sockets of a revoked session, and lets nobody in with it any more.
    fn end_session(&self, revoked: &pb::SessionRevoked) {
        let session = SessionHash::read(&revoked.session_hash);
        let (Ok(user_id), Some(session)) = (revoked.user_id.parse(), session) else {
            tracing::error!(user_id = revoked.user_id, "revocation without a session");
            return;
        };
        // In this order: a socket that connects at this moment is found, or finds the note.
        self.state.sessions.revoke(session);
        self.sockets.end_session(user_id, Some(session), &ApiError::session_over());
    }

    fn deliver(&mut self, message: pb::Message, recipients: Arc<[UserId]>, cause: &Arc<Cause>) {
        let Ok(conversation) = message.conversation_id.parse::<ConversationId>() else {
            tracing::error!(id = message.id, "event without a conversation");
            return;
        };
        if !self.windows.contains_key(&conversation) {
            self.open(conversation, &message);
        }
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        let is_heard_here = self.sockets.has_any(&recipients);
        entry.is_heard_here = is_heard_here;
        if is_heard_here || !entry.window.is_next(message.seq) {
            self.offer(conversation, message, recipients, cause);
        } else {
            // Whoever connects from now on reads this message, and those before it, in the history.
            entry.heard_at = Instant::now();
            entry.window.pass(message.seq);
        }
        self.release(conversation);
    }

    fn open(&mut self, conversation: ConversationId, message: &pb::Message) {
        make_room(&mut self.windows, MOST_WINDOWS);
        let is_settled = self.settled.has(message, Instant::now());
        let window = if is_settled { Window::before(message.seq) } else { Window::opening() };
        self.windows.insert(conversation, Entry::new(window));
    }

    fn offer(
        &mut self,
        conversation: ConversationId,
        message: pb::Message,
        recipients: Arc<[UserId]>,
        cause: &Arc<Cause>,
    ) {
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        let now = Instant::now();
        entry.heard_at = now;
        let (seq, late) = (message.seq, Arc::clone(&recipients));
        if self.settled.has(&message, now) {
            entry.window.begin_before(seq);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let has_place = place.is_some();
        let cause = Arc::clone(cause);
        let item = Item { message, recipients, cause, _place: place };
        let mut offered = entry.window.offer(seq, item);
        if matches!(offered, Offered::Waiting) && !has_place {
            offered = Offered::Overflow;
        }
        match (entry.window.first_waiting(), &entry.pending) {
            (Some(_), Pending::Nothing) => self.wait(conversation),
            (None, _) => entry.rest(),
            (Some(_), _) => {}
        }
        match offered {
            Offered::Unproven => self.disprove(conversation, &late),
            Offered::Ready(items) => items.iter().for_each(|item| self.emit(item)),
            Offered::Known | Offered::Waiting => {}
            Offered::Overflow => {
                self.give_up(conversation, "too many messages wait");
                self.pass_by(conversation, seq, &late);
            }
        }
    }

    fn wait(&mut self, conversation: ConversationId) {
        if let Some(entry) = self.windows.get_mut(&conversation) {
            let end = Instant::now() + GAP_TIMEOUT;
            entry.pending = Pending::Wait(end);
            self.timers.push_back((end, conversation));
        }
    }

    fn end_wait(&mut self) {
        let Some((end, conversation)) = self.timers.pop_front() else { return };
        self.fetch(end, conversation);
        self.release(conversation);
    }

    /// Cuts the sockets that cannot be told all, so that their clients come back and sync.
    fn give_up(&mut self, conversation: ConversationId, reason: &str) {
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        entry.rest();
        let given_up: Vec<Item> = entry.window.give_up().collect();
        if given_up.is_empty() {
            return;
        }
        tracing::error!(%conversation, reason, "order lost, cutting the sockets concerned");
        for item in &given_up {
            self.cut(&item.recipients);
        }
    }

    /// Cuts the sockets that were to hear a message for which there is no room.
    fn pass_by(&mut self, conversation: ConversationId, seq: i64, recipients: &[UserId]) {
        if let Some(entry) = self.windows.get_mut(&conversation) {
            entry.window.pass(seq);
            self.cut(recipients);
        }
    }

    fn cut(&self, recipients: &[UserId]) {
        for peer in self.sockets.of(recipients) {
            peer.cut(Cut::OrderLost);
        }
    }

    /// Cuts the sockets that may not have heard a message and cannot hear it in order any more. Those
    /// that came after a later message had been heard here have it in the history.
    fn disprove(&self, conversation: ConversationId, recipients: &[UserId]) {
        let Some(entry) = self.windows.get(&conversation) else { return };
        for peer in self.sockets.of(recipients) {
            if peer.connected_at() < entry.opened_at {
                tracing::warn!(%conversation, "message came too late, cutting a socket");
                peer.cut(Cut::OrderLost);
            }
        }
    }

    /// Tells the metrics how many windows there are; other gateways may share them.
    fn count(&mut self) {
        let held = u32::try_from(self.windows.len()).unwrap_or(u32::MAX);
        FANOUT.windows.increment(f64::from(held) - f64::from(self.counted));
        self.counted = held;
    }
}

fn recipients(event_id: &str, ids: &[String]) -> Arc<[UserId]> {
    let parsed: Arc<[UserId]> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    if parsed.len() < ids.len() {
        tracing::error!(event_id, "event with a recipient that is no id");
    }
    parsed
}
