//! Hears what the service says of a call.

use std::collections::VecDeque;

use async_nats::Subscriber;
use chat_kit::nats;
use chat_proto::{
    subject,
    v1::{Event, event::Payload},
};
use futures_util::{StreamExt as _, stream::select};
use prost::Message as _;

use crate::support::{PATIENCE, nats as config};

/// Hears all events, on a connection of its own.
pub struct Ear {
    events: futures_util::stream::Select<Subscriber, Subscriber>,
    /// Events of other calls than the one that was listened for.
    others: VecDeque<Event>,
    // The subscriptions end with it.
    _connection: async_nats::Client,
}

impl Ear {
    pub async fn open() -> Self {
        let connection = nats::connect(&config().await, "test").await.expect("nats answers");
        let log = nats::subscribe(&connection, subject::LOG_WILDCARD).await.expect("subscribed");
        let live = nats::subscribe(&connection, subject::LIVE_WILDCARD).await.expect("subscribed");
        Self { events: select(log, live), others: VecDeque::new(), _connection: connection }
    }

    /// Waits for the next event of a call.
    pub async fn hear(&mut self, call: &str) -> Event {
        let of_call = |event: &Event| event.id.starts_with(call);
        if let Some(place) = self.others.iter().position(of_call) {
            return self.others.remove(place).expect("found");
        }
        let heard = tokio::time::timeout(PATIENCE, async {
            loop {
                let heard = self.events.next().await.expect("the subscription lives");
                let event = Event::decode(heard.payload).expect("an event");
                if of_call(&event) {
                    return event;
                }
                self.others.push_back(event);
            }
        });
        heard.await.expect("announced in time")
    }

    /// Says whether more was heard of a call meanwhile.
    pub fn has_heard(&self, call: &str) -> bool {
        self.others.iter().any(|event| event.id.starts_with(call))
    }

    /// Waits for the next event of a call, which is its end; returns who ended it.
    pub async fn hear_end(&mut self, call: &str) -> String {
        match self.hear(call).await.payload {
            Some(Payload::CallEnded(ended)) => {
                assert_eq!(ended.call.expect("a call").id, call);
                ended.by
            }
            other => panic!("{other:?}"),
        }
    }

    /// Passes over what is said of a call until it is answered. One that is answered at once may not be said
    /// to ring.
    pub async fn hear_answered(&mut self, call: &str) {
        let mut heard = self.hear(call).await.payload;
        if matches!(heard, Some(Payload::CallPlaced(_))) {
            heard = self.hear(call).await.payload;
        }
        assert!(matches!(heard, Some(Payload::CallAnswered(_))), "{heard:?}");
    }
}
