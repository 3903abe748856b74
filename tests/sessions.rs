//! The life of a session on connected sockets: revoked, expired, and when nobody can say.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chat_e2e::socket::{self, ConnectError, Heard, Receiver};
use chat_kit::{config::Nats, nats, nats::Publisher, session::SessionHash};
use chat_local::testing::{self, TestSuite};
use chat_proto::v1::{self as pb, event::Payload};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    harness::{PATIENCE, Person, eventually, text},
    polling::Polling,
};

/// Within what time a revoked session has no socket left.
const PROMISE: Duration = Duration::from_secs(1);

/// How a connection ends that nobody may refuse.
const CUT: &str = "cut";
/// What a client is told whose token is dead.
const UNAUTHORIZED: &str = r#"{"message":"unauthorized"}"#;

/// Logs the same person in once more.
async fn again(person: &Person) -> Person {
    let mut again = person.clone();
    let asked = json!({ "phone": person.phone });
    let sent = again.ok(Method::POST, "/api/auth/send-otp-login", asked).await;
    let given = json!({ "otp": sent["otp"], "sessionId": sent["sessionId"] });
    let login = again.ok(Method::POST, "/api/auth/verify-otp-login", given).await;
    text(&login["token"]).clone_into(&mut again.token);
    again
}

async fn log_out(person: &Person) {
    person.ok(Method::POST, "/api/auth/logout", Value::Null).await;
}

/// Signs a token without session that ends after so many seconds; returns also when.
fn short_token(suite: &TestSuite, person: &Person, seconds: u64) -> (Person, SystemTime) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({ "uid": person.id, "exp": now + seconds });
    let key = EncodingKey::from_secret(suite.token_secret.as_bytes());
    let token = encode(&Header::default(), &claims, &key).expect("a token");
    let mut short = person.clone();
    short.token = token;
    (short, UNIX_EPOCH + Duration::from_secs(now + seconds))
}

/// Returns the id of the session in a token.
fn session_of(suite: &TestSuite, person: &Person) -> String {
    let key = DecodingKey::from_secret(suite.token_secret.as_bytes());
    let token = decode::<Value>(&person.token, &key, &Validation::default()).expect("a token");
    text(&token.claims["sessionId"]).to_owned()
}

/// Connects and says how that ended: with a connection, with a refusal, or without a word.
async fn connect(gateway: SocketAddr, auth: &Value) -> Result<Receiver, String> {
    match socket::connect(gateway, auth, PATIENCE).await {
        Ok((_, receiver)) => Ok(receiver),
        Err(ConnectError::Refused(reason)) => Err(reason),
        Err(ConnectError::Unexpected(_)) => Err(CUT.to_owned()),
        Err(error) => panic!("{error}"),
    }
}

