//! Registration by code.

use chat_proto::v1::OtpPurpose;
use tonic::Code;

use crate::support::{Sent, auth, reason, request};

const PHONE: &str = "+15550000001";

#[tokio::test]
async fn registration_makes_an_account_with_its_name() {
    let auth = auth().await;
    let sent = auth.send_registration(PHONE).await;
    let login = auth.register(&sent, "1 (555) 000-0001", " Ann ").await;
    let user = login.expect("an account").user.expect("a profile");
    assert_eq!(user.name, "Ann");
    assert_eq!(user.phone.as_deref(), Some(PHONE));
    let login = auth.log_in(PHONE).await;
    assert_eq!(login.user.expect("a profile"), user);
}

#[tokio::test]
async fn phone_with_an_account_is_taken() {
    let auth = auth().await;
    auth.log_in(PHONE).await;
    let refused = auth.send(request(PHONE, OtpPurpose::Registration)).await;
    let status = refused.err().expect("the phone is taken");
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(reason::<()>(Err(status)), "phone_taken");
}

#[tokio::test]
async fn phone_taken_meanwhile_is_taken() {
    let auth = auth().await;
    let sent = auth.send_registration(PHONE).await;
    auth.log_in(PHONE).await;
    let refused = auth.register(&sent, PHONE, "Ann").await;
    assert_eq!(reason(refused), "phone_taken");
}

#[tokio::test]
async fn unusable_name_is_refused_before_the_code_is_used() {
    let auth = auth().await;
    let sent = auth.send_registration(PHONE).await;
    for name in ["", "  ", &"x".repeat(101)] {
        let refused = auth.register(&sent, PHONE, name).await;
        assert_eq!(reason(refused), "validation_error", "{name}");
    }
    let login = auth.register(&sent, PHONE, &"x".repeat(100)).await;
    login.expect("the code still works");
}

#[tokio::test]
async fn code_registers_only_the_phone_it_was_sent_to() {
    let auth = auth().await;
    let sent = auth.send_registration(PHONE).await;
    for phone in ["+15550000002", ""] {
        let refused = auth.register(&sent, phone, "Ann").await;
        assert_eq!(reason(refused), "invalid_otp", "{phone}");
    }
    let login = auth.register(&sent, PHONE, "Ann").await;
    login.expect("the code still works");
}

#[tokio::test]
async fn malformed_code_is_refused_by_name() {
    let auth = auth().await;
    let sent = Sent { code: "12345".to_owned(), ..auth.send_registration(PHONE).await };
    let refused = auth.register(&sent, PHONE, "Ann").await;
    assert_eq!(reason(refused), "invalid_otp_format");
}
