//! Reading and writing single fields: spellings in order, ids, whole numbers, instants.

use std::fmt::Display;

use axum::http::StatusCode;
use bson::DateTime;
use chat_kit::{
    id::{ConversationId, UserId},
    time::{from_timestamp, to_timestamp},
};
use prost_types::Timestamp;
use serde::{Deserialize, Deserializer, de, de::DeserializeOwned};
use serde_json::{Map, Value};
use time::{
    Date, OffsetDateTime, PrimitiveDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

use crate::error::ApiError;

/// Longest page that a client may ask for.
const LONGEST_PAGE: u32 = 100;

/// Exactly three digits behind the second: one client compares instants as it reads them.
const INSTANT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const LOCAL_INSTANT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]");
const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// Reads what a client sent into its type; the error names the field at fault.
pub fn read<T: DeserializeOwned>(body: Value) -> Result<T, ApiError> {
    if !body.is_object() {
        return Err(ApiError::validation("an object is needed"));
    }
    serde_path_to_error::deserialize(body).map_err(|error| {
        let path = error.path().to_string();
        ApiError::validation(format!("{path}: {}", error.into_inner()))
    })
}

/// Reads what a client sent over HTTP: absent and a list count as an object without fields, and
/// whatever is no JSON object is malformed.
pub fn object(bytes: &[u8]) -> Result<Value, ApiError> {
    let malformed = || {
        let message = "the body is not a JSON object";
        ApiError::new(StatusCode::BAD_REQUEST, "SyntaxError", message)
    };
    if bytes.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_slice(bytes) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(Value::Array(_)) => Ok(Value::Object(Map::new())),
        Ok(_) | Err(_) => Err(malformed()),
    }
}

/// Reads flat `key=value` pairs; of a repeated key the first counts. Brackets in a key mean nothing.
pub fn pairs(bytes: &[u8]) -> Result<Value, ApiError> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes)
        .map_err(|_| ApiError::validation("the parameters cannot be read"))?;
    let mut object = Map::new();
    for (key, value) in pairs {
        object.entry(key).or_insert(Value::String(value));
    }
    Ok(Value::Object(object))
}

/// Returns the length of a page: what was asked for, cut to between 1 and 100, or the default.
#[must_use]
pub fn page_limit(given: Option<i64>, default: u32) -> u32 {
    given.map_or(default, |limit| u32::try_from(limit.max(1)).unwrap_or(u32::MAX).min(LONGEST_PAGE))
}

/// Takes the first spelling that is present and not empty.
#[must_use]
pub fn first<const N: usize>(spellings: [Option<String>; N]) -> Option<String> {
    spellings.into_iter().flatten().find(|value| !value.is_empty())
}

/// Takes the first spelling of something that must be there.
pub fn required<const N: usize>(
    field: &'static str,
    spellings: [Option<String>; N],
) -> Result<String, ApiError> {
    first(spellings).ok_or_else(|| {
        let message = format!("{field} is needed");
        ApiError::new(StatusCode::BAD_REQUEST, "missing", message)
    })
}

/// Parses the id of a user.
pub fn user_id(field: &str, text: &str) -> Result<UserId, ApiError> {
    text.parse().map_err(|_| ApiError::invalid_id(field))
}

/// Parses the id of a conversation.
pub fn conversation_id(field: &str, text: &str) -> Result<ConversationId, ApiError> {
    text.parse().map_err(|_| ApiError::invalid_conversation_id(field))
}

/// Reads a whole number, also as text; a fraction is cut off. Empty text counts as absent.
pub fn whole<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64, Error: Display>,
{
    let wrong = |value: &dyn Display| de::Error::custom(format!("`{value}` is no whole number"));
    let number = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::Number(number) => number,
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse().map_err(|_| wrong(&text))?,
        other => return Err(wrong(&other)),
    };
    let whole = number.as_i64().or_else(|| truncate(number.as_f64()?));
    let whole = whole.ok_or_else(|| wrong(&number))?;
    T::try_from(whole).map(Some).map_err(|error| de::Error::custom(format!("`{whole}`: {error}")))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked, and cutting the fraction off is meant"
)]
fn truncate(number: f64) -> Option<i64> {
    (number.abs() < 9e15).then_some(number as i64)
}

