//! Finding the person behind a contact.

use bson::{Document, doc};
use chat_kit::id::UserId;
use chat_proto::v1::{FindUserIdsByNameRequest, FindUserRequest, User};
use tonic::{Code, Status};

use crate::support::{Suite, as_service, as_user, assert_failed, phone, start};

async fn find(suite: &Suite, contact: &str) -> Result<User, Status> {
    let contact = contact.to_owned();
    let mut users = suite.users.clone();
    let answer = users.find_user(as_user(FindUserRequest { contact })).await?;
    Ok(answer.into_inner().user.expect("a user"))
}

#[tokio::test]
async fn contact_may_be_phone_email_or_id() {
    let suite = start().await;
    let ada = suite.user("Ada").await;
    suite.user("Grace").await;
    let id: UserId = ada.id.parse().expect("an id");
    let stored = suite.database.collection::<Document>("users");
    let email = doc! { "$set": { "email": "ada@example.org" } };
    stored.update_one(doc! { "_id": id }, email).await.expect("an e-mail address");

    let phone = ada.phone.clone().expect("a phone");
    let spelled = phone.replace('+', " 00-").replace("00-", "(").replacen('1', "1 ", 1);
    for contact in [&phone, &spelled, "ADA@Example.org ", &ada.id, &ada.id.to_uppercase()] {
        let found = find(&suite, contact).await.expect("somebody");
        assert_eq!(found.id, ada.id, "{contact}");
    }
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn contact_of_24_digits_is_an_id_first_and_then_a_phone() {
    let suite = start().await;
    let digits = "123456789012345678901234";
    let phoned = suite.upsert(UserId::new(), digits, None).await.expect("made");
    assert_eq!(find(&suite, digits).await.expect("by phone").id, phoned.id);
    let named = digits.parse().expect("an id");
    suite.upsert(named, &phone(), None).await.expect("made");
    assert_eq!(find(&suite, digits).await.expect("by id").id, digits);
}

#[tokio::test]
async fn unknown_contact_is_not_found() {
    let suite = start().await;
    suite.user("Ada").await;
    let unknown = UserId::new().to_string();
    for contact in ["+15550000001", "ada@example.org", &unknown, "", "nobody", "@", "$ne"] {
        let answer = find(&suite, contact).await;
        assert_failed(answer, Code::NotFound, "user_not_found");
    }
}

#[tokio::test]
async fn email_is_matched_as_a_whole() {
    let suite = start().await;
    let stored = suite.database.collection::<Document>("users");
    let id: UserId = suite.user("Ada").await.id.parse().expect("an id");
    let email = doc! { "$set": { "email": "ada@example.org" } };
    stored.update_one(doc! { "_id": id }, email).await.expect("an e-mail address");
    for contact in ["ada@example.or", ".*@.*", "@"] {
        assert_failed(find(&suite, contact).await, Code::NotFound, "user_not_found");
    }
}

async fn namesakes(suite: &Suite, name: &str) -> Vec<String> {
    let request = as_service(FindUserIdsByNameRequest { name: name.to_owned() });
    let answer = suite.users.clone().find_user_ids_by_name(request).await;
    answer.expect("an answer").into_inner().user_ids
}

#[tokio::test]
async fn name_finds_two_at_most_who_have_exactly_it() {
    let suite = start().await;
    let mut adas = Vec::new();
    for _ in 0..3 {
        adas.push(suite.user("Ada").await.id);
    }
    let one = suite.user("$ada").await;
    assert_eq!(namesakes(&suite, "Ada").await, adas[..2]);
    assert_eq!(namesakes(&suite, "$ada").await, [one.id]);
    for name in ["ada", "Ada ", "Ad", "", "A.a"] {
        assert!(namesakes(&suite, name).await.is_empty(), "{name}");
    }
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn names_are_looked_up_for_services_alone() {
    let suite = start().await;
    let request = as_user(FindUserIdsByNameRequest { name: "Ada".to_owned() });
    let refused = suite.users.clone().find_user_ids_by_name(request).await;
    assert_eq!(refused.expect_err("a user").code(), Code::PermissionDenied);
}
