//! Makes schemas as flat as the objects that they describe: a flattened part of a type comes as an
//! intersection, and a part that may be missing as a union with null.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Flattens all schemas, and removes those that nothing refers to any more.
pub(super) fn flatten(schemas: &mut BTreeMap<String, Value>) {
    let given = schemas.clone();
    for schema in schemas.values_mut() {
        visit(schema, &given);
    }
}

fn visit(schema: &mut Value, given: &BTreeMap<String, Value>) {
    if schema.get("allOf").is_some() {
        let mut flat = Object::default();
        flat.merge(schema, given, true);
        *schema = flat.into_schema(schema.get("description"));
    }
    match schema {
        Value::Object(fields) => {
            // Some values have two of the forms: an empty list is a list of anything.
            if let Some(forms) = fields.remove("oneOf") {
                fields.insert("anyOf".to_owned(), forms);
            }
            fields.values_mut().for_each(|value| visit(value, given));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, given)),
        _ => {}
    }
}

/// An object of several parts.
#[derive(Default)]
struct Object {
    properties: Map<String, Value>,
    required: Vec<Value>,
    additional: Option<Value>,
}

impl Object {
    fn merge(&mut self, part: &Value, given: &BTreeMap<String, Value>, is_there: bool) {
        if let Some(name) = part.get("$ref").and_then(Value::as_str) {
            let name = name.rsplit('/').next().unwrap_or_default();
            let referred = given.get(name).unwrap_or_else(|| panic!("no schema {name}"));
            return self.merge(referred, given, is_there);
        }
        for item in part.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.merge(item, given, is_there);
        }
        let unions = ["oneOf", "anyOf"].into_iter().filter_map(|key| part.get(key)?.as_array());
        for item in unions.flatten().filter(|item| !is_null(item)) {
            self.merge(item, given, false);
        }
        if let Some(properties) = part.get("properties").and_then(Value::as_object) {
            let properties = properties.iter().map(|(name, value)| (name.clone(), value.clone()));
            self.properties.extend(properties);
        }
        if let Some(required) = part.get("required").and_then(Value::as_array) {
            self.required.extend(required.iter().filter(|_| is_there).cloned());
        }
        let additional = part.get("additionalProperties");
        self.additional = self.additional.take().or_else(|| additional.cloned());
    }

    fn into_schema(self, description: Option<&Value>) -> Value {
        let mut schema = json!({ "type": "object", "properties": self.properties });
        if let Some(description) = description {
            schema["description"] = description.clone();
        }
        if !self.required.is_empty() {
            schema["required"] = self.required.into();
        }
        if let Some(additional) = self.additional {
            schema["additionalProperties"] = additional;
        }
        schema
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
}

/// Removes the schemas that nothing refers to at a place of the document, directly or by others.
pub(super) fn prune(document: &mut Value, place: &str) {
    let mut wanted = std::collections::BTreeSet::new();
    let mut open = Vec::new();
    references(document.pointer(place).unwrap_or(&Value::Null), &mut open);
    while let Some(name) = open.pop() {
        if wanted.insert(name.clone()) {
            references(&document["components"]["schemas"][&name], &mut open);
        }
    }
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| wanted.contains(name));
    }
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str)
                && let Some(name) = name.strip_prefix("#/components/schemas/")
            {
                found.push(name.to_owned());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
