//! The official Socket.IO client of npm walks through the flows of both client families.

use std::{net::Ipv4Addr, time::Duration};

use chat_kit::config::Upstream;
use chat_local::testing::{self, TestSuite};
use serde_json::json;
use tokio::{net::TcpListener, process::Command};

use crate::{
    own_gateway::{OwnGateway, service, upstream},
    program,
    proxy::Proxy,
    recipients::imported,
};

/// What ends by itself, in the suite that does not keep clients waiting.
const CODE: Duration = Duration::from_secs(3);
const RING: Duration = Duration::from_secs(3);
/// How long a bound socket counts as there without a word of its gateway, and how long a call waits for one.
const LEASE: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(3);
const RENEWALS: Duration = Duration::from_millis(500);

/// How long a call to a service may take that is away.
const SHORT: Duration = Duration::from_millis(500);

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

#[tokio::test(flavor = "multi_thread")]
async fn codes_and_calls_end_by_themselves_for_both_client_families() {
    let suite = testing::suite(|options| {
        options.otp.ttl = CODE;
        options.calls.ring_timeout = RING;
        options.calls.lease = LEASE;
        options.calls.grace = GRACE;
        options.bound_sockets.renew_interval = RENEWALS;
    })
    .await;
    let spans = json!({
        "code": CODE.as_millis(), "ring": RING.as_millis(), "lease": LEASE.as_millis(),
        "grace": GRACE.as_millis(),
    });
    let mut flows = flows(&suite, &["--test", "short_lives.mjs"]).await;
    flows.env("SPANS", spans.to_string());
    program::run(&mut flows, "node --test short_lives.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_back_that_connected_while_sessions_could_not_be_checked() {
    let suite = testing::suite(|_| {}).await;
    let proxy = Proxy::new(&format!("http://{}", service(&suite, "auth"))).await;
    let nats = &testing::servers().await.nats_url;
    let gateway = OwnGateway::start(&suite, nats, |config| {
        config.auth = Upstream { timeout: SHORT, ..upstream(proxy.address) };
    })
    .await;
    proxy.close();
    let mend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = mend.local_addr().expect("an address").port();
    let mut flows = flows(&suite, &["away.mjs"]).await;
    flows.env("GATEWAY_B", format!("http://{}", gateway.address)).env("MEND", port.to_string());
    let mending = async {
        mend.accept().await.expect("a client that has been cut");
        proxy.open();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = program::run(&mut flows, "node away.mjs") => {}
        () = mending => {}
    }
}
