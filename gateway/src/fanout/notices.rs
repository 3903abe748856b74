//! What is neither a message nor a state: groups, requests, profiles, one after the other as they came to
//! the stream.

use std::{collections::HashMap, sync::Arc};

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

/// Notices that came live during a replay, by the ids of their events: what the replay still brings
/// happened before them, unless it is one of them.
#[derive(Debug, Default)]
pub(super) struct Notices {
    waiting: HashMap<Box<str>, Waiting>,
    /// How many have come to wait.
    count: u64,
}

#[derive(Debug)]
struct Waiting {
    /// The first that came has the least.
    number: u64,
    payload: Payload,
    recipients: Arc<[UserId]>,
}

impl Notices {
    /// Forgets them: whoever was to hear them is cut.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Forgets one of them; says whether it has waited.
    pub(super) fn forget(&mut self, id: &str) -> bool {
        self.waiting.remove(id).is_some()
    }

    fn wait(&mut self, id: &str, payload: Payload, recipients: Arc<[UserId]>) {
        self.count += 1;
        let number = self.count;
        self.waiting.entry(id.into()).or_insert(Waiting { number, payload, recipients });
    }

    /// Takes all of them, in the order in which they came.
    fn take(&mut self) -> Vec<Waiting> {
        let mut waiting: Vec<Waiting> = self.waiting.drain().map(|(_, waiting)| waiting).collect();
        waiting.sort_unstable_by_key(|waiting| waiting.number);
        waiting
    }
}

impl Fanout {
    /// Emits a notice, behind those of a replay that is under way.
    pub(super) fn hear_notice(
        &mut self,
        id: &str,
        payload: Payload,
        recipients: Arc<[UserId]>,
        way: Way,
    ) {
        if way == Way::Again || !self.settled.is_replaying() {
            return self.notify(&payload, &recipients);
        }
        if self.notices.waiting.len() == MOST_WAITING {
            tracing::error!("too many notices wait for a replay, cutting the sockets concerned");
            return self.cut(&recipients);
        }
        self.notices.wait(id, payload, recipients);
    }

    /// Emits what waited for the end of a replay.
    pub(super) fn end_notices(&mut self) {
        for Waiting { payload, recipients, .. } in self.notices.take() {
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use async_nats::Message;
    use chat_kit::nats::Reach;
    use chat_proto::v1 as pb;
    use prost::Message as _;
    use serde_json::json;
    use tokio::{sync::mpsc, time::Instant};

    use super::*;
    use crate::{
        fanout::replay::Replayed,
        socket::{Peer, Sockets},
        state::AppState,
    };

    /// As many ids as are remembered.
    const MANY: usize = 50_000;

    /// A fan-out during a replay; no service is there.
    fn replaying(sockets: &Sockets) -> Fanout {
        let nowhere = json!({ "url": "http://127.0.0.1:1" });
        let config = json!({
            "nats": { "url": "nats://127.0.0.1:1" },
            "token": { "secret": "0123456789abcdef0123456789abcdef" },
            "auth": nowhere, "user": nowhere, "conversation": nowhere, "message": nowhere,
            "call": nowhere,
        });
        let config = serde_json::from_value(config).expect("a configuration");
        let (filled, _) = mpsc::channel(1);
        let mut fanout = Fanout::new(AppState::new(config), sockets.clone(), filled);
        fanout.settled.note(true, false, Instant::now());
        fanout
    }

    /// Says that somebody has left a conversation.
    fn left(conversation: &str, recipient: UserId) -> Message {
        let removed = pb::MembersRemoved {
            conversation_id: conversation.to_owned(),
            ..pb::MembersRemoved::default()
        };
        event(conversation, Payload::MembersRemoved(removed), &[recipient])
    }

    fn event(id: &str, payload: Payload, recipients: &[UserId]) -> Message {
        let event = pb::Event {
            id: id.to_owned(),
            recipient_ids: recipients.iter().map(UserId::to_string).collect(),
            payload: Some(payload),
            ..pb::Event::default()
        };
        let payload = event.encode_to_vec();
        Message {
            subject: "test".into(),
            reply: None,
            length: payload.len(),
            payload: payload.into(),
            headers: None,
            status: None,
            description: None,
        }
    }

    fn end_replay(fanout: &mut Fanout) {
        fanout.settled.note(false, true, Instant::now());
        fanout.hear_again(Replayed::End(Reach::Whole));
    }

    /// Returns the conversations that a socket has heard of.
    fn told(peer: &Peer) -> Vec<String> {
        let conversation =
            |body: serde_json::Value| body["conversationId"].as_str().map(str::to_owned);
        peer.early().into_iter().filter_map(conversation).collect()
    }

    #[tokio::test]
    async fn what_waits_for_a_replay_that_brings_it_is_told_once_and_in_its_place() {
        let (sockets, user) = (Sockets::default(), UserId::new());
        let registration = sockets.register(Peer::test(user, SystemTime::now()));
        let peer = sockets.of(&[user]).remove(0);
        let mut fanout = replaying(&sockets);
        for conversation in ["second", "third", "fourth"] {
            fanout.hear(&left(conversation, user), Way::Live);
        }
        assert!(told(&peer).is_empty(), "what the replay brings comes first");
        for id in 0..MANY {
            let changed = Payload::PresenceChanged(pb::PresenceChanged::default());
            fanout.hear(&event(&id.to_string(), changed, &[]), Way::Again);
        }
        // The ids of what waits are forgotten by now: it is published again, and replayed.
        fanout.hear(&left("fourth", user), Way::Live);
        for conversation in ["first", "second"] {
            fanout.hear_again(Replayed::Event(left(conversation, user)));
        }
        assert_eq!(told(&peer), ["first", "second"]);
        end_replay(&mut fanout);
        assert_eq!(told(&peer), ["first", "second", "third", "fourth"]);
        end_replay(&mut fanout);
        assert_eq!(told(&peer).len(), 4);
        drop(registration);
    }

    #[tokio::test]
    async fn what_waits_for_a_short_replay_that_brings_it_is_told_in_its_place() {
        let (sockets, user) = (Sockets::default(), UserId::new());
        let registration = sockets.register(Peer::test(user, SystemTime::now()));
        let peer = sockets.of(&[user]).remove(0);
        let mut fanout = replaying(&sockets);
        fanout.hear(&left("first", user), Way::Live);
        // The second did not come live.
        for conversation in ["first", "second", "first"] {
            fanout.hear_again(Replayed::Event(left(conversation, user)));
        }
        end_replay(&mut fanout);
        assert_eq!(told(&peer), ["first", "second"]);
        drop(registration);
    }
}
