//! A Socket.IO client on a WebSocket: exact about how a connection ends, cheap enough to run by the
//! thousand. Nothing runs in the background: what is not asked for stays in the transport, so that a
//! client that stops reading is as stuck as a real one.

mod packet;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use serde_json::Value;
use thiserror::Error;
use tokio::{net::TcpStream, sync::Mutex, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, Utf8Bytes, protocol::WebSocketConfig},
};

pub use packet::{Arguments, Event};
use packet::{Packet, engine};

/// Names of events that say who is online. They come when people come and go, whatever else happens, so that
/// only who waits for one hears it.
const PRESENCE: [&str; 4] = ["presence", "presence:initial", "online-users", "user-status-changed"];
/// These, too, come on a clock of their own: they follow a message, a connection or a new conversation.
const BACKGROUND: [&str; 3] = ["conversation:created", "delivered", "receipt:delivered"];

/// Bytes read or written at once; larger events take several rounds.
const BUFFER: usize = 4 << 10;
/// Bytes that may wait to be written; more is refused.
const MOST_BUFFERED: usize = 2 << 20;
/// Pauses between pings for servers that do not say, as the Engine.IO protocol has them.
const SILENCE: Duration = Duration::from_secs(45);

/// How long a live connection may bring nothing that counts: what is waited for by then does not come.
const PATIENCE: Duration = Duration::from_mins(1);

type Transport = WebSocketStream<TcpStream>;
type Writing = Arc<Mutex<SplitSink<Transport, Message>>>;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The server did not answer in time.
    #[error("no answer in time")]
    Late,
    /// There is nobody, or the connection broke.
    #[error("{0}")]
    Broken(#[from] tungstenite::Error),
    /// The server refused the namespace (`44`), for this reason in JSON.
    #[error("refused: {0}")]
    Refused(String),
    /// The transport ended, or an answer came that no server gives.
    #[error("{0} instead of a connection")]
    Unexpected(String),
}

/// Why something was not written.
#[derive(Debug, Error)]
pub enum SendError {
    /// The server does not read. The packet may still arrive.
    #[error("not written in time")]
    Late,
    /// The transport has ended.
    #[error("{0}")]
    Broken(#[from] tungstenite::Error),
}

/// What a connection brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// An event.
    Event(Event),
    /// The acknowledgement of the event that was emitted under this number.
    Ack(u64, Arguments),
    /// The server's goodbye to the namespace (`41`), after which old clients never come back.
    Goodbye,
    /// A packet that servers of this suite do not send.
    Other(String),
    /// The server has sent nothing for longer than its pings may be apart, or nothing but pings for a minute.
    Silence,
    /// The end of the transport. Nothing else follows.
    End,
}

/// The half that emits events. The connection lives as long as one of its halves.
#[derive(Debug)]
pub struct Sender {
    writing: Writing,
    within: Duration,
}

/// The half that hears, and answers the server's pings while it is asked.
#[derive(Debug)]
pub struct Receiver {
    reading: SplitStream<Transport>,
    writing: Writing,
    within: Duration,
    silence: Duration,
    patience: Duration,
    owes_pong: bool,
    has_ended: bool,
}

/// Connects to a gateway's namespace with the payload of the CONNECT packet. `within` bounds the whole
/// handshake, and every later write.
pub async fn connect(
    gateway: SocketAddr,
    auth: &Value,
    within: Duration,
) -> Result<(Sender, Receiver), ConnectError> {
    let handshake = async {
        let (sender, mut receiver) = open(gateway, "", within).await?;
        let opened = receiver.packet().await;
        let settings = opened.as_deref().and_then(|packet| packet.strip_prefix(engine::OPEN));
        let Some(settings) = settings else { return Err(unexpected(opened)) };
        receiver.silence = packet::silence(settings).unwrap_or(SILENCE);
        receiver.write(packet::connect(auth)).await?;
        let answer = receiver.packet().await;
        match answer.as_ref().map(|packet| Packet::read(packet.clone())) {
            Some(Packet::Connected) => Ok((sender, receiver)),
            Some(Packet::Refused(reason)) => Err(ConnectError::Refused(reason)),
            _ => Err(unexpected(answer)),
        }
    };
    timeout(within, handshake).await.map_err(|_| ConnectError::Late)?
}

