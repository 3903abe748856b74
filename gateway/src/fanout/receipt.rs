//! What members have heard and read, on its way to sockets. It is a state: the newest counts, and is not
//! taken back by what is heard later and was before it. Which messages somebody has read is told all the same.

use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1 as pb;

use super::{Fanout, cursors::Cursor};
use crate::wire::event::{DeliveredAdvanced, ReadAdvanced};

impl Fanout {
    /// Tells the members how far one of them has read.
    pub(super) fn tell_reading(&mut self, advanced: &pb::ReadAdvanced, recipients: &[UserId]) {
        let pb::ReadAdvanced { conversation_id, user_id, seq, .. } = advanced;
        let Some((conversation, reader)) = parsed(conversation_id, user_id) else { return };
        let is_newest = self.cursors.note(Cursor::Read(conversation, reader), *seq);
        let event = ReadAdvanced::new(advanced);
        for peer in self.sockets.of(recipients) {
            let (user_id, dialect) = (peer.identity().user_id, peer.dialect());
            let frames = if is_newest {
                event.frames(user_id, dialect)
            } else {
                event.late_frames(user_id, dialect)
            };
            match frames {
                Ok(frames) => frames.iter().for_each(|(name, body)| peer.emit(name, *body)),
                Err(error) => tracing::error!(%error, "a receipt cannot be encoded"),
            }
        }
    }

    /// Tells the senders what has reached somebody.
    pub(super) fn tell_delivery(
        &mut self,
        advanced: &pb::DeliveredAdvanced,
        recipients: &[UserId],
    ) {
        let pb::DeliveredAdvanced { conversation_id, user_id, seq, .. } = advanced;
        let Some((conversation, reader)) = parsed(conversation_id, user_id) else { return };
        let cursors = &mut self.cursors;
        let newest =
            |sender: &UserId| cursors.note(Cursor::Delivered(conversation, reader, *sender), *seq);
        let senders: Vec<UserId> = recipients.iter().copied().filter(newest).collect();
        let event = DeliveredAdvanced::new(advanced);
        for peer in self.sockets.of(&senders) {
            match event.frame(peer.identity().user_id, peer.dialect()) {
                Ok(Some((name, body))) => peer.emit(name, body),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a receipt cannot be encoded"),
            }
        }
    }
}

fn parsed(conversation_id: &str, user_id: &str) -> Option<(ConversationId, UserId)> {
    let parsed = conversation_id.parse().ok().zip(user_id.parse().ok());
    if parsed.is_none() {
        tracing::error!(conversation_id, user_id, "a receipt of what is no id");
    }
    parsed
}
