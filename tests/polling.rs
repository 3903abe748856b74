//! A polling transport that speaks just enough Socket.IO to connect and to be upgraded.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Person, text};

/// A polling transport.
pub struct Polling {
    /// Its id at the server.
    pub id: String,
    http: reqwest::Client,
    url: String,
}

impl Polling {
    /// Connects and waits until the namespace is open.
    pub async fn connect(gateway: SocketAddr, person: &Person, client_type: &str) -> Self {
        // Longer than the server's pause between two pings, which answer a poll at the latest.
        let http = reqwest::Client::builder().timeout(2 * PATIENCE).build().expect("a client");
        let base = format!("http://{gateway}/socket.io/?EIO=4&transport=polling");
        let mut polling = Self { http, url: base.clone(), id: String::new() };
        let handshake = polling.poll().await.expect("a handshake");
        let handshake: Value = serde_json::from_str(&handshake[1..]).expect("JSON");
        text(&handshake["sid"]).clone_into(&mut polling.id);
        polling.url = format!("{base}&sid={}", polling.id);
        let auth = json!({ "token": person.token, "clientType": client_type });
        let connect = polling.http.post(&polling.url).body(format!("40{auth}"));
        connect.send().await.expect("connected");
        // The first poll may bring a ping alone.
        while !polling.poll().await.expect("an open transport").contains("40{") {}
        polling
    }

    /// Polls once; returns what came, or nothing where the server refuses the transport.
    pub async fn poll(&self) -> Option<String> {
        let answer = self.http.get(&self.url).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        answer.text().await.ok()
    }
}