/// Moves a polling transport, whose namespace is open, to a WebSocket.
pub async fn upgrade(
    gateway: SocketAddr,
    transport_id: &str,
    within: Duration,
) -> Result<(Sender, Receiver), ConnectError> {
    let handshake = async {
        let query = format!("&sid={transport_id}");
        let (sender, mut receiver) = open(gateway, &query, within).await?;
        receiver.write(Utf8Bytes::from_static(engine::PROBE)).await?;
        let answer = receiver.packet().await;
        if answer.as_deref() != Some(engine::PROBED) {
            return Err(unexpected(answer));
        }
        receiver.write(Utf8Bytes::from_static(engine::UPGRADE)).await?;
        Ok((sender, receiver))
    };
    timeout(within, handshake).await.map_err(|_| ConnectError::Late)?
}

async fn open(
    gateway: SocketAddr,
    query: &str,
    within: Duration,
) -> Result<(Sender, Receiver), ConnectError> {
    let tcp = TcpStream::connect(gateway).await.map_err(tungstenite::Error::Io)?;
    tcp.set_nodelay(true).map_err(tungstenite::Error::Io)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(MOST_BUFFERED);
    let url = format!("ws://{gateway}/socket.io/?EIO=4&transport=websocket{query}");
    let (transport, _) = client_async_with_config(url, tcp, Some(config)).await?;
    let (writing, reading) = transport.split();
    let writing = Arc::new(Mutex::new(writing));
    let sender = Sender { writing: Arc::clone(&writing), within };
    let receiver = Receiver {
        reading,
        writing,
        within,
        silence: SILENCE,
        patience: PATIENCE,
        owes_pong: false,
        has_ended: false,
    };
    Ok((sender, receiver))
}

fn unexpected(packet: Option<Utf8Bytes>) -> ConnectError {
    let what = packet.map_or_else(|| "the end".to_owned(), |packet| packet.as_str().to_owned());
    ConnectError::Unexpected(what)
}

async fn write(writing: &Writing, within: Duration, packet: Utf8Bytes) -> Result<(), SendError> {
    let writing = async { writing.lock().await.send(Message::Text(packet)).await };
    Ok(timeout(within, writing).await.map_err(|_| SendError::Late)??)
}

impl From<SendError> for ConnectError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Late => Self::Late,
            SendError::Broken(error) => Self::Broken(error),
        }
    }
}

impl Sender {
    /// Emits an event whose body is a JSON text.
    pub async fn emit(&self, name: &str, body: &str) -> Result<(), SendError> {
        write(&self.writing, self.within, packet::event(None, name, body)).await
    }

    /// Emits an event and asks for its acknowledgement, which the receiver hears under this number. The
    /// caller numbers, so that he knows what he waits for before the answer can come.
    pub async fn emit_with_ack(&self, ack: u64, name: &str, body: &str) -> Result<(), SendError> {
        write(&self.writing, self.within, packet::event(Some(ack), name, body)).await
    }
}

