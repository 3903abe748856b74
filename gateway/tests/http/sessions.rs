//! Who is let in: by the example of paths that do not exist, which are only found out with a session.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, http::header};
use chat_gateway::config::Http;
use chat_kit::{
    caller::{Actor, Caller},
    session::SessionHash,
};
use chat_proto::v1::{
    self as pb,
    auth_service_server::{AuthService, AuthServiceServer},
};
use serde_json::json;
use tokio::net::TcpListener;
use tonic::{
    Code, Request, Response, Status, codegen::tokio_stream::wrappers::TcpListenerStream,
    transport::Server,
};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::app::{App, USER, config, request, token};

const NOWHERE_TO_BE_FOUND: &str = "/api/users/nothing-here";

/// Plays the auth service: says of sessions what it is told to, and counts the questions.
#[derive(Clone, Default)]
struct Stage {
    verdict: Arc<Mutex<Option<Status>>>,
    questions: Arc<AtomicUsize>,
    address: Arc<Mutex<String>>,
}

impl Stage {
    fn say(&self, verdict: Option<Status>) {
        *self.verdict.lock().expect("no test panics with it") = verdict;
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

#[tonic::async_trait]
impl AuthService for Stage {
    async fn check_session(
        &self,
        request: Request<pb::CheckSessionRequest>,
    ) -> Result<Response<pb::CheckSessionResponse>, Status> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        let caller = Caller::open(&request)?;
        assert_eq!(caller.user_id()?.to_string(), USER);
        assert!(matches!(caller.actor, Actor::User { session_id: Some(_), .. }));
        // Long enough for others to ask at the same time.
        tokio::time::sleep(Duration::from_millis(50)).await;
        match self.verdict.lock().expect("no test panics with it").clone() {
            Some(status) => Err(status),
            None => Ok(Response::new(pb::CheckSessionResponse { expires_at: None })),
        }
    }

    async fn revoke_session(
        &self,
        request: Request<pb::RevokeSessionRequest>,
    ) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        Caller::open(&request)?.user_id()?;
        self.say(Some(refused(Code::Unauthenticated, "invalid_session")));
        Ok(Response::new(pb::RevokeSessionResponse {}))
    }

    async fn send_otp(
        &self,
        request: Request<pb::SendOtpRequest>,
    ) -> Result<Response<pb::SendOtpResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let request = request.into_inner();
        let device = request.device.expect("a device");
        *self.address.lock().expect("no test panics with it") = device.address;
        if let Some(refusal) = self.verdict.lock().expect("no test panics with it").clone() {
            return Err(refusal);
        }
        Ok(Response::new(pb::SendOtpResponse {
            otp_session_id: format!("{} of {}", request.phone, device.name),
            code: None,
        }))
    }

    async fn verify_login(
        &self,
        _: Request<pb::VerifyLoginRequest>,
    ) -> Result<Response<pb::VerifyLoginResponse>, Status> {
        let user = pb::User { id: USER.to_owned(), ..Default::default() };
        let login = pb::Login { token: "t".to_owned(), user: Some(user), ..Default::default() };
        Ok(Response::new(pb::VerifyLoginResponse { login: Some(login) }))
    }

    async fn verify_password(
        &self,
        request: Request<pb::VerifyPasswordRequest>,
    ) -> Result<Response<pb::VerifyPasswordResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let request = request.into_inner();
        if request.password != "right" {
            return Err(refused(Code::Unauthenticated, "invalid_credentials"));
        }
        let user = pb::User { id: USER.to_owned(), name: request.identifier, ..Default::default() };
        let login = pb::Login { token: "t".to_owned(), user: Some(user), ..Default::default() };
        Ok(Response::new(pb::VerifyPasswordResponse { login: Some(login) }))
    }

    async fn check_sessions(
        &self,
        _: Request<pb::CheckSessionsRequest>,
    ) -> Result<Response<pb::CheckSessionsResponse>, Status> {
        Err(Status::unimplemented("there are no sockets"))
    }

    async fn verify_registration(
        &self,
        _: Request<pb::VerifyRegistrationRequest>,
    ) -> Result<Response<pb::VerifyRegistrationResponse>, Status> {
        let user = pb::User { id: USER.to_owned(), ..Default::default() };
        let login = pb::Login { token: "t".to_owned(), user: Some(user), ..Default::default() };
        Ok(Response::new(pb::VerifyRegistrationResponse { login: Some(login) }))
    }
}

fn refused(code: Code, reason: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "auth", HashMap::new());
    Status::with_error_details(code, "text for people", details)
}

async fn app_with(change: impl FnOnce(&mut Http)) -> (App, Stage) {
    let stage = Stage::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = AuthServiceServer::new(stage.clone());
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let mut config = config(&format!("http://{address}"));
    change(&mut config.http);
    (App::new(config), stage)
}

