//! The soak story in short: see `chat_e2e::crashes::soak`.

use std::time::Duration;

use chat_e2e::crashes::{
    Plan as Crashes,
    soak::{self, Plan},
};

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_cut_again_and_again_miss_nothing() {
    let plan = Plan {
        clients: 40,
        time: Duration::from_secs(20),
        rate: 20,
        restarts_nats: true,
        seed: Crashes::new(0).seed,
    };
    let outcome = soak::run(plan).await.expect("the story can be told");
    let violations = outcome.violations.join("\n");
    assert!(violations.is_empty(), "{violations}\n{}", outcome.summary);
}
