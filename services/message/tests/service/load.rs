//! What becomes of sends when the services further on are slow, and when there are too many.

use std::{num::NonZeroUsize, sync::atomic::Ordering, time::Duration};

use bson::doc;
use chat_kit::id::{ConversationId, UserId};
use chat_message::config::Limits;
use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use tonic::Code;

use crate::support::{PATIENCE, assert_failed, eventually, start_slow_list, start_unheard, text};

#[tokio::test]
async fn send_beyond_the_limit_is_refused_at_once_and_not_stored() {
    let limits = Limits { sends_in_flight: NonZeroUsize::MIN, ..Limits::default() };
    let (suite, _silent) = start_unheard(limits).await;
    let send = || suite.send(UserId::new(), text(ConversationId::new(), "hi"));
    let mut sends: FuturesUnordered<_> = [send(), send()].into_iter().collect();
    // The other one waits for the conversation service until its deadline.
    let refused = tokio::time::timeout(PATIENCE, sends.next()).await.expect("at once");
    assert_failed(refused.expect("two sends"), Code::Unavailable, "overloaded");
    let failed = tokio::time::timeout(PATIENCE, sends.next()).await.expect("at the deadline");
    failed.expect("two sends").expect_err("nobody says who may send");
    suite.assert_stored(None, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_preview_is_neither_waited_for_nor_given_up() {
    // So that no relay does what is left.
    let limits = Limits { relay_after: Duration::from_mins(10), ..Limits::default() };
    let (suite, handed_on) = start_slow_list(limits).await;
    let pair = suite.pair().await;
    let sends = (0..60).map(|_| suite.say(pair.ada, pair.conversation, "hi"));
    join_all(sends).await;
    let stored = suite.stored();
    eventually("all have been announced and shown", async || {
        stored.count_documents(doc! { "outbox.0": { "$exists": true } }).await.expect("a count")
            == 0
    })
    .await;
    assert_eq!(handed_on.load(Ordering::Relaxed), 60);
}
