//! Making, keeping and reading profiles.

use bson::{Document, doc};
use chat_kit::id::UserId;
use chat_proto::v1::{GetUserRequest, GetUsersRequest, UpsertProfileRequest};
use tonic::{Code, Request};

use crate::support::{as_service, as_user, assert_failed, phone, start};

#[tokio::test]
async fn profile_is_made_once_and_then_kept() {
    let suite = start().await;
    let (id, phone) = (UserId::new(), phone());
    let made = suite.upsert(id, &phone, Some("Ada")).await.expect("made");
    assert_eq!((made.id.as_str(), made.name.as_str()), (id.to_string().as_str(), "Ada"));
    assert_eq!(made.phone.as_deref(), Some(phone.as_str()));
    assert_eq!(made.created_at, made.last_seen_at);
    let again = suite.upsert(id, &phone, Some("Ada")).await.expect("again");
    assert_eq!(again, made);
    let login = suite.upsert(id, &phone, None).await.expect("a login");
    assert_eq!(login, made);
}

#[tokio::test]
async fn profile_without_a_name_is_named_by_its_phone_until_it_gets_one() {
    let suite = start().await;
    let (id, phone) = (UserId::new(), phone());
    let made = suite.upsert(id, &phone, None).await.expect("made");
    assert_eq!(made.name, phone);
    let named = suite.upsert(id, &phone, Some("$phone")).await.expect("named");
    assert_eq!(named.name, "$phone");
    assert_eq!(named.created_at, made.created_at);
}

#[tokio::test]
async fn parallel_upserts_make_one_profile() {
    let suite = start().await;
    let (id, phone) = (UserId::new(), phone());
    let upserts = (0..20).map(|_| suite.upsert(id, &phone, Some("Ada")));
    for made in futures_util::future::join_all(upserts).await {
        assert_eq!(made.expect("made").name, "Ada");
    }
    let stored = suite.database.collection::<Document>("users");
    assert_eq!(stored.count_documents(doc! {}).await.expect("a count"), 1);
}

#[tokio::test]
async fn phone_belongs_to_one_profile() {
    let suite = start().await;
    let phone = phone();
    suite.upsert(UserId::new(), &phone, None).await.expect("made");
    let second = suite.upsert(UserId::new(), &phone, None).await;
    assert_failed(second, Code::AlreadyExists, "phone_taken");
}

#[tokio::test]
async fn blank_name_and_phone_are_refused() {
    let suite = start().await;
    for (phone, name) in [(phone().as_str(), " "), ("no digits", "Ada")] {
        let refused = suite.upsert(UserId::new(), phone, Some(name)).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}

#[tokio::test]
async fn user_cannot_upsert_a_profile() {
    let suite = start().await;
    let request =
        UpsertProfileRequest { user_id: UserId::new().to_string(), phone: phone(), name: None };
    let status = suite.users.clone().upsert_profile(as_user(request)).await;
    let status = status.expect_err("for services only");
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn call_without_identity_is_refused() {
    let suite = start().await;
    let request = GetUserRequest { user_id: UserId::new().to_string() };
    let status = suite.users.clone().get_user(Request::new(request)).await;
    let status = status.expect_err("no identity");
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn unknown_user_is_not_found() {
    let suite = start().await;
    let request = GetUserRequest { user_id: UserId::new().to_string() };
    let answer = suite.users.clone().get_user(as_user(request)).await;
    assert_failed(answer, Code::NotFound, "user_not_found");
}

#[tokio::test]
async fn malformed_id_is_invalid() {
    let suite = start().await;
    let one = GetUserRequest { user_id: "65f0".to_owned() };
    let answer = suite.users.clone().get_user(as_user(one)).await;
    assert_failed(answer, Code::InvalidArgument, "invalid_id");
    let many = GetUsersRequest { user_ids: vec![UserId::new().to_string(), String::new()] };
    let answer = suite.users.clone().get_users(as_user(many)).await;
    assert_failed(answer, Code::InvalidArgument, "invalid_id");
}

#[tokio::test]
async fn many_users_come_in_one_query_without_the_unknown() {
    let suite = start().await;
    let mut made = Vec::new();
    for number in 0..120 {
        made.push(suite.user(&format!("user {number}")).await.id);
    }
    let mut user_ids = made.clone();
    user_ids.push(made[0].clone());
    user_ids.push(UserId::new().to_string());
    let answer = suite.users.clone();
    let answer = answer.clone().get_users(as_service(GetUsersRequest { user_ids })).await;
    let users = answer.expect("users").into_inner().users;
    let mut found: Vec<_> = users.into_iter().map(|user| user.id).collect();
    found.sort();
    made.sort();
    assert_eq!(found, made);
    assert_eq!(suite.count("find", "users"), 1);
    assert_eq!(suite.count("getMore", "users"), 0);
    suite.assert_indexed(&["find", "findAndModify"]).await;
}

#[tokio::test]
async fn more_than_five_thousand_ids_are_refused() {
    let suite = start().await;
    let ids = |count| GetUsersRequest {
        user_ids: (0..count).map(|_| UserId::new().to_string()).collect(),
    };
    let answer = suite.users.clone().get_users(as_user(ids(5000))).await;
    assert_eq!(answer.expect("an answer").into_inner().users, []);
    let answer = suite.users.clone().get_users(as_user(ids(5001))).await;
    assert_failed(answer, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn broken_document_is_an_internal_error() {
    let suite = start().await;
    let id = UserId::new();
    let stored = suite.database.collection::<Document>("users");
    let broken = doc! { "_id": id, "phone": phone(), "name": 7 };
    stored.insert_one(broken).await.expect("inserted");
    let request = GetUserRequest { user_id: id.to_string() };
    let answer = suite.users.clone().get_user(as_user(request)).await;
    assert_failed(answer, Code::Internal, "server_error");
}
