//! Reading and writing single fields: spellings in order, ids, texts, whole numbers, instants.

mod form;
mod parse;
mod refused;
mod spelled;

use std::{fmt, marker::PhantomData};

use axum::http::StatusCode;
use bson::DateTime;
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    time::{from_timestamp, to_timestamp},
};
use prost_types::Timestamp;
use serde::{Deserialize, Deserializer, de, de::DeserializeOwned};
use serde_json::Value;
use time::{
    Date, OffsetDateTime, PrimitiveDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

pub use self::{
    form::form,
    parse::{borrowed, object, pairs, typed, value},
    spelled::spelled,
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
    serde_path_to_error::deserialize(body).map_err(|error| refused::named(&error))
}

/// Reads what a client sent into a type into which `Part` is flattened. Errors in that lose their path, so
/// that they are looked for in it alone.
pub fn read_with<T: DeserializeOwned, Part: DeserializeOwned>(body: Value) -> Result<T, ApiError> {
    let refused = match serde_path_to_error::deserialize(&body) {
        Ok(read) => return Ok(read),
        Err(error) => refused::named(&error),
    };
    read::<Part>(body).map_or_else(Err, |_| Err(refused))
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
    first(spellings).ok_or_else(|| missing(field))
}

/// Something that must be there is not.
#[must_use]
pub fn missing(field: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "missing", format!("{field} is needed"))
}

/// Parses the id of a user.
pub fn user_id(field: &str, text: &str) -> Result<UserId, ApiError> {
    text.parse().map_err(|_| ApiError::invalid_id(field))
}

/// Parses the id of a message.
pub fn message_id(field: &str, text: &str) -> Result<MessageId, ApiError> {
    text.parse().map_err(|_| ApiError::invalid_id(field))
}

/// Parses the id of a conversation.
pub fn conversation_id(field: &str, text: &str) -> Result<ConversationId, ApiError> {
    text.parse().map_err(|_| ApiError::invalid_conversation_id(field))
}

/// Reads a text, also one that a number or a boolean stands for.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        scalar @ (Value::Bool(_) | Value::Number(_)) => Ok(Some(scalar.to_string())),
        Value::Array(_) | Value::Object(_) => Err(de::Error::custom("a text is needed")),
    }
}

/// Reads an object of named fields. A list, which the parser would take by the order of the fields, is none.
pub fn named<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(Named(PhantomData))
}

struct Named<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Named<T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        T::deserialize(de::value::MapAccessDeserializer::new(fields)).map(Some)
    }
}

/// Reads a whole number, also as text; a fraction is cut off, and what is too large becomes the largest
/// number that there is. Empty text counts as absent.
pub fn whole<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let wrong = || de::Error::custom("a whole number is needed");
    let whole = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => whole_of_text(&text).ok_or_else(wrong)?,
        Value::Number(number) => {
            let whole = number.as_i64().or_else(|| number.as_f64().map(truncate));
            whole.ok_or_else(wrong)?
        }
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(wrong()),
    };
    let too_far = |_| de::Error::custom(format!("`{whole}` is too small or too large"));
    T::try_from(whole).map(Some).map_err(too_far)
}

/// Reads yes or no, also as text. Empty text counts as absent.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(flag)),
        Value::String(text) => match text.trim() {
            "" => Ok(None),
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(de::Error::custom("true or false is needed")),
        },
        Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(de::Error::custom("true or false is needed"))
        }
    }
}

/// Reads a number, also as text.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => number_of_text(&text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.ok_or_else(|| de::Error::custom("a number is needed"))
}

/// Parses a whole number, as [`whole`] does.
pub fn whole_number(field: &str, text: &str) -> Result<i64, ApiError> {
    let wrong = || ApiError::validation(format!("{field}: `{text}` is no whole number"));
    whole_of_text(text).ok_or_else(wrong)
}

fn whole_of_text(text: &str) -> Option<i64> {
    let whole = text.trim().parse();
    whole.ok().or_else(|| number_of_text(text).map(truncate))
}

