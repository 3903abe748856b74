//! The crash story in short, see `chat_e2e::crashes`; and what becomes of presence when a gateway is killed.

use std::{sync::Arc, time::Duration};

use chat_e2e::{
    crashes::{self, Plan},
    harness::Person,
};
use chat_local::{keep::Say, process::Signal, testing};
use tokio::time::timeout;

/// How long after the death of a gateway its users may count as online: its lease, and a sweep.
const LEASE: Duration = Duration::from_secs(20);

/// As many as fit into three quarters of a minute.
const KILLS: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_processes_are_killed() {
    let outcome = crashes::run(Plan::new(KILLS)).await.expect("the story can be told");
    let violations = outcome.violations.join("\n");
    assert!(violations.is_empty(), "{violations}\n{}", outcome.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_killed_gateway_go_offline_when_its_lease_ends() {
    let say: Say = Arc::new(|_| {});
    let suite = testing::processes(2, &say).await;
    let [first, second] = [&suite.suite.gateways[0], &suite.suite.gateways[1]];
    let watcher = Person::new(first.address).await;
    let lost = Person::new(second.address).await;
    let staying = Person::new(second.address).await;
    watcher.open(&lost).await;
    watcher.open(&staying).await;
    let mut ear = watcher.listen(first.address, "flutter").await;
    ear.expect("presence:initial").await;
    let mut phone = lost.listen(second.address, "flutter").await;
    assert_eq!(ear.expect("presence").await["online"], true);
    let mut other = staying.listen(second.address, "flutter").await;
    assert_eq!(ear.expect("presence").await["online"], true);
    let _elsewhere = staying.listen(first.address, "flutter").await;
    phone.expect("presence:initial").await;
    other.expect("presence:initial").await;

    second.keep_down(true);
    second.signal(Signal::Kill).await.expect("killed");
    let heard = timeout(LEASE, ear.expect("presence")).await.expect("in time");
    assert_eq!((heard["uid"].as_str(), &heard["online"]), (Some(lost.id.as_str()), &false.into()));
    let answer = watcher.get("/api/users/presence").await;
    assert_eq!(answer["online"], serde_json::json!([staying.id]), "he is at another gateway, too");
    second.keep_down(false);
    second.ready(2, LEASE).await.expect("it is started again");
    let _back = lost.listen(second.address, "flutter").await;
    let heard = timeout(LEASE, ear.expect("presence")).await.expect("in time");
    assert_eq!((heard["uid"].as_str(), &heard["online"]), (Some(lost.id.as_str()), &true.into()));
}