/// Reads an instant: RFC 3339, or without zone, or a date alone, the latter two in UTC. A part below
/// the millisecond is rounded up, so that what was stored in that millisecond lies before it.
pub fn instant(field: &str, text: &str) -> Result<Timestamp, ApiError> {
    let instant = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| {
            PrimitiveDateTime::parse(text, LOCAL_INSTANT).map(PrimitiveDateTime::assume_utc)
        })
        .or_else(|_| Date::parse(text, DATE).map(|date| date.midnight().assume_utc()))
        .map_err(|_| ApiError::validation(format!("{field} is not an instant of ISO 8601")))?;
    let millis = i64::from(instant.nanosecond().div_ceil(1_000_000));
    Ok(to_timestamp(DateTime::from_millis(instant.unix_timestamp() * 1000 + millis)))
}

/// Writes an instant; absent where the service left it out, or where no calendar reaches it.
#[must_use]
pub fn iso(time: Option<&Timestamp>) -> Option<String> {
    let millis = from_timestamp(time?).timestamp_millis();
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    instant.ok()?.format(INSTANT).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn instants_have_three_digits_and_a_zone() {
        for (nanos, written) in [
            (0, "2026-01-31T08:15:30.000Z"),
            (7_000_000, "2026-01-31T08:15:30.007Z"),
            (120_000_000, "2026-01-31T08:15:30.120Z"),
        ] {
            let seconds = 1_769_847_330;
            let time = Timestamp { seconds, nanos };
            assert_eq!(iso(Some(&time)).as_deref(), Some(written));
        }
        assert_eq!(iso(None), None);
    }

    #[test]
    fn instants_are_read_with_and_without_zone() {
        for (text, seconds, nanos) in [
            ("2026-01-31T08:15:30.123Z", 1_769_847_330, 123_000_000),
            ("2026-01-31T09:15:30.123+01:00", 1_769_847_330, 123_000_000),
            ("2026-01-31T08:15:30.123456", 1_769_847_330, 124_000_000),
            ("2026-01-31T08:15:30.999500Z", 1_769_847_331, 0),
            ("2026-01-31T08:15:30", 1_769_847_330, 0),
            ("2026-01-31", 1_769_817_600, 0),
        ] {
            let time = instant("before", text).expect(text);
            assert_eq!((time.seconds, time.nanos), (seconds, nanos), "{text}");
        }
        assert!(instant("before", "yesterday").is_err());
    }

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "whole")]
        count: Option<u32>,
        name: Option<String>,
    }

    #[test]
    fn whole_numbers_are_read_from_numbers_and_text() {
        for (value, count) in [
            (json!(7), Some(7)),
            (json!("7"), Some(7)),
            (json!("7.9"), Some(7)),
            (json!(7.9), Some(7)),
            (json!(""), None),
            (json!(null), None),
        ] {
            let sample: Sample = read(json!({ "count": value })).expect("a sample");
            assert_eq!(sample.count, count);
        }
        for value in [json!("seven"), json!(-1), json!(true), json!({}), json!(1e300)] {
            let error = read::<Sample>(json!({ "count": value })).expect_err("no count");
            assert_eq!(error.error, "validation_error");
            assert!(error.message.starts_with("count: "), "{error}");
        }
    }

    #[test]
    fn field_of_a_wrong_type_is_named() {
        for value in [json!({ "$ne": null }), json!(["x"]), json!(7), json!(true)] {
            let error = read::<Sample>(json!({ "name": value })).expect_err("no name");
            assert_eq!(error.status, StatusCode::BAD_REQUEST);
            assert!(error.message.starts_with("name: "), "{error}");
        }
        let sample: Sample = read(json!({ "name": null })).expect("null is absent");
        assert_eq!(sample.name, None);
    }

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
    fn of_a_repeated_key_the_first_counts() {
        let object = pairs(b"a=1&a=2&b[$ne]=x&c=%F0%9F%91%8B+d").expect("pairs");
        assert_eq!(object, json!({ "a": "1", "b[$ne]": "x", "c": "👋 d" }));
    }
}
