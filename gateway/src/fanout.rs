//! From NATS events to the sockets of this gateway: every message once per socket, in the order of its
//! conversation. Who hears is decided by the services and travels inside the event.

mod replay;
mod window;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_nats::Subscriber;
use bson::DateTime;
use chat_kit::{
    caller::{self, Caller},
    id::ConversationId,
    nats::{Interruption, Reach},
    session::SessionHash,
    shutdown::Lifecycle,
    telemetry,
    time::{before, from_timestamp, to_timestamp},
};
use chat_proto::v1::{self as pb, event::Payload};
use futures_util::StreamExt as _;
use prost::Message as _;
use prost_types::Timestamp;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use crate::{
    error::ApiError,
    socket::{Peer, Sockets},
    state::AppState,
    wire::event::{MessageCreated, Standing},
};
use replay::{Replayed, Replays};
use window::{MOST_WAITING, Offered, Window};

/// How long a message waits for those before it until they are fetched.
const GAP_TIMEOUT: Duration = Duration::from_millis(250);
/// A message whose predecessor is older than this opens a window at once.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// Conversations whose order this gateway remembers; the longest unheard go when there are more.
const MOST_WINDOWS: usize = 50_000;
/// Gaps that are fetched at the same time; further ones wait for a place.
const MOST_FILLS: usize = 16;
/// Most messages fetched for one gap; equal to what may wait behind it.
const MOST_FILLED: usize = MOST_WAITING;

/// A message and who hears it.
#[derive(Clone)]
struct Item {
    message: Arc<pb::Message>,
    recipients: Arc<[String]>,
}

/// A window with what the fan-out knows about it.
struct Entry {
    window: Window<Item>,
    /// Whether a timer runs or a fetch is under way for its gap.
    is_pending: bool,
    heard_at: Instant,
}

/// The messages of a gap, or the failure to fetch them.
struct Filled {
    conversation: ConversationId,
    messages: anyhow::Result<Vec<pb::Message>>,
    recipients: Arc<[String]>,
}

struct Fanout {
    state: AppState,
    sockets: Sockets,
    windows: HashMap<ConversationId, Entry>,
    /// Gaps in the order in which their waiting ends: all wait equally long.
    timers: VecDeque<(Instant, ConversationId)>,
    fills: Arc<Semaphore>,
    filled: mpsc::Sender<Filled>,
    /// When the subscription last brought an event, or was made.
    heard_at: DateTime,
}

/// Where events come from.
pub struct Source {
    /// The plain subscription to all events.
    pub events: Subscriber,
    /// The connection behind it, for reading again what it missed.
    pub client: async_nats::Client,
    /// Says when it may have missed some.
    pub interruptions: watch::Receiver<Option<Interruption>>,
}

/// Emits what the source brings until the soft stop.
pub async fn run(
    state: AppState,
    sockets: Sockets,
    source: Source,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let Source { mut events, client, interruptions } = source;
    let mut replays = Replays::new(client, interruptions);
    let (filled, mut fills) = mpsc::channel(MOST_FILLS);
    let mut fanout = Fanout {
        state,
        sockets,
        windows: HashMap::new(),
        timers: VecDeque::new(),
        fills: Arc::new(Semaphore::new(MOST_FILLS)),
        filled,
        heard_at: DateTime::now(),
    };
    loop {
        let timer = fanout.timers.front().map(|(at, _)| *at);
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    fanout.heard_at = DateTime::now();
                    fanout.hear(&event);
                }
                None => anyhow::bail!("the subscription to events ended"),
            },
            replayed = replays.next(fanout.heard_at) => fanout.hear_again(replayed),
            Some(filled) = fills.recv() => fanout.close_gap(filled),
            () = sleep_until(timer) => fanout.fetch_gap(),
            () = life.stopping() => return Ok(()),
        }
    }
}

