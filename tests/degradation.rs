//! What every route and event does while a part of the suite is dead, stands still or comes and goes: what
//! the table in `docs/operations.md` says, cell by cell, within its deadline, and everything again
//! afterwards, on the same sockets and without a restart.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chat_e2e::{
    harness::{Person, eventually, new_phone, text},
    socket::{self, ConnectError, Heard, Receiver, Sender},
};
use chat_local::{
    process::{Process, Signal},
    testing::{self, TestProcesses},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout, timeout_at};

const OPERATIONS: &str = include_str!("../docs/operations.md");

/// Longest time that any answer may take: the gateway's deadline for requests, and its way.
const DEADLINE: Duration = Duration::from_secs(17);
/// How long a message may take that is heard at once.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How long a fault may take to be noticed by those who ask.
const NOTICED: Duration = Duration::from_secs(10);
/// How long everything may take to work again.
const RECOVERY: Duration = Duration::from_secs(40);

/// The word for an answer after which the same request may be sent again, and the errors that say so.
const TRY_AGAIN: &str = "try again";
const UNAVAILABLE: &str = "unavailable";
const TIMEOUT: &str = "timeout";

/// What was seen, by the heading of its column.
type Row = BTreeMap<&'static str, String>;

/// The suite, and somebody who hears at the second gateway.
struct Scene {
    suite: TestProcesses,
    reader: Person,
}

/// People at the first gateway before a fault: one with a live socket, and one whose session nobody has
/// asked for yet. Both share a conversation with the reader, who listens.
struct Cast {
    writer: (Sender, Receiver),
    heard: Receiver,
    visitor: Person,
    conversation: String,
    visited: String,
}

impl Scene {
    async fn cast(&self) -> Cast {
        let gateway = self.suite.suite.gateways[0].address;
        let (writer, visitor) = (Person::new(gateway).await, Person::new(gateway).await);
        let conversation = self.reader.open(&writer).await;
        let visited = self.reader.open(&visitor).await;
        let auth = json!({ "token": writer.token, "clientType": "unified" });
        let writer = socket::connect(gateway, &auth, DEADLINE).await.expect("a socket");
        let other = self.suite.suite.gateways[1].address;
        let heard = self.reader.listen(other, "unified").await;
        Cast { writer, heard, visitor, conversation, visited }
    }

    fn process(&self, name: &str) -> Process {
        let found = self
            .suite
            .all()
            .find(|process| process.name == name || process.name.strip_suffix("-1") == Some(name));
        found.unwrap_or_else(|| panic!("no process {name}")).clone()
    }

    /// Looks at everything at once, as it would be used. `noticed` is how long a fault may take to be known
    /// to those who ask for the health.
    async fn look(&self, cast: &mut Cast, noticed: Duration) -> Row {
        let visitor = &cast.visitor;
        let list = format!("/api/conversations?me={}", visitor.id);
        let history = format!("/api/messages?conversation={}", cast.visited);
        let code = json!({ "phone": new_phone() });
        let message = json!({ "conversationId": cast.visited, "content": "by request" });
        let by_socket = send(&mut cast.writer, &cast.conversation);
        let (health, code, me, list, history, sent, connected, by_socket) = tokio::join!(
            health(visitor, noticed),
            answer(visitor, Method::POST, "/api/auth/send-otp-login", code),
            answer(visitor, Method::GET, "/api/auth/me", Value::Null),
            answer(visitor, Method::GET, &list, Value::Null),
            answer(visitor, Method::GET, &history, Value::Null),
            answer(visitor, Method::POST, "/api/messages", message),
            self.connect(visitor),
            by_socket,
        );
        BTreeMap::from([
            ("health", health),
            ("request a code", code),
            ("own profile", me),
            ("list", list),
            ("history", history),
            ("send", sent),
            ("connect", connected),
            ("send on a live socket", by_socket),
        ])
    }

    async fn connect(&self, person: &Person) -> String {
        let gateway = self.suite.suite.gateways[0].address;
        let auth = json!({ "token": person.token, "clientType": "unified" });
        match socket::connect(gateway, &auth, DEADLINE).await {
            Ok(_) => "works".to_owned(),
            Err(ConnectError::Unexpected(end)) if end.starts_with("the end") => "cut".to_owned(),
            Err(error) => format!("{error}"),
        }
    }

