//! Codes and their sessions: what works with what, for how long, and what is stored.

use std::time::Duration;

use bson::{Document, doc};
use chat_kit::id::UserId;
use chat_proto::v1::{OtpPurpose, SendOtpRequest};
use tonic::Code;

use crate::support::{Auth, auth, auth_with, reason, request, wrong};

const PHONE: &str = "+15550000001";

async fn stored(auth: &Auth) -> Document {
    let otps = auth.database().await.collection::<Document>("otps");
    let found = otps.find_one(doc! {}).await.expect("an answer");
    found.expect("a document")
}

#[tokio::test]
async fn code_is_echoed_only_where_the_operator_says_so() {
    let auth = auth_with(|config| config.otp.echo = false).await;
    let sent = auth.send_login(PHONE).await;
    assert_eq!(sent.code, "");
    assert_eq!(sent.session_id.len(), 32);
    assert!(sent.session_id.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
}

#[tokio::test]
async fn malformed_requests_are_refused_by_name() {
    let auth = auth().await;
    let login = |phone: &str| request(phone, OtpPurpose::Login);
    assert_eq!(reason(auth.send(login("123")).await), "invalid_phone");
    let digits = "1".repeat(21);
    assert_eq!(reason(auth.send(login(&digits)).await), "invalid_phone");
    let unknown = request(PHONE, OtpPurpose::Unspecified);
    assert_eq!(reason(auth.send(unknown).await), "validation_error");
    let long = SendOtpRequest { name: Some("x".repeat(101)), ..login(PHONE) };
    assert_eq!(reason(auth.send(long).await), "validation_error");
    for code in ["", "12345", "1234567", "12345a"] {
        let refused = auth.verify("0", code).await;
        assert_eq!(reason(refused), "invalid_otp_format", "{code}");
    }
}

#[tokio::test]
async fn only_services_may_ask_for_codes() {
    let auth = auth().await;
    let refused = auth.send_as_user(&UserId::new().to_string()).await;
    assert_eq!(refused.expect_err("a user").code(), Code::PermissionDenied);
}

#[tokio::test]
async fn new_code_works_with_old_session() {
    let auth = auth().await;
    let first = auth.send_login(PHONE).await;
    let second = auth.send_login(PHONE).await;
    let login = auth.verify(&first.session_id, &second.code).await;
    login.expect("the new code with the old session");
}

#[tokio::test]
async fn old_code_works_with_new_and_old_session() {
    let auth = auth().await;
    for uses_new_session in [true, false] {
        let first = auth.send_login(PHONE).await;
        let second = auth.send_login(PHONE).await;
        let session = if uses_new_session { &second } else { &first };
        let login = auth.verify(&session.session_id, &first.code).await;
        login.expect("the old code");
    }
}

#[tokio::test]
async fn every_spelling_of_a_phone_is_the_same_phone() {
    let auth = auth().await;
    let first = auth.send_login("1 (555) 000-0001").await;
    let second = auth.send_login(PHONE).await;
    let login = auth.verify(&first.session_id, &second.code).await;
    let user = login.expect("a login").user.expect("a profile");
    assert_eq!(user.phone.as_deref(), Some(PHONE));
}

#[tokio::test]
async fn login_and_registration_codes_never_mix() {
    let auth = auth().await;
    let login = auth.send_login(PHONE).await;
    let registration = auth.send_registration(PHONE).await;
    let other = auth.send_login("+15550000002").await;

    let mixed = auth.verify(&registration.session_id, &login.code).await;
    assert_eq!(reason(mixed), "invalid_otp");
    let mixed = auth.verify(&registration.session_id, &registration.code).await;
    assert_eq!(reason(mixed), "invalid_otp");
    let mixed = auth.register(&login, PHONE, "Ann").await;
    assert_eq!(reason(mixed), "invalid_otp");
    if other.code != login.code {
        let mixed = auth.verify(&other.session_id, &login.code).await;
        assert_eq!(reason(mixed), "invalid_otp");
    }
    let unmixed = auth.verify(&login.session_id, &login.code).await;
    unmixed.expect("the code was not consumed");
}

#[tokio::test]
async fn wrong_code_and_unknown_session_are_invalid() {
    let auth = auth().await;
    let sent = auth.send_login(PHONE).await;
    let tried = auth.verify(&sent.session_id, wrong(&sent.code)).await;
    assert_eq!(reason(tried), "invalid_otp");
    for session_id in ["", "0", "{\"$ne\": null}", &"f".repeat(32)] {
        let tried = auth.verify(session_id, &sent.code).await;
        assert_eq!(reason(tried), "invalid_otp", "{session_id}");
    }
}

#[tokio::test]
async fn used_code_is_invalid() {
    let auth = auth().await;
    let sent = auth.send_login(PHONE).await;
    let login = auth.verify(&sent.session_id, &sent.code).await;
    login.expect("the first use");
    let again = auth.verify(&sent.session_id, &sent.code).await;
    assert_eq!(reason(again), "invalid_otp");
}

#[tokio::test]
async fn success_ends_all_codes_and_sessions_of_phone_and_purpose() {
    let auth = auth().await;
    let first = auth.send_login(PHONE).await;
    let second = auth.send_login(PHONE).await;
    let login = auth.verify(&first.session_id, &first.code).await;
    login.expect("the first use");
    let third = auth.send_login(PHONE).await;

    let with_old_session = auth.verify(&second.session_id, &third.code).await;
    assert_eq!(reason(with_old_session), "invalid_otp");
    if second.code != third.code {
        let old_code = auth.verify(&third.session_id, &second.code).await;
        assert_eq!(reason(old_code), "invalid_otp");
    }
}

#[tokio::test]
async fn expired_code_is_expired() {
    let auth = auth_with(|config| config.otp.ttl = Duration::from_millis(1)).await;
    let sent = auth.send_login(PHONE).await;
    let tried = auth.verify(&sent.session_id, &sent.code).await;
    assert_eq!(reason(tried), "expired_otp");
    let registration = auth.send_registration(PHONE).await;
    let tried = auth.register(&registration, PHONE, "Ann").await;
    assert_eq!(reason(tried), "expired_otp");
}

#[tokio::test]
async fn resend_revives_no_expired_session() {
    let brief = auth_with(|config| config.otp.ttl = Duration::from_millis(1)).await;
    let long = brief.replica(|config| config.otp.ttl = Duration::from_mins(5)).await;
    let first = brief.send_login(PHONE).await;
    let second = long.send_login(PHONE).await;
    let tried = long.verify(&first.session_id, &second.code).await;
    assert_eq!(reason(tried), "expired_otp");
}

#[tokio::test]
async fn resend_extends_live_sessions_but_not_their_codes() {
    let brief = auth_with(|config| config.otp.ttl = Duration::from_mins(1)).await;
    let long = brief.replica(|config| config.otp.ttl = Duration::from_mins(5)).await;
    brief.send_login(PHONE).await;
    long.send_login(PHONE).await;
    let stored = stored(&brief).await;
    let ends = |array: &str| {
        let entries = stored.get_array(array).expect("an array").iter();
        let end = |entry: &bson::Bson| {
            let entry = entry.as_document().expect("a document");
            *entry.get_datetime("expires_at").expect("an end")
        };
        entries.map(end).collect::<Vec<_>>()
    };
    let (sessions, codes) = (ends("sessions"), ends("codes"));
    assert_eq!(sessions, [codes[1], codes[1]]);
    assert!(codes[0] < codes[1]);
}

#[tokio::test]
async fn newest_sixteen_sessions_and_codes_are_kept() {
    let auth = auth_with(|config| {
        config.otp.limits.sends_per_phone = 100.try_into().expect("not zero");
    })
    .await;
    for _ in 0..18 {
        auth.send_login(PHONE).await;
    }
    let newest = auth.send_login(PHONE).await;
    let stored = stored(&auth).await;
    for array in ["sessions", "codes"] {
        assert_eq!(stored.get_array(array).expect("an array").len(), 16);
    }
    let login = auth.verify(&newest.session_id, &newest.code).await;
    login.expect("the newest code");
}

#[tokio::test]
async fn neither_code_nor_session_id_is_stored_in_clear() {
    let auth = auth().await;
    let pending = auth.send_login(PHONE).await;
    let login = auth.log_in("+15550000002").await;
    let database = auth.database().await;
    let names = database.list_collection_names().await.expect("names");
    assert!(names.contains(&"sessions".to_owned()));
    for name in names {
        let mut documents =
            database.collection::<Document>(&name).find(doc! {}).await.expect("a cursor");
        while documents.advance().await.expect("an answer") {
            let text = format!("{:?}", documents.deserialize_current().expect("a document"));
            for secret in [&pending.code, &login.session_id, &login.token] {
                assert!(!text.contains(&format!("\"{secret}\"")), "{name}: {text}");
            }
        }
    }
}
