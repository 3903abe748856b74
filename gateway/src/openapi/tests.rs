//! Nothing may be missing in the document: no route, no meaning, no schema.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = document()["paths"].as_object().expect("paths").iter();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods").iter();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Calls `visit` with every value and the way to it.
fn walk<'a>(value: &'a Value, at: &str, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(at, value);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                walk(field, &format!("{at}/{name}"), visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{at}/{index}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn every_route_has_its_operation_and_every_operation_its_route() {
    let routes = routes::all();
    let routes = routes.table().iter();
    let routes: BTreeSet<String> =
        routes.map(|(method, path)| format!("{method} {path}")).collect();
    let operations: BTreeSet<String> = operations()
        .map(|(path, method, _)| format!("{} {path}", method.to_ascii_uppercase()))
        .collect();
    let missing: Vec<_> = routes.difference(&operations).collect();
    assert!(missing.is_empty(), "give the handlers #[utoipa::path]: {missing:#?}");
    let invented: Vec<_> = operations.difference(&routes).collect();
    assert!(invented.is_empty(), "no route leads there: {invented:#?}");
}

#[test]
fn every_operation_has_a_name_of_its_own_and_a_text() {
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations() {
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name), "{name} twice");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
        assert!(operation.get("x-reasons").is_none(), "{method} {path}");
    }
}

#[test]
fn whoever_needs_no_token_is_named() {
    let public: BTreeSet<&str> = operations()
        .filter(|(_, _, operation)| operation.get("security").is_some())
        .map(|(path, _, _)| path)
        .collect();
    let expected: BTreeSet<&str> = [
        "/",
        "/health",
        "/health/db",
        "/ping",
        "/api/auth/send-otp",
        "/api/auth/send-otp-login",
        "/api/auth/verify-otp-register",
        "/api/auth/verify-otp-login",
        "/api/auth/login",
        "/auth/send-otp",
        "/auth/send-otp-login",
        "/auth/verify-otp-register",
        "/auth/verify-otp-login",
        "/auth/login",
    ]
    .into();
    assert_eq!(public, expected);
}

#[test]
fn every_field_and_every_parameter_says_what_it_is() {
    let mut silent = BTreeSet::new();
    let mut look = |at: &str, value: &Value| {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            // The `error` of one route narrows that of all.
            let is_failure = at.contains("/allOf/");
            let fields = properties.iter().filter(|(_, field)| field.get("description").is_none());
            silent.extend(fields.filter(|_| !is_failure).map(|(name, _)| name.clone()));
        }
        if value.get("in").is_some_and(Value::is_string) && value.get("description").is_none() {
            silent.insert(value["name"].to_string());
        }
    };
    walk(&document()["paths"], "", &mut look);
    for document in [document(), events()] {
        walk(&document["components"]["schemas"], "", &mut look);
    }
    assert!(silent.is_empty(), "say in words/table.rs what these are: {silent:#?}");
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_wanted() {
    for document in [document(), events()] {
        let mut wanted = BTreeSet::new();
        walk(document, "", &mut |at, value| {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').expect("a reference inside the document");
                assert!(document.pointer(pointer).is_some(), "{at}: {reference}");
                wanted.insert(reference);
            }
        });
        for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
            assert!(wanted.contains(schemas::reference(name).as_str()), "nobody wants {name}");
        }
    }
}

#[test]
fn every_event_that_sockets_may_send_is_told_once() {
    let mut said = wire::events().names_said();
    said.sort_unstable();
    let mut handled: Vec<&str> = wire::event::INBOUND.into();
    handled.retain(|name| *name != wire::event::CONNECT);
    handled.sort_unstable();
    assert_eq!(said, handled, "a handler and its line in `wire` belong together");
}

#[test]
fn reasons_and_words_are_told_once() {
    let reasons = failures::REASONS.iter().map(|(name, _)| *name);
    let words = words::WORDS.iter().map(|(name, ..)| *name);
    for names in [reasons.collect::<Vec<_>>(), words.collect()] {
        let once: BTreeSet<_> = names.iter().collect();
        assert_eq!(once.len(), names.len());
    }
}

#[test]
fn failures_list_their_reasons() {
    let operation = &document()["paths"]["/api/groups/{id}"]["get"];
    let reasons = |status| {
        let at = format!("/responses/{status}/content/application~1json/schema/allOf/1");
        let schema = operation.pointer(&at).unwrap_or_else(|| panic!("{status}: {operation}"));
        schema["properties"]["error"]["enum"].clone()
    };
    assert_eq!(reasons("400"), serde_json::json!(["URIError", "invalid_id"]));
    assert_eq!(reasons("403"), serde_json::json!(["forbidden"]));
    assert_eq!(
        reasons("401"),
        serde_json::json!(["invalid_session", "invalid_token", "unauthorized", "user_not_found"])
    );
}

#[test]
fn flattened_types_are_one_object() {
    let page = &document()["components"]["schemas"]["HistoryPageAnswerOld"];
    let item = &page["properties"]["messages"]["items"];
    assert!(item.get("allOf").is_none(), "{item}");
    for field in ["_id", "edited", "fileUrl", "forwarded"] {
        assert!(item["properties"].get(field).is_some(), "{field} in {item}");
    }
    let required = item["required"].as_array().expect("a list");
    assert!(required.contains(&"_id".into()) && !required.contains(&"fileUrl".into()), "{item}");
}
