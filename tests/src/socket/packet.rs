//! The packets of Engine.IO 4 and Socket.IO 5, as texts. Bodies stay JSON texts: who counts them need
//! not parse them.

use std::{fmt::Write as _, ops::Range, time::Duration};

use serde_json::Value;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Packets of Engine.IO.
pub(super) mod engine {
    pub(crate) const OPEN: char = '0';
    pub(crate) const CLOSE: &str = "1";
    pub(crate) const PING: &str = "2";
    pub(crate) const PONG: &str = "3";
    pub(crate) const PROBE: &str = "2probe";
    pub(crate) const PROBED: &str = "3probe";
    pub(crate) const UPGRADE: &str = "5";
    pub(crate) const NOOP: &str = "6";
}

/// Packets of Socket.IO, each inside an Engine.IO message.
mod socket {
    pub(super) const CONNECT: &str = "40";
    pub(super) const DISCONNECT: &str = "41";
    pub(super) const EVENT: &str = "42";
    pub(super) const ACK: &str = "43";
    pub(super) const REFUSAL: &str = "44";
}

/// A packet of the main namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// The namespace is open.
    Connected,
    Event(Event),
    Ack(u64, Arguments),
    Goodbye,
    /// The namespace was refused, for this reason in JSON.
    Refused(String),
    Other(String),
}

/// An event as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    packet: Utf8Bytes,
    name: Range<usize>,
    body: Range<usize>,
}

/// What an acknowledgement carries, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    packet: Utf8Bytes,
    range: Range<usize>,
}

impl Event {
    /// Returns its name; one that JSON must escape is returned escaped.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.packet.as_str()[self.name.clone()]
    }

    /// Returns its body, a JSON text; several arguments with the commas between them.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.packet.as_str()[self.body.clone()]
    }
}

impl Arguments {
    /// Returns its body, a JSON text; several arguments with the commas between them.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.packet.as_str()[self.range.clone()]
    }
}

impl Packet {
    /// Reads a packet.
    pub(super) fn read(packet: Utf8Bytes) -> Self {
        let text = packet.as_str();
        let is = |kind: &str| text.starts_with(kind);
        if is(socket::EVENT) {
            if let Some((name, body)) = event_parts(text) {
                return Self::Event(Event { packet, name, body });
            }
        } else if is(socket::ACK) {
            if let Some((number, range)) = ack_parts(text) {
                return Self::Ack(number, Arguments { packet, range });
            }
        } else if is(socket::CONNECT) {
            return Self::Connected;
        } else if is(socket::DISCONNECT) {
            return Self::Goodbye;
        } else if let Some(reason) = text.strip_prefix(socket::REFUSAL) {
            return Self::Refused(reason.to_owned());
        }
        Self::Other(text.to_owned())
    }
}

/// Returns where name and body of an event are: `42["name",body]`, with a number before the bracket
/// where the server wants an acknowledgement.
fn event_parts(text: &str) -> Option<(Range<usize>, Range<usize>)> {
    let (_, array) = numbered(text, socket::EVENT);
    let begin = array + r#"[""#.len();
    text.get(array..begin).filter(|opening| *opening == r#"[""#)?;
    let end = begin + closing_quote(&text[begin..])?;
    let last = text.len() - 1;
    let behind = end + 1;
    match text.as_bytes().get(behind)? {
        b',' if text.ends_with(']') => Some((begin..end, behind + 1..last)),
        b']' if behind == last => Some((begin..end, last..last)),
        _ => None,
    }
}

/// Returns the number of an acknowledgement and where its arguments are: `43number[arguments]`.
fn ack_parts(text: &str) -> Option<(u64, Range<usize>)> {
    let (number, array) = numbered(text, socket::ACK);
    let is_array = text[array..].starts_with('[') && text.ends_with(']');
    (is_array && array + 1 < text.len()).then_some((number?, array + 1..text.len() - 1))
}

/// Reads the number behind a packet's kind, if there is one; returns where its rest begins.
fn numbered(text: &str, kind: &str) -> (Option<u64>, usize) {
    let digits = text[kind.len()..].bytes().take_while(u8::is_ascii_digit).count();
    let end = kind.len() + digits;
    (text[kind.len()..end].parse().ok(), end)
}

/// Returns where the quote is that ends a JSON string.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

/// Returns the packet that opens the namespace.
pub(super) fn connect(auth: &Value) -> Utf8Bytes {
    format!("{}{auth}", socket::CONNECT).into()
}

/// Returns the packet of an event.
pub(super) fn event(ack: Option<u64>, name: &str, body: &str) -> Utf8Bytes {
    let mut packet = String::with_capacity(name.len() + body.len() + 32);
    packet.push_str(socket::EVENT);
    if let Some(number) = ack {
        write!(packet, "{number}").expect("a string takes all");
    }
    write!(packet, "[{},{body}]", Value::from(name)).expect("a string takes all");
    packet.into()
}

/// Returns the longest time between two packets that the handshake's settings allow.
pub(super) fn silence(settings: &str) -> Option<Duration> {
    let settings: Value = serde_json::from_str(settings).ok()?;
    let millis = |name: &str| settings[name].as_u64();
    Some(Duration::from_millis(millis("pingInterval")? + millis("pingTimeout")?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Packet {
        Packet::read(text.to_owned().into())
    }

    #[test]
    fn event_is_read_with_its_body_untouched() {
        for (text, name, body) in [
            (r#"42["a",{"b": [1]}]"#, "a", r#"{"b": [1]}"#),
            (r#"427["a:b",1,2]"#, "a:b", "1,2"),
            (r#"42["a"]"#, "a", ""),
            (r#"42["a\"]",null]"#, r#"a\"]"#, "null"),
        ] {
            let Packet::Event(event) = read(text) else { panic!("{text}") };
            assert_eq!((event.name(), event.body()), (name, body));
        }
    }

    #[test]
    fn acknowledgement_is_read_with_its_number() {
        for (text, number, body) in
            [(r#"4312[{"ok":true}]"#, 12, r#"{"ok":true}"#), ("430[]", 0, "")]
        {
            let Packet::Ack(heard, arguments) = read(text) else { panic!("{text}") };
            assert_eq!((heard, arguments.body()), (number, body));
        }
    }

    #[test]
    fn goodbye_and_refusal_are_told_apart() {
        assert_eq!(read("41"), Packet::Goodbye);
        let reason = r#"{"message":"unauthorized"}"#;
        assert_eq!(read(&format!("44{reason}")), Packet::Refused(reason.to_owned()));
    }

    #[test]
    fn nonsense_is_handed_on() {
        for text in
            ["", "4", "42", "42[", "42[1]", r#"42["a"#, r#"42["a",1"#, "43[]", "431", "431[", "é"]
        {
            assert_eq!(read(text), Packet::Other(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn event_is_written_as_it_is_read() {
        let packet = event(Some(3), "a\"b", &json!({ "c": 1 }).to_string());
        assert_eq!(packet.as_str(), r#"423["a\"b",{"c":1}]"#);
        assert_eq!(event(None, "a", "null").as_str(), r#"42["a",null]"#);
    }

    #[test]
    fn silence_is_what_the_server_says() {
        let settings = r#"{"sid":"x","pingInterval":25000,"pingTimeout":20000}"#;
        assert_eq!(silence(settings), Some(Duration::from_secs(45)));
        assert_eq!(silence("{}"), None);
    }
}
