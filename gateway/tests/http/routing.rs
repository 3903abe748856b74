//! Paths, methods, headers and limits.

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use serde_json::json;

use crate::app::{Answer, App, NOWHERE, config, request, token};

const LOCAL: &str = "http://localhost:3000";

#[tokio::test]
async fn ping_answers_under_every_spelling_of_its_path() {
    let app = App::alone();
    for path in ["/ping", "/PING", "/ping/", "/Ping/?x=1"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.body, json!({ "success": true, "message": "pong" }));
    }
    assert_eq!(app.get("/ping//").await.status, 404);
    let banner = app.get("/").await;
    assert_eq!((banner.status.as_u16(), &banner.body["success"]), (200, &json!(true)));
    assert_eq!(banner.body["version"], "1.0.0");
}

#[tokio::test]
async fn documents_of_requests_and_events_are_served() {
    let app = App::alone();
    for (path, kind, version) in [
        ("/openapi.json", "openapi", "3.1.0"),
        ("/api/openapi.json", "openapi", "3.1.0"),
        ("/asyncapi.json", "asyncapi", "3.0.0"),
        ("/api/asyncapi.json", "asyncapi", "3.0.0"),
    ] {
        let answer = app.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.body[kind]), (200, &json!(version)), "{path}");
    }
}

#[tokio::test]
async fn head_is_get_without_body() {
    let answer = App::alone().send(empty("HEAD", "/ping")).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, serde_json::Value::Null));
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_by_name() {
    let app = App::alone();
    for (method, path) in [
        ("GET", "/nothing-here"),
        ("GET", "/api/auth/nothing-here"),
        ("GET", "/api/auth/login"),
        ("DELETE", "/api/auth/me"),
        ("GET", "/api/auth/logout"),
        ("POST", "/ping"),
        ("PUT", "/messages"),
        ("GET", "/api"),
        ("GET", "/api/messagesx"),
        ("GET", "/groups"),
    ] {
        let answer = app.send(empty(method, path)).await;
        answer.assert_refused(404, "not_found");
        assert_eq!(answer.body["message"], format!("{method} {path} does not exist"));
    }
    let answer = app.get("/Nothing/?secret=x").await;
    assert_eq!(answer.body["message"], "GET /Nothing/ does not exist");
}

#[tokio::test]
async fn nothing_is_said_about_resources_without_a_token() {
    let app = App::alone();
    for resource in ["messages", "conversations", "users", "groups", "notifications"] {
        for path in [
            format!("/api/{resource}"),
            format!("/API/{resource}/nothing/below/"),
            format!("/api/{resource}/%zz"),
        ] {
            app.send(empty("PATCH", &path)).await.assert_refused(401, "unauthorized");
        }
    }
    for path in ["/conversations", "/messages", "/users/by-ids", "/auth/me", "/api/auth/me"] {
        app.get(path).await.assert_refused(401, "unauthorized");
    }
    app.send(empty("POST", "/auth/logout")).await.assert_refused(401, "unauthorized");
}

#[tokio::test]
async fn header_with_the_token_has_one_form() {
    let app = App::alone();
    for value in ["", "Bearer", "Bearer ", "Basic x", "bearer x", "x"] {
        let request = request("GET", "/api/auth/me", None).header(header::AUTHORIZATION, value);
        let answer = app.send(request.body(Body::empty()).expect("a request")).await;
        answer.assert_refused(401, "unauthorized");
    }
    let signed = token("s");
    let forged = format!("{}AAAA", &signed[..signed.len() - 4]);
    for token in ["x", "a.b.c", &forged] {
        app.get_as(token, "/api/auth/me").await.assert_refused(401, "invalid_token");
    }
}

#[tokio::test]
async fn services_out_of_reach_are_no_reason_to_log_in_again() {
    let app = App::alone();
    for path in ["/api/auth/me", "/api/conversations", "/api/users/nothing-here"] {
        app.get_as(&token("s"), path).await.assert_refused(503, "unavailable");
    }
    let body = json!({ "phone": "+15550000001" }).to_string();
    let answer = app.post("/auth/send-otp", "application/json", body).await;
    answer.assert_refused(503, "unavailable");
}

