//! Passwords: given at registration, logged in with by phone or name, and brought up to date.

use bson::{Document, doc, oid::ObjectId};
use chat_proto::v1::Login;
use mongodb::Collection;
use tonic::Code;

use crate::support::{Auth, auth, auth_with, reason};

const PHONE: &str = "+15550000001";
const OTHER_PHONE: &str = "+15550000002";
const PASSWORD: &str = "correct horse";

/// Of [`PASSWORD`], as the predecessor's library wrote them.
const BCRYPT: [&str; 3] = [
    "$2a$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu",
    "$2b$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu",
    "$2y$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu",
];

/// Of [`PASSWORD`], by the reference implementation, with half of today's memory.
const WEAK_ARGON2: &str = "$argon2id$v=19$m=9728,t=2,p=1$c2l4dGVlbiBvZiBieXRlcw\
                           $C+KRWS+Jd/2crHG6+f5Rl9xaSXrczOEoHlPyf7bf0Hw";

fn id(login: &Login) -> String {
    login.user.as_ref().expect("a profile").id.clone()
}

async fn credentials(auth: &Auth) -> Collection<Document> {
    auth.database().await.collection("credentials")
}

async fn stored_hash(auth: &Auth, id: &str) -> Option<String> {
    let id = ObjectId::parse_str(id).expect("an id");
    let account = credentials(auth).await.find_one(doc! { "_id": id }).await.expect("an answer");
    account.expect("an account").get_str("password_hash").ok().map(str::to_owned)
}

async fn store_hash(auth: &Auth, id: &str, hash: &str) {
    let id = ObjectId::parse_str(id).expect("an id");
    let update = doc! { "$set": { "password_hash": hash } };
    credentials(auth).await.update_one(doc! { "_id": id }, update).await.expect("stored");
}

#[tokio::test]
async fn password_logs_in_by_phone_and_by_name() {
    let auth = auth().await;
    let account = auth.account(PHONE, "Ann", PASSWORD).await;
    for identifier in [PHONE, "1 (555) 000-0001", "Ann"] {
        let login = auth.log_in_by(identifier, PASSWORD).await.expect(identifier);
        assert_eq!(id(&login), id(&account));
        assert_ne!(login.session_id, account.session_id);
        let user = login.user.expect("a profile");
        assert_eq!((user.name.as_str(), user.phone.as_deref()), ("Ann", Some(PHONE)));
        let checked = auth.check(&user.id, Some(&login.session_id)).await;
        assert_eq!(checked.expect("a session").expires_at, login.expires_at);
    }
    let stored = stored_hash(&auth, &id(&account)).await.expect("a hash");
    assert!(stored.starts_with("$argon2id$"), "{stored}");
}

#[tokio::test]
async fn blanks_around_a_password_do_not_count() {
    let auth = auth().await;
    auth.account(PHONE, "Ann", "  six ch \t").await;
    for password in ["six ch", " six ch", "six ch\n"] {
        auth.log_in_by("Ann", password).await.expect(password);
    }
    assert_eq!(reason(auth.log_in_by("Ann", "sixch").await), "invalid_credentials");
}

#[tokio::test]
async fn short_password_is_refused_and_costs_no_code() {
    let auth = auth().await;
    let sent = auth.send_registration(PHONE).await;
    for short in ["12345", " 12345 ", "  "] {
        let refused = auth.register_with(&sent, PHONE, "Ann", Some(short)).await;
        let status = refused.expect_err("too short");
        assert_eq!(
            status.message(),
            "password has fewer than 6 characters without the blanks around it"
        );
        assert_eq!(reason::<()>(Err(status)), "validation_error", "{short:?}");
    }
    let registered = auth.register_with(&sent, PHONE, "Ann", Some(" 123456 ")).await;
    registered.expect("the code still works");
    auth.log_in_by(PHONE, "123456").await.expect("the password");
}

#[tokio::test]
async fn empty_password_is_none() {
    let auth = auth().await;
    let account = auth.account(PHONE, "Ann", "").await;
    assert_eq!(stored_hash(&auth, &id(&account)).await, None);
    assert_eq!(reason(auth.log_in_by(PHONE, "").await), "invalid_credentials");
}

#[tokio::test]
async fn endless_password_or_name_is_refused_and_costs_no_code() {
    let auth = auth().await;
    let sent = auth.send_registration(PHONE).await;
    let endless = "p".repeat(1025);
    let refused = auth.register_with(&sent, PHONE, "Ann", Some(&endless)).await;
    let status = refused.expect_err("too long");
    assert_eq!(status.message(), "password exceeds 1024 characters");
    assert_eq!(reason::<()>(Err(status)), "validation_error");
    let longest = &endless[..1024];
    auth.register_with(&sent, PHONE, "Ann", Some(longest)).await.expect("as long as may be");
    auth.log_in_by("Ann", longest).await.expect("the password");
    assert_eq!(reason(auth.log_in_by("Ann", &endless).await), "validation_error");
    assert_eq!(reason(auth.log_in_by(&"n".repeat(257), longest).await), "validation_error");
}

