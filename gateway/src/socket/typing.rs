//! Who types on the sockets of this gateway. The others hear of it by an event that nobody keeps; what is
//! not said again for a while is over.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bson::{DateTime, oid::ObjectId};
use chat_kit::{
    caller::Caller,
    id::{ConversationId, UserId},
    nats,
    time::to_timestamp,
};
use chat_proto::v1::{self as pb, event::Payload};
use moka::sync::Cache;
use parking_lot::Mutex;
use serde_json::json;

use super::{Peer, queue::Job};
use crate::{
    error::ApiError,
    state::AppState,
    wire::typing::{Place, Typing},
};

/// How long a state lives that is not said again.
pub const LIFE: Duration = Duration::from_secs(5);
/// Within this time after it was said, the same is not said again.
const PAUSE: Duration = Duration::from_secs(1);
/// How old the knowledge may be of who hears, which is forgotten when the conversation changes.
const AUDIENCE_LIFE: Duration = Duration::from_mins(1);
/// The same while a change may not be heard of in time: typing may lag a removal by as much.
const DOUBTED_LIFE: Duration = Duration::from_secs(1);
/// How long after an interruption that is so: what could not be announced meanwhile comes late.
const DOUBT: Duration = Duration::from_mins(1);
/// Conversations of which it is known who hears.
const MOST_AUDIENCES: u64 = 20_000;
/// How long it is remembered that two users have no conversation.
const STRANGERS_LIFE: Duration = Duration::from_secs(3);
/// Pairs of users whose conversation is known, or who have none.
const MOST_PAIRS: u64 = 50_000;
/// Conversations in which one user may type at once.
const MOST_PLACES: usize = 16;
/// Users who type at once; the states of those who have stopped are looked for when there are more.
const MOST_TYPISTS: usize = 50_000;

/// The members of a conversation as those know them who may write there.
type Audience = Arc<Mutex<HashMap<UserId, Members>>>;

/// All members of a conversation.
#[derive(Debug)]
struct Members {
    ids: Arc<[UserId]>,
    /// When they were asked for, and on the so-many-eth connection to NATS.
    asked_at: Instant,
    connects: u64,
}

/// Who types on the sockets of this gateway, and who hears of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Typists {
    by_user: Arc<Mutex<HashMap<UserId, Vec<State>>>>,
    audiences: Cache<ConversationId, Audience>,
    /// When events were last read again that had passed this gateway by.
    replayed_at: Arc<Mutex<Option<Instant>>>,
    /// The direct conversations of pairs of users.
    direct: Cache<(UserId, UserId), ConversationId>,
    /// Pairs of users who have none.
    strangers: Cache<(UserId, UserId), ()>,
}

/// That a user types somewhere.
#[derive(Debug)]
struct State {
    conversation: ConversationId,
    /// The socket on which he did so last.
    origin: ObjectId,
    /// When the others were told.
    said_at: Instant,
    /// The same, by the clock that messages bear.
    at: DateTime,
}

impl Default for Typists {
    fn default() -> Self {
        let audiences = Cache::builder().max_capacity(MOST_AUDIENCES).time_to_live(AUDIENCE_LIFE);
        let strangers = Cache::builder().max_capacity(MOST_PAIRS).time_to_live(STRANGERS_LIFE);
        Self {
            by_user: Arc::default(),
            audiences: audiences.build(),
            replayed_at: Arc::default(),
            direct: Cache::new(MOST_PAIRS),
            strangers: strangers.build(),
        }
    }
}

impl Typists {
    /// Notes that a user types; says whether the others are to be told.
    fn begin(&self, user: UserId, conversation: ConversationId, origin: ObjectId) -> bool {
        let now = Instant::now();
        let mut by_user = self.by_user.lock();
        if by_user.len() >= MOST_TYPISTS && !by_user.contains_key(&user) {
            by_user.retain(|_, states| states.iter().any(|state| state.is_alive(now)));
            if by_user.len() >= MOST_TYPISTS {
                return false;
            }
        }
        let states = by_user.entry(user).or_default();
        states.retain(|state| state.is_alive(now));
        if let Some(state) = states.iter_mut().find(|state| state.conversation == conversation) {
            state.origin = origin;
            let is_due = now.duration_since(state.said_at) >= PAUSE;
            if is_due {
                (state.said_at, state.at) = (now, DateTime::now());
            }
            return is_due;
        }
        let has_room = states.len() < MOST_PLACES;
        if has_room {
            states.push(State { conversation, origin, said_at: now, at: DateTime::now() });
        }
        has_room
    }

