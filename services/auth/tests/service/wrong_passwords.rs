//! Logins that are refused: what they tell, how long they take, and how many there may be.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Auth, auth, auth_with, reason};

const PHONE: &str = "+15550000001";
const PASSWORD: &str = "correct horse";
const ADDRESS: &str = "192.0.2.1";

fn number(value: u32) -> NonZeroU32 {
    value.try_into().expect("not zero")
}

/// A service where refusals take no longer than they must.
async fn hasty(failures: u32) -> Auth {
    auth_with(|config| {
        config.password.failure_time = Duration::ZERO;
        config.password.failures = number(failures);
    })
    .await
}

async fn fail(auth: &Auth, identifier: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(reason(auth.log_in_by(identifier, "wrong").await), "invalid_credentials");
    }
}

async fn locked(auth: &Auth, identifier: &str) {
    let status = auth.log_in_by(identifier, PASSWORD).await.expect_err("no try is left");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason::<()>(Err(status)), "too_many_requests");
}

#[tokio::test]
async fn nobody_and_a_wrong_password_are_not_told_apart() {
    const TAKES: Duration = Duration::from_millis(700);
    let auth = auth_with(|config| config.password.failure_time = TAKES).await;
    auth.account(PHONE, "Ann", PASSWORD).await;
    auth.log_in("+15550000002").await;
    auth.account("+15550000003", "Twin", PASSWORD).await;
    auth.account("+15550000004", "Twin", PASSWORD).await;
    let mut refusals = Vec::new();
    // Wrong passwords, no password, nobody, somebody in another case, several people, nothing at all.
    for identifier in [PHONE, "Ann", "+15550000002", "+15550009999", "Bob", "ann", "Twin", ""] {
        let began = Instant::now();
        let refused = auth.log_in_by(identifier, "correct house").await;
        let took = began.elapsed();
        assert!(took >= TAKES, "{identifier} was refused after {took:?}");
        let status = refused.expect_err(identifier);
        refusals.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(refusals[0].0, Code::Unauthenticated);
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
    assert_eq!(reason(auth.log_in_by("", "").await), "invalid_credentials");
}

#[tokio::test]
async fn wrong_passwords_lock_a_name_whether_anybody_has_it_or_not() {
    let auth = hasty(3).await;
    auth.account(PHONE, "Ann", PASSWORD).await;
    for name in ["Ann", "Nobody"] {
        fail(&auth, name, 3).await;
        locked(&auth, name).await;
    }
    auth.log_in_by(PHONE, PASSWORD).await.expect("the phone is not locked");
    auth.log_in(PHONE).await;
}

#[tokio::test]
async fn spellings_of_a_phone_count_together() {
    let auth = hasty(3).await;
    auth.account(PHONE, "Ann", PASSWORD).await;
    for spelling in [PHONE, "1 555 000 0001", "x15550000001"] {
        fail(&auth, spelling, 1).await;
    }
    locked(&auth, "(1)5550000001").await;
    auth.log_in_by("Ann", PASSWORD).await.expect("the name is not locked");
}

#[tokio::test]
async fn right_password_uses_no_try_up_and_gives_none_back() {
    let auth = hasty(2).await;
    auth.account(PHONE, "Ann", PASSWORD).await;
    for _ in 0..3 {
        auth.log_in_by("Ann", PASSWORD).await.expect("the password");
    }
    fail(&auth, "Ann", 1).await;
    auth.log_in_by("Ann", PASSWORD).await.expect("one try is left");
    fail(&auth, "Ann", 1).await;
    locked(&auth, "Ann").await;
}

#[tokio::test]
async fn tries_come_back_when_the_window_is_over() {
    let auth = auth_with(|config| {
        config.password.failures = number(1);
        config.password.failure_time = Duration::ZERO;
        config.password.failures_window = Duration::from_millis(1);
    })
    .await;
    fail(&auth, "Ann", 3).await;
}

#[tokio::test]
async fn failures_of_an_address_count_together_with_its_wrong_codes() {
    let auth = auth_with(|config| {
        config.otp.limits.failures_per_address = number(3);
        config.password.failure_time = Duration::ZERO;
    })
    .await;
    auth.account(PHONE, "Ann", PASSWORD).await;
    auth.log_in_from("Ann", PASSWORD, ADDRESS).await.expect("successes are given back");
    let failed = auth.verify_from(&"0".repeat(32), "111111", ADDRESS).await;
    assert_eq!(reason(failed), "invalid_otp");
    for name in ["Bob", "Cid"] {
        let failed = auth.log_in_from(name, "wrong", ADDRESS).await;
        assert_eq!(reason(failed), "invalid_credentials");
    }
    let refused = auth.log_in_from("Ann", PASSWORD, ADDRESS).await;
    assert_eq!(reason(refused), "too_many_requests");
    auth.log_in_from("Ann", PASSWORD, "192.0.2.2").await.expect("another address");
}

#[tokio::test]
async fn parallel_guesses_never_exceed_the_limit() {
    let auth = Arc::new(hasty(5).await);
    let replica = Arc::new(auth.replica(|_| ()).await);
    auth.account(PHONE, "Ann", PASSWORD).await;
    let mut guesses = JoinSet::new();
    for guess in 0..30 {
        let auth = if guess % 2 == 0 { &auth } else { &replica };
        let auth = auth.clone();
        guesses.spawn(async move { reason(auth.log_in_by("Ann", "wrong").await) });
    }
    let reasons = guesses.join_all().await;
    let count = |wanted| reasons.iter().filter(|reason| *reason == wanted).count();
    assert_eq!(count("invalid_credentials"), 5, "{reasons:?}");
    assert_eq!(count("too_many_requests"), 25, "{reasons:?}");
}

#[tokio::test]
async fn users_do_not_log_others_in() {
    let auth = auth().await;
    let refused = auth.log_in_as_user("Ann", PASSWORD).await;
    assert_eq!(refused.expect_err("not a service").code(), Code::PermissionDenied);
}