    /// Waits until everything works.
    async fn recovered(&self) {
        let until = Instant::now() + RECOVERY;
        loop {
            // What people need to log in and to open a conversation.
            let code = json!({ "phone": new_phone() });
            let (code, list) = tokio::join!(
                answer(&self.reader, Method::POST, "/api/auth/send-otp-login", code),
                answer(&self.reader, Method::GET, "/api/conversations", Value::Null),
            );
            let mut row = Row::from([("request a code", code), ("list", list)]);
            if row.values().all(|cell| cell == "works") {
                row = self.look(&mut self.cast().await, Duration::ZERO).await;
            }
            if row.values().all(|cell| cell == "works") {
                return;
            }
            assert!(Instant::now() < until, "does not work again: {row:?}");
        }
    }
}

/// Makes a request, and puts the answer into a word. What is no success must be an error that clients can
/// read.
async fn answer(person: &Person, method: Method, path: &str, body: Value) -> String {
    let asked = timeout(DEADLINE, person.request(method, path, body));
    let Ok((status, answer)) = asked.await else { return "no answer".to_owned() };
    if status.is_success() {
        return "works".to_owned();
    }
    assert_eq!(answer["success"], false, "{path}: {answer}");
    assert!(!text(&answer["message"]).is_empty(), "{path}: {answer}");
    let error = text(&answer["error"]);
    match status {
        StatusCode::SERVICE_UNAVAILABLE if error == UNAVAILABLE => TRY_AGAIN.to_owned(),
        StatusCode::GATEWAY_TIMEOUT if error == TIMEOUT => TRY_AGAIN.to_owned(),
        _ => format!("{status} {error}"),
    }
}

/// Asks how the suite is, until it is not well or has been well for long enough.
async fn health(person: &Person, noticed: Duration) -> String {
    let until = Instant::now() + noticed;
    loop {
        let (status, answer) = person.request(Method::GET, "/health", Value::Null).await;
        assert_eq!(answer["success"], status.is_success(), "{answer}");
        assert_eq!(answer["database"]["connected"], status.is_success(), "{answer}");
        match status {
            StatusCode::OK if Instant::now() >= until => return "works".to_owned(),
            StatusCode::OK => sleep(Duration::from_millis(200)).await,
            _ => return status.as_str().to_owned(),
        }
    }
}

/// Sends a message on a live socket, and puts the acknowledgement into a word.
async fn send((sender, receiver): &mut (Sender, Receiver), conversation: &str) -> String {
    let body = json!({ "conversationId": conversation, "content": "by socket" });
    if let Err(error) = sender.emit_with_ack(1, "message:send", &body.to_string()).await {
        return error.to_string();
    }
    let acknowledged = async {
        loop {
            match receiver.next().await {
                Heard::Ack(_, arguments) => return arguments.body().to_owned(),
                Heard::Event(_) => {}
                other => return format!("{other:?}"),
            }
        }
    };
    let Ok(answer) = timeout(DEADLINE, acknowledged).await else { return "no answer".to_owned() };
    match serde_json::from_str::<Value>(&answer) {
        Ok(answer) if answer["ok"] == true => "works".to_owned(),
        Ok(answer) => match text(&answer["error"]) {
            UNAVAILABLE | TIMEOUT => TRY_AGAIN.to_owned(),
            error => format!("refused {error}"),
        },
        Err(_) => answer,
    }
}

/// Waits for the message of the live socket.
async fn hears(receiver: &mut Receiver, within: Duration) -> Result<(), Heard> {
    let until = tokio::time::Instant::now() + within;
    loop {
        match timeout_at(until, receiver.next()).await {
            Ok(Heard::Event(event)) if event.body().contains("by socket") => return Ok(()),
            Ok(Heard::Event(_)) => {}
            Ok(other) => return Err(other),
            Err(_) => return Err(Heard::Silence),
        }
    }
}

