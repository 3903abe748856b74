//! The send queue of a conversation inside one replica: inserts line up, the last number is
//! remembered, and announcements leave in the order of the numbers.

use std::{sync::Arc, time::Duration};

use chat_kit::id::ConversationId;
use moka::sync::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use crate::store::messages::Last;

/// How long an announcement waits for the one before it.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// The send queues of the conversations that a replica knows. The least used go when there are too
/// many; two queues of one conversation would only lose time, since the database decides.
#[derive(Clone)]
pub struct Queues {
    tails: Cache<ConversationId, Arc<Mutex<Tail>>>,
}

/// The end of a conversation as this replica knows it.
#[derive(Default)]
pub struct Tail {
    /// The last number: unknown, or none yet, or this one.
    pub last: Option<Option<Last>>,
    announcing: Option<oneshot::Receiver<()>>,
}

/// The place of an announcement in the order of its conversation.
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _after: oneshot::Sender<()>,
}

impl Queues {
    /// Makes room for the queues of so many conversations.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self { tails: Cache::new(most) }
    }

    /// Waits for one's place at the end of a conversation.
    pub async fn enter(&self, conversation: ConversationId) -> OwnedMutexGuard<Tail> {
        self.tails.get_with(conversation, Arc::default).lock_owned().await
    }
}

impl Tail {
    /// Takes the next place in the order of announcements.
    pub fn take_turn(&mut self) -> Turn {
        let (after, announcing) = oneshot::channel();
        Turn { before: self.announcing.replace(announcing), _after: after }
    }
}

impl Turn {
    /// Waits until the announcement before this one is on its way, or given up. The next one's turn
    /// comes when this value is dropped.
    pub async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // An error means that the one before was dropped, which is how turns end.
            tokio::time::timeout(LONGEST_TURN, before).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_in_the_order_they_were_taken() {
        let mut tail = Tail::default();
        let (mut first, mut second) = (tail.take_turn(), tail.take_turn());
        let (order, mut came) = tokio::sync::mpsc::unbounded_channel();
        let late = order.clone();
        let waiting = tokio::spawn(async move {
            second.come().await;
            late.send(2).ok();
        });
        tokio::task::yield_now().await;
        first.come().await;
        order.send(1).ok();
        drop(first);
        waiting.await.expect("the second turn comes");
        assert_eq!((came.recv().await, came.recv().await), (Some(1), Some(2)));
    }
}
