//! Sessions and tokens without one.

use std::time::Duration;

use bson::{DateTime, Document, doc};
use chat_kit::{id::UserId, nats, session::SessionHash};
use chat_proto::{
    subject,
    v1::{Event, HeldSession, event::Payload},
};
use futures_util::StreamExt as _;
use prost::Message as _;
use tonic::Code;

use crate::support::{Auth, auth, auth_with, eventually, reason};

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

/// Removes the account of a user.
async fn remove_account(auth: &Auth, user_id: &str) {
    let id: UserId = user_id.parse().expect("an id");
    let accounts = auth.database().await.collection::<Document>("credentials");
    accounts.delete_one(doc! { "_id": id }).await.expect("removed");
}

#[tokio::test]
async fn tokens_of_a_removed_account_are_refused() {
    let auth = auth().await;
    let login = auth.log_in(PHONE).await;
    let user = login.user.expect("a profile");
    remove_account(&auth, &user.id).await;
    for session in [Some(login.session_id.as_str()), None] {
        assert_eq!(reason(auth.check(&user.id, session).await), "user_not_found");
    }
}

fn held(user_id: &str, session_id: Option<&str>) -> HeldSession {
    HeldSession { user_id: user_id.to_owned(), session_id: session_id.map(str::to_owned) }
}

#[tokio::test]
async fn many_sessions_are_checked_as_one_is() {
    let auth = auth().await;
    let (login, ended) = (auth.log_in(PHONE).await, auth.log_in(PHONE).await);
    let id = login.user.expect("a profile").id;
    let gone = auth.log_in("+15550000002").await;
    let gone_id = gone.user.expect("a profile").id;
    remove_account(&auth, &gone_id).await;
    auth.revoke(&id, Some(&ended.session_id)).await.expect("ended");
    let sessions = [
        (held(&id, Some(&login.session_id)), None),
        (held(&id, Some(&ended.session_id)), Some("invalid_session")),
        (held(&id, None), None),
        (held(&id, Some("never-made")), Some("invalid_session")),
        (held(&gone_id, Some(&gone.session_id)), Some("user_not_found")),
        (held(&gone_id, None), Some("user_not_found")),
        (held(&gone_id, Some(&login.session_id)), Some("invalid_session")),
        (held(&id, Some(&login.session_id)), None),
    ];
    let asked = sessions.iter().map(|(held, _)| held.clone()).collect();
    let dead = auth.check_all(asked).await.expect("verdicts");
    let mut verdicts = vec![None; sessions.len()];
    for dead in &dead {
        assert!(!dead.message.is_empty());
        verdicts[dead.index as usize] = Some(dead.reason.as_str());
    }
    let expected: Vec<Option<&str>> = sessions.iter().map(|(_, verdict)| *verdict).collect();
    assert_eq!(verdicts, expected);
    assert!(auth.check_all(Vec::new()).await.expect("verdicts").is_empty());
}

#[tokio::test]
async fn check_of_too_many_sessions_is_refused() {
    let auth = auth().await;
    let one = held(&UserId::new().to_string(), Some("never-made"));
    let most = auth.check_all(vec![one.clone(); 500]).await;
    assert_eq!(most.expect("as many as may be").len(), 500);
    let status = auth.check_all(vec![one; 501]).await.expect_err("too many");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason::<()>(Err(status)), "too_many_sessions");
    let nameless = auth.check_all(vec![held("nobody", None)]).await;
    assert_eq!(reason(nameless), "validation_error");
}

#[tokio::test]
async fn end_of_a_session_is_announced_whenever_it_is_asked_for() {
    let auth = auth().await;
    let client = nats::connect(&auth.config.nats, "test").await.expect("nats");
    let mut events = nats::subscribe(&client, subject::LOG_WILDCARD).await.expect("subscribed");
    let (login, lasting) = (auth.log_in(PHONE).await, auth.log_in(PHONE).await);
    let user_id = login.user.expect("a profile").id;
    let stranger = UserId::new().to_string();
    auth.revoke(&stranger, Some(&lasting.session_id)).await.expect("nothing to end");
    let hash = SessionHash::of(&login.session_id);
    // The first announcement may have been lost with its process.
    for _ in 0..2 {
        auth.revoke(&user_id, Some(&login.session_id)).await.expect("ended");
        // Others use the same NATS.
        let revoked = loop {
            let heard = tokio::time::timeout(Duration::from_secs(5), events.next()).await;
            let message = heard.expect("an event in time").expect("a subscription");
            let event = Event::decode(message.payload).expect("an event");
            match event.payload {
                Some(Payload::SessionRevoked(revoked))
                    if event.recipient_ids == [user_id.clone()] =>
                {
                    assert_eq!(event.id, format!("{hash}:revoked:0"));
                    break revoked;
                }
                _ => assert!(event.recipient_ids != [stranger.clone()]),
            }
        };
        assert_eq!(revoked.user_id, user_id);
        assert_eq!(SessionHash::read(&revoked.session_hash), Some(hash));
    }
}
