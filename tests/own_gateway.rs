//! A gateway beside those of a suite, which a story can start, stop and cut off alone.

use std::{net::SocketAddr, time::Duration};

use chat_gateway::config::{Config, Http, Token};
use chat_kit::{
    config::{Nats, SigningSecret, Stop, Telemetry, Upstream},
    shutdown::Lifecycle,
};
use chat_local::testing::TestSuite;
use tokio::net::TcpListener;

/// The gateway; it ends with this value.
pub struct OwnGateway {
    pub address: SocketAddr,
    life: Lifecycle,
}

impl OwnGateway {
    /// Starts a gateway in front of a suite's services, its configuration changed by `change`.
    pub async fn start(suite: &TestSuite, nats: &str, change: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut config = config(suite, nats, address);
        change(&mut config);
        let gateway = chat_gateway::connect(config).await.expect("nats answers");
        let life = Lifecycle::new();
        let own = life.clone();
        life.spawn("gateway", async move { gateway.serve(listener, &own).await });
        Self { address, life }
    }

    /// Begins to end it.
    pub fn stop(&self) {
        self.life.stop();
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        self.life.ended(Duration::from_secs(10)).await.expect("no failure");
    }
}

impl Drop for OwnGateway {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// Describes a gateway in front of a suite's services.
pub fn config(suite: &TestSuite, nats: &str, listen: SocketAddr) -> Config {
    let secret = SigningSecret::new(&suite.token_secret).expect("long enough");
    Config {
        listen,
        stop: Stop { pause: Duration::ZERO, drain: Duration::from_secs(10) },
        telemetry: Telemetry::default(),
        nats: Nats::new(nats),
        token: Token::new(secret),
        auth: upstream(service(suite, "auth")),
        user: upstream(service(suite, "user")),
        conversation: upstream(service(suite, "conversation")),
        message: upstream(service(suite, "message")),
        call: upstream(service(suite, "call")),
        limits: chat_local::suite::development_limits(),
        sessions: chat_gateway::config::Sessions::default(),
        calls: chat_gateway::config::Calls::default(),
        http: Http::default(),
    }
}

/// Returns the address of a suite's service.
pub fn service(suite: &TestSuite, name: &str) -> SocketAddr {
    suite.services.iter().find(|(known, _)| *known == name).expect("a service").1
}

/// Describes a service at an address.
pub fn upstream(address: SocketAddr) -> Upstream {
    Upstream::new(format!("http://{address}").parse().expect("a URI"))
}
