//! The payload of an event as its client wrote it, so that reading it is the wire's business alone.

use std::{convert::Infallible, sync::Arc};

use serde_json::value::RawValue;
use socketioxide::{
    adapter::LocalAdapter,
    handler::{FromMessageParts, Value},
    socket::Socket,
};

/// The JSON text of an event's first argument; `null` where there is none.
pub struct Payload(pub Box<str>);

impl FromMessageParts<LocalAdapter> for Payload {
    type Error = Infallible;

    fn from_message_parts(
        _: &Arc<Socket>,
        value: &mut Value,
        _: &Option<i64>,
    ) -> Result<Self, Infallible> {
        Ok(Self(first_argument(value.as_str().map_or("", |text| text.as_str())).into()))
    }
}

/// Returns the second item of `["name", argument, …]`.
fn first_argument(packet: &str) -> &str {
    let items = serde_json::from_str::<Vec<&RawValue>>(packet).unwrap_or_default();
    items.get(1).map_or("null", |argument| argument.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argument_is_taken_as_it_was_written() {
        assert_eq!(first_argument(r#"["a",{"x":"\ud83d"},2]"#), r#"{"x":"\ud83d"}"#);
        assert_eq!(first_argument(r#"["a"]"#), "null");
        assert_eq!(first_argument("nonsense"), "null");
    }
}
