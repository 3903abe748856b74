//! What members have heard and read, on its way to sockets. It is a state: the newest counts, whatever came
//! before.

use chat_kit::id::UserId;
use chat_proto::v1 as pb;

use super::Fanout;
use crate::wire::event::{DeliveredAdvanced, ReadAdvanced};

impl Fanout {
    /// Tells the members how far one of them has read.
    pub(super) fn tell_reading(&self, advanced: &pb::ReadAdvanced, recipients: &[UserId]) {
        let event = ReadAdvanced::new(advanced);
        for peer in self.sockets.of(recipients) {
            match event.frames(peer.identity().user_id, peer.dialect()) {
                Ok(frames) => frames.iter().for_each(|(name, body)| peer.emit(name, *body)),
                Err(error) => tracing::error!(%error, "a receipt cannot be encoded"),
            }
        }
    }

    /// Tells the senders what has reached somebody.
    pub(super) fn tell_delivery(&self, advanced: &pb::DeliveredAdvanced, recipients: &[UserId]) {
        let event = DeliveredAdvanced::new(advanced);
        for peer in self.sockets.of(recipients) {
            match event.frame(peer.identity().user_id, peer.dialect()) {
                Ok(Some((name, body))) => peer.emit(name, body),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a receipt cannot be encoded"),
            }
        }
    }
}
