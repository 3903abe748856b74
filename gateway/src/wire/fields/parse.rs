//! From what a client sent to a JSON value: objects, payloads of events, flat pairs.

use axum::http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Deserializer, Map, Value, error::Category};

use super::refused;
use crate::error::ApiError;

/// Length of an escape of a UTF-16 unit, such as `\ud83d`.
const ESCAPE: usize = 6;

/// Reads what a client sent over HTTP: absent and a list count as an object without fields, and
/// whatever is no JSON object is malformed.
pub fn object(bytes: &[u8]) -> Result<Value, ApiError> {
    if bytes.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match parse(bytes) {
        Some(object @ Value::Object(_)) => Ok(object),
        Some(Value::Array(_)) => Ok(Value::Object(Map::new())),
        Some(_) | None => Err(not_an_object()),
    }
}

/// Reads what a client sent over HTTP into its type, as [`object`] and [`super::read`] together do, without
/// the value between them.
pub fn typed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return super::read(object(bytes)?);
    }
    let error = match into_type(bytes) {
        Ok(typed) => return Ok(typed),
        Err(error) => error,
    };
    let repaired = without_halves(bytes).and_then(|repaired| into_type(&repaired).ok());
    repaired.ok_or_else(|| match error.inner().classify() {
        Category::Data => refused::named(&error),
        Category::Io | Category::Syntax | Category::Eof => not_an_object(),
    })
}

/// Reads the payload of an event into a type that borrows from it.
pub fn borrowed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ApiError> {
    into_type(text.as_bytes()).map_err(|error| match error.inner().classify() {
        Category::Data => refused::named(&error),
        Category::Io | Category::Syntax | Category::Eof => not_json(),
    })
}

fn into_type<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    let mut deserializer = Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let typed = T::deserialize(tracked)
        .map_err(|error| serde_path_to_error::Error::new(track.path(), error))?;
    let end = deserializer.end();
    end.map_err(|error| {
        serde_path_to_error::Error::new(serde_path_to_error::Track::new().path(), error)
    })?;
    Ok(typed)
}

fn not_an_object() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "SyntaxError", "the body is not a JSON object")
}

/// Reads the payload of an event: any JSON value.
pub fn value(bytes: &[u8]) -> Result<Value, ApiError> {
    parse(bytes).ok_or_else(not_json)
}

fn not_json() -> ApiError {
    ApiError::validation("the payload is not JSON")
}

/// Parses JSON. Clients that count in UTF-16 cut characters into halves, which JSON can spell and text
/// cannot hold: they become replacement characters.
fn parse(bytes: &[u8]) -> Option<Value> {
    let parsed = serde_json::from_slice(bytes).ok();
    parsed.or_else(|| serde_json::from_slice(&without_halves(bytes)?).ok())
}

/// Returns the text with a replacement character for every half of a character; nothing where there
/// is no half.
fn without_halves(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = bytes.to_vec();
    let mut has_halves = false;
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'\\' {
            at += 1;
            continue;
        }
        at += match escaped_unit(&text[at..]) {
            // Another escape, of two characters.
            None => 2,
            Some(0xd800..=0xdbff)
                if matches!(escaped_unit(&text[at + ESCAPE..]), Some(0xdc00..=0xdfff)) =>
            {
                2 * ESCAPE
            }
            Some(0xd800..=0xdfff) => {
                text[at..at + ESCAPE].copy_from_slice(br"\ufffd");
                has_halves = true;
                ESCAPE
            }
            Some(_) => ESCAPE,
        };
    }
    has_halves.then_some(text)
}

/// Returns the UTF-16 unit of the escape with which a text begins, if it begins with one.
fn escaped_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    let unit = digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + value(digit)?))?;
    u16::try_from(unit).ok()
}

/// Reads flat `key=value` pairs; of a repeated key the first counts. Brackets in a key mean nothing.
pub fn pairs(bytes: &[u8]) -> Result<Value, ApiError> {
    let mut object = Map::new();
    for (key, value) in decode(bytes)? {
        object.entry(key).or_insert(Value::String(value));
    }
    Ok(Value::Object(object))
}