    /// Notes that a message of a user was stored: what he typed before is sent.
    pub(crate) fn sent(&self, user: UserId, conversation: ConversationId, stored_at: DateTime) {
        self.take(user, |state| state.conversation == conversation && state.at <= stored_at);
    }

    /// Notes that a user types no more; says whether he did.
    pub(crate) fn end(&self, user: UserId, conversation: ConversationId) -> bool {
        !self.take(user, |state| state.conversation == conversation).is_empty()
    }

    /// Returns since when a user types, if he does.
    fn since(&self, user: UserId, conversation: ConversationId) -> Option<DateTime> {
        let (by_user, now) = (self.by_user.lock(), Instant::now());
        let mut states = by_user.get(&user)?.iter();
        let state = states.find(|state| state.conversation == conversation)?;
        state.is_alive(now).then_some(state.at)
    }

    /// Forgets who hears of a conversation, which has changed.
    pub(crate) fn forget(&self, conversation: ConversationId) {
        self.audiences.invalidate(&conversation);
    }

    /// Notes that events have passed this gateway by, and that others may come late.
    pub(crate) fn doubt(&self) {
        *self.replayed_at.lock() = Some(Instant::now());
    }

    /// Says whether members are still who they were, on the so-many-eth connection.
    fn are_known(&self, members: &Members, connects: u64) -> bool {
        let is_sure = members.connects == connects
            && self.replayed_at.lock().is_none_or(|at| members.asked_at >= at + DOUBT);
        members.asked_at.elapsed() < if is_sure { AUDIENCE_LIFE } else { DOUBTED_LIFE }
    }

    /// Takes the living states of a user that are such.
    fn take(&self, user: UserId, is_such: impl Fn(&State) -> bool) -> Vec<ConversationId> {
        let now = Instant::now();
        let mut by_user = self.by_user.lock();
        let Some(states) = by_user.get_mut(&user) else { return Vec::new() };
        let taken = states.extract_if(.., |state| is_such(state));
        let living = taken.filter(|state| state.is_alive(now)).map(|state| state.conversation);
        let living = living.collect();
        if states.is_empty() {
            by_user.remove(&user);
        }
        living
    }
}

impl State {
    fn is_alive(&self, now: Instant) -> bool {
        now.duration_since(self.said_at) < LIFE
    }
}

/// Lets the other members know that somebody types, or does no more.
pub async fn on_typing(job: Job<Typing>) {
    match change(&job).await {
        Ok(()) => job.accept(json!({})),
        Err(error) => job.refuse(&error),
    }
}

async fn change(job: &Job<Typing>) -> Result<(), ApiError> {
    let (state, caller, identity) = (&job.state, &job.caller, job.peer.identity());
    let user = identity.user_id;
    let conversation = match job.request.place {
        Place::Conversation(id) => id,
        Place::With(other) => direct(state, caller, (user, other)).await?,
    };
    if !job.request.is_typing {
        if state.typists.end(user, conversation) {
            // Those hear of it who heard of the beginning: every gateway knows its own.
            publish(state, caller, changed(user, conversation, false), Vec::new()).await?;
        }
        return Ok(());
    }
    if !state.typists.begin(user, conversation, identity.origin_id) {
        return Ok(());
    }
    // A socket that is gone was closed before what it typed was taken out: this came behind that.
    if job.peer.is_closed() {
        state.typists.take(user, |typing| typing.origin == identity.origin_id);
        return Ok(());
    }
    let told = tell(state, caller, user, conversation).await;
    if told.is_err() {
        state.typists.end(user, conversation);
    }
    told
}