async fn app() -> (App, Stage) {
    app_with(|_| ()).await
}

#[tokio::test]
async fn session_is_asked_for_once_in_a_while() {
    let (app, stage) = app().await;
    let (first, second) = (token("first"), token("second"));
    let at_once = [(); 5].map(|()| app.get_as(&first, NOWHERE_TO_BE_FOUND));
    for answer in futures_util::future::join_all(at_once).await {
        answer.assert_refused(404, "not_found");
    }
    app.get_as(&first, NOWHERE_TO_BE_FOUND).await.assert_refused(404, "not_found");
    assert_eq!(stage.questions(), 1);
    app.get_as(&second, NOWHERE_TO_BE_FOUND).await.assert_refused(404, "not_found");
    assert_eq!(stage.questions(), 2);
}

#[tokio::test]
async fn dead_session_is_refused_by_its_name() {
    for reason in ["invalid_session", "user_not_found"] {
        let (app, stage) = app().await;
        stage.say(Some(refused(Code::Unauthenticated, reason)));
        for _ in 0..2 {
            let answer = app.get_as(&token("s"), NOWHERE_TO_BE_FOUND).await;
            answer.assert_refused(401, reason);
            assert_eq!(answer.body["message"], "text for people");
        }
        assert_eq!(stage.questions(), 1);
    }
}

#[tokio::test]
async fn failure_to_find_out_is_not_remembered() {
    let (app, stage) = app().await;
    for status in [
        refused(Code::Unavailable, "unavailable"),
        refused(Code::Internal, "server_error"),
        Status::deadline_exceeded("too late"),
        Status::unauthenticated("a bug of ours"),
        Status::unimplemented("an older version"),
    ] {
        stage.say(Some(status));
        let answer = app.get_as(&token("s"), NOWHERE_TO_BE_FOUND).await;
        answer.assert_refused(503, "unavailable");
    }
    stage.say(None);
    app.get_as(&token("s"), NOWHERE_TO_BE_FOUND).await.assert_refused(404, "not_found");
}

#[tokio::test]
async fn question_is_held_while_the_service_is_away() {
    let (app, stage) = app_with(|http| http.hold = Duration::from_secs(5)).await;
    stage.say(Some(refused(Code::Unavailable, "unavailable")));
    let back = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stage.say(None);
    };
    let token = token("s");
    let (answer, ()) = tokio::join!(app.get_as(&token, NOWHERE_TO_BE_FOUND), back);
    answer.assert_refused(404, "not_found");
    assert!(stage.questions() > 1);
}

#[tokio::test]
async fn answer_that_takes_too_long_is_given_up() {
    let (app, _stage) = app_with(|http| http.timeout = Duration::from_millis(10)).await;
    app.get_as(&token("s"), NOWHERE_TO_BE_FOUND).await.assert_refused(504, "timeout");
}

#[tokio::test]
async fn logout_counts_at_once() {
    let (app, _stage) = app().await;
    let token = token("s");
    app.get_as(&token, NOWHERE_TO_BE_FOUND).await.assert_refused(404, "not_found");
    let logout = request("POST", "/api/auth/logout", Some(&token)).body(Body::empty());
    let answer = app.send(logout.expect("a request")).await;
    assert_eq!((answer.status.as_u16(), &answer.body["success"]), (200, &json!(true)));
    app.get_as(&token, NOWHERE_TO_BE_FOUND).await.assert_refused(401, "invalid_session");
}

#[tokio::test]
async fn revocation_outweighs_an_answer_that_was_under_way() {
    let (app, stage) = app().await;
    let token = token("s");
    let revocation = async {
        while stage.questions() == 0 {
            tokio::task::yield_now().await;
        }
        app.state.sessions.revoke(SessionHash::of("s"));
    };
    // The auth service says that the session lives, and is late.
    let (answer, ()) = tokio::join!(app.get_as(&token, NOWHERE_TO_BE_FOUND), revocation);
    answer.assert_refused(401, "invalid_session");
    app.get_as(&token, NOWHERE_TO_BE_FOUND).await.assert_refused(401, "invalid_session");
    let other = self::token("other");
    app.get_as(&other, NOWHERE_TO_BE_FOUND).await.assert_refused(404, "not_found");
}

