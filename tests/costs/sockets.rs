//! What sockets ask for: the events that clients send, one after the other, and calls from their first ring
//! to their end.

use std::net::SocketAddr;

use chat_e2e::{
    harness::{PATIENCE, Person, text},
    socket::{self, Heard, Sender},
};
use chat_local::testing::TestSuite;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::{
    tour::NEW,
    world::{WORD, World},
};

/// Earlier than everything.
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// A socket that is read all the time, lest its pings wait for an answer.
struct Line {
    sender: Sender,
    answers: mpsc::UnboundedReceiver<Value>,
    _reading: JoinSet<()>,
}

impl Line {
    async fn open(person: &Person, gateway: SocketAddr) -> Self {
        let auth = json!({ "token": person.token, "clientType": "unified" });
        let connected = socket::connect(gateway, &auth, PATIENCE).await;
        let (sender, mut receiver) = connected.expect("a connection");
        let (told, answers) = mpsc::unbounded_channel();
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            loop {
                match receiver.next().await {
                    Heard::Ack(_, answer) => {
                        let answer = serde_json::from_str(answer.body()).expect("JSON");
                        if told.send(answer).is_err() {
                            return;
                        }
                    }
                    Heard::Event(_) => {}
                    _ => return,
                }
            }
        });
        Self { sender, answers, _reading: reading }
    }

    /// Sends an event, which is accepted; returns its acknowledgement.
    async fn ask(&mut self, name: &str, body: &Value) -> Value {
        self.sender.emit_with_ack(1, name, &body.to_string()).await.expect("written");
        let answer = timeout(PATIENCE, self.answers.recv()).await;
        let answer = answer.ok().flatten().unwrap_or_else(|| panic!("no answer to {name}"));
        assert_eq!(answer["ok"], true, "{name} {body}: {answer}");
        answer
    }
}

/// Who sends an event.
#[derive(Clone, Copy)]
enum Side {
    Caller,
    Peer,
}

/// An event that is sent.
pub struct Step {
    side: Side,
    /// Its name.
    pub name: &'static str,
    body: Value,
}

/// The sockets of a world's caller and of the peer, each at a gateway of its own.
pub struct Lines {
    gateway: SocketAddr,
    caller: Line,
    peer: Line,
    call: Value,
}

impl Lines {
    pub async fn open(suite: &TestSuite, world: &World) -> Self {
        let [gateway, other] = [suite.gateways[0], suite.gateways[1]];
        let caller = Line::open(&world.caller, gateway).await;
        let peer = Line::open(&world.peer, other).await;
        Self { gateway, caller, peer, call: Value::Null }
    }

    /// Lets the caller come back on another socket, the old one gone.
    pub async fn reconnect(&mut self, world: &World) {
        self.caller = Line::open(&world.caller, self.gateway).await;
    }

    /// Sends an event; one about a call is about the last that was placed.
    pub async fn make(&mut self, step: &Step) {
        let mut body = step.body.clone();
        if let Some(id) = body.get_mut("callId") {
            *id = self.call.clone();
        }
        let line = match step.side {
            Side::Caller => &mut self.caller,
            Side::Peer => &mut self.peer,
        };
        let answer = line.ask(step.name, &body).await;
        if step.name == "call:invite" {
            self.call = answer["call"]["id"].clone();
        }
    }

    /// Sends some events.
    pub async fn make_all(&mut self, steps: &[Step]) {
        for step in steps {
            self.make(step).await;
        }
    }
}

fn by_caller(name: &'static str, body: Value) -> Step {
    Step { side: Side::Caller, name, body }
}

fn by_peer(name: &'static str, body: Value) -> Step {
    Step { side: Side::Peer, name, body }
}

/// Returns what clients send of messages, and makes before what they need.
pub async fn talk(world: &World) -> Vec<Step> {
    let (group, direct, page) = (&world.group, &world.direct, world.size.page);
    let messages = [world.sent_by(&world.peer).await, {
        let sent = world.peer.send(direct, WORD).await;
        text(&sent["_id"]).to_owned()
    }];
    let history = format!("/api/messages?conversationId={group}&{NEW}&limit={page}");
    let history = world.caller.get(&history).await;
    let history = history["messages"].as_array().expect("messages");
    let of_peer = history.iter().filter(|message| message["senderId"] == world.peer.id);
    let of_peer = of_peer.map(|message| text(&message["id"]).to_owned());
    let arrived: Vec<String> = of_peer.chain(messages.clone()).collect();
    let list = world.caller.get(&format!("/api/conversations?{NEW}&limit={page}")).await;
    let list = list["conversations"].as_array().expect("conversations");
    let known = list.iter().map(|row| json!({ "id": row["id"], "seq": 1 })).collect::<Vec<_>>();
    vec![
        by_caller("message:send", json!({ "conversationId": group, "content": WORD })),
        by_caller("receipt:delivered", json!({ "messageIds": arrived })),
        by_caller("mark-read", json!({ "conversationId": group, "messageIds": messages[..1] })),
        by_caller("receipt:read", json!({ "conversationId": direct, "seq": world.size.messages })),
        by_caller("receipt:read", json!({ "conversationId": direct })),
        by_caller("read_up_to", json!({ "conversationId": group })),
        by_caller("typing", json!({ "conversationId": group, "isTyping": true })),
        by_caller("typing", json!({ "conversationId": group, "isTyping": false })),
        by_caller("typing", json!({ "to": world.peer.id, "isTyping": true })),
        by_caller("sync", json!({ "conversations": known })),
        by_caller("sync", json!({ "conversations": known, "since": LONG_AGO })),
    ]
}

fn invite(world: &World) -> Step {
    let sdp = json!({ "type": "offer", "sdp": "v=0\r\n" });
    by_caller("call:invite", json!({ "userId": world.peer.id, "sdp": sdp, "kind": "audio" }))
}

fn candidate() -> Value {
    json!({ "callId": null, "candidate": { "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host" } })
}

/// Returns the beginning of a call.
pub fn rings_and_is_taken(world: &World) -> Vec<Step> {
    let sdp = json!({ "type": "answer", "sdp": "v=0\r\n" });
    vec![
        invite(world),
        by_caller("call:candidate", candidate()),
        by_peer("call:candidate", candidate()),
        by_peer("call:answer", json!({ "callId": null, "accept": true, "sdp": sdp })),
        by_caller("call:candidate", candidate()),
    ]
}

/// Returns its end.
pub fn ends() -> Vec<Step> {
    vec![by_peer("call:hangup", json!({ "callId": null }))]
}

/// Returns a call that is declined.
pub fn rings_and_is_declined(world: &World) -> Vec<Step> {
    vec![invite(world), by_peer("call:answer", json!({ "callId": null, "accept": false }))]
}

/// Returns everything that clients send, and makes before what it needs.
pub async fn all(world: &World) -> Vec<Step> {
    let mut steps = talk(world).await;
    steps.extend(rings_and_is_taken(world));
    steps.extend(ends());
    steps.extend(rings_and_is_declined(world));
    steps
}
