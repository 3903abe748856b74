//! What may stand in a body, by the example of a route that needs no token.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, http::header};
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::json;

use crate::app::{App, NOWHERE, config, request};

const PATH: &str = "/api/auth/send-otp-login";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

const PIECE: usize = 64 << 10;

/// The services are out of reach: a body that got so far was accepted.
const ACCEPTED: (u16, &str) = (503, "unavailable");

#[tokio::test]
async fn malformed_json_is_refused() {
    let app = App::alone();
    for body in ["{", "{\"phone\":", "\"text\"", "42", "true", "null", "{\"a\":1}}", "\u{0}"] {
        app.post(PATH, JSON, body).await.assert_refused(400, "SyntaxError");
    }
    app.post(PATH, JSON, vec![0xff, 0xfe]).await.assert_refused(400, "SyntaxError");
}

#[tokio::test]
async fn body_that_says_nothing_is_empty() {
    let app = App::alone();
    for (content_type, body) in [
        (JSON, ""),
        (JSON, "\u{feff}"),
        (JSON, "[1, 2]"),
        (JSON, "{}"),
        (FORM, ""),
        ("text/plain", "{"),
        ("multipart/form-data; boundary=x", "--x"),
    ] {
        app.post(PATH, content_type, body).await.assert_refused(400, "missing");
    }
    let request = request("POST", PATH, None).body(Body::from("{")).expect("a request");
    app.send(request).await.assert_refused(400, "missing");
}

#[tokio::test]
async fn json_and_forms_are_read() {
    let app = App::alone();
    let json = r#"{"phone":"+15550000001","unknown":{"x":[1]}}"#;
    for (content_type, body) in [
        (JSON, json),
        ("application/json; charset=utf-8", json),
        ("Application/JSON;Charset=\"UTF-8\"", json),
        ("application/json; charset=utf8", json),
        ("application/json; charset=US-ASCII", json),
        (JSON, "\u{feff}{\"phone\":\"+15550000001\"}"),
        (FORM, "\u{feff}phone=%2B15550000001"),
        (FORM, "phone=%2B15550000001&name=Ada+L"),
    ] {
        let answer = app.post(PATH, content_type, body).await;
        answer.assert_refused(ACCEPTED.0, ACCEPTED.1);
    }
}

#[tokio::test]
async fn field_of_a_wrong_type_is_named() {
    let app = App::alone();
    for phone in [json!({ "$ne": null }), json!(["x"])] {
        let answer = app.post(PATH, JSON, json!({ "phone": phone }).to_string()).await;
        answer.assert_refused(400, "validation_error");
        assert!(answer.body["message"].as_str().expect("text").starts_with("phone: "));
    }
    for form in ["phone[]=x", "phone[$ne]=x", "phone=x&phone=y", "phone=x&phone[y]=z", "phone[=x"] {
        app.post(PATH, FORM, form).await.assert_refused(400, "validation_error");
    }
}

#[tokio::test]
async fn scalars_are_texts() {
    let app = App::alone();
    for phone in [json!(15_550_000_001_i64), json!(true)] {
        let answer = app.post(PATH, JSON, json!({ "phone": phone }).to_string()).await;
        answer.assert_refused(ACCEPTED.0, ACCEPTED.1);
    }
    app.post(PATH, JSON, r#"{"phone":null}"#).await.assert_refused(400, "missing");
}

#[tokio::test]
async fn half_a_character_does_not_spoil_a_body() {
    let app = App::alone();
    for body in [r#"{"phone":"+1","name":"a\ud83d"}"#, r#"{"phone":"+1","name":"\udc4b a"}"#] {
        app.post(PATH, JSON, body).await.assert_refused(ACCEPTED.0, ACCEPTED.1);
    }
}

#[tokio::test]
async fn other_charsets_and_codings_are_refused() {
    let app = App::alone();
    for content_type in ["application/json; charset=latin1", "application/json;charset=utf-16"] {
        let answer = app.post(PATH, content_type, "{}").await;
        answer.assert_refused(415, "UnsupportedMediaTypeError");
    }
    let request = request("POST", PATH, None)
        .header(header::CONTENT_TYPE, JSON)
        .header(header::CONTENT_ENCODING, "gzip")
        .body(Body::from("{}"));
    let answer = app.send(request.expect("a request")).await;
    answer.assert_refused(415, "UnsupportedMediaTypeError");
}

#[tokio::test]
async fn body_beyond_the_limit_is_refused() {
    let app = App::alone();
    let large = json!({ "phone": "1".repeat(1 << 20) }).to_string();
    app.post(PATH, JSON, large.clone()).await.assert_refused(413, "PayloadTooLargeError");

    let pieces: Vec<_> = large
        .as_bytes()
        .chunks(4096)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    let chunked = Body::from_stream(stream::iter(pieces));
    app.post(PATH, JSON, chunked).await.assert_refused(413, "PayloadTooLargeError");

    let mut config = config(NOWHERE);
    config.http.body_limit = 2 << 20;
    App::new(config).post(PATH, JSON, large).await.assert_refused(ACCEPTED.0, ACCEPTED.1);
}

/// A body that is written in pieces; remembers how much of it was read.
fn written(
    pieces: usize,
    read: &Arc<AtomicUsize>,
) -> impl Stream<Item = io::Result<Vec<u8>>> + use<> {
    let read = Arc::clone(read);
    stream::iter(0..pieces).map(move |_| {
        read.fetch_add(PIECE, Ordering::SeqCst);
        Ok(vec![b'1'; PIECE])
    })
}

#[tokio::test]
async fn too_large_body_is_read_before_it_is_refused() {
    let app = App::alone();
    // A client that writes everything first gets to reading; one without end is left alone.
    for (pieces, expected) in [(48, 48 * PIECE), (1 << 20, 16 << 20)] {
        let read = Arc::new(AtomicUsize::new(0));
        let body = Body::from_stream(written(pieces, &read));
        app.post(PATH, JSON, body).await.assert_refused(413, "PayloadTooLargeError");
        assert_eq!(read.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn too_large_body_that_never_ends_is_refused_all_the_same() {
    let read = Arc::new(AtomicUsize::new(0));
    let stalled = written(17, &read).chain(stream::pending());
    let app = App::alone();
    let answer = app.post(PATH, JSON, Body::from_stream(stalled));
    let answer = tokio::time::timeout(Duration::from_secs(12), answer).await;
    answer.expect("given up in time").assert_refused(413, "PayloadTooLargeError");
}

#[tokio::test]
async fn verification_names_what_is_missing() {
    let app = App::alone();
    for (path, body) in [
        ("/auth/verify-otp-login", json!({ "otp": "123456" })),
        ("/api/auth/verify-otp-login", json!({ "sessionId": "s", "otp": "" })),
        ("/auth/verify-otp-register", json!({ "otp": "123456", "sessionId": "s", "phone": "+1" })),
    ] {
        app.post(path, JSON, body.to_string()).await.assert_refused(400, "missing");
    }
    let injected = json!({ "otp": "123456", "sessionId": { "$ne": null } }).to_string();
    let answer = app.post("/api/auth/verify-otp-login", JSON, injected).await;
    answer.assert_refused(400, "validation_error");
}
