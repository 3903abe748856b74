//! The official Socket.IO client of npm walks through the flows of both client families.

use chat_local::testing::{self, TestSuite};
use serde_json::json;
use tokio::process::Command;

use crate::{program, recipients::imported};

/// Describes a run of Node.js towards a suite.
async fn flows(suite: &TestSuite, arguments: &[&str]) -> Command {
    let mut flows = Command::new("node");
    flows
        .args(arguments)
        .current_dir(program::clients().await)
        .env("GATEWAY_A", format!("http://{}", suite.gateways[0]))
        .env("GATEWAY_B", format!("http://{}", suite.gateways[1]))
        .env("CHAT_TEST_TOKEN_SECRET", &suite.token_secret);
    flows
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_of_both_client_families_pass() {
    let suite = testing::suite(|_| {}).await;
    let (person, email) = imported(&suite).await;
    let person = json!({
        "id": person.id, "phone": person.phone, "token": person.token, "email": email,
    });
    let mut flows = flows(&suite, &["--test"]).await;
    flows.env("CHAT_TEST_IMPORTED", person.to_string());
    program::run(&mut flows, "node --test").await;
}
