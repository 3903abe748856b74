//! What a route may fail with: its own reasons, and those of all routes of its kind.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What each reason means, and what to do about it.
pub(super) const REASONS: &[(&str, &str)] = &[
    ("PayloadTooLargeError", "the body is too large; send less at once"),
    ("SyntaxError", "the body is not a JSON object"),
    ("URIError", "the path has an escape that cannot be decoded"),
    ("UnsupportedMediaTypeError", "the body is compressed, or not UTF-8"),
    ("already_admin", "the member is an administrator already"),
    ("already_member", "the user is a member already"),
    ("conflict", "others changed the same thing at the same time; try again"),
    ("conversation_not_found", "there is no such conversation"),
    ("forbidden", "the caller may not do this; the message says why"),
    ("group_full", "the group has as many members as a group can have"),
    ("invalid_conversation_id", "a conversation's id has 24 hex characters"),
    ("invalid_credentials", "no account has this name and password; do not end a session for it"),
    ("invalid_id", "an id has 24 hex characters; the message names the field"),
    ("invalid_otp", "the code is wrong, used, or too old; ask for a new one"),
    ("expired_otp", "the code is too old; ask for a new one"),
    ("invalid_otp_format", "a code has six digits"),
    ("invalid_phone", "a phone has at least ten digits"),
    ("invalid_session", "the session is over; log in again"),
    ("invalid_token", "the token is not valid or not valid any more; log in again"),
    ("message_deleted", "the message was deleted"),
    ("message_id_in_use", "the id belongs to another message; try again"),
    ("conversation_id_in_use", "the id belongs to another conversation; try again"),
    ("missing", "a field is missing; the message names it"),
    ("missing_fields", "a field is missing; the message names it"),
    ("no_session", "the token belongs to no session that could be ended"),
    ("not_found", "there is nothing of this id that the caller could see"),
    ("not_pending", "the request waits for no answer; the message says what it is"),
    ("otp_not_delivered", "the code could not be sent; try again"),
    ("overloaded", "too much is to be done at the moment; try again after the time that is told"),
    ("phone_taken", "an account with this phone exists; log in"),
    ("server_error", "a fault of the server, which has noted it under the request's id"),
    ("timeout", "no answer came in time; try again"),
    ("too_long", "the text is too long; the message says how long it may be"),
    ("too_many_contacts", "more than 5,000 contacts; send them in parts"),
    ("too_many_messages", "too many messages; wait for the time that is told"),
    ("too_many_pinned", "as many conversations are pinned as may be; unpin another one before"),
    ("too_many_reactions", "the message has as many reactions as it may"),
    ("too_many_otp_requests", "too many codes for this phone or from this address; wait"),
    ("too_many_requests", "too many requests; wait for the time that is told"),
    ("unauthorized", "the header `Authorization: Bearer` is missing"),
    ("unavailable", "a service cannot be reached at the moment; try again"),
    ("uri_too_long", "the URL is too long"),
    ("user_not_found", "there is no such user"),
    ("validation_error", "a value is missing or not possible; the message says which"),
];

/// Statuses by which a route may fail, each with its reasons.
type Failures = BTreeMap<String, Vec<String>>;

/// Adds the answers of failures to an operation, and takes the list of its own reasons away.
pub(super) fn add(operation: &mut Value, path: &str) {
    let own = operation.as_object_mut().and_then(|fields| fields.remove("x-reasons"));
    let mut failures = Failures::new();
    for own in own.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str) {
        let (status, reason) = own.split_once(' ').expect("a status and a reason");
        failures.entry(status.to_owned()).or_default().push(reason.to_owned());
    }
    for (status, reason) in common(operation, path) {
        failures.entry(status.to_owned()).or_default().push(reason.to_owned());
    }
    for (status, mut reasons) in failures {
        reasons.sort_unstable();
        reasons.dedup();
        if operation["responses"].get(&status).is_none() {
            operation["responses"][&status] = response(&status, &reasons);
        }
    }
}

/// Returns what follows from what an operation takes.
fn common(operation: &Value, path: &str) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![("414", "uri_too_long"), ("500", "server_error"), ("504", "timeout")];
    let is_asked_of_services = operation["tags"][0] != "health";
    if is_asked_of_services {
        all.extend([("503", "unavailable"), ("503", "overloaded"), ("429", "too_many_requests")]);
    }
    // No requirement means that of the whole document.
    if operation.get("security").is_none() {
        let reasons = ["unauthorized", "invalid_token", "invalid_session", "user_not_found"];
        all.extend(reasons.map(|reason| ("401", reason)));
    }
    if operation.get("requestBody").is_some() {
        all.extend([
            ("400", "SyntaxError"),
            ("400", "validation_error"),
            ("413", "PayloadTooLargeError"),
            ("415", "UnsupportedMediaTypeError"),
        ]);
    }
    let parameters = operation["parameters"].as_array();
    if parameters.into_iter().flatten().any(|parameter| parameter["in"] == "query") {
        all.push(("400", "validation_error"));
    }
    if path.contains('{') {
        all.extend([("400", "URIError"), ("400", "invalid_id")]);
    }
    if path.contains("{id}") {
        all.push(("404", "not_found"));
    }
    all
}

fn response(status: &str, reasons: &[String]) -> Value {
    let lines = reasons.iter().map(|reason| {
        let known = REASONS.iter().find(|(known, _)| known == reason);
        let (_, text) = known.unwrap_or_else(|| panic!("nobody says what {reason} means"));
        format!("- `{reason}`: {text}")
    });
    let lines: Vec<String> = lines.collect();
    let mut response = json!({
        "description": lines.join("\n"),
        "content": { "application/json": { "schema": {
            "allOf": [
                { "$ref": "#/components/schemas/Failure" },
                { "properties": { "error": { "enum": reasons } } },
            ],
        } } },
    });
    if ["429", "503"].contains(&status) {
        response["headers"] =
            json!({ "Retry-After": { "$ref": "#/components/headers/RetryAfter" } });
    }
    response
}