/// Decodes the pairs of a query or of a form.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    serde_urlencoded::from_bytes(bytes)
        .map_err(|_| ApiError::validation("the parameters cannot be read"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_are_objects() {
        for (text, body) in
            [("", json!({})), ("[1, 2]", json!({})), (r#"{"a":1,"a":2}"#, json!({ "a": 2 }))]
        {
            assert_eq!(object(text.as_bytes()), Ok(body), "{text}");
        }
        for text in ["{", "\"text\"", "42", "null", "{\"a\":1}}", "\u{1}"] {
            let error = object(text.as_bytes()).expect_err(text);
            assert_eq!(error.error, "SyntaxError");
        }
    }

    #[test]
    fn half_a_character_becomes_a_replacement_character() {
        for (text, read) in [
            (r#"{"t":"a\ud83d"}"#, "a\u{fffd}"),
            (r#"{"t":"\uD83D b"}"#, "\u{fffd} b"),
            (r#"{"t":"\udc4b"}"#, "\u{fffd}"),
            (r#"{"t":"\ud83d\ud83d\udc4b"}"#, "\u{fffd}\u{1f44b}"),
            (r#"{"t":"\udc4b\ud83d"}"#, "\u{fffd}\u{fffd}"),
            (r#"{"t":"\ud83d\n\u0041"}"#, "\u{fffd}\nA"),
            (r#"{"t":"\\ud83d \ud83d"}"#, "\\ud83d \u{fffd}"),
            (r#"{"t":"\"\\\ud83d"}"#, "\"\\\u{fffd}"),
            (r#"{"t":"\ud83d\udc4b"}"#, "\u{1f44b}"),
        ] {
            assert_eq!(object(text.as_bytes()), Ok(json!({ "t": read })), "{text}");
            assert_eq!(value(text.as_bytes()), Ok(json!({ "t": read })), "{text}");
        }
        assert_eq!(object(br#"{"\ud83d":1}"#), Ok(json!({ "\u{fffd}": 1 })));
        for text in [r#"{"t":"\ud83d"#, r#"{"t":"\ud83d\u12"}"#, r#"{"t":"\ud83d\"#, r"\ud83d"] {
            assert_eq!(object(text.as_bytes()).expect_err(text).error, "SyntaxError");
        }
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Sample {
        t: String,
    }

    impl Default for Sample {
        fn default() -> Self {
            Self { t: "none".to_owned() }
        }
    }

    #[test]
    fn bodies_are_read_into_their_type_at_once() {
        for (text, read) in [
            ("", "none"),
            ("{}", "none"),
            ("[1]", "none"),
            (r#" {"t":"a","u":"\ud83d"} "#, "a"),
            (r#"{"t":"\ud83d"}"#, "\u{fffd}"),
        ] {
            assert_eq!(typed(text.as_bytes()), Ok(Sample { t: read.to_owned() }), "{text}");
        }
        for text in ["{", "42", "null", "{\"t\":\"a\"}}", "{\"t\":\"a\"} x"] {
            assert_eq!(typed::<Sample>(text.as_bytes()).expect_err(text).error, "SyntaxError");
        }
        let error = typed::<Sample>(br#"{"t":7}"#).expect_err("no text");
        assert_eq!(error.error, "validation_error");
        assert!(error.message.starts_with("t: "), "{error}");
    }

    #[test]
    fn payloads_are_any_value() {
        for (text, read) in
            [("null", json!(null)), ("[1]", json!([1])), (r#""\udc4b""#, json!("\u{fffd}"))]
        {
            assert_eq!(value(text.as_bytes()), Ok(read), "{text}");
        }
        for text in ["", "{", "nothing", "1 2"] {
            let error = value(text.as_bytes()).expect_err(text);
            assert_eq!((error.error.as_ref(), error.status.as_u16()), ("validation_error", 400));
            assert_eq!(error.message, "the payload is not JSON");
        }
    }

    #[test]
    fn of_a_repeated_key_the_first_counts() {
        let object = pairs(b"a=1&a=2&b[$ne]=x&b[]=y&c=%F0%9F%91%8B+d").expect("pairs");
        assert_eq!(object, json!({ "a": "1", "b[$ne]": "x", "b[]": "y", "c": "👋 d" }));
    }
}