/// Lets the others know that a user types, unless that is over by the time it is known who they are.
async fn tell(
    state: &AppState,
    caller: &Caller,
    user: UserId,
    conversation: ConversationId,
) -> Result<(), ApiError> {
    let hearers = hearers(state, caller, user, conversation).await?;
    let Some(at) = state.typists.since(user, conversation) else { return Ok(()) };
    let at = Some(to_timestamp(at));
    let begun = pb::TypingChanged { at, ..changed(user, conversation, true) };
    publish(state, caller, begun, hearers).await?;
    // Where it ended on the way, its end may have overtaken it.
    if state.typists.since(user, conversation).is_none() {
        publish(state, caller, changed(user, conversation, false), Vec::new()).await?;
    }
    Ok(())
}

/// Lets the others know that a user types no more where he did so on a socket that is gone.
pub async fn left(state: &AppState, peer: &Peer) {
    let identity = peer.identity();
    let user = identity.user_id;
    let gone = state.typists.take(user, |typing| typing.origin == identity.origin_id);
    for conversation in gone {
        let change = changed(user, conversation, false);
        if let Err(error) = publish(state, &identity.caller, change, Vec::new()).await {
            tracing::debug!(%error, "typing ends by itself");
        }
    }
}

/// Returns who hears that a user types: the other members, where he may write.
async fn hearers(
    state: &AppState,
    caller: &Caller,
    user: UserId,
    conversation: ConversationId,
) -> Result<Vec<String>, ApiError> {
    let typists = &state.typists;
    let others = |members: &[UserId]| -> Vec<String> {
        members.iter().filter(|id| **id != user).map(UserId::to_string).collect()
    };
    let audience = typists.audiences.get_with(conversation, Audience::default);
    let connects = state.nats.as_ref().map_or(0, nats::connects);
    let asked_at = Instant::now();
    if let Some(known) = audience.lock().get(&user)
        && typists.are_known(known, connects)
    {
        return Ok(others(&known.ids));
    }
    let request = pb::GetAudienceRequest {
        conversation_id: conversation.to_string(),
        act: pb::Act::Post.into(),
    };
    let mut client = state.clients.conversation.clone();
    let members = client.get_audience(caller.request(request)).await?.into_inner().member_ids;
    let mut ids: Arc<[UserId]> = members.iter().filter_map(|id| id.parse().ok()).collect();
    // Of a conversation that has changed meanwhile, this is known to nobody any more.
    let mut audience = audience.lock();
    if let Some(same) = audience.values().find(|known| known.ids == ids) {
        ids = Arc::clone(&same.ids);
    }
    let hearers = others(&ids);
    audience.insert(user, Members { ids, asked_at, connects });
    Ok(hearers)
}

/// Returns the direct conversation of two users, of whom the first calls.
async fn direct(
    state: &AppState,
    caller: &Caller,
    pair: (UserId, UserId),
) -> Result<ConversationId, ApiError> {
    let typists = &state.typists;
    if let Some(found) = typists.direct.get(&pair) {
        return Ok(found);
    }
    if typists.strangers.contains_key(&pair) {
        return Err(ApiError::no_conversation());
    }
    let request = pb::FindDirectConversationRequest { user_id: pair.1.to_string() };
    let mut client = state.clients.conversation.clone();
    let found = client.find_direct_conversation(caller.request(request)).await?.into_inner();
    let found = found.conversation_id.and_then(|id| id.parse().ok());
    match found {
        Some(found) => typists.direct.insert(pair, found),
        None => typists.strangers.insert(pair, ()),
    }
    found.ok_or_else(ApiError::no_conversation)
}

/// Says that a user types in a conversation, or does no more, as of now.
pub(crate) fn changed(
    user: UserId,
    conversation: ConversationId,
    is_typing: bool,
) -> pb::TypingChanged {
    pb::TypingChanged {
        conversation_id: conversation.to_string(),
        user_id: user.to_string(),
        is_typing,
        at: Some(to_timestamp(DateTime::now())),
    }
}

