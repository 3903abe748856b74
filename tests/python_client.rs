//! The Socket.IO client of Python walks through the main flows. It is in the environment that
//! `.ci/install` makes.

use std::path::Path;

use chat_local::testing;
use tokio::process::Command;

use crate::program;

#[tokio::test(flavor = "multi_thread")]
async fn main_flows_pass_with_the_client_of_python() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = tests.join("../.ci/venv/bin/python");
    assert!(python.exists(), "{} is missing: run .ci/install", python.display());
    let suite = testing::suite(|_| {}).await;
    let mut flows = Command::new(python);
    flows
        .arg("flows.py")
        .current_dir(tests.join("python"))
        .env("GATEWAY_A", format!("http://{}", suite.gateways[0]))
        .env("GATEWAY_B", format!("http://{}", suite.gateways[1]));
    program::run(&mut flows, "flows.py").await;
}
