//! The official Socket.IO client of npm walks through the flows of both client families.

use chat_local::testing;
use tokio::process::Command;

use crate::program;

#[tokio::test(flavor = "multi_thread")]
async fn flows_of_both_client_families_pass() {
    let suite = testing::suite(|_| {}).await;
    let mut flows = Command::new("node");
    flows
        .args(["--test"])
        .current_dir(program::clients().await)
        .env("GATEWAY_A", format!("http://{}", suite.gateways[0]))
        .env("GATEWAY_B", format!("http://{}", suite.gateways[1]))
        .env("CHAT_TEST_TOKEN_SECRET", &suite.token_secret);
    program::run(&mut flows, "node --test").await;
}