impl Receiver {
    /// Lets a live connection bring nothing for as long as it likes.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { patience: Duration::MAX, ..self }
    }

    /// Returns the next thing heard, but for who is online. Nothing else is lost where the caller stops
    /// waiting.
    pub async fn next(&mut self) -> Heard {
        loop {
            match self.next_of_all().await {
                Heard::Event(event) if PRESENCE.contains(&event.name()) => {}
                heard => return heard,
            }
        }
    }

    /// Returns the next thing heard, whatever it is. Nothing is lost where the caller stops waiting.
    pub async fn next_of_all(&mut self) -> Heard {
        if self.has_ended {
            return Heard::End;
        }
        timeout(self.patience, self.hear()).await.unwrap_or(Heard::Silence)
    }

    async fn hear(&mut self) -> Heard {
        loop {
            let step = timeout(self.silence, self.step()).await;
            return match step {
                Ok(Step::Packet(packet)) => match Packet::read(packet) {
                    Packet::Event(event) => Heard::Event(event),
                    Packet::Ack(number, arguments) => Heard::Ack(number, arguments),
                    Packet::Goodbye => Heard::Goodbye,
                    Packet::Connected => Heard::Other("a second connection".to_owned()),
                    Packet::Refused(packet) | Packet::Other(packet) => Heard::Other(packet),
                },
                // A sign of life.
                Ok(Step::Nothing) => continue,
                Ok(Step::End) => {
                    self.has_ended = true;
                    Heard::End
                }
                Err(_) => Heard::Silence,
            };
        }
    }

    /// Returns the body of the next event. What comes on a clock of its own counts only where it is
    /// expected.
    ///
    /// # Panics
    ///
    /// If something else comes.
    pub async fn expect(&mut self, name: &str) -> Value {
        loop {
            match self.next_of_all().await {
                Heard::Event(event) if event.name() == name => {
                    return serde_json::from_str(event.body()).expect("an event's body is JSON");
                }
                Heard::Event(event)
                    if PRESENCE.contains(&event.name()) || BACKGROUND.contains(&event.name()) => {}
                other => panic!("{other:?} instead of {name}"),
            }
        }
    }

    /// Returns name and body of the next event, whatever it is.
    ///
    /// # Panics
    ///
    /// If something else comes.
    pub async fn event(&mut self) -> (String, Value) {
        match self.next().await {
            Heard::Event(event) => {
                let body = serde_json::from_str(event.body()).expect("an event's body is JSON");
                (event.name().to_owned(), body)
            }
            other => panic!("{other:?} instead of an event"),
        }
    }

    /// Returns the answer to the event that was emitted under a number. What is heard before it is lost.
    ///
    /// # Panics
    ///
    /// If the connection ends before.
    pub async fn answer(&mut self, number: u64) -> Value {
        loop {
            match self.next().await {
                Heard::Ack(ack, arguments) if ack == number => {
                    return serde_json::from_str(arguments.body()).expect("an answer is JSON");
                }
                Heard::Event(_) | Heard::Ack(..) => {}
                other => panic!("{other:?} instead of an answer"),
            }
        }
    }

    async fn write(&self, packet: Utf8Bytes) -> Result<(), SendError> {
        write(&self.writing, self.within, packet).await
    }

    /// Returns the next packet of Socket.IO, or of the handshake; nothing at the end of the transport.
    async fn packet(&mut self) -> Option<Utf8Bytes> {
        loop {
            match self.step().await {
                Step::Packet(packet) => return Some(packet),
                Step::Nothing => {}
                Step::End => return None,
            }
        }
    }

    /// Reads what comes next, whatever it is.
    async fn step(&mut self) -> Step {
        if self.owes_pong {
            // Where it cannot be written, what came before the end is still to be read.
            self.write(Utf8Bytes::from_static(engine::PONG)).await.ok();
            self.owes_pong = false;
        }
        match self.reading.next().await {
            Some(Ok(Message::Text(packet))) => match packet.as_str() {
                engine::PING => {
                    self.owes_pong = true;
                    Step::Nothing
                }
                engine::NOOP => Step::Nothing,
                engine::CLOSE => Step::End,
                _ => Step::Packet(packet),
            },
            Some(Ok(Message::Close(_)) | Err(_)) | None => Step::End,
            Some(Ok(_)) => Step::Nothing,
        }
    }
}

/// What reading a transport once brings.
enum Step {
    Packet(Utf8Bytes),
    /// Something of the transport's own.
    Nothing,
    End,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{net::TcpListener, time::sleep};
    use tokio_tungstenite::accept_async;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    /// Accepts one client, whom it promises a ping every 200 ms, and keeps it for 2 s; then it emits an
    /// event and says nothing more.
    async fn quiet_server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.expect("a client");
            let mut transport = accept_async(tcp).await.expect("a WebSocket");
            let open = json!({ "sid": "s", "pingInterval": 200, "pingTimeout": 800 });
            transport.send(Message::text(format!("0{open}"))).await.expect("opened");
            transport.next().await;
            transport.send(Message::text(r#"40{"sid":"s"}"#)).await.expect("connected");
            for _ in 0..10 {
                sleep(Duration::from_millis(200)).await;
                transport.send(Message::text(engine::PING)).await.expect("a ping");
            }
            transport.send(Message::text(r#"42["late",1]"#)).await.expect("an event");
            std::future::pending::<()>().await;
        });
        address
    }

    #[tokio::test]
    async fn pings_are_signs_of_life() {
        let (_sender, mut receiver) =
            connect(quiet_server().await, &json!({}), WITHIN).await.expect("connected");
        let heard = receiver.next().await;
        assert!(matches!(&heard, Heard::Event(event) if event.name() == "late"), "{heard:?}");
        assert_eq!(receiver.next().await, Heard::Silence);
    }
}