#[tokio::test]
async fn health_without_services_is_unhealthy() {
    let answer = App::alone().get("/health").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body["success"], false);
    assert_eq!(answer.body["status"], "unhealthy");
    assert!(answer.body["uptime"].is_f64());
    assert!(answer.body["timestamp"].as_str().expect("an instant").ends_with('Z'));
    let database =
        json!({ "status": "disconnected", "connected": false, "host": "mongodb", "name": "chat" });
    assert_eq!(answer.body["database"], database);

    let answer = App::alone().get("/health/db").await;
    assert_eq!((answer.status.as_u16(), &answer.body["error"]), (503, &json!("unavailable")));
    assert_eq!(answer.body["success"], false);
    assert_eq!(answer.body["status"], "disconnected");
    assert!(answer.body["timestamp"].as_str().expect("an instant").ends_with('Z'));
}

#[tokio::test]
async fn request_id_is_taken_over_if_it_is_one() {
    let app = App::alone();
    let sent = |id: &'static str| {
        request("GET", "/ping", None)
            .header("x-request-id", id)
            .body(Body::empty())
            .expect("a request")
    };
    assert_eq!(app.send(sent("my-id.1")).await.headers["x-request-id"], "my-id.1");
    let answer = app.send(sent("a b")).await;
    assert_eq!(answer.headers["x-request-id"].len(), 32);
}

#[tokio::test]
async fn url_may_be_long_but_not_endless() {
    let app = App::alone();
    let path = |length: usize| format!("/ping?ids={}", "a".repeat(length));
    assert_eq!(app.get(&path(20 << 10)).await.status, 200);
    app.get(&path(41 << 10)).await.assert_refused(414, "uri_too_long");
}

fn allowed_origin(headers: &HeaderMap) -> Option<&str> {
    let origin = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
    origin.to_str().ok()
}

async fn from_origin(app: &App, method: &str, origin: &str) -> Answer {
    let request = request(method, "/api/messages", None)
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,x-custom");
    app.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn preflight_is_answered_with_what_was_asked() {
    let app = App::alone();
    let answer = from_origin(&app, "OPTIONS", LOCAL).await;
    assert_eq!(answer.status, 204);
    assert_eq!(allowed_origin(&answer.headers), Some(LOCAL));
    let header = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
    assert_eq!(header("access-control-allow-credentials"), "true");
    assert_eq!(header("access-control-allow-headers"), "authorization,x-custom");
    assert_eq!(header("access-control-allow-methods"), "GET,HEAD,PUT,PATCH,POST,DELETE");
    assert!(header("vary").to_lowercase().contains("origin"));

    let stranger = from_origin(&app, "OPTIONS", "http://evil.example").await;
    assert_eq!((stranger.status.as_u16(), allowed_origin(&stranger.headers)), (204, None));
}

#[tokio::test]
async fn refusals_reach_pages_of_allowed_origins() {
    let app = App::alone();
    for (origin, allowed) in [(LOCAL, Some(LOCAL)), ("http://localhost:3001", None)] {
        let answer = from_origin(&app, "GET", origin).await;
        answer.assert_refused(401, "unauthorized");
        assert_eq!(allowed_origin(&answer.headers), allowed);
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    }
}

#[tokio::test]
async fn origins_are_the_configured_ones() {
    let mut config = config(NOWHERE);
    let origins = ["https://chat.example", "null", "file://"];
    config.http.origins = origins.map(|origin| origin.parse().expect("a header")).into();
    let app = App::new(config);
    for origin in origins {
        for method in ["GET", "OPTIONS"] {
            let answer = from_origin(&app, method, origin).await;
            assert_eq!(allowed_origin(&answer.headers), Some(origin));
        }
    }
    assert_eq!(allowed_origin(&from_origin(&app, "GET", LOCAL).await.headers), None);
}

fn empty(method: &str, path: &str) -> axum::http::Request<Body> {
    request(method, path, None).body(Body::empty()).expect("a request")
}
