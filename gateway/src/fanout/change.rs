//! Changes of messages on their way to sockets: never before the message itself, and never lost.

use std::sync::Arc;

use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1 as pb;
use tokio::time::Instant;

use super::{Fanout, cause::Cause, window::Window};
use crate::{
    metrics::Cut,
    wire::event::{Change, ChangeToReader, MessageChanged},
};

/// Changes of one conversation that wait for their messages; with more, who was to hear them is cut.
const MOST_HELD: usize = 200;

/// A change of a message, and who hears of it.
pub struct Held {
    change: Change,
    number: i64,
    message: pb::Message,
    recipients: Arc<[UserId]>,
}

impl Fanout {
    /// Emits a change of a message, at once if the message has been emitted here. Else the change brings
    /// the message with it: that takes its place in the order, and the change follows it.
    pub(super) fn hear_change(
        &mut self,
        change: Change,
        number: i64,
        message: Option<pb::Message>,
        recipients: Arc<[UserId]>,
        cause: &Arc<Cause>,
    ) {
        let Some(message) = message else { return };
        let Ok(conversation) = message.conversation_id.parse::<ConversationId>() else {
            tracing::error!(id = message.id, "change without a conversation");
            return;
        };
        let held = Held { change, number, message, recipients };
        let window = self.windows.get(&conversation).map(|entry| &entry.window);
        let is_over = match window.and_then(Window::emitted) {
            Some(emitted) => emitted >= held.message.seq,
            // Of a conversation that is not known here only what is new may still be on its way, or what waits.
            None => {
                !window.is_some_and(|window| window.waits(held.message.seq))
                    && self.settled.is_over(&held.message, Instant::now())
            }
        };
        if is_over {
            return self.emit_change(&held);
        }
        let (message, recipients) = (held.message.clone(), Arc::clone(&held.recipients));
        if !self.windows.contains_key(&conversation) {
            self.open(conversation, &message);
        }
        if let Some(entry) = self.windows.get_mut(&conversation) {
            entry.held.push(held);
        }
        self.deliver(message, recipients, cause);
    }

    /// Emits the changes whose messages have been emitted meanwhile, in the order in which they came.
    pub(super) fn release(&mut self, conversation: ConversationId) {
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        if entry.held.is_empty() {
            return;
        }
        let emitted = entry.window.emitted();
        let is_ready = |held: &mut Held| emitted >= Some(held.message.seq);
        let ready: Vec<Held> = entry.held.extract_if(.., is_ready).collect();
        let too_many =
            if entry.held.len() > MOST_HELD { std::mem::take(&mut entry.held) } else { Vec::new() };
        for held in &ready {
            self.emit_change(held);
        }
        for held in &too_many {
            self.cut(&held.recipients);
        }
    }

    fn emit_change(&mut self, held: &Held) {
        let Held { change, number, message, recipients } = held;
        if !self.latest.note(&message.id, *change, *number) {
            return;
        }
        let event = MessageChanged::new(*change, message);
        let mut reader: Option<ChangeToReader<'_>> = None;
        for peer in self.sockets.of(recipients) {
            let user_id = peer.identity().user_id;
            // The sockets of a user come one after the other.
            if reader.as_ref().is_none_or(|reader| !reader.is(user_id)) {
                reader = Some(event.to(user_id));
            }
            let Some(reader) = &reader else { continue };
            match reader.frames(peer.dialect()) {
                Ok(frames) => frames.iter().for_each(|(name, body)| peer.emit(name, *body)),
                Err(error) => {
                    tracing::error!(%error, id = message.id, "cannot be encoded, cutting a socket");
                    peer.cut(Cut::OrderLost);
                }
            }
        }
    }
}
