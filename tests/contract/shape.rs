//! What an answer looks like, written as the JSON that it is, with the names of types in place of values:
//!
//! ```json
//! { "success": true, "users": [{ "_id": "id", "avatar?": "text", "bio": "text|null" }], "!online": null }
//! ```
//!
//! A `?` behind a key says that it may be missing (never that it may be null), a `!` before one that it
//! must be. Keys that a shape does not name are no difference: clients ignore them. `"*"` stands for any
//! number of keys. Of a list every item has the shape of the one that is written. A text that begins with
//! `=` stands for itself.

use serde_json::Value;

/// Two spellings of one thing. Wherever both are, both say the same.
const TWINS: [(&str, &str); 9] = [
    ("_id", "messageId"),
    ("conversation", "conversationId"),
    ("from", "sender"),
    ("text", "content"),
    ("fileUrl", "media"),
    ("deleted", "isDeleted"),
    ("avatar", "avatarUrl"),
    ("participants", "members"),
    ("message", "data"),
];

/// Returns where something differs from its shape, and how.
pub fn differences(shape: &Value, found: &Value) -> Vec<String> {
    let mut all = Vec::new();
    compare(shape, found, "", &mut all);
    compare_twins(found, "", &mut all);
    all
}

fn compare(shape: &Value, found: &Value, at: &str, all: &mut Vec<String>) {
    let differs = match shape {
        Value::String(kinds) => !kinds.split('|').any(|kind| is(kind, found)),
        Value::Array(items) => match found {
            Value::Array(found) => {
                let item = items.first().expect("a shape of a list has an item");
                for (number, found) in found.iter().enumerate() {
                    compare(item, found, &format!("{at}[{number}]"), all);
                }
                false
            }
            _ => true,
        },
        Value::Object(fields) => match found {
            Value::Object(_) => {
                for (key, shape) in fields {
                    compare_field(key, shape, found, at, all);
                }
                false
            }
            _ => true,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => shape != found,
    };
    if differs {
        all.push(format!("{at}: {found} is not {shape}"));
    }
}

fn compare_field(key: &str, shape: &Value, found: &Value, at: &str, all: &mut Vec<String>) {
    if key == "*" {
        for (key, found) in found.as_object().into_iter().flatten() {
            compare(shape, found, &format!("{at}.{key}"), all);
        }
    } else if let Some(key) = key.strip_prefix('!') {
        if let Some(found) = found.get(key) {
            all.push(format!("{at}.{key}: {found} is there"));
        }
    } else {
        let (name, is_needed) = key.strip_suffix('?').map_or((key, true), |name| (name, false));
        match found.get(name) {
            Some(found) => compare(shape, found, &format!("{at}.{name}"), all),
            None if is_needed => all.push(format!("{at}.{name} is missing")),
            None => {}
        }
    }
}

fn compare_twins(found: &Value, at: &str, all: &mut Vec<String>) {
    match found {
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                compare_twins(item, &format!("{at}[{number}]"), all);
            }
        }
        Value::Object(fields) => {
            for (one, other) in TWINS {
                if let (Some(first), Some(second)) = (fields.get(one), fields.get(other))
                    && without_profiles(first) != without_profiles(second)
                {
                    all.push(format!("{at}: {one} is {first}, but {other} is {second}"));
                }
            }
            for (key, value) in fields {
                compare_twins(value, &format!("{at}.{key}"), all);
            }
        }
        _ => {}
    }
}

/// Puts ids in the place of profiles: one spelling may be filled in where the other is not.
fn without_profiles(value: &Value) -> Value {
    let id = |value: &Value| value.get("_id").unwrap_or(value).clone();
    match value {
        Value::Array(items) => items.iter().map(id).collect(),
        single => id(single),
    }
}

fn is(kind: &str, found: &Value) -> bool {
    if let Some(exactly) = kind.strip_prefix('=') {
        return found == exactly;
    }
    let text = found.as_str();
    match kind {
        "null" => found.is_null(),
        "bool" => found.is_boolean(),
        "int" => found.is_u64() && !found.to_string().contains('.'),
        "number" => found.is_number(),
        "object" => found.is_object(),
        "text" => text.is_some(),
        "filled" => text.is_some_and(|text| !text.trim().is_empty()),
        "digits" => text
            .is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())),
        "id" => text.is_some_and(|text| is_hex(text, 24)),
        "otpSession" => text.is_some_and(|text| is_hex(text, 32)),
        "uuid" => text.is_some_and(|text| is_like(text, "hhhhhhhh-hhhh-4hhh-hhhh-hhhhhhhhhhhh")),
        "date" => text.is_some_and(|text| is_like(text, "dddd-dd-ddTdd:dd:dd.dddZ")),
        unknown => panic!("no type is called {unknown}"),
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && is_like(text, &"h".repeat(length))
}

/// Compares with a pattern: `d` is a decimal digit, `h` a lower-case hex digit, all else itself.
fn is_like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            b'h' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            _ => byte == wanted,
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "65f0c0ffee0123456789abcd";

    #[test]
    fn difference_is_found_wherever_it_is() {
        let shape = json!({
            "success": true, "bio": "text|null", "avatar?": "text", "!uid": null,
            "users": [{ "_id": "id", "at": "date", "size": "int" }], "by": { "*": "bool" },
        });
        let right = json!({
            "success": true, "bio": null, "more": 1, "by": { "a": true },
            "users": [{ "_id": ID, "at": "2026-01-31T08:15:30.123Z", "size": 7 }],
        });
        assert_eq!(differences(&shape, &right), Vec::<String>::new());
        for (pointer, wrong) in [
            ("/success", json!(false)),
            ("/bio", json!(7)),
            ("/users", json!({})),
            ("/users/0", json!(null)),
            ("/users/0/_id", json!("65F0C0FFEE0123456789ABCD")),
            ("/users/0/at", json!("2026-01-31T08:15:30.123456Z")),
            ("/users/0/at", json!("2026-01-31T08:15:30Z")),
            ("/users/0/size", json!(7.0)),
            ("/users/0/size", json!("7")),
            ("/by/a", json!("true")),
        ] {
            let mut found = right.clone();
            *found.pointer_mut(pointer).expect("a field") = wrong.clone();
            let differences = differences(&shape, &found);
            assert_eq!(differences.len(), 1, "{pointer} {wrong}: {differences:?}");
        }
        for (key, value) in [("avatar", json!(null)), ("uid", json!("x"))] {
            let mut found = right.clone();
            found[key] = value;
            assert_eq!(differences(&shape, &found).len(), 1, "{key}");
        }
        let mut found = right;
        found.as_object_mut().expect("an object").remove("bio");
        assert_eq!(differences(&shape, &found), [".bio is missing"]);
    }

    #[test]
    fn both_spellings_say_the_same() {
        let shape = json!({});
        for found in [
            json!({ "text": "a", "content": "a", "from": ID, "sender": { "_id": ID } }),
            json!({ "participants": [{ "_id": ID, "name": "Ada" }], "members": [ID] }),
            json!({ "text": "a" }),
        ] {
            assert_eq!(differences(&shape, &found), Vec::<String>::new());
        }
        let found = json!([{ "messages": [{ "text": "a", "content": "b" }] }]);
        assert_eq!(differences(&json!([{}]), &found).len(), 1);
    }
}