fn number_of_text(text: &str) -> Option<f64> {
    let text = text.trim();
    // The parser of fractions also knows words.
    let is_numeric = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(is_numeric) {
        return None;
    }
    text.parse().ok()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "cutting the fraction off is meant, and so is the nearest number that there is"
)]
fn truncate(number: f64) -> i64 {
    number as i64
}

/// Reads the whole number that a text or a number begins with; whatever begins with none is absent.
pub fn leading_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Ok(None),
    };
    let digits = text.trim_start();
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    Ok(digits[..end].parse().ok())
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

/// Says whether a number is left out where nothing is to be said.
#[must_use]
pub fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::Equal;

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
            (json!(" "), None),
            (json!("+7"), Some(7)),
            (json!(null), None),
        ] {
            let sample: Sample = read(json!({ "count": value })).expect("a sample");
            assert_eq!(sample.count, count);
        }
        for value in [json!("seven"), json!(-1), json!(true), json!({}), json!(1e300), json!("nan")]
        {
            let error = read::<Sample>(json!({ "count": value })).expect_err("no count");
            assert_eq!(error.error, "validation_error");
            assert!(error.message.starts_with("count: "), "{error}");
        }
    }

    #[test]
    fn whole_number_without_end_is_the_largest_there_is() {
        let nines = "9".repeat(400);
        for (text, number) in [
            ("9223372036854775808", i64::MAX),
            ("1e400", i64::MAX),
            (nines.as_str(), i64::MAX),
            ("-1e400", i64::MIN),
            ("-7.9", -7),
        ] {
            assert_eq!(whole_number("page", text), Ok(number), "{text}");
        }
        for text in ["", "many", "inf", "NaN", "0x7", "1e", "."] {
            let error = whole_number("page", text).expect_err(text);
            assert!(error.message.starts_with("page: "), "{error}");
        }
    }

    #[test]
    fn numbers_are_read_from_numbers_and_text() {
        for (value, read) in
            [(json!(1.5), 1.5), (json!(-7), -7.0), (json!("1.5"), 1.5), (json!(" -13.25 "), -13.25)]
        {
            assert_eq!(number(value.clone()).expect("a number").total_cmp(&read), Equal, "{value}");
        }
        for value in [json!(""), json!("north"), json!("NaN"), json!(true), json!(null), json!([1])]
        {
            assert!(number(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn yes_and_no_are_read_from_booleans_and_text() {
        for (value, read) in [
            (json!(true), Some(true)),
            (json!(false), Some(false)),
            (json!("true"), Some(true)),
            (json!(" false "), Some(false)),
            (json!(""), None),
            (json!(null), None),
        ] {
            assert_eq!(flag(value.clone()).expect("a flag"), read, "{value}");
        }
        for value in [json!("yes"), json!(1), json!("0"), json!({}), json!([true])] {
            assert!(flag(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn leading_digits_are_a_whole_number() {
        for (value, seconds) in [
            (json!(7), Some(7)),
            (json!(7.9), Some(7)),
            (json!(" 7s"), Some(7)),
            (json!("+7.9"), Some(7)),
            (json!("00:07"), Some(0)),
            (json!(-7), None),
            (json!("-7"), None),
            (json!("long"), None),
            (json!(""), None),
            (json!(5_000_000_000_i64), None),
            (json!("9".repeat(40)), None),
            (json!(true), None),
            (json!([7]), None),
            (json!({ "$gt": 7 }), None),
            (json!(null), None),
        ] {
            assert_eq!(leading_whole(value.clone()).expect("never refused"), seconds, "{value}");
        }
    }

    #[test]
    fn scalars_are_texts() {
        for (value, read) in [
            (json!("a"), Some("a")),
            (json!(""), Some("")),
            (json!(15_550_000_001_i64), Some("15550000001")),
            (json!(1.5), Some("1.5")),
            (json!(false), Some("false")),
            (json!(null), None),
        ] {
            assert_eq!(text(value.clone()).expect("a text").as_deref(), read, "{value}");
        }
        for value in [json!({ "$ne": null }), json!(["x"])] {
            assert!(text(value.clone()).is_err(), "{value}");
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
}
