//! Who comes online and goes offline, on its way to the sockets of partners. It is a state: the newest
//! counts, whatever came before.

use chat_kit::id::UserId;
use chat_proto::v1 as pb;

use super::Fanout;

impl Fanout {
    /// Tells partners that somebody came online or went offline, unless they have been told of something
    /// later.
    pub(super) fn tell_presence(&self, changed: &pb::PresenceChanged, recipients: &[UserId]) {
        self.sockets.presence().hear(&self.sockets, changed, recipients);
    }
}