async fn sleep_until(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Fanout {
    fn hear(&mut self, message: &async_nats::Message) {
        let request_id = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(chat_kit::nats::REQUEST_ID))
            .map_or("", |id| id.as_str());
        let _span = telemetry::request_span(request_id).entered();
        let event = match pb::Event::decode(message.payload.clone()) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(%error, subject = %message.subject, "event cannot be read");
                return;
            }
        };
        match event.payload {
            Some(Payload::MessageCreated(pb::MessageCreated { message: Some(message) })) => {
                let recipients = event.recipient_ids.into();
                self.deliver(Item { message: Arc::new(message), recipients });
            }
            Some(Payload::SessionRevoked(revoked)) => self.end_session(&revoked),
            Some(Payload::MessageCreated(_)) | None => {
                tracing::debug!(
                    id = event.id,
                    "event of a newer version of the suite, passed over"
                );
            }
        }
    }

    fn hear_again(&mut self, replayed: Replayed) {
        match replayed {
            Replayed::Event(event) => self.hear(&event),
            Replayed::End(Reach::Whole) => {}
            Replayed::End(Reach::TooShort) => {
                tracing::error!("events are lost, cutting all sockets");
                let sockets = self.sockets.clone();
                tokio::spawn(async move { sockets.cut_all().await });
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

    fn deliver(&mut self, item: Item) {
        let Ok(conversation) = item.message.conversation_id.parse::<ConversationId>() else {
            tracing::error!(id = item.message.id, "event without a conversation");
            return;
        };
        let seq = item.message.seq;
        let is_heard_here = item.recipients.iter().any(|id| self.sockets.has(id));
        if !self.windows.contains_key(&conversation) {
            self.make_room();
            let window =
                if is_settled(&item.message) { Window::before(seq) } else { Window::opening() };
            let entry = Entry { window, is_pending: false, heard_at: Instant::now() };
            self.windows.insert(conversation, entry);
        }
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        if is_heard_here || entry.window.first_waiting().is_some() {
            self.offer(conversation, item);
        } else {
            // Whoever connects from now on reads this message, and those before it, in the history.
            entry.heard_at = Instant::now();
            entry.window.pass(seq);
        }
    }

    fn offer(&mut self, conversation: ConversationId, item: Item) {
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        entry.heard_at = Instant::now();
        if is_settled(&item.message) {
            entry.window.begin_before(item.message.seq);
        }
        let late = Arc::clone(&item.recipients);
        let offered = entry.window.offer(item.message.seq, item);
        let waits = entry.window.first_waiting().is_some();
        if waits && !entry.is_pending {
            entry.is_pending = true;
            self.timers.push_back((Instant::now() + GAP_TIMEOUT, conversation));
        }
        match offered {
            Offered::Unproven => self.disprove(conversation, &late),
            Offered::Ready(items) => items.iter().for_each(|item| self.emit(item)),
            Offered::Known | Offered::Waiting => {}
            Offered::Overflow => self.give_up(conversation, "too many messages wait"),
        }
    }

    /// Fetches the gap whose time is over, if it is still there.
    fn fetch_gap(&mut self) {
        let Some((_, conversation)) = self.timers.pop_front() else { return };
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        let Some((seq, first)) = entry.window.first_waiting() else {
            entry.is_pending = false;
            return;
        };
        let first = first.clone();
        let most = i64::try_from(MOST_FILLED).unwrap_or(i64::MAX);
        let after = entry.window.emitted().unwrap_or((seq - 1 - most).max(0));
        if seq - 1 - after > most {
            return self.give_up(conversation, "too many messages are missing");
        }
        let since =
            entry.window.emitted().is_none().then(|| settled_before(&first.message)).flatten();
        let limit = u32::try_from((seq - 1 - after).clamp(1, most)).unwrap_or(u32::MAX);
        let request = pb::ListAfterRequest {
            conversation_id: conversation.to_string(),
            after_seq: after,
            limit,
            since,
        };
        tracing::debug!(%conversation, after, seq, "fetching a gap");
        let (filled, fills) = (self.filled.clone(), Arc::clone(&self.fills));
        let mut client = self.state.clients.message.clone();
        tokio::spawn(async move {
            let caller = Caller::service("gateway", &caller::new_request_id());
            let messages = async {
                let _place = fills.acquire().await?;
                let answer = client.list_after(caller.request(request)).await?;
                anyhow::Ok(answer.into_inner().messages)
            };
            let messages = messages.await;
            let recipients = first.recipients;
            // Closed only when the gateway ends.
            filled.send(Filled { conversation, messages, recipients }).await.ok();
        });
    }

    fn close_gap(&mut self, filled: Filled) {
        let Filled { conversation, messages, recipients } = filled;
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        let messages = match messages {
            Ok(messages) => messages,
            Err(error) => return self.give_up(conversation, &format!("{error:#}")),
        };
        let first = entry.window.first_waiting().map(|(seq, _)| seq);
        // Pending until all is offered, so that no timer starts for what is being closed.
        if let Some(begin) = messages.first().map(|message| message.seq).or(first) {
            entry.window.begin_before(begin);
        }
        for message in messages {
            let recipients = Arc::clone(&recipients);
            self.offer(conversation, Item { message: Arc::new(message), recipients });
        }
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        entry.is_pending = false;
        // An opening window that began right at what waits has emitted nothing yet.
        for item in entry.window.take_ready() {
            self.emit(&item);
        }
        let Some(entry) = self.windows.get(&conversation) else { return };
        if let (Some(emitted), Some((seq, _))) =
            (entry.window.emitted(), entry.window.first_waiting())
        {
            if first == Some(seq) {
                self.give_up(conversation, &format!("{} is missing", emitted + 1));
            } else {
                self.wait_again(conversation);
            }
        }
    }

    fn wait_again(&mut self, conversation: ConversationId) {
        if let Some(entry) = self.windows.get_mut(&conversation) {
            entry.is_pending = true;
            self.timers.push_back((Instant::now() + GAP_TIMEOUT, conversation));
        }
    }

    /// Cuts the sockets that cannot be told all, so that their clients come back and sync.
    fn give_up(&mut self, conversation: ConversationId, reason: &str) {
        tracing::error!(%conversation, reason, "order lost, cutting the sockets concerned");
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        entry.is_pending = false;
        for item in entry.window.give_up() {
            for recipient in item.recipients.iter() {
                for peer in self.sockets.of(recipient) {
                    peer.cut();
                }
            }
        }
    }

    /// Cuts the sockets that may not have heard a message and cannot hear it in order any more.
    fn disprove(&self, conversation: ConversationId, recipients: &[String]) {
        for peer in recipients.iter().flat_map(|recipient| self.sockets.of(recipient)) {
            tracing::warn!(%conversation, "message came too late, cutting a socket");
            peer.cut();
        }
    }

    fn emit(&self, item: &Item) {
        let message = &*item.message;
        let event = MessageCreated::new(message);
        for recipient in item.recipients.iter() {
            let event = event.to(recipient);
            for peer in self.sockets.of(recipient) {
                let standing = standing(message, recipient, &peer);
                match event.frames(peer.dialect(), standing) {
                    Ok(frames) => {
                        for (name, body) in frames {
                            peer.emit(name, body);
                        }
                    }
                    Err(error) => tracing::error!(%error, id = message.id, "cannot be encoded"),
                }
            }
        }
    }

    fn make_room(&mut self) {
        if self.windows.len() < MOST_WINDOWS {
            return;
        }
        let mut heard: Vec<Instant> = self.windows.values().map(|entry| entry.heard_at).collect();
        let middle = heard.len() / 2;
        let (_, oldest, _) = heard.select_nth_unstable(middle);
        let oldest = *oldest;
        self.windows.retain(|_, entry| entry.is_pending || entry.heard_at > oldest);
    }
}

fn standing(message: &pb::Message, recipient: &str, peer: &Peer) -> Standing {
    if message.sender_id != recipient {
        Standing::Recipient
    } else if message.origin_id.as_deref() == Some(peer.origin_id().to_hex().as_str()) {
        Standing::Origin
    } else {
        Standing::Sender
    }
}

/// Says whether a message can be emitted without looking for those before it: it is new, and they are
/// not, so that they have long been heard. One that was announced late says nothing about the others.
fn is_settled(message: &pb::Message) -> bool {
    let is_older = |time: &Timestamp| from_timestamp(time) < before(DateTime::now(), SETTLED_AFTER);
    let is_new = message.created_at.as_ref().is_some_and(|created_at| !is_older(created_at));
    match &message.previous_created_at {
        None => message.seq == 1,
        Some(previous) => is_new && is_older(previous),
    }
}

/// Returns the time before which nothing needs to be heard together with a message.
fn settled_before(message: &pb::Message) -> Option<Timestamp> {
    let created_at = message.created_at.as_ref().map(from_timestamp)?;
    Some(to_timestamp(before(created_at, SETTLED_AFTER)))
}
