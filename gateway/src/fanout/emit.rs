//! A message on its way to the sockets of its recipients.

use bson::{DateTime, oid::ObjectId};
use chat_kit::time::from_timestamp;
use chat_proto::v1 as pb;

use super::{Fanout, Item};
use crate::{
    metrics::{Cut, FANOUT},
    socket::Peer,
    wire::event::{MessageCreated, Standing, ToRecipient},
};

impl Fanout {
    /// Emits a message to the sockets that hear it, in a span of its own where there are any.
    pub(super) fn emit(&self, item: &Item) {
        let message = &item.message;
        let peers = self.sockets.of(&item.recipients);
        if peers.is_empty() {
            return;
        }
        let _span = item.cause.emission(&self.state.part, message, peers.len()).entered();
        emit_to(&peers, message);
        // An event of a message occurs when it is stored.
        if let Some(occurred_at) = message.created_at.as_ref().map(from_timestamp) {
            FANOUT.lag.record(DateTime::now().saturating_duration_since(occurred_at));
        }
    }
}

fn emit_to(peers: &[Peer], message: &pb::Message) {
    let event = MessageCreated::new(message);
    let sender = message.sender_id.parse().ok();
    let origin = message.origin_id.as_ref().and_then(|id| ObjectId::parse_str(id).ok());
    let mut recipient = None;
    for peer in peers {
        let user_id = peer.identity().user_id;
        let standing = if Some(user_id) != sender {
            Standing::Recipient
        } else if Some(peer.origin_id()) == origin {
            Standing::Origin
        } else {
            Standing::Sender
        };
        // The sockets of a user come one after the other.
        if recipient.as_ref().is_none_or(|recipient: &ToRecipient| !recipient.is(user_id)) {
            recipient = Some(event.to(user_id));
        }
        let Some(recipient) = &recipient else { continue };
        match recipient.frames(peer.dialect(), standing) {
            Ok(frames) => {
                for (name, body) in frames {
                    peer.emit(name, body);
                }
            }
            Err(error) => {
                tracing::error!(%error, id = message.id, "cannot be encoded, cutting a socket");
                peer.cut(Cut::OrderLost);
            }
        }
    }
}
