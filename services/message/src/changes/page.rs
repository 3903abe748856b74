//! What goes into one answer about what was missed: as much as there is room for, and where the next one goes on,
//! so that nothing is left out between the two.

use std::collections::HashSet;

use chat_kit::id::UserId;
use chat_proto::v1 as pb;
use prost::Message as _;

use super::{Change, Missed};
use crate::{
    convert,
    states::State,
    store::messages::{Known, Message},
};

/// Room of an answer, in bytes: of many long messages those that come first.
const ROOM: usize = 256 * 1024;
/// What a message takes up beside its own bytes, as clients read it.
const BESIDE: usize = 150;
/// What it takes up how far a member has heard and read.
const CURSOR: usize = 150;

/// What was found of a conversation.
pub(super) struct Found {
    pub(super) known: Known,
    /// The change that the client named as the last one of the page before.
    pub(super) change: Option<Change>,
    /// The number up to which the reader has cleared his history.
    pub(super) cleared: i64,
    /// Those whose receipts are told.
    pub(super) members: HashSet<UserId>,
    /// The messages behind the known number, in order; one more than wanted where there are more.
    pub(super) new: Vec<Message>,
    /// Those that have changed, in the order of their changes; one more than wanted where there are more.
    pub(super) changed: Vec<Message>,
    pub(super) state: State,
}

/// The room that is left in an answer.
pub(super) struct Room {
    left: usize,
    has_message: bool,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { left: ROOM, has_message: false }
    }

    /// Takes a message up, unless it finds no place; then nothing does any more. The first one always finds
    /// one, lest a client ask for it for ever.
    fn takes(&mut self, message: &pb::Message) -> bool {
        let size = message.encoded_len() + BESIDE;
        let is_taken = !self.has_message || size <= self.left;
        self.left = if is_taken { self.left.saturating_sub(size) } else { 0 };
        self.has_message = true;
        is_taken
    }

    /// Takes up how far so many members have heard and read, unless there is no room at all.
    fn takes_cursors(&mut self, count: usize) -> bool {
        let is_taken = self.left > 0;
        self.left = self.left.saturating_sub(count * CURSOR);
        is_taken
    }
}

impl Missed {
    /// Puts together what `reader` has missed of a conversation, `limit` messages of each kind at most: first
    /// the new ones, so that asking again leads on whatever has changed. What is new is not said to have
    /// changed, and of what the reader has cleared nothing is told.
    pub(super) fn new(found: Found, reader: UserId, limit: usize, room: &mut Room) -> Self {
        let Found { known, change, cleared, members, new, changed, mut state } = found;
        let mut missed = Self {
            conversation_id: known.conversation_id,
            cleared_seq: cleared,
            messages: Vec::new(),
            changed: Vec::new(),
            has_more: true,
            next: change,
            state: None,
        };
        state.receipts.retain(|receipt| members.contains(&receipt.user_id));
        if !room.takes_cursors(state.receipts.len()) {
            return missed;
        }
        missed.state = Some(state);
        missed.has_more = new.len() > limit || changed.len() > limit;
        for message in new.into_iter().take(limit) {
            let message = convert::seen_by(reader, message);
            if !room.takes(&message) {
                missed.has_more = true;
                break;
            }
            missed.messages.push(message);
        }
        for message in changed.into_iter().take(limit) {
            let place = message.changed_at.map(|at| (at, message.seq));
            if message.seq > cleared && message.seq <= known.after {
                let message = convert::seen_by(reader, message);
                if !room.takes(&message) {
                    missed.has_more = true;
                    break;
                }
                missed.changed.push(message);
            }
            // What is behind the known number is told as it is when its turn comes.
            missed.next = place.or(missed.next);
        }
        missed.next = missed.next.filter(|_| missed.has_more);
        missed
    }
}
