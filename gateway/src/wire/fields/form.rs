//! From a form to a JSON value. Brackets behind a name say where in it a text belongs: `a[b]=1` is the field
//! of an object, `a[0]=1&a[1]=2`, `a[]=1&a[]=2` and `a=1&a=2` are lists.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::Value;

use super::parse::decode;
use crate::error::ApiError;

/// Most fields of a form: as many as the largest address book has, with some for every contact.
const MOST_FIELDS: usize = 20_000;
/// Most brackets behind a name.
const DEEPEST: usize = 5;
/// Largest index of a list; what the lists themselves may hold is the business of their types.
const LARGEST_INDEX: usize = 9_999;
/// As much of a name is shown to a client whose names are wrong, in characters.
const SHOWN: usize = 64;

/// What a form says of one field.
enum Field {
    /// Said once.
    Text(String),
    /// Said repeatedly, or with empty brackets.
    Texts(Vec<String>),
    Items(BTreeMap<usize, Self>),
    Object(BTreeMap<String, Self>),
}

/// What one pair of brackets says.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// Empty ones: one more item.
    Next,
    Item(usize),
    Field(&'a str),
}

/// Reads a form into an object whose leaves are texts. What is said of one field in two shapes fits nowhere,
/// and is refused.
pub fn form(bytes: &[u8]) -> Result<Value, ApiError> {
    // Told before it is read: fields take many times the room of their text.
    if bytes.split(|byte| *byte == b'&').count() > MOST_FIELDS {
        let message = format!("the form exceeds {MOST_FIELDS} fields");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(ApiError::new(status, "PayloadTooLargeError", message));
    }
    let mut object = BTreeMap::new();
    for (key, text) in decode(bytes)? {
        let wrong = |why: &str| {
            let shown: String = key.chars().take(SHOWN).collect();
            ApiError::validation(format!("{shown}: {why}"))
        };
        let (name, steps) = split(&key).map_err(wrong)?;
        let field = add(object.remove(name), &steps, text);
        let field = field.ok_or_else(|| wrong("this field was given in another shape before"))?;
        object.insert(name.to_owned(), field);
    }
    Ok(value(Field::Object(object)))
}