#[tokio::test]
async fn refusals_behind_the_login_have_their_names() {
    let (app, _stage) = app().await;
    let token = token("s");
    for (path, error) in [
        ("/api/messages", "validation_error"),
        ("/api/messages?conversation=zzz", "invalid_conversation_id"),
        ("/api/messages/conversation/zzz", "invalid_conversation_id"),
        ("/api/messages/conversation/%zz", "URIError"),
        ("/api/messages/conversation/%ff", "URIError"),
        ("/api/messages/conversation/%", "URIError"),
        ("/api/conversations?status=x", "validation_error"),
        ("/conversations?limit=many", "validation_error"),
    ] {
        app.get_as(&token, path).await.assert_refused(400, error);
    }
    let nobody = app.get_as(&token, "/api/users/by-ids?ids=zzz,,").await;
    assert_eq!(nobody.body, json!({ "success": true, "users": {} }));
    assert_eq!(app.get_as(&token, "/users/by-ids").await.body, json!({}));
    for (method, path) in [("PUT", "/api/messages"), ("DELETE", "/api/conversations/")] {
        let request = request(method, path, Some(&token)).body(Body::from("{"));
        app.send(request.expect("a request")).await.assert_refused(404, "not_found");
    }
    let broken = request("POST", "/api/messages", Some(&token))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{"));
    app.send(broken.expect("a request")).await.assert_refused(400, "SyntaxError");
}

#[tokio::test]
async fn address_behind_proxies_is_the_one_that_the_first_of_them_heard() {
    for (proxies, address) in [(0, ""), (1, "10.0.0.3"), (2, "203.0.113.7"), (9, "")] {
        let (app, stage) = app_with(|http| http.proxies = proxies).await;
        let request = request("POST", "/api/auth/send-otp", None)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-forwarded-for", "6.6.6.6, 203.0.113.7")
            .header("x-forwarded-for", "10.0.0.3")
            .body(Body::from(r#"{"phone":"+1"}"#));
        assert_eq!(app.send(request.expect("a request")).await.status, 200);
        assert_eq!(*stage.address.lock().expect("no test panics with it"), address, "{proxies}");
    }
}

#[tokio::test]
async fn refusal_says_when_to_try_again() {
    let (app, stage) = app().await;
    let mut details = ErrorDetails::with_retry_info(Some(Duration::from_millis(61_500)));
    details.set_error_info("too_many_otp_requests", "auth", HashMap::new());
    let refusal = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
    stage.say(Some(refusal));
    let body = r#"{"phone":"+1"}"#;
    let answer = app.post("/api/auth/send-otp", "application/json", body).await;
    answer.assert_refused(429, "too_many_otp_requests");
    assert_eq!(answer.headers[header::RETRY_AFTER], "62");
    stage.say(Some(refused(Code::ResourceExhausted, "too_many_otp_requests")));
    let answer = app.post("/api/auth/send-otp", "application/json", body).await;
    answer.assert_refused(429, "too_many_otp_requests");
    assert!(!answer.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn codes_and_logins_have_their_shapes() {
    let (app, _stage) = app().await;
    let labelled = |device: &str| {
        request("POST", "/auth/send-otp", None)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "Dart/3.5 (dart:io)")
            .header("x-device-name", device)
            .body(Body::from(r#"{"phone":"+1"}"#))
            .expect("a request")
    };
    let sent = app.send(labelled("desk")).await;
    let expected = json!({
        "success": true, "sessionId": "+1 of desk", "message": "the code is on its way",
    });
    assert_eq!(sent.body, expected);
    assert_eq!(app.send(labelled("")).await.body["sessionId"], "+1 of Dart/3.5");

    let body = r#"{"otp":"123456","sessionId":"s","phone":"+1","name":"Ada"}"#;
    let json = "application/json";
    let login = app.post("/api/auth/verify-otp-login", json, body).await;
    assert_eq!((login.status.as_u16(), &login.body["user"]["uid"]), (200, &json!(USER)));
    assert!(login.body.get("isNewUser").is_none());
    let registration = app.post("/auth/verify-otp-register", json, body).await;
    assert_eq!((registration.status.as_u16(), &registration.body["token"]), (201, &json!("t")));
    assert_eq!(registration.body["isNewUser"], true);
    let unified = app.post("/auth/verify-otp-login?clientType=unified", json, body).await;
    assert!(unified.body["user"].get("uid").is_none());
}

#[tokio::test]
async fn login_by_password_has_its_shapes_and_refusals() {
    let (app, _stage) = app().await;
    let json = "application/json";
    for path in ["/api/auth/login", "/auth/login"] {
        let login = app.post(path, json, r#"{"name":"Ada","password":"right"}"#).await;
        assert_eq!((login.status.as_u16(), &login.body["token"]), (200, &json!("t")));
        assert_eq!(login.body["user"]["uid"], USER);
        assert_eq!(login.body["user"]["name"], "Ada");
        let wrong = app.post(path, json, r#"{"name":"Ada","password":"wrong"}"#).await;
        wrong.assert_refused(401, "invalid_credentials");
        app.post(path, json, r#"{"name":"Ada"}"#).await.assert_refused(400, "missing");
        app.post(path, json, r#"{"password":"x"}"#).await.assert_refused(400, "missing");
        let injected = app.post(path, json, r#"{"name":{"$ne":1},"password":"x"}"#).await;
        injected.assert_refused(400, "validation_error");
    }
}
