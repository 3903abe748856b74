//! Login by code: accounts, names, tokens, and what happens at the same moment.

use std::sync::Arc;

use chat_kit::config::Upstream;
use chat_proto::v1::{Login, OtpPurpose, SendOtpRequest};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Auth, SECRET, Sent, auth, auth_with, reason, request};

const PHONE: &str = "+15550000001";

async fn send_with_name(auth: &Auth, name: &str) -> Sent {
    let request =
        SendOtpRequest { name: Some(name.to_owned()), ..request(PHONE, OtpPurpose::Login) };
    auth.send(request).await.map_err(drop).expect("a code")
}

fn name(login: Login) -> String {
    login.user.expect("a profile").name
}

fn id(login: &Login) -> String {
    login.user.as_ref().expect("a profile").id.clone()
}

#[tokio::test]
async fn unknown_phone_becomes_an_account_only_after_verification() {
    let auth = auth().await;
    let sent = auth.send_login(PHONE).await;
    assert_eq!(auth.users.count(), 0);
    auth.send_registration(PHONE).await;

    let login = auth.verify(&sent.session_id, &sent.code).await;
    assert_eq!(name(login.expect("a login")), PHONE);
    assert_eq!(auth.users.count(), 1);
    let taken = auth.send(request(PHONE, OtpPurpose::Registration)).await;
    assert_eq!(reason(taken), "phone_taken");
}

#[tokio::test]
async fn every_login_finds_the_same_account_and_opens_another_session() {
    let auth = auth().await;
    let first = auth.log_in(PHONE).await;
    let second = auth.log_in(PHONE).await;
    assert_eq!(id(&first), id(&second));
    assert_ne!(first.session_id, second.session_id);
    assert_ne!(id(&first), id(&auth.log_in("+15550000002").await));
}

#[tokio::test]
async fn proposed_name_takes_effect_only_with_verification() {
    let auth = auth().await;
    let id = id(&auth.log_in(PHONE).await);
    let sent = send_with_name(&auth, " $phone ").await;
    assert_eq!(auth.users.name(&id), PHONE);
    let login = auth.verify(&sent.session_id, &sent.code).await;
    assert_eq!(name(login.expect("a login")), "$phone");
    assert_eq!(name(auth.log_in(PHONE).await), "$phone");
}

#[tokio::test]
async fn name_that_somebody_else_proposed_renames_nobody() {
    let auth = auth().await;
    auth.log_in(PHONE).await;
    send_with_name(&auth, "Fool").await;
    assert_eq!(name(auth.log_in(PHONE).await), PHONE);
}

#[tokio::test]
async fn parallel_verifications_of_one_code_open_one_session() {
    let auth = Arc::new(auth().await);
    let replica = Arc::new(auth.replica(|_| ()).await);
    let sent = Arc::new(auth.send_login(PHONE).await);
    let mut verifications = JoinSet::new();
    for number in 0..4 {
        let auth = if number % 2 == 0 { &auth } else { &replica };
        let (auth, sent) = (auth.clone(), sent.clone());
        verifications.spawn(async move { reason(auth.verify(&sent.session_id, &sent.code).await) });
    }
    let mut reasons = verifications.join_all().await;
    reasons.sort();
    let expected = ["invalid_otp", "invalid_otp", "invalid_otp", "none"];
    assert_eq!(reasons, expected);
}

#[tokio::test]
async fn parallel_login_and_registration_make_one_account() {
    let auth = auth().await;
    let login = auth.send_login(PHONE).await;
    let registration = auth.send_registration(PHONE).await;
    let (logged_in, registered) = tokio::join!(
        auth.verify(&login.session_id, &login.code),
        auth.register(&registration, PHONE, "Ann"),
    );
    let logged_in = logged_in.expect("a login always finds or makes the account");
    match registered {
        Ok(registered) => assert_eq!(id(&registered), id(&logged_in)),
        Err(status) => assert_eq!(reason::<()>(Err(status)), "phone_taken"),
    }
    assert_eq!(auth.users.count(), 1);
}

#[tokio::test]
async fn token_names_user_and_session_and_expires_with_it() {
    #[derive(Deserialize)]
    struct Claims {
        uid: String,
        id: String,
        #[serde(rename = "userId")]
        user_id: String,
        #[serde(rename = "_id")]
        underscore_id: String,
        #[serde(rename = "sessionId")]
        session_id: String,
        iat: i64,
        exp: i64,
    }
    let auth = auth().await;
    let login = auth.log_in(PHONE).await;
    let claims = jsonwebtoken::decode::<Claims>(
        &login.token,
        &DecodingKey::from_secret(SECRET.as_bytes()),
        &Validation::new(Algorithm::HS256),
    );
    let claims = claims.expect("a valid token").claims;
    for claim in [&claims.uid, &claims.user_id, &claims.underscore_id] {
        assert_eq!(*claim, id(&login));
    }
    assert_eq!(claims.id, id(&login));
    assert_eq!(claims.session_id, login.session_id);
    assert_eq!(claims.exp - claims.iat, 7 * 24 * 3600);
    let expires_at = login.expires_at.expect("an end");
    assert_eq!((expires_at.seconds, expires_at.nanos), (claims.exp, 0));
}

#[tokio::test]
async fn profile_that_was_lost_is_made_at_the_next_login() {
    let auth = auth().await;
    let sent = auth.send_login(PHONE).await;
    auth.users.set_down(true);
    let failed = auth.verify(&sent.session_id, &sent.code).await;
    assert_eq!(reason(failed), "unavailable");
    let taken = auth.send(request(PHONE, OtpPurpose::Registration)).await;
    assert_eq!(reason(taken), "phone_taken");

    auth.users.set_down(false);
    assert_eq!(name(auth.log_in(PHONE).await), PHONE);
    assert_eq!(auth.users.count(), 1);
}

#[tokio::test]
async fn unreachable_user_service_makes_login_unavailable() {
    let nowhere = "http://127.0.0.1:1".parse().expect("an address");
    let auth = auth_with(|config| config.user = Upstream::new(nowhere)).await;
    let sent = auth.send_login(PHONE).await;
    let failed = auth.verify(&sent.session_id, &sent.code).await;
    assert_eq!(failed.expect_err("no profile").code(), Code::Unavailable);
}
