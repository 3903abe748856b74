//! One-time passwords, registration, logins, and the caller himself.

use chat_e2e::harness::{Person, new_phone, text};
use chat_local::testing::TestSuite;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::{
    NOTHING,
    objects::{auth_user, me, ok},
    walk::{Ask, Form, Walk},
};

const SEND: &str = "POST /api/auth/send-otp";
const REGISTER: &str = "POST /api/auth/verify-otp-register";
const SEND_LOGIN: &str = "POST /api/auth/send-otp-login";
const LOG_IN: &str = "POST /api/auth/verify-otp-login";
const BY_PASSWORD: &str = "POST /api/auth/login";
const ME: &str = "GET /api/auth/me";

const PASSWORD: &str = "correct horse";

pub async fn walk(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let known = Person::new(suite.gateways[0]).await;
    for at in [SEND, SEND_LOGIN] {
        for body in [json!({}), json!({ "phone": "" }), json!({ "phone": null })] {
            walk.refused(form.ask(at).body(body), 400, "missing").await;
        }
        for phone in ["12345", "letters", "+1 (23) 4567-89"] {
            walk.refused(form.ask(at).body(json!({ "phone": phone })), 400, "invalid_phone").await;
        }
    }
    let taken = form.ask(SEND).body(json!({ "phone": known.phone }));
    walk.refused(taken, 409, "phone_taken").await;
    register(walk, suite, form).await;
    log_in(walk, suite, form).await;
    look_at_oneself(walk, suite, &known, form).await;
}

/// Asks for a code; returns what else the verification needs.
async fn send(walk: &mut Walk, at: &'static str, phone: &str, form: Form) -> Value {
    let answer = ok(json!({ "sessionId": "otpSession", "message": "filled", "otp": "digits" }));
    let sent = walk.ok(form.ask(at).body(json!({ "phone": phone })), 200, answer).await;
    json!({ "phone": phone, "otp": sent["otp"], "sessionId": sent["sessionId"] })
}

fn but(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}

/// A code of six digits that is not this one.
fn wrong(code: &Value) -> &'static str {
    if text(code) == "111111" { "222222" } else { "111111" }
}

async fn register(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let phone = new_phone();
    let mut body = send(walk, SEND, &phone, form).await;
    body["name"] = json!(format!("Ada {phone}"));
    body["password"] = json!(PASSWORD);
    for field in ["name", "phone", "otp", "sessionId"] {
        for nothing in [Value::Null, json!("")] {
            let ask = form.ask(REGISTER).body(but(&body, field, nothing));
            walk.refused(ask, 400, "missing").await;
        }
    }
    for otp in ["12345", "1234567", "abcdef"] {
        let ask = form.ask(REGISTER).body(but(&body, "otp", json!(otp)));
        walk.refused(ask, 400, "invalid_otp_format").await;
    }
    for password in ["12345", " 12345 ", " "] {
        let ask = form.ask(REGISTER).body(but(&body, "password", json!(password)));
        walk.refused(ask, 400, "validation_error").await;
    }
    let blank = form.ask(REGISTER).body(but(&body, "name", json!(" ")));
    walk.refused(blank, 400, "validation_error").await;
    for (field, value) in [
        ("otp", json!(wrong(&body["otp"]))),
        ("phone", json!(new_phone())),
        ("sessionId", json!("0".repeat(32))),
    ] {
        let ask = form.ask(REGISTER).body(but(&body, field, value));
        walk.refused(ask, 400, "invalid_otp").await;
    }
    let answer = ok(json!({
        "token": "filled", "sessionId": "uuid", "isNewUser": true, "user": auth_user(),
    }));
    let ask = form.ask(REGISTER).body(body.clone()).header("x-device-name", "desk");
    let registered = walk.ok(ask, 201, answer).await;
    let user = &registered["user"];
    walk.expect(user["phone"] == *phone && user["name"] == body["name"], "who is registered");
    walk.refused(form.ask(REGISTER).body(body.clone()), 400, "invalid_otp").await;

    let phone = new_phone();
    let mut body = send(walk, SEND, &phone, form).await;
    body["name"] = json!("Ada");
    let login = send(walk, SEND_LOGIN, &phone, form).await;
    walk.refused(form.ask(LOG_IN).body(body.clone()), 400, "invalid_otp").await;
    walk.ok(form.ask(LOG_IN).body(login), 200, json!({})).await;
    walk.refused(form.ask(REGISTER).body(body), 409, "phone_taken").await;
    by_password(walk, suite, &registered, form).await;
}

