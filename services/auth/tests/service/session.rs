//! Sessions and tokens without one.

use std::time::Duration;

use bson::DateTime;
use chat_kit::id::UserId;
use tonic::Code;

use crate::support::{auth, auth_with, eventually, reason};

const PHONE: &str = "+15550000001";

#[tokio::test]
async fn opened_session_is_valid_until_its_token_expires() {
    let auth = auth().await;
    let login = auth.log_in(PHONE).await;
    let user = login.user.expect("a profile");
    let checked = auth.check(&user.id, Some(&login.session_id)).await;
    assert_eq!(checked.expect("valid").expires_at, login.expires_at);
}

#[tokio::test]
async fn revoked_session_is_invalid() {
    let auth = auth().await;
    let login = auth.log_in(PHONE).await;
    let other = auth.log_in(PHONE).await;
    let user = login.user.expect("a profile");
    let revoked = auth.revoke(&user.id, Some(&login.session_id)).await;
    revoked.expect("the session is ended");

    let refused = auth.check(&user.id, Some(&login.session_id)).await;
    let status = refused.expect_err("the session is over");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason::<()>(Err(status)), "invalid_session");
    let checked = auth.check(&user.id, Some(&other.session_id)).await;
    checked.expect("the other session lives on");
    let again = auth.revoke(&user.id, Some(&login.session_id)).await;
    again.expect("ending an ended session succeeds");
}

#[tokio::test]
async fn session_is_neither_valid_for_nor_ended_by_another_user() {
    let auth = auth().await;
    let login = auth.log_in(PHONE).await;
    let user = login.user.expect("a profile");
    let stranger = auth.log_in("+15550000002").await.user.expect("a profile");
    let refused = auth.check(&stranger.id, Some(&login.session_id)).await;
    assert_eq!(reason(refused), "invalid_session");
    let revoked = auth.revoke(&stranger.id, Some(&login.session_id)).await;
    revoked.expect("nothing to end");
    let checked = auth.check(&user.id, Some(&login.session_id)).await;
    checked.expect("the session lives on");
}

#[tokio::test]
async fn unknown_session_is_invalid() {
    let auth = auth().await;
    let user = auth.log_in(PHONE).await.user.expect("a profile");
    let refused = auth.check(&user.id, Some("never-made")).await;
    assert_eq!(reason(refused), "invalid_session");
}

#[tokio::test]
async fn expired_session_is_invalid() {
    let auth = auth_with(|config| config.token.ttl = Duration::from_secs(1)).await;
    let login = auth.log_in(PHONE).await;
    let user = login.user.expect("a profile");
    let status = eventually(async || {
        let checked = auth.check(&user.id, Some(&login.session_id)).await;
        checked.err()
    });
    assert_eq!(reason::<()>(Err(status.await)), "invalid_session");
}

#[tokio::test]
async fn token_without_session_is_accepted_while_its_account_exists() {
    let auth = auth().await;
    let user = auth.log_in(PHONE).await.user.expect("a profile");
    let checked = auth.check(&user.id, None).await;
    assert_eq!(checked.expect("valid").expires_at, None);

    let refused = auth.check(&UserId::new().to_string(), None).await;
    let status = refused.expect_err("no account");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason::<()>(Err(status)), "user_not_found");
}

#[tokio::test]
async fn token_without_session_ends_at_the_configured_date() {
    let auth = auth_with(|config| {
        config.token.sessionless_until = Some(DateTime::now());
    })
    .await;
    let login = auth.log_in(PHONE).await;
    let user = login.user.expect("a profile");
    let refused = auth.check(&user.id, None).await;
    assert_eq!(reason(refused), "invalid_session");
    let checked = auth.check(&user.id, Some(&login.session_id)).await;
    checked.expect("sessions are not concerned");
}

#[tokio::test]
async fn token_without_session_cannot_be_revoked() {
    let auth = auth().await;
    let user = auth.log_in(PHONE).await.user.expect("a profile");
    let refused = auth.revoke(&user.id, None).await;
    let status = refused.expect_err("there is no session");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason::<()>(Err(status)), "no_session");
}
