//! Calls in a real browser, sound and picture included, and a real TURN server. Needs `chromium` and
//! `coturn` of Debian: `.ci/install` has them.

use std::{net::Ipv4Addr, path::Path, process::Stdio, sync::Arc};

use chat_e2e::harness::eventually;
use chat_kit::config::Secret;
use chat_local::testing;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::program;

/// Fails where a program is not there, with the remedy.
fn require(program: &str) {
    let is_there =
        ["/usr/bin", "/usr/local/bin"].iter().any(|at| Path::new(at).join(program).exists());
    assert!(is_there, "{program} is not installed: run .ci/install");
}

/// Describes a program of Node.js towards two gateways.
async fn pages(name: &str, gateways: [std::net::SocketAddr; 2], secret: &str) -> Command {
    let mut pages = Command::new("node");
    pages
        .arg(name)
        .current_dir(program::clients().await)
        .env("GATEWAY_A", format!("http://{}", gateways[0]))
        .env("GATEWAY_B", format!("http://{}", gateways[1]))
        .env("CHAT_TEST_TOKEN_SECRET", secret);
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_a_call_over_two_gateways_and_the_death_of_one() {
    require("chromium");
    let suite = Box::pin(testing::processes(1, &(Arc::new(|_: &str| {}) as _))).await;
    let [first, second] = &suite.suite.gateways[..] else { panic!("two gateways") };
    let mut pages = pages("call_pages.mjs", [first.address, second.address], "of processes").await;
    pages.env("GATEWAY_A_PID", first.pid().expect("it runs").to_string());
    program::run(&mut pages, "two pages").await;
    assert_eq!(first.starts(), 2, "the gateway was killed");
}

/// Starts a TURN server of this secret on a free port; it ends with the value.
async fn turn_server(secret: &str) -> (u16, Child) {
    require("turnserver");
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let directory = chat_local::build_directory().expect("a build directory");
    let directory = directory.join("test").join(std::process::id().to_string()).join("turn");
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("turnserver.conf");
    let lines = [
        "listening-ip=127.0.0.1".to_owned(),
        "relay-ip=127.0.0.1".to_owned(),
        format!("listening-port={port}"),
        "use-auth-secret".to_owned(),
        format!("static-auth-secret={secret}"),
        "realm=chat.test".to_owned(),
        "allow-loopback-peers".to_owned(),
        "no-tls".to_owned(),
        "no-dtls".to_owned(),
        "no-cli".to_owned(),
        format!("log-file={}", directory.join("log").display()),
        format!("pidfile={}", directory.join("pid").display()),
        "simple-log".to_owned(),
    ];
    std::fs::write(&file, lines.join("\n")).expect("written");
    let server = Command::new("turnserver")
        .arg("-c")
        .arg(&file)
        .arg("--userdb")
        .arg(directory.join("users"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a TURN server");
    eventually("the TURN server listens", async || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
    })
    .await;
    (port, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_the_suite_open_a_relay() {
    require("chromium");
    let secret = chat_kit::caller::new_request_id();
    let (port, _server) = turn_server(&secret).await;
    let suite = testing::suite(|options| {
        options.ice.turn = Some(chat_call::Turn {
            urls: ["udp", "tcp"]
                .map(|transport| format!("turn:127.0.0.1:{port}?transport={transport}"))
                .to_vec(),
            secret: Secret::new(&secret),
            ttl: std::time::Duration::from_hours(1),
        });
    })
    .await;
    let [one, other] = suite.gateways[..] else { panic!("two gateways") };
    let mut pages = pages("relay_pages.mjs", [one, other], &suite.token_secret).await;
    pages.env("TURN_PORT", port.to_string()).env("TURN_SECRET", &secret);
    program::run(&mut pages, "two pages behind a relay").await;
}
