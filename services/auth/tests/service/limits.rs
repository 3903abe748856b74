//! Tries and requests that are counted, over replicas and purposes.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use chat_proto::v1::{OtpPurpose, SendOtpRequest};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Auth, Sent, auth, auth_with, device, reason, request, wrong};

const PHONE: &str = "+15550000001";
const ADDRESS: &str = "192.0.2.1";

fn number(value: u32) -> NonZeroU32 {
    value.try_into().expect("not zero")
}

fn request_from(address: &str, phone: &str) -> SendOtpRequest {
    SendOtpRequest { device: Some(device(address)), ..request(phone, OtpPurpose::Login) }
}

async fn fail(auth: &Auth, sent: &Sent, times: usize) {
    for _ in 0..times {
        let tried = auth.verify(&sent.session_id, wrong(&sent.code)).await;
        assert_eq!(reason(tried), "invalid_otp");
    }
}

#[tokio::test]
async fn sixth_wrong_try_is_refused_even_with_the_right_code() {
    let auth = auth().await;
    let sent = auth.send_login(PHONE).await;
    fail(&auth, &sent, 5).await;
    let refused = auth.verify(&sent.session_id, &sent.code).await;
    let status = refused.expect_err("no try is left");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason::<()>(Err(status)), "too_many_requests");
}

#[tokio::test]
async fn wrong_tries_with_both_sessions_count_together() {
    let auth = auth().await;
    let first = auth.send_login(PHONE).await;
    fail(&auth, &first, 3).await;
    let second = auth.send_login(PHONE).await;
    fail(&auth, &second, 2).await;
    let refused = auth.verify(&first.session_id, &second.code).await;
    assert_eq!(reason(refused), "too_many_requests");
}

#[tokio::test]
async fn wrong_tries_of_both_purposes_count_together() {
    let auth = auth().await;
    let login = auth.send_login(PHONE).await;
    fail(&auth, &login, 4).await;
    let registration = auth.send_registration(PHONE).await;
    let tried = Sent {
        code: wrong(&registration.code).to_owned(),
        session_id: registration.session_id.clone(),
    };
    let fifth = auth.register(&tried, PHONE, "Ann").await;
    assert_eq!(reason(fifth), "invalid_otp");
    let refused = auth.register(&registration, PHONE, "Ann").await;
    assert_eq!(reason(refused), "too_many_requests");
}

#[tokio::test]
async fn other_phones_keep_their_tries() {
    let auth = auth().await;
    let sent = auth.send_login(PHONE).await;
    fail(&auth, &sent, 5).await;
    auth.log_in("+15550000002").await;
}

#[tokio::test]
async fn parallel_guesses_never_exceed_five_tries() {
    let auth = Arc::new(auth().await);
    let replica = Arc::new(auth.replica(|_| ()).await);
    let sent = Arc::new(auth.send_login(PHONE).await);
    let mut guesses = JoinSet::new();
    for guess in 0..40 {
        let auth = if guess % 2 == 0 { &auth } else { &replica };
        let (auth, sent) = (auth.clone(), sent.clone());
        guesses
            .spawn(async move { reason(auth.verify(&sent.session_id, wrong(&sent.code)).await) });
    }
    let reasons = guesses.join_all().await;
    let evaluated = reasons.iter().filter(|reason| *reason == "invalid_otp");
    assert_eq!(evaluated.count(), 5, "{reasons:?}");
    let refused = reasons.iter().filter(|reason| *reason == "too_many_requests");
    assert_eq!(refused.count(), 35, "{reasons:?}");
}

#[tokio::test]
async fn right_code_uses_no_try_up_and_gives_none_back() {
    let auth = auth().await;
    let first = auth.send_login(PHONE).await;
    fail(&auth, &first, 4).await;
    let login = auth.verify(&first.session_id, &first.code).await;
    login.expect("the fifth try is right");
    let second = auth.send_login(PHONE).await;
    fail(&auth, &second, 1).await;
    let refused = auth.verify(&second.session_id, &second.code).await;
    assert_eq!(reason(refused), "too_many_requests");
}

