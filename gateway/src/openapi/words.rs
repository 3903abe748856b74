//! What fields and parameters mean, by their names: a name means the same wherever it stands.

mod table;

use serde_json::{Value, json};

pub(super) use self::table::WORDS;
use Kind::{Any, Id, Instant, Url};

/// An id.
pub(super) const ID: &str = "^[0-9a-fA-F]{24}$";
/// An instant as answers have it: to the millisecond, in UTC.
const INSTANT: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$";

/// What a text of a name is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing is known beside its type.
    Any,
    /// The id of something: where it is a text, and in lists of texts.
    Id,
    /// An instant of ISO 8601.
    Instant,
    /// The address of a file.
    Url,
}

/// Explains all fields and parameters of a document.
pub(super) fn explain(document: &mut Value) {
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (name, schema) in schemas {
            fields(schema, !name.ends_with("Request"));
        }
    }
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    let operations = paths.filter_map(|(_, methods)| methods.as_object_mut()).flatten();
    for (_, operation) in operations {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            if let Some((_, kind, text)) = known(&name) {
                if parameter.get("description").is_none() {
                    parameter["description"] = (*text).into();
                }
                shape(&mut parameter["schema"], *kind, false);
            }
        }
    }
}

fn known(name: &str) -> Option<&'static (&'static str, Kind, &'static str)> {
    WORDS.iter().find(|(known, ..)| *known == name)
}

/// Explains the fields of a schema and of all that it contains.
fn fields(schema: &mut Value, is_answer: bool) {
    match schema {
        Value::Object(parts) => {
            // A default of null says nothing that the type does not say.
            if parts.get("default").is_some_and(Value::is_null) {
                parts.remove("default");
            }
            if let Some(properties) = parts.get_mut("properties").and_then(Value::as_object_mut) {
                for (name, property) in properties {
                    field(name, property, is_answer);
                }
            }
            parts.values_mut().for_each(|part| fields(part, is_answer));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fields(item, is_answer)),
        _ => {}
    }
}

fn field(name: &str, property: &mut Value, is_answer: bool) {
    let Some((_, kind, text)) = known(name) else { return };
    if property.get("description").is_none() {
        property["description"] = (*text).into();
    }
    shape(property, *kind, is_answer);
}

/// Says more of texts: alone, in lists, in unions.
fn shape(schema: &mut Value, kind: Kind, is_answer: bool) {
    if let Some(forms) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        for form in forms {
            shape(form, kind, is_answer);
        }
    }
    if let Some(items) = schema.get_mut("items").filter(|_| kind == Id) {
        shape(items, kind, is_answer);
    }
    let is_text = schema["type"] == "string" || schema["type"] == json!(["string", "null"]);
    if !is_text {
        return;
    }
    match kind {
        Any => {}
        // What is opaque says so itself.
        Id if schema.get("pattern").is_some() => {}
        Id => schema["pattern"] = ID.into(),
        Instant => {
            schema["format"] = "date-time".into();
            if is_answer {
                schema["pattern"] = INSTANT.into();
            }
        }
        // What was stored before may be any text.
        Url if is_answer => {}
        Url => schema["format"] = "uri-reference".into(),
    }
}