#[tokio::test]
async fn phone_comes_before_a_name_of_the_same_digits() {
    let auth = auth().await;
    let owner = auth.account(PHONE, "Ann", PASSWORD).await;
    auth.account(OTHER_PHONE, PHONE, "another horse").await;
    let login = auth.log_in_by(PHONE, PASSWORD).await.expect("the owner of the phone");
    assert_eq!(id(&login), id(&owner));
    let refused = auth.log_in_by(PHONE, "another horse").await;
    assert_eq!(reason(refused), "invalid_credentials");
    // A name of digits that are nobody's phone is a name.
    let digits = auth.account("+15550000003", "0049 1234 5678", PASSWORD).await;
    let login = auth.log_in_by("0049 1234 5678", PASSWORD).await.expect("a name");
    assert_eq!(id(&login), id(&digits));
}

#[tokio::test]
async fn name_of_several_is_nobodys() {
    let auth = auth().await;
    auth.account(PHONE, "Ann", PASSWORD).await;
    auth.account(OTHER_PHONE, "Ann", PASSWORD).await;
    assert_eq!(reason(auth.log_in_by("Ann", PASSWORD).await), "invalid_credentials");
    for phone in [PHONE, OTHER_PHONE] {
        let login = auth.log_in_by(phone, PASSWORD).await.expect("phones are unique");
        assert_eq!(login.user.expect("a profile").phone.as_deref(), Some(phone));
    }
}

#[tokio::test]
async fn outdated_hash_is_replaced_by_the_right_password_alone() {
    let auth = auth().await;
    let id = id(&auth.account(PHONE, "Ann", PASSWORD).await);
    for outdated in BCRYPT.into_iter().chain([WEAK_ARGON2]) {
        store_hash(&auth, &id, outdated).await;
        let refused = auth.log_in_by(PHONE, "correct house").await;
        assert_eq!(reason(refused), "invalid_credentials");
        assert_eq!(stored_hash(&auth, &id).await.as_deref(), Some(outdated));

        auth.log_in_by(PHONE, PASSWORD).await.expect(outdated);
        let replaced = stored_hash(&auth, &id).await.expect("a hash");
        assert!(replaced.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{replaced}");
        auth.log_in_by(PHONE, PASSWORD).await.expect("the same password");
        assert_eq!(stored_hash(&auth, &id).await, Some(replaced));
    }
}

#[tokio::test]
async fn parallel_logins_replace_a_hash_once() {
    let auth = auth().await;
    let replica = auth.replica(|_| ()).await;
    let id = id(&auth.account(PHONE, "Ann", PASSWORD).await);
    store_hash(&auth, &id, BCRYPT[1]).await;
    let logins = tokio::join!(
        auth.log_in_by(PHONE, PASSWORD),
        replica.log_in_by(PHONE, PASSWORD),
        auth.log_in_by("Ann", PASSWORD),
    );
    for login in [logins.0, logins.1, logins.2] {
        login.expect("a login");
    }
    auth.log_in_by(PHONE, PASSWORD).await.expect("what was stored is right");
}

#[tokio::test]
async fn hash_that_cannot_be_read_is_an_internal_error() {
    let auth = auth().await;
    let id = id(&auth.account(PHONE, "Ann", PASSWORD).await);
    for broken in ["", "plain text", "$2b$31$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu"]
    {
        store_hash(&auth, &id, broken).await;
        let status = auth.log_in_by(PHONE, PASSWORD).await.expect_err("no hash");
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(reason::<()>(Err(status)), "server_error");
    }
}

#[tokio::test]
async fn overload_is_refused_at_once_and_costs_neither_a_try_nor_a_code() {
    let auth = auth_with(|config| {
        config.password.concurrency = 1.try_into().expect("not zero");
        config.password.queue = 0;
        config.password.failures = 1.try_into().expect("not zero");
    })
    .await;
    auth.account(PHONE, "Ann", PASSWORD).await;
    let sent = auth.send_registration(OTHER_PHONE).await;
    auth.users.set_held(true);
    let register = || auth.register_with(&sent, OTHER_PHONE, "Bob", Some(PASSWORD));
    let overload = async {
        auth.users.until_searched().await;
        let status = auth.log_in_by("Ann", PASSWORD).await.expect_err("no place");
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(reason::<()>(Err(status)), "overloaded");
        assert_eq!(reason(register().await), "overloaded");
        auth.users.set_held(false);
    };
    let (held, ()) = tokio::join!(auth.log_in_by("Bob", PASSWORD), overload);
    assert_eq!(reason(held), "invalid_credentials");
    auth.log_in_by("Ann", PASSWORD).await.expect("the one try is there");
    register().await.expect("the code is there");
}

#[tokio::test]
async fn login_without_the_user_service_is_unavailable_and_costs_no_try() {
    let auth = auth_with(|config| {
        config.password.failures = 1.try_into().expect("not zero");
    })
    .await;
    auth.account(PHONE, "Ann", PASSWORD).await;
    auth.users.set_down(true);
    for identifier in [PHONE, "Ann", "Bob"] {
        assert_eq!(reason(auth.log_in_by(identifier, PASSWORD).await), "unavailable");
    }
    auth.users.set_down(false);
    auth.log_in_by(PHONE, PASSWORD).await.expect("the one try is there");
}