/// Breaks a part, looks, mends it, and says what was seen.
async fn row(scene: &Scene, part: &str, fault: &str) -> Row {
    let mut cast = scene.cast().await;
    let process = scene.process(part);
    let starts = process.starts();
    if fault == "dead" {
        process.keep_down(true);
        process.signal(Signal::Kill).await.expect("killed");
        eventually("it is dead", async || process.pid().is_none()).await;
    } else {
        process.signal(Signal::Stop).await.expect("stopped");
    }
    let mut row = scene.look(&mut cast, NOTICED).await;
    let is_sent = row["send on a live socket"] == "works";
    let at_once = hears(&mut cast.heard, if is_sent { AT_ONCE } else { Duration::ZERO }).await;
    if fault == "dead" {
        process.keep_down(false);
        process.ready(starts + 1, RECOVERY).await.expect("started again");
    } else {
        process.signal(Signal::Continue).await.expect("goes on");
    }
    let heard = match at_once {
        Ok(()) => "at once".to_owned(),
        Err(Heard::Silence) if !is_sent => "–".to_owned(),
        Err(Heard::Silence) => match hears(&mut cast.heard, RECOVERY).await {
            Ok(()) => "later".to_owned(),
            Err(other) => format!("{other:?}"),
        },
        Err(other) => format!("{other:?}"),
    };
    row.insert("hear", heard);
    scene.recovered().await;
    // The sockets of before have lived through it.
    let again = send(&mut cast.writer, &cast.conversation).await;
    assert_eq!(again, "works", "{part} {fault}: the live socket of before");
    hears(&mut cast.heard, RECOVERY).await.expect("the reader's socket of before hears");
    row
}

/// Returns the rows of the table: part, fault, and what is expected by heading.
fn table() -> Vec<(String, String, BTreeMap<String, String>)> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner.split('|').map(|cell| cell.trim().replace('`', "")).collect()
    };
    let mut lines = OPERATIONS.lines().skip_while(|line| !line.starts_with("| Part | Fault |"));
    let headings = cells(lines.next().expect("the table of faults"));
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells);
    rows.map(|row| {
        let expected = headings.iter().cloned().zip(row.iter().cloned()).skip(2).collect();
        (row[0].clone(), row[1].clone(), expected)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_degrades_as_the_operations_manual_says() {
    let say: chat_local::keep::Say = Arc::new(|_: &str| {});
    let suite = testing::processes(1, &say).await;
    let reader = Person::new(suite.suite.gateways[1].address).await;
    let scene = Scene { suite, reader };
    let mut wrong = Vec::new();
    for (part, fault, expected) in table() {
        let seen = row(&scene, &part, &fault).await;
        let headings = expected.keys().map(String::as_str);
        assert!(headings.eq(seen.keys().copied()), "the headings of the table: {expected:?}");
        for (heading, cell) in &expected {
            if seen[heading.as_str()] != *cell {
                wrong.push(format!(
                    "{part} {fault}: {heading}: {cell}, saw {}",
                    seen[heading.as_str()]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Box::pin(comes_and_goes(&scene)).await;
}

/// Every part stands still and goes on, again and again: each answer is right or an error to try again
/// after, and in the end everything works.
async fn comes_and_goes(scene: &Scene) {
    for part in ["mongod", "nats-server", "auth", "user", "conversation", "message", "call"] {
        let process = scene.process(part);
        let mut casts = [scene.cast().await, scene.cast().await];
        let flapping = async {
            for _ in 0..4 {
                process.signal(Signal::Stop).await.expect("stopped");
                sleep(Duration::from_millis(700)).await;
                process.signal(Signal::Continue).await.expect("goes on");
                sleep(Duration::from_millis(300)).await;
            }
        };
        let [one, other] = &mut casts;
        let ((), first, second) = tokio::join!(
            flapping,
            scene.look(one, Duration::ZERO),
            scene.look(other, Duration::ZERO)
        );
        for (heading, cell) in first.into_iter().chain(second) {
            let right = ["works", "503", TRY_AGAIN, "cut"];
            assert!(right.contains(&cell.as_str()), "{part} comes and goes: {heading}: {cell}");
        }
        scene.recovered().await;
    }
}