/// Expects the end of a socket: with an explanation for new clients, without a word for old ones.
async fn expect_end(listener: &mut Receiver, client_type: &str, error: &str) {
    if client_type == "unified" {
        let told = listener.expect("session:revoked").await;
        assert_eq!(told["error"], error);
        assert!(!text(&told["message"]).is_empty());
    }
    assert_eq!(listener.next().await, Heard::End, "{client_type}");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_session_has_no_socket_on_any_gateway_within_a_second() {
    let suite = testing::suite(|_| {}).await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let person = Person::new(first).await;
    let elsewhere = again(&person).await;
    let friend = Person::new(first).await;
    let conversation = friend.open(&person).await;
    let mut listeners = Vec::new();
    for gateway in [first, second] {
        for client_type in ["unified", "flutter"] {
            let listener = person.listen(gateway, client_type).await;
            listeners.push((listener, client_type));
        }
        let polling = Polling::connect(gateway, &person, "unified").await;
        let (_, listener) =
            socket::upgrade(gateway, &polling.id, PATIENCE).await.expect("upgraded");
        listeners.push((listener, "unified"));
    }
    let mut electron = person.listen(second, "electron").await;
    electron.expect("connected").await;
    listeners.push((electron, "electron"));
    let polling = Polling::connect(second, &person, "unified").await;
    let mut staying = elsewhere.listen(second, "unified").await;

    let polled = async {
        loop {
            let packets = polling.poll().await.expect("the explanation");
            if packets.contains(r#"42["session:revoked","#) {
                break;
            }
        }
    };
    let ended = async {
        log_out(&person).await;
        Instant::now()
    };
    let (ended, ()) = tokio::join!(ended, polled);
    for (listener, client_type) in &mut listeners {
        expect_end(listener, client_type, "invalid_session").await;
        assert!(ended.elapsed() < PROMISE, "{client_type} after {:?}", ended.elapsed());
    }
    eventually("polls are refused", async || polling.poll().await.is_none()).await;
    assert!(ended.elapsed() < PROMISE, "polling after {:?}", ended.elapsed());

    for gateway in [first, second] {
        let (status, body) =
            person.at(gateway).request(Method::GET, "/api/auth/me", json!({})).await;
        assert_eq!((status, &body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_session")));
        let auth = json!({ "token": person.token });
        assert_eq!(connect(gateway, &auth).await.expect_err("refused"), UNAUTHORIZED);
    }
    friend.send(&conversation, "still there?").await;
    let heard = staying.expect("message:created").await;
    assert_eq!(heard["content"], "still there?");
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_connects_while_its_session_ends_does_not_stay() {
    let suite = testing::suite(|_| {}).await;
    for _ in 0..20 {
        let session = Person::new(suite.gateways[0]).await;
        let auth = json!({ "token": session.token, "clientType": "flutter" });
        // From here on the gateway believes for a while that the session lives.
        session.at(suite.gateways[1]).get("/api/auth/me").await;
        let (connected, ()) = tokio::join!(connect(suite.gateways[1], &auth), log_out(&session));
        match connected {
            Ok(mut listener) => assert_eq!(listener.next().await, Heard::End),
            Err(how) => assert!([CUT, UNAUTHORIZED].contains(&how.as_str()), "{how}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_revocation_counts_whatever_was_answered_before() {
    let suite = testing::suite(|_| {}).await;
    let person = Person::new(suite.gateways[0]).await;
    person.get("/api/auth/me").await;
    let session = session_of(&suite, &person);
    let config = Nats::new(&testing::servers().await.nats_url);
    let client = nats::connect(&config, "test").await.expect("nats");
    let publisher = Publisher::new(client, &config).await.expect("a stream");
    let revoked = pb::SessionRevoked {
        user_id: person.id.clone(),
        session_hash: SessionHash::of(&session).bytes().to_vec(),
    };
    let payload = Some(Payload::SessionRevoked(revoked));
    let event = pb::Event { id: session, payload, ..pb::Event::default() };
    publisher.publish(&event, "test").await.expect("published");
    // The auth service knows nothing of it and says that the session lives.
    eventually("the session is refused", async || {
        let (status, _) = person.request(Method::GET, "/api/auth/me", json!({})).await;
        status == StatusCode::UNAUTHORIZED
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_without_nats_succeeds_and_is_found_by_the_check() {
    let mut servers = testing::own_servers().await;
    let suite = testing::suite_on(&servers, |options| {
        options.session_checks = Duration::from_millis(300);
    })
    .await;
    let person = Person::new(suite.gateways[0]).await;
    let elsewhere = again(&person).await;
    let mut listeners = Vec::new();
    for (gateway, client_type) in suite.gateways.iter().zip(["unified", "flutter"]) {
        listeners.push((person.listen(*gateway, client_type).await, client_type));
    }
    let mut staying = elsewhere.listen(suite.gateways[1], "unified").await;
    servers.kill_nats().await.expect("killed");
    log_out(&person).await;
    for (listener, client_type) in &mut listeners {
        expect_end(listener, client_type, "invalid_session").await;
    }
    servers.restart_nats().await.expect("restarted");
    let conversation = elsewhere.open(&Person::new(suite.gateways[0]).await).await;
    elsewhere.send(&conversation, "still there").await;
    assert_eq!(staying.expect("message:created").await["content"], "still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_that_fails_ends_no_socket() {
    let mut servers = testing::own_servers().await;
    let suite = testing::suite_on(&servers, |options| {
        options.session_checks = Duration::from_millis(100);
    })
    .await;
    let person = Person::new(suite.gateways[0]).await;
    let friend = Person::new(suite.gateways[0]).await;
    let conversation = friend.open(&person).await;
    let mut listener = person.listen(suite.gateways[1], "unified").await;
    servers.kill_mongod().await.expect("killed");
    // Takes seconds: as long as the gateway holds the question, and meanwhile it checks, too.
    let stranger = friend.at(suite.gateways[1]);
    let (status, _) = stranger.request(Method::GET, "/api/auth/me", json!({})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    servers.restart_mongod().await.expect("restarted");
    eventually("messages are sent again", async || {
        let body = json!({ "conversationId": conversation, "content": "hello" });
        let (status, _) = friend.request(Method::POST, "/api/messages", body).await;
        status.is_success()
    })
    .await;
    assert_eq!(listener.expect("message:created").await["content"], "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_ends_with_its_token_and_not_before() {
    let suite = testing::suite(|_| {}).await;
    let person = Person::new(suite.gateways[0]).await;
    let mut lasting = person.listen(suite.gateways[0], "unified").await;
    let (short, ends_at) = short_token(&suite, &person, 3);
    let mut listeners = Vec::new();
    for (gateway, client_type) in suite.gateways.iter().zip(["unified", "flutter"]) {
        listeners.push((short.listen(*gateway, client_type).await, client_type));
    }
    for (listener, client_type) in &mut listeners {
        expect_end(listener, client_type, "invalid_token").await;
        let late = SystemTime::now().duration_since(ends_at);
        let late = late.unwrap_or_else(|early| panic!("{:?} too early", early.duration()));
        assert!(late < 2 * PROMISE, "{client_type}: {late:?} late");
        let auth = json!({ "token": short.token, "clientType": client_type });
        assert_eq!(connect(suite.gateways[1], &auth).await.expect_err("refused"), UNAUTHORIZED);
    }
    let conversation = person.open(&Person::new(suite.gateways[0]).await).await;
    person.send(&conversation, "hello").await;
    assert_eq!(lasting.expect("message:created").await["content"], "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_database_at_connect_cuts_the_transport_and_lets_in_when_it_is_back() {
    let mut servers = testing::own_servers().await;
    let suite = testing::suite_on(&servers, |_| {}).await;
    let person = Person::new(suite.gateways[0]).await;
    let auth = json!({ "token": person.token });
    servers.kill_mongod().await.expect("killed");
    let cut = connect(suite.gateways[0], &auth).await;
    assert_eq!(cut.expect_err("neither let in nor refused"), CUT);
    let bad = json!({ "token": "a.bad.token" });
    let refused = connect(suite.gateways[0], &bad).await;
    assert_eq!(refused.expect_err("a bad token is bad without a database"), UNAUTHORIZED);
    servers.restart_mongod().await.expect("restarted");
    let connected = tokio::time::timeout(PATIENCE, async {
        loop {
            match connect(suite.gateways[0], &auth).await {
                Ok(listener) => break listener,
                Err(how) => assert_eq!(how, CUT),
            }
        }
    });
    connected.await.expect("let in again").expect("connected").await;
}
