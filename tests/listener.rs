//! A WebSocket that speaks just enough Socket.IO to hear events, and to see how its transport ends.

use std::{collections::VecDeque, net::SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::harness::{PATIENCE, Person, text};

/// A connected socket.
pub struct Listener {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heard: VecDeque<(String, Value)>,
}

/// What a transport brings.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// An event.
    Event(String, Value),
    /// The server's refusal of the CONNECT packet (`44`).
    Refused(Value),
    /// The server's goodbye to the namespace (`41`), after which old clients never come back.
    Goodbye,
    /// The end of the transport.
    End,
}

impl Listener {
    /// Connects, declaring a client type, and waits until the namespace is open.
    pub async fn connect(gateway: SocketAddr, person: &Person, client_type: &str) -> Self {
        let auth = json!({ "token": person.token, "clientType": client_type });
        let mut listener = Self::open(gateway, &auth).await;
        let packet = listener.packet().await.expect("an answer to CONNECT");
        assert!(packet.starts_with("40"), "{packet}");
        listener
    }

    /// Connects by polling, then moves to a WebSocket, as the official client does.
    pub async fn upgrade(gateway: SocketAddr, person: &Person, client_type: &str) -> Self {
        let id = Polling::connect(gateway, person, client_type).await.id;
        let url = format!("ws://{gateway}/socket.io/?EIO=4&transport=websocket&sid={id}");
        let (stream, _) = connect_async(url).await.expect("a WebSocket");
        let mut listener = Self { stream, heard: VecDeque::new() };
        listener.write("2probe".to_owned()).await;
        assert_eq!(listener.packet().await.as_deref(), Some("3probe"));
        listener.write("5".to_owned()).await;
        listener
    }

    /// Opens a transport and sends the CONNECT packet.
    pub async fn open(gateway: SocketAddr, auth: &Value) -> Self {
        let url = format!("ws://{gateway}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = connect_async(url).await.expect("a WebSocket");
        let mut listener = Self { stream, heard: VecDeque::new() };
        let handshake = listener.packet().await.expect("a handshake");
        assert!(handshake.starts_with('0'), "{handshake}");
        listener.write(format!("40{auth}")).await;
        listener
    }

    /// Returns the next thing heard.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some((name, body)) = self.heard.pop_front() {
                return Heard::Event(name, body);
            }
            let Some(packet) = self.packet().await else { return Heard::End };
            match packet.get(..2) {
                Some("42") => {
                    let (name, body) = serde_json::from_str(&packet[2..]).expect("an event");
                    self.heard.push_back((name, body));
                }
                Some("44") => {
                    return Heard::Refused(serde_json::from_str(&packet[2..]).expect("a reason"));
                }
                Some("41") => return Heard::Goodbye,
                _ => {}
            }
        }
    }

    /// Returns the body of the next event, which must have this name.
    pub async fn expect(&mut self, name: &str) -> Value {
        match self.next().await {
            Heard::Event(heard, body) if heard == name => body,
            other => panic!("{other:?} instead of {name}"),
        }
    }

    async fn write(&mut self, packet: String) {
        self.stream.send(Message::text(packet)).await.expect("an open transport");
    }

    /// Returns the next packet but pings, or nothing at the end of the transport.
    async fn packet(&mut self) -> Option<String> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
            match next.expect("something in time")? {
                Ok(Message::Text(text)) if text.as_str() == "2" => {
                    self.write("3".to_owned()).await;
                }
                Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// A polling transport.
pub struct Polling {
    http: reqwest::Client,
    url: String,
    id: String,
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