async fn publish(
    state: &AppState,
    caller: &Caller,
    changed: pb::TypingChanged,
    recipient_ids: Vec<String>,
) -> Result<(), ApiError> {
    let Some(client) = &state.nats else { return Err(ApiError::unavailable()) };
    let id = ObjectId::new();
    let event = pb::Event {
        id: format!("{id}:typing"),
        occurred_at: changed.at,
        recipient_ids,
        payload: Some(Payload::TypingChanged(changed)),
    };
    nats::publish_live(client, &event, &caller.request_id).await.map_err(|error| {
        tracing::debug!(%error, "nobody hears that somebody types");
        ApiError::unavailable()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_again_after_a_pause_or_an_end() {
        let (typists, user) = (Typists::default(), UserId::new());
        let (conversation, other) = (ConversationId::new(), ConversationId::new());
        let origin = ObjectId::new();
        assert!(typists.begin(user, conversation, origin));
        assert!(!typists.begin(user, conversation, origin), "said a moment ago");
        assert!(typists.begin(user, other, origin));
        assert!(typists.end(user, conversation));
        assert!(!typists.end(user, conversation), "he did not type");
        assert!(typists.begin(user, conversation, origin));
    }

    #[test]
    fn message_ends_what_was_typed_before_it_alone() {
        let (typists, user) = (Typists::default(), UserId::new());
        let (conversation, origin) = (ConversationId::new(), ObjectId::new());
        let earlier = DateTime::from_millis(DateTime::now().timestamp_millis() - 1);
        typists.begin(user, conversation, origin);
        typists.sent(user, conversation, earlier);
        assert!(typists.end(user, conversation), "he has gone on");
        typists.begin(user, conversation, origin);
        typists.sent(user, conversation, DateTime::now());
        assert!(!typists.end(user, conversation));
    }

    #[test]
    fn what_has_ended_is_not_told_any_more() {
        let (typists, user) = (Typists::default(), UserId::new());
        let (conversation, origin) = (ConversationId::new(), ObjectId::new());
        assert_eq!(typists.since(user, conversation), None);
        let before = DateTime::now();
        typists.begin(user, conversation, origin);
        assert!(typists.since(user, conversation).is_some_and(|at| at >= before));
        assert_eq!(typists.since(user, ConversationId::new()), None);
        typists.take(user, |state| state.origin == origin);
        assert_eq!(typists.since(user, conversation), None, "his socket is gone");
        typists.begin(user, conversation, origin);
        typists.sent(user, conversation, DateTime::now());
        assert_eq!(typists.since(user, conversation), None, "his message came");
    }

    #[test]
    fn members_are_known_for_long_while_changes_are_heard_of() {
        let typists = Typists::default();
        let ago = |age: Duration| Instant::now().checked_sub(age).expect("the clock runs longer");
        let members = |age, connects| Members { ids: [].into(), asked_at: ago(age), connects };
        let old = AUDIENCE_LIFE / 2;
        assert!(typists.are_known(&members(old, 1), 1));
        assert!(!typists.are_known(&members(AUDIENCE_LIFE, 1), 1));
        assert!(!typists.are_known(&members(old, 1), 2), "the connection was lost since");
        assert!(typists.are_known(&members(DOUBTED_LIFE / 2, 1), 2));
        typists.doubt();
        assert!(!typists.are_known(&members(old, 1), 1), "events were");
        assert!(!typists.are_known(&members(DOUBTED_LIFE, 1), 1), "others may come late");
        assert!(typists.are_known(&members(DOUBTED_LIFE / 2, 1), 1));
        *typists.replayed_at.lock() = Some(ago(DOUBT + old));
        assert!(typists.are_known(&members(old, 1), 1));
    }

    #[test]
    fn user_types_in_few_places_at_once() {
        let (typists, user, origin) = (Typists::default(), UserId::new(), ObjectId::new());
        let begun = (0..100).filter(|_| typists.begin(user, ConversationId::new(), origin));
        assert_eq!(begun.count(), MOST_PLACES);
    }

    #[test]
    fn socket_that_leaves_takes_its_own_states_along() {
        let (typists, user) = (Typists::default(), UserId::new());
        let (conversation, other) = (ConversationId::new(), ConversationId::new());
        let (leaving, staying) = (ObjectId::new(), ObjectId::new());
        typists.begin(user, conversation, leaving);
        typists.begin(user, other, leaving);
        typists.begin(user, other, staying);
        assert_eq!(typists.take(user, |state| state.origin == leaving), [conversation]);
        assert!(typists.end(user, other));
        assert!(typists.by_user.lock().is_empty(), "nothing is left");
    }
}
