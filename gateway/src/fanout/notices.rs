//! What is neither a message nor a state: groups, requests, profiles, one after the other as they came to
//! the stream.

use std::sync::Arc;

use chat_kit::id::UserId;
use chat_proto::v1::event::Payload;

use super::Fanout;
use crate::{metrics::Cut, wire::event::Notice};

/// Notices that wait for the end of a replay.
const MOST_WAITING: usize = 10_000;

/// How an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As it was published.
    Live,
    /// Out of the stream.
    Again,
}

/// Notices that came live during a replay: what the replay still brings happened before them.
#[derive(Debug, Default)]
pub(super) struct Notices(Vec<(Payload, Arc<[UserId]>)>);

impl Notices {
    /// Forgets them: whoever was to hear them is cut.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Fanout {
    /// Emits a notice, behind those of a replay that is under way.
    pub(super) fn hear_notice(&mut self, payload: Payload, recipients: Arc<[UserId]>, way: Way) {
        if way == Way::Again || !self.settled.is_replaying() {
            return self.notify(&payload, &recipients);
        }
        if self.notices.0.len() == MOST_WAITING {
            tracing::error!("too many notices wait for a replay, cutting the sockets concerned");
            return self.cut(&recipients);
        }
        self.notices.0.push((payload, recipients));
    }

    /// Emits what waited for the end of a replay.
    pub(super) fn end_notices(&mut self) {
        for (payload, recipients) in std::mem::take(&mut self.notices.0) {
            self.notify(&payload, &recipients);
        }
    }

    fn notify(&self, payload: &Payload, recipients: &[UserId]) {
        let Some(notice) = Notice::new(payload) else { return };
        for peer in self.sockets.of(recipients) {
            let user_id = peer.identity().user_id.to_string();
            match notice.frame(peer.dialect(), &user_id) {
                Ok(Some((name, body))) => peer.emit(name, body.as_ref()),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "a notice cannot be encoded, cutting a socket");
                    peer.cut(Cut::OrderLost);
                }
            }
        }
    }
}
