//! What goes for every endpoint: paths, methods, bodies, identities.

use chat_local::testing;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::Cast;

/// Sends a request as it is written here, and nothing more; returns status and body.
async fn send(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
    assert_eq!(kind, "application/json; charset=utf-8");
    let body = response.bytes().await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_ignore_case_and_one_slash_at_the_end() {
    let suite = testing::suite(|_| {}).await;
    let cast = Cast::new(&suite).await;
    for path in ["/API/Auth/ME", "/api/auth/me/", "/Auth/Me/", "/api/users/profile/"] {
        let answer = cast.ada.get(path).await;
        assert_eq!(answer["user"]["id"], cast.ada.id.as_str(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn path_or_method_that_is_not_there_is_not_found() {
    let suite = testing::suite(|_| {}).await;
    let cast = Cast::new(&suite).await;
    let base = format!("http://{}", suite.gateways[0]);
    let http = Client::new();
    let behind_login = ["messages", "conversations", "users", "groups", "notifications"];
    for (method, path, needs_login) in behind_login
        .iter()
        .map(|name| (Method::GET, format!("/api/{name}/nothing/of/this/kind"), true))
        .chain([
            (Method::PATCH, "/api/conversations".to_owned(), true),
            (Method::GET, "/api/users/me".to_owned(), true),
            (Method::GET, "/api/auth/nothing".to_owned(), false),
            (Method::GET, "/api/auth/login".to_owned(), false),
            (Method::GET, "/api/nothing".to_owned(), false),
            (Method::GET, "/nothing?secret=1".to_owned(), false),
            (Method::POST, "/health".to_owned(), false),
        ])
    {
        let request = http.request(method.clone(), format!("{base}{path}"));
        let (status, answer) = send(request.try_clone().expect("a copy")).await;
        let expected = if needs_login { (401, "unauthorized") } else { (404, "not_found") };
        let found = (status.as_u16(), answer["error"].as_str().unwrap_or_default());
        assert_eq!(found, expected, "{method} {path}");
        let (status, answer) = send(request.bearer_auth(&cast.ada.token)).await;
        assert_eq!((status.as_u16(), &answer["error"]), (404, &json!("not_found")), "{path}");
        let message = answer["message"].as_str().expect("a text");
        let named = path.split('?').next().expect("a path");
        assert!(message.contains(method.as_str()) && message.contains(named), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_where_get_is() {
    let suite = testing::suite(|_| {}).await;
    let cast = Cast::new(&suite).await;
    let http = Client::new();
    for path in ["/", "/health", "/api/auth/me", "/api/conversations", "/users/profile"] {
        let url = format!("http://{}{path}", suite.gateways[1]);
        let (status, body) = send(http.head(url).bearer_auth(&cast.ada.token)).await;
        assert_eq!((status.as_u16(), body), (200, Value::Null), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn body_is_json_or_a_form_or_empty() {
    let suite = testing::suite(|_| {}).await;
    let Cast { ada, grace, chat, .. } = Cast::new(&suite).await;
    let url = format!("http://{}/api/messages", suite.gateways[0]);
    let post = |kind: &str, body: String| {
        let request = Client::new().post(&url).bearer_auth(&ada.token);
        send(request.header("content-type", kind).body(body))
    };
    let text = json!({ "conversationId": chat, "content": "hi" }).to_string();
    let form = format!("conversationId={chat}&content=hi+there");
    for (kind, body, status, error) in [
        ("application/json", text.clone(), 200, None),
        ("application/json; charset=utf-8", text.clone(), 200, None),
        ("application/x-www-form-urlencoded", form, 200, None),
        ("application/json", text.replace('}', ""), 400, Some("SyntaxError")),
        ("application/json", "7".to_owned(), 400, Some("SyntaxError")),
        ("application/json", "\"text\"".to_owned(), 400, Some("SyntaxError")),
        ("application/json", "[]".to_owned(), 400, Some("validation_error")),
        ("application/json", String::new(), 400, Some("validation_error")),
        ("text/plain", text.clone(), 400, Some("validation_error")),
        ("application/json; charset=latin1", text, 415, Some("UnsupportedMediaTypeError")),
        (
            "application/json",
            json!({ "content": "x".repeat(1 << 20) }).to_string(),
            413,
            Some("PayloadTooLargeError"),
        ),
    ] {
        let short: String = body.chars().take(40).collect();
        let (answered, answer) = post(kind, body).await;
        let found = (answered.as_u16(), answer["error"].as_str());
        assert_eq!(found, (status, error), "{kind}: {short}: {answer}");
    }
    let (status, answer) = grace.request(Method::GET, "/api/users/profile/%ff", Value::Null).await;
    assert_eq!((status.as_u16(), &answer["error"]), (400, &json!("URIError")), "{answer}");
}
