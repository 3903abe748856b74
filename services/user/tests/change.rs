//! What somebody changes in his own profile.

use bson::{Document, doc};
use chat_kit::id::UserId;
use chat_proto::v1::{UpdateProfileRequest, User};
use tonic::{Code, Status};

use crate::support::{Suite, as_service, as_this_user, as_user, assert_failed, start};

async fn change(suite: &Suite, user: &User, request: UpdateProfileRequest) -> Result<User, Status> {
    let answer = suite.users.clone().update_profile(as_this_user(user, request)).await?;
    Ok(answer.into_inner().user.expect("a profile"))
}

async fn stored(suite: &Suite, user: &User) -> Document {
    let id: UserId = user.id.parse().expect("an id");
    let users = suite.database.collection::<Document>("users");
    let found = users.find_one(doc! { "_id": id }).await.expect("an answer");
    found.expect("a profile")
}

#[tokio::test]
async fn changes_are_kept_and_everything_else_stays() {
    let suite = start().await;
    let ada = suite.user("Ada").await;
    let request = UpdateProfileRequest {
        name: Some(" $name ".to_owned()),
        bio: Some("Counts".to_owned()),
        avatar_url: Some("https://x/a.png".to_owned()),
        username: Some("countess".to_owned()),
        date_of_birth: Some("1815-12-10".to_owned()),
        ..Default::default()
    };
    let changed = change(&suite, &ada, request).await.expect("changed");
    assert_eq!(changed.name, "$name");
    assert_eq!(changed.bio.as_deref(), Some("Counts"));
    assert_eq!(changed.avatar_url.as_deref(), Some("https://x/a.png"));
    assert_eq!((&changed.phone, changed.created_at), (&ada.phone, ada.created_at));
    let document = stored(&suite, &ada).await;
    assert_eq!(document.get_str("username").expect("a username"), "countess");
    assert_eq!(document.get_str("name_key").expect("a key"), "$name");
    document.get_datetime("date_of_birth").expect("a day");

    let request =
        UpdateProfileRequest { bio: Some("Counts more".to_owned()), ..Default::default() };
    let again = change(&suite, &ada, request).await.expect("changed");
    assert_eq!(
        again,
        User { bio: Some("Counts more".to_owned()), updated_at: again.updated_at, ..changed }
    );
    suite.assert_indexed(&["findAndModify"]).await;
}

#[tokio::test]
async fn empty_texts_remove() {
    let suite = start().await;
    let ada = suite.user("Ada").await;
    let set = UpdateProfileRequest {
        bio: Some("b".to_owned()),
        avatar_url: Some("/a.png".to_owned()),
        username: Some("u".to_owned()),
        date_of_birth: Some("2000-01-01".to_owned()),
        ..Default::default()
    };
    change(&suite, &ada, set).await.expect("changed");
    let clear = UpdateProfileRequest {
        bio: Some(String::new()),
        avatar_url: Some(" ".to_owned()),
        username: Some(String::new()),
        date_of_birth: Some(String::new()),
        ..Default::default()
    };
    let cleared = change(&suite, &ada, clear).await.expect("changed");
    assert_eq!((cleared.bio, cleared.avatar_url), (None, None));
    let document = stored(&suite, &ada).await;
    for field in ["bio", "avatar_url", "username", "date_of_birth"] {
        assert!(!document.contains_key(field), "{document}");
    }
}

#[tokio::test]
async fn change_to_what_is_there_changes_nothing() {
    let suite = start().await;
    let ada = suite.user("Ada").await;
    let request = || UpdateProfileRequest {
        name: Some("Ada".to_owned()),
        bio: Some("b".to_owned()),
        ..Default::default()
    };
    let changed = change(&suite, &ada, request()).await.expect("changed");
    let before = stored(&suite, &ada).await;
    for request in [
        request(),
        UpdateProfileRequest { avatar_url: Some(String::new()), ..Default::default() },
        UpdateProfileRequest::default(),
    ] {
        assert_eq!(change(&suite, &ada, request).await.expect("an answer"), changed);
    }
    assert_eq!(
        stored(&suite, &ada).await.get_datetime("updated_at").expect("an instant"),
        before.get_datetime("updated_at").expect("an instant"),
    );
}

#[tokio::test]
async fn parallel_changes_of_different_fields_all_count() {
    let suite = start().await;
    let ada = suite.user("Ada").await;
    let name = UpdateProfileRequest { name: Some("Countess".to_owned()), ..Default::default() };
    let bio = UpdateProfileRequest { bio: Some("b".to_owned()), ..Default::default() };
    let (name, bio) = tokio::join!(change(&suite, &ada, name), change(&suite, &ada, bio));
    name.expect("changed");
    bio.expect("changed");
    let document = stored(&suite, &ada).await;
    let fields = ["name", "bio"].map(|field| document.get_str(field).expect("a text"));
    assert_eq!(fields, ["Countess", "b"]);
}

#[tokio::test]
async fn refused_change_says_what_to_do_and_changes_nothing() {
    let suite = start().await;
    let ada = suite.user("Ada").await;
    let with_bio = |request: UpdateProfileRequest| UpdateProfileRequest {
        bio: request.bio.or_else(|| Some("must not be stored".to_owned())),
        ..request
    };
    for request in [
        UpdateProfileRequest { name: Some("  ".to_owned()), ..Default::default() },
        UpdateProfileRequest { name: Some("n".repeat(101)), ..Default::default() },
        UpdateProfileRequest { bio: Some("b".repeat(501)), ..Default::default() },
        UpdateProfileRequest { username: Some("u".repeat(101)), ..Default::default() },
        UpdateProfileRequest {
            avatar_url: Some("javascript:alert(1)".to_owned()),
            ..Default::default()
        },
        UpdateProfileRequest { date_of_birth: Some("tomorrow".to_owned()), ..Default::default() },
    ] {
        let refused = change(&suite, &ada, with_bio(request)).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
    assert!(!stored(&suite, &ada).await.contains_key("bio"));
}

#[tokio::test]
async fn only_somebody_with_a_profile_changes_it() {
    let suite = start().await;
    let request = || UpdateProfileRequest { bio: Some("b".to_owned()), ..Default::default() };
    let nobody = suite.users.clone().update_profile(as_user(request())).await;
    assert_failed(nobody, Code::NotFound, "user_not_found");
    let service = suite.users.clone().update_profile(as_service(request())).await;
    assert_eq!(service.expect_err("no user").code(), Code::Unauthenticated);
    let users = suite.database.collection::<Document>("users");
    assert_eq!(users.count_documents(doc! {}).await.expect("a count"), 0);
}
