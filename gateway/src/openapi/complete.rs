//! Puts the document together: the operations as the handlers tell them, the schemas of the wire types,
//! and all that follows from them.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    failures, flat,
    schemas::{Schemas, entry},
    words,
};
use crate::routes::Routes;

/// Begins of paths, and what the `id` behind them belongs to.
const IDS: [(&str, &str); 6] = [
    ("/api/messages/conversation/", "Id of the conversation"),
    ("/api/messages/", "Id of the message"),
    ("/api/groups/", "Id of the group, which is that of its conversation"),
    ("/api/users/", "Id of the user"),
    ("/api/conversations/chat-requests/", "Id of the conversation that is asked for"),
    ("/api/conversations/", "Id of the conversation"),
];

/// Completes the document.
pub(super) fn document(mut document: Value, schemas: Schemas, routes: &Routes) -> Value {
    let mut schemas = schemas.0;
    let derived = entry(components(&mut document), "schemas");
    schemas.extend(std::mem::take(derived));
    flat::flatten(&mut schemas);
    let operations = document["paths"].as_object_mut().expect("paths");
    for (path, methods) in operations.iter_mut() {
        let methods = methods.as_object_mut().expect("methods");
        for operation in methods.values_mut() {
            complete(operation, path);
        }
        // One handler of two methods has one name.
        let patched = methods.get("patch").map(|patch| patch["operationId"].clone());
        if let Some(put) = methods.get_mut("put")
            && patched.as_ref() == Some(&put["operationId"])
        {
            let name = put["operationId"].as_str().unwrap_or_default();
            put["operationId"] = format!("{name}ByPut").into();
        }
    }
    for (method, common, path) in routes.seconds() {
        repeat(operations, method, common, path);
    }
    document["components"]["schemas"] = schemas.into_iter().collect::<Map<_, _>>().into();
    flat::prune(&mut document, "/paths");
    words::explain(&mut document);
    document["components"]["securitySchemes"] = json!({ "bearer": {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": "The `token` of the answer to a login",
    }});
    document["components"]["headers"] = headers();
    document["components"]["parameters"] = dialect();
    document["security"] = json!([{ "bearer": [] }]);
    document
}

fn components(document: &mut Value) -> &mut Value {
    let fields = document.as_object_mut().expect("an object");
    fields.entry("components").or_insert_with(|| json!({}))
}

fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The id of the request, as it was sent or a new one; the server's log has it",
            "schema": { "type": "string" },
        },
        "RetryAfter": {
            "description": "Seconds to wait before the next try",
            "schema": { "type": "integer", "minimum": 1 },
        },
    })
}

/// The two ways to declare a vocabulary.
fn dialect() -> Value {
    let schema = json!({ "type": "string", "enum": ["electron", "flutter", "unified"] });
    json!({
        "clientType": {
            "name": "clientType", "in": "query", "schema": schema,
            "description": "The client's vocabulary; wins over the header. Anything else declares nothing",
        },
        "ClientType": {
            "name": "Client-Type", "in": "header", "schema": schema,
            "description": "The client's vocabulary",
        },
    })
}

fn complete(operation: &mut Value, path: &str) {
    let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
    let name = operation["operationId"].as_str().unwrap_or_default();
    operation["operationId"] = camel_case(&format!("{tag}_{name}")).into();
    if tag != "health" {
        let parameters = operation.as_object_mut().expect("an operation").entry("parameters");
        let parameters = parameters.or_insert_with(|| json!([]));
        let parameters = parameters.as_array_mut().expect("a list");
        for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            parameters.push(in_path(path, name));
        }
    }
    take_forms(operation);
    failures::add(operation, path);
    if tag != "health" {
        let parameters = operation["parameters"].as_array_mut().expect("a list");
        parameters.push(json!({ "$ref": "#/components/parameters/clientType" }));
        parameters.push(json!({ "$ref": "#/components/parameters/ClientType" }));
    }
    for (_, response) in operation["responses"].as_object_mut().expect("responses") {
        let headers = entry(response, "headers");
        let id = json!({ "$ref": "#/components/headers/RequestId" });
        headers.insert("X-Request-Id".to_owned(), id);
    }
    if operation["security"] == json!([{}]) {
        operation["security"] = json!([]);
    }
    if !path.starts_with("/api/") && tag != "health" {
        operation["deprecated"] = true.into();
    }
}

/// A form does as well as JSON, and says the same in fewer types.
fn take_forms(operation: &mut Value) {
    if let Some(content) = operation.pointer_mut("/requestBody/content") {
        let form = content["application/json"].clone();
        content["application/x-www-form-urlencoded"] = form;
    }
}

fn in_path(path: &str, name: &str) -> Value {
    let known = IDS.iter().find(|(begin, _)| path.starts_with(begin));
    let description = match (name, known) {
        ("id", Some((_, text))) => text,
        ("id", None) => "Id of what the path names",
        ("reaction", _) => "A text of at most 32 UTF-16 units, such as an emoji",
        _ => "Id of the user",
    };
    let schema = match name {
        "reaction" => json!({ "type": "string", "minLength": 1, "maxLength": 32 }),
        _ => json!({ "type": "string", "pattern": words::ID }),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": description })
}

/// Repeats an operation for another path to the same handler.
fn repeat(operations: &mut Map<String, Value>, method: &Method, common: &str, path: &str) {
    let method = method.as_str().to_ascii_lowercase();
    let Some(mut operation) = operations.get(common).and_then(|at| at.get(&method)).cloned() else {
        return;
    };
    let name = operation["operationId"].as_str().unwrap_or_default();
    let suffix = if path.starts_with("/api/") { "Again" } else { "WithoutPrefix" };
    operation["operationId"] = format!("{name}{suffix}").into();
    operation["deprecated"] = true.into();
    operation["description"] = format!("The same as `{common}`, for old clients.").into();
    let methods = operations.entry(path).or_insert_with(|| json!({}));
    methods[method] = operation;
}

fn camel_case(name: &str) -> String {
    let mut is_first = false;
    let letters = name.chars().filter_map(|letter| {
        let upper = std::mem::replace(&mut is_first, letter == '_');
        match letter {
            '_' => None,
            letter if upper => Some(letter.to_ascii_uppercase()),
            letter => Some(letter),
        }
    });
    letters.collect()
}
