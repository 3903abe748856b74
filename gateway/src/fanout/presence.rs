//! Who comes online and goes offline, on its way to the sockets of partners. It is a state: the newest
//! counts, whatever came before.

use chat_kit::id::UserId;
use chat_proto::v1 as pb;

use super::Fanout;
use crate::wire::event::PresenceChanged;

impl Fanout {
    /// Tells partners that somebody came online or went offline, unless they have been told of something
    /// later.
    pub(super) fn tell_presence(&self, changed: &pb::PresenceChanged, recipients: &[UserId]) {
        self.sockets.presence().hear(changed, || {
            let event = PresenceChanged::new(changed);
            for peer in self.sockets.of(recipients) {
                match event.frames(peer.dialect()) {
                    Ok(frames) => frames.iter().for_each(|(name, body)| peer.emit(name, *body)),
                    Err(error) => tracing::error!(%error, "a presence cannot be encoded"),
                }
            }
        });
    }
}
