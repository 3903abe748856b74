//! What goes for every endpoint: paths, methods, bodies, identities.

use chat_e2e::harness::{Person, text};
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

/// Sends a form as somebody.
async fn send_form(by: &Person, method: Method, url: &str, body: &str) -> (StatusCode, Value) {
    let request = Client::new().request(method, url).bearer_auth(&by.token);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    send(request.body(body.to_owned())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn form_says_the_same_as_json() {
    let suite = testing::suite(|_| {}).await;
    let Cast { ada, grace, stranger, chat } = Cast::new(&suite).await;
    let group = format!("/api/groups/{}", ada.group(&[&grace]).await);
    let quoted = text(&ada.send(&chat, "quoted").await["messageId"]).to_owned();
    let (other, another) = (&grace.id, &stranger.id);
    let message = |more: &str| format!("conversationId={chat}&text=x&{more}");
    let [messages, groups] = ["/api/messages", "/api/groups"];
    let contacts = "/api/conversations/contacts/sync";
    let phone = grace.phone.replace('+', "%2B");
    for (method, path, body, at, expected) in [
        (
            Method::PATCH,
            group.as_str(),
            "settings[onlyAdminsCanSendMessages]=true&settings%5BisPublic%5D=false".to_owned(),
            "/group/settings/onlyAdminsCanSendMessages",
            json!(true),
        ),
        (
            Method::POST,
            messages,
            message("metadata[location][latitude]=1.5&metadata[location][longitude]=2"),
            "/message/metadata/location",
            json!({ "latitude": 1.5, "longitude": 2.0 }),
        ),
        (
            Method::POST,
            messages,
            message(&format!("replyTo={quoted}&replyToMessage[text]=told")),
            "/message/replyToMessage/text",
            json!("told"),
        ),
        (
            Method::POST,
            messages,
            message(&format!("mentions={other}")),
            "/message/mentions",
            json!([other]),
        ),
        (
            Method::POST,
            groups,
            format!("name=F&participants={other}&participants={another}"),
            "/group/memberCount",
            json!(3),
        ),
        (
            Method::POST,
            groups,
            format!("name=F&participants[]={other}&participants[]={another}"),
            "/group/memberCount",
            json!(3),
        ),
        (
            Method::POST,
            groups,
            format!("name=F&participants[0]={other}&participants[1]={another}"),
            "/group/memberCount",
            json!(3),
        ),
        (
            Method::POST,
            contacts,
            format!("contacts[0][phone]=%2B1&contacts[1][phone]={phone}"),
            "/matches/0/id",
            json!(other),
        ),
    ] {
        let url = format!("http://{}{path}", suite.gateways[0]);
        let (status, answer) = send_form(&ada, method, &url, &body).await;
        assert!(status.is_success(), "{path}: {body}: {answer}");
        assert_eq!(answer.pointer(at), Some(&expected), "{path}: {body}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn message_is_deleted_for_oneself_by_a_form() {
    let suite = testing::suite(|_| {}).await;
    let Cast { ada, grace, chat, .. } = Cast::new(&suite).await;
    let id = text(&ada.send(&chat, "kept").await["messageId"]).to_owned();
    let url = format!("http://{}/api/messages/{id}", suite.gateways[0]);
    let (status, answer) = send_form(&ada, Method::DELETE, &url, "deleteForBoth=false").await;
    assert_eq!(status.as_u16(), 200, "{answer}");
    let history = format!("/api/messages/conversation/{chat}");
    assert_eq!(grace.get(&history).await["messages"][0]["text"], "kept");
    assert_eq!(ada.get(&history).await["messages"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn form_that_fits_no_field_is_refused() {
    let suite = testing::suite(|_| {}).await;
    let Cast { ada, grace, .. } = Cast::new(&suite).await;
    let group = ada.group(&[&grace]).await;
    let url = format!("http://{}/api/groups/{group}", suite.gateways[1]);
    for body in [
        "settings=x&settings[isPublic]=true",
        "name=a&name=b",
        "name[$ne]=x",
        "settings[isPublic=true",
        "settings[a][b][c][d][e][f]=1",
    ] {
        let (status, answer) = send_form(&ada, Method::PATCH, &url, body).await;
        let found = (status.as_u16(), &answer["error"]);
        assert_eq!(found, (400, &json!("validation_error")), "{body}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn number_or_boolean_is_taken_as_its_text() {
    let suite = testing::suite(|_| {}).await;
    let Cast { ada, grace, chat, .. } = Cast::new(&suite).await;
    let group = ada.group(&[&grace]).await;
    let group = format!("/api/groups/{group}");
    let file = json!({ "conversationId": chat, "fileUrl": 5, "fileName": 6 });
    for (method, path, body, at, expected) in [
        (Method::PATCH, "/api/users/me", json!({ "name": 7 }), "/user/name", "7"),
        (Method::PATCH, "/api/users/me", json!({ "bio": true }), "/user/bio", "true"),
        (Method::PATCH, &group, json!({ "name": 7 }), "/group/name", "7"),
        (Method::PATCH, &group, json!({ "description": 0 }), "/group/description", "0"),
        (Method::POST, "/api/groups", json!({ "name": false }), "/group/name", "false"),
        (Method::POST, "/api/messages", file.clone(), "/message/fileUrl", "5"),
        (Method::POST, "/api/messages", file, "/message/fileName", "6"),
    ] {
        let answer = ada.ok(method, path, body.clone()).await;
        assert_eq!(answer.pointer(at), Some(&json!(expected)), "{path}: {body}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_says_in_plain_words_what_a_field_needs() {
    let suite = testing::suite(|_| {}).await;
    let Cast { ada, grace, .. } = Cast::new(&suite).await;
    let group = format!("/api/groups/{}", ada.group(&[&grace]).await);
    let messages = "/api/messages";
    let unified = "/api/messages?clientType=unified";
    let contacts = "/api/conversations/contacts/sync";
    for (method, path, body, message) in [
        (Method::PATCH, &*group, json!({ "settings": "x" }), "settings: an object is needed"),
        (
            Method::PATCH,
            &group,
            json!({ "settings": { "isPublic": "maybe" } }),
            "settings.isPublic: true or false is needed",
        ),
        (
            Method::PATCH,
            "/api/users/me",
            json!({ "name": { "first": "x" } }),
            "name: a text is needed",
        ),
        (Method::POST, unified, json!({ "attachment": "x" }), "attachment: an object is needed"),
        (Method::POST, unified, json!({ "forwarded": true }), "forwarded: an object is needed"),
        (Method::POST, messages, json!({ "toId": {} }), "toId: a text is needed"),
        (Method::POST, messages, json!({ "mentions": 5 }), "mentions: a list of ids is needed"),
        (
            Method::POST,
            messages,
            json!({ "metadata": { "location": { "latitude": 1 } } }),
            "metadata.location: `longitude` is needed",
        ),
        (
            Method::POST,
            contacts,
            json!({ "contacts": null }),
            "contacts: a list of contacts is needed",
        ),
    ] {
        let (status, answer) = ada.request(method, path, body.clone()).await;
        let found = (status.as_u16(), &answer["error"], &answer["message"]);
        assert_eq!(found, (400, &json!("validation_error"), &json!(message)), "{path}: {body}");
    }
}
