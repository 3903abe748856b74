//! The crash story in short: see `chat_e2e::crashes`.

use chat_e2e::crashes::{self, Plan};

/// As many as fit into three quarters of a minute.
const KILLS: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_processes_are_killed() {
    let outcome = crashes::run(Plan::new(KILLS)).await.expect("the story can be told");
    let violations = outcome.violations.join("\n");
    assert!(violations.is_empty(), "{violations}\n{}", outcome.summary);
}