async fn by_password(walk: &mut Walk, suite: &TestSuite, registered: &Value, form: Form) {
    let (name, phone) = (&registered["user"]["name"], &registered["user"]["phone"]);
    let without = Person::new(suite.gateways[0]).await;
    for body in [
        json!({}),
        json!({ "name": name }),
        json!({ "password": PASSWORD }),
        json!({ "name": "", "password": "" }),
    ] {
        walk.refused(form.ask(BY_PASSWORD).body(body), 400, "missing").await;
    }
    for (name, password) in [
        (name, "wrong horse"),
        (&json!("nobody is called so"), PASSWORD),
        (&json!(without.phone), PASSWORD),
    ] {
        let ask = form.ask(BY_PASSWORD).body(json!({ "name": name, "password": password }));
        walk.refused(ask, 401, "invalid_credentials").await;
    }
    for identifier in [name, phone] {
        let answer = ok(json!({ "token": "filled", "user": auth_user(), "!isNewUser": null }));
        let ask = form.ask(BY_PASSWORD).body(json!({ "name": identifier, "password": PASSWORD }));
        let opened = walk.ok(ask, 200, answer).await;
        walk.expect(opened["user"]["id"] == registered["user"]["id"], "who logged in");
    }
}

async fn log_in(walk: &mut Walk, suite: &TestSuite, form: Form) {
    let phone = new_phone();
    let body = send(walk, SEND_LOGIN, &phone, form).await;
    for field in ["otp", "sessionId"] {
        let ask = form.ask(LOG_IN).body(but(&body, field, Value::Null));
        walk.refused(ask, 400, "missing").await;
    }
    let short = form.ask(LOG_IN).body(but(&body, "otp", json!("12345")));
    walk.refused(short, 400, "invalid_otp_format").await;
    for (field, value) in
        [("otp", json!(wrong(&body["otp"]))), ("sessionId", json!("0".repeat(32)))]
    {
        walk.refused(form.ask(LOG_IN).body(but(&body, field, value)), 400, "invalid_otp").await;
    }
    // What would be an operator to the database is no session.
    let operator = form.ask(LOG_IN).body(but(&body, "sessionId", json!({ "$ne": null })));
    let (status, _) = walk.answer(&operator).await;
    walk.expect(status == 400, "an operator in place of a session is refused");
    let answer = ok(json!({
        "token": "filled", "sessionId": "uuid", "user": auth_user(), "!isNewUser": null,
    }));
    let opened = walk.ok(form.ask(LOG_IN).body(body.clone()), 200, answer).await;
    let mut person = Person::new(suite.gateways[1]).await;
    text(&opened["token"]).clone_into(&mut person.token);
    let found = walk.ok(form.ask(ME).by(&person), 200, ok(json!({ "user": me() }))).await;
    walk.expect(found["user"]["id"] == opened["user"]["id"], "who is logged in");
    walk.refused(form.ask(LOG_IN).body(body), 400, "invalid_otp").await;
}

async fn look_at_oneself(walk: &mut Walk, suite: &TestSuite, known: &Person, form: Form) {
    let key = EncodingKey::from_secret(suite.token_secret.as_bytes());
    let signed = |claims: Value| encode(&Header::default(), &claims, &key).expect("a token");
    let with_token = |token: String| {
        let mut person = known.clone();
        person.token = token;
        person
    };
    let long = 4_000_000_000_u64;
    // Tokens in the field name the user in any of four claims.
    for claim in ["uid", "id", "userId", "_id"] {
        let person = with_token(signed(json!({ claim: known.id, "exp": long })));
        walk.ok(form.ask(ME).by(&person), 200, ok(json!({ "user": me() }))).await;
    }
    walk.refused(form.ask(ME), 401, "unauthorized").await;
    for scheme in ["Basic", "bearer", "Token"] {
        let header = format!("{scheme} {}", known.token);
        walk.refused(form.ask(ME).header("authorization", &header), 401, "unauthorized").await;
    }
    for token in [
        "nonsense".to_owned(),
        signed(json!({ "uid": "nonsense", "exp": long })),
        signed(json!({ "name": "Ada", "exp": long })),
        signed(json!({ "uid": known.id, "exp": 1_000_000 })),
        signed(json!({ "uid": known.id })),
    ] {
        walk.refused(form.ask(ME).by(&with_token(token)), 401, "invalid_token").await;
    }
    let gone = with_token(signed(json!({ "uid": NOTHING, "exp": long })));
    walk.refused(form.ask(ME).by(&gone), 401, "user_not_found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_has_run_out_says_so() {
    let suite = chat_local::testing::suite(|options| {
        options.otp.ttl = std::time::Duration::from_millis(1);
    })
    .await;
    let mut walk = Walk::new(&suite.gateways);
    for (send_at, verify_at) in [(SEND_LOGIN, LOG_IN), (SEND, REGISTER)] {
        let mut body = send(&mut walk, send_at, &new_phone(), Form::Common).await;
        body["name"] = json!("Ada");
        walk.refused(Ask::new(verify_at).body(body), 400, "expired_otp").await;
    }
    walk.end_of_part();
}