#[tokio::test]
async fn unknown_and_expired_sessions_use_no_try_up() {
    let brief = auth_with(|config| config.otp.ttl = Duration::from_millis(1)).await;
    let auth = brief.replica(|config| config.otp.ttl = Duration::from_mins(5)).await;
    let expired = brief.send_login(PHONE).await;
    for _ in 0..6 {
        let tried = auth.verify(&expired.session_id, "111111").await;
        assert_eq!(reason(tried), "expired_otp");
        let tried = auth.verify(&"0".repeat(32), "111111").await;
        assert_eq!(reason(tried), "invalid_otp");
    }
    auth.log_in(PHONE).await;
}

#[tokio::test]
async fn tries_come_back_when_the_window_is_over() {
    let auth = auth_with(|config| {
        config.otp.limits.tries = number(1);
        config.otp.limits.tries_window = Duration::from_millis(1);
    })
    .await;
    let sent = auth.send_login(PHONE).await;
    fail(&auth, &sent, 2).await;
}

#[tokio::test]
async fn phone_gets_ten_codes_in_a_window_for_both_purposes_together() {
    let auth = auth().await;
    for _ in 0..5 {
        auth.send_login(PHONE).await;
        auth.send_registration(PHONE).await;
    }
    let refused = auth.send(request(PHONE, OtpPurpose::Login)).await;
    let status = refused.err().expect("the eleventh request");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason::<()>(Err(status)), "too_many_otp_requests");
    auth.send_login("+15550000002").await;
}

#[tokio::test]
async fn address_gets_twenty_codes_in_a_window() {
    let auth = auth().await;
    for phone in 0..20 {
        let request = request_from(ADDRESS, &format!("+155500000{phone:02}"));
        auth.send(request).await.map(drop).expect("within the limit");
    }
    let refused = auth.send(request_from(ADDRESS, "+15550000099")).await;
    assert_eq!(reason(refused), "too_many_otp_requests");
    let other = auth.send(request_from("192.0.2.2", "+15550000099")).await;
    other.map(drop).expect("another address");
}

#[tokio::test]
async fn parallel_requests_never_exceed_the_limit() {
    let auth = Arc::new(auth().await);
    let replica = Arc::new(auth.replica(|_| ()).await);
    let mut requests = JoinSet::new();
    for number in 0..30 {
        let auth = if number % 2 == 0 { &auth } else { &replica };
        let auth = auth.clone();
        requests.spawn(async move {
            let request = request(PHONE, OtpPurpose::Login);
            reason(auth.send(request).await)
        });
    }
    let reasons = requests.join_all().await;
    let sent = reasons.iter().filter(|reason| *reason == "none");
    assert_eq!(sent.count(), 10, "{reasons:?}");
}

#[tokio::test]
async fn invalid_phone_uses_nothing_up() {
    let auth = auth_with(|config| config.otp.limits.sends_per_address = number(1)).await;
    for _ in 0..3 {
        let refused = auth.send(request_from(ADDRESS, "123")).await;
        assert_eq!(reason(refused), "invalid_phone");
    }
    let sent = auth.send(request_from(ADDRESS, PHONE)).await;
    sent.map(drop).expect("nothing was used up");
}

#[tokio::test]
async fn refused_address_uses_nothing_of_the_phone_up() {
    let auth = auth_with(|config| {
        config.otp.limits.sends_per_address = number(1);
        config.otp.limits.sends_per_phone = number(2);
    })
    .await;
    for expected in ["none", "too_many_otp_requests", "too_many_otp_requests"] {
        let sent = auth.send(request_from(ADDRESS, PHONE)).await;
        assert_eq!(reason(sent), expected);
    }
    auth.send_login(PHONE).await;
}

#[tokio::test]
async fn failed_verifications_of_an_address_are_limited() {
    let auth = auth_with(|config| config.otp.limits.failures_per_address = number(2)).await;
    for _ in 0..2 {
        let sent = auth.send_login(PHONE).await;
        let login = auth.verify_from(&sent.session_id, &sent.code, ADDRESS);
        login.await.expect("successes are given back");
    }
    for _ in 0..2 {
        let failed = auth.verify_from(&"0".repeat(32), "111111", ADDRESS).await;
        assert_eq!(reason(failed), "invalid_otp");
    }
    let sent = auth.send_login(PHONE).await;
    let refused = auth.verify_from(&sent.session_id, &sent.code, ADDRESS).await;
    assert_eq!(reason(refused), "too_many_requests");
    let other = auth.verify_from(&sent.session_id, &sent.code, "192.0.2.2");
    other.await.expect("another address");
}