/// Splits a key into the name and the brackets behind it.
fn split(key: &str) -> Result<(&str, Vec<Step<'_>>), &'static str> {
    const UNREADABLE: &str = "the brackets of this name cannot be read";
    let Some(start) = key.find('[') else { return Ok((key, Vec::new())) };
    let (name, mut rest) = key.split_at(start);
    if name.is_empty() {
        return Err(UNREADABLE);
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let inside = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (inside, behind) = inside.ok_or(UNREADABLE)?;
        if steps.len() == DEEPEST {
            return Err("there are more than 5 brackets behind this name");
        }
        let step = match inside {
            "" if behind.is_empty() => Step::Next,
            "" => return Err("items with fields of their own are numbered"),
            index if index.bytes().all(|byte| byte.is_ascii_digit()) => {
                let index = index.parse().ok().filter(|index| *index <= LARGEST_INDEX);
                Step::Item(index.ok_or("an index is at most 9999")?)
            }
            field if field.contains('[') => return Err(UNREADABLE),
            field => Step::Field(field),
        };
        steps.push(step);
        rest = behind;
    }
    Ok((name, steps))
}

/// Adds a text to what was said of a field; nothing comes of what does not fit.
fn add(field: Option<Field>, steps: &[Step<'_>], text: String) -> Option<Field> {
    Some(match (steps, field) {
        ([], None) => Field::Text(text),
        ([Step::Next], None) => Field::Texts(vec![text]),
        ([] | [Step::Next], Some(Field::Text(first))) => Field::Texts(vec![first, text]),
        ([] | [Step::Next], Some(Field::Texts(mut texts))) => {
            texts.push(text);
            Field::Texts(texts)
        }
        ([Step::Item(index), rest @ ..], field @ (None | Some(Field::Items(_)))) => {
            let mut items = match field {
                Some(Field::Items(items)) => items,
                _ => BTreeMap::new(),
            };
            let item = add(items.remove(index), rest, text)?;
            items.insert(*index, item);
            Field::Items(items)
        }
        ([Step::Field(name), rest @ ..], field @ (None | Some(Field::Object(_)))) => {
            let mut object = match field {
                Some(Field::Object(object)) => object,
                _ => BTreeMap::new(),
            };
            let inner = add(object.remove(*name), rest, text)?;
            object.insert((*name).to_owned(), inner);
            Field::Object(object)
        }
        _ => return None,
    })
}

fn value(field: Field) -> Value {
    match field {
        Field::Text(text) => Value::String(text),
        Field::Texts(texts) => texts.into_iter().map(Value::String).collect(),
        Field::Items(items) => items.into_values().map(value).collect(),
        Field::Object(object) => {
            Value::Object(object.into_iter().map(|(name, field)| (name, value(field))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_say_where_a_text_belongs() {
        for (text, body) in [
            ("", json!({})),
            ("a=1&b=%F0%9F%91%8B+d&c=", json!({ "a": "1", "b": "👋 d", "c": "" })),
            ("s[x]=true&s[y]=false", json!({ "s": { "x": "true", "y": "false" } })),
            (
                "m%5Blocation%5D%5Blatitude%5D=1.5&n=1&m[location][longitude]=2",
                json!({ "m": { "location": { "latitude": "1.5", "longitude": "2" } }, "n": "1" }),
            ),
            (
                "c[0][phone]=1&c[1][phone]=2&c[0][name]=A",
                json!({ "c": [{ "phone": "1", "name": "A" }, { "phone": "2" }] }),
            ),
            (
                "a[b][c][d][e][f]=1",
                json!({ "a": { "b": { "c": { "d": { "e": { "f": "1" } } } } } }),
            ),
            ("p[$ne]=x&$where=y", json!({ "p": { "$ne": "x" }, "$where": "y" })),
            ("a]=1&=2", json!({ "a]": "1", "": "2" })),
        ] {
            assert_eq!(form(text.as_bytes()), Ok(body), "{text}");
        }
    }

    #[test]
    fn lists_are_repeated_or_numbered() {
        for (text, body) in [
            ("p=a", json!({ "p": "a" })),
            ("p=a&q=c&p=b", json!({ "p": ["a", "b"], "q": "c" })),
            ("p[]=a", json!({ "p": ["a"] })),
            ("p[]=a&p%5b%5D=b&p=c", json!({ "p": ["a", "b", "c"] })),
            ("p=a&p[]=b", json!({ "p": ["a", "b"] })),
            ("p[0]=a", json!({ "p": ["a"] })),
            ("p[1]=b&p%5b0%5d=a", json!({ "p": ["a", "b"] })),
            ("p[9999]=c&p[7]=b", json!({ "p": ["b", "c"] })),
            ("p[0][]=a&p[0][]=b", json!({ "p": [["a", "b"]] })),
        ] {
            assert_eq!(form(text.as_bytes()), Ok(body), "{text}");
        }
    }

    #[test]
    fn one_field_in_two_shapes_is_refused() {
        for text in [
            "a=1&a[b]=2",
            "a[b]=2&a=1",
            "a[]=1&a[b]=2",
            "a[]=1&a[0]=2",
            "a[0]=1&a=2",
            "a[0]=1&a[b]=2",
            "a[b]=1&a[b][c]=2",
            "a[0][b]=1&a[0]=2",
        ] {
            let error = form(text.as_bytes()).expect_err(text);
            assert_eq!((error.error.as_ref(), error.status.as_u16()), ("validation_error", 400));
            assert!(error.message.starts_with('a'), "{text}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_not_lost() {
        for key in ["[]", "[a]", "p[", "p[a", "p[a]b", "p[a][", "p[a[b]]", "p[]a", "p[][a]"] {
            let error = form(format!("q=1&{key}=x").as_bytes()).expect_err(key);
            assert_eq!((error.error.as_ref(), error.status.as_u16()), ("validation_error", 400));
            assert!(error.message.starts_with(&format!("{key}: ")), "{error}");
        }
    }

    #[test]
    fn form_has_an_end_in_every_direction() {
        for key in ["a[b][c][d][e][f][g]", "a[10000]", "a[18446744073709551616]"] {
            let error = form(format!("{key}=1").as_bytes()).expect_err(key);
            assert_eq!(error.error, "validation_error", "{key}");
        }
        let deep = format!("a{}=1", "[b]".repeat(100_000));
        let error = form(deep.as_bytes()).expect_err("too deep");
        assert!(error.message.len() < 200, "{error}");

        let repeated = |count: usize| vec!["p=1"; count].join("&");
        let body = form(repeated(MOST_FIELDS).as_bytes()).expect("as many as may be");
        assert_eq!(body["p"].as_array().map(Vec::len), Some(MOST_FIELDS));
        let error = form(repeated(MOST_FIELDS + 1).as_bytes()).expect_err("one too many");
        assert_eq!((error.error.as_ref(), error.status.as_u16()), ("PayloadTooLargeError", 413));
    }
}
