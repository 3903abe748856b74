//! What is wrong with a body, in words for people. The parser's own name types of this program, and places
//! in a text that a client has not written by hand.

use serde_json::Error;

use crate::error::ApiError;

/// How the parser begins where a value is of another kind than the field.
const OF_ANOTHER_KIND: [&str; 3] = ["invalid type: ", "invalid value: ", "invalid length "];

/// Names the field at fault, and says what it needs.
pub(super) fn named(error: &serde_path_to_error::Error<Error>) -> ApiError {
    let needed = needed(error.inner());
    let is_inside = error.path().iter().next().is_some();
    ApiError::validation(if is_inside { format!("{}: {needed}", error.path()) } else { needed })
}

fn needed(error: &Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    if let Some(field) = text.strip_prefix("missing field ") {
        return format!("{field} is needed");
    }
    // What was found may be the client's own text; what was expected never is, and stands last.
    let is_known = OF_ANOTHER_KIND.iter().any(|begin| text.starts_with(begin));
    match text.rsplit_once(", expected ").filter(|_| is_known) {
        Some((_, expected)) => format!("{} is needed", plain(expected)),
        None => text.to_owned(),
    }
}

/// Says in plain words what the parser expects.
fn plain(expected: &str) -> &str {
    match expected {
        "a string" | "string" | "a borrowed string" | "a character" => "a text",
        "a boolean" | "bool" => "true or false",
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "isize" | "usize" => {
            "a whole number"
        }
        "a map" | "map" => "an object",
        "a sequence" | "sequence" => "a list",
        name if name.starts_with("struct ") => "an object",
        // What our own readers expect.
        name if name.starts_with("a list of ") => name,
        _ => "another value",
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::super::{read, typed};

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Sample {
        name: String,
        is_public: bool,
        count: u32,
        width: f64,
        list: Vec<String>,
        place: Option<Place>,
        any: Option<std::collections::BTreeMap<String, String>>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Place {
        street: String,
    }

    #[test]
    fn wrong_field_says_what_it_needs_and_nothing_of_this_program() {
        for (body, message) in [
            (json!({ "name": 7 }), "name: a text is needed"),
            (json!({ "name": {} }), "name: a text is needed"),
            (json!({ "name": null }), "name: a text is needed"),
            (json!({ "is_public": "maybe, expected u8" }), "is_public: true or false is needed"),
            (json!({ "count": "many" }), "count: a whole number is needed"),
            (json!({ "count": -1 }), "count: a whole number is needed"),
            (json!({ "width": [] }), "width: a number is needed"),
            (json!({ "list": "x" }), "list: a list is needed"),
            (json!({ "list": ["x", 7] }), "list[1]: a text is needed"),
            (json!({ "place": "x" }), "place: an object is needed"),
            (json!({ "place": true }), "place: an object is needed"),
            (json!({ "place": {} }), "place: `street` is needed"),
            (json!({ "place": { "street": 1 } }), "place.street: a text is needed"),
            (json!({ "place": [] }), "place: an object is needed"),
            (json!({ "any": [1] }), "any: an object is needed"),
        ] {
            let error = read::<Sample>(body.clone()).expect_err("refused");
            assert_eq!(
                (error.error.as_ref(), error.message.as_ref()),
                ("validation_error", message)
            );
            let text = body.to_string();
            let error = typed::<Sample>(text.as_bytes()).expect_err("refused");
            assert_eq!(
                (error.error.as_ref(), error.message.as_ref()),
                ("validation_error", message)
            );
        }
        for body in [json!([]), json!("x"), Value::Null] {
            let error = read::<Sample>(body).expect_err("refused");
            assert_eq!(error.message, "an object is needed");
        }
        let error = read::<Place>(json!({})).expect_err("refused");
        assert_eq!(error.message, "`street` is needed");
    }
}
