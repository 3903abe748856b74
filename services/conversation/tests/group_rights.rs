//! Texts and settings of a group, and its administrators.

use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1::{Act, CreateGroupRequest, UpdateGroupRequest};
use tonic::Code;

use crate::{
    club::{admins, texts},
    support::{as_user, assert_failed, start},
};

#[tokio::test]
async fn maker_of_a_group_is_its_admin_and_may_be_alone() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let request = CreateGroupRequest {
        conversation_id: ConversationId::new().to_string(),
        member_ids: vec![],
        name: Some("  Chess ".to_owned()),
        description: Some(" on Mondays\n".to_owned()),
        avatar_url: Some("/uploads/a.png".to_owned()),
    };
    let mut client = suite.conversations.clone();
    let made = client.create_group(as_user(ada, request)).await.expect("a group").into_inner();
    let made = made.conversation.expect("a group");
    assert_eq!(made.member_ids, texts([ada]));
    assert_eq!(admins(&made), (ada.to_string(), texts([ada])));
    let group = made.group.expect("a group");
    assert_eq!(group.name, "Chess");
    assert_eq!(group.description.as_deref(), Some("on Mondays"));
    assert_eq!(group.avatar_url.as_deref(), Some("/uploads/a.png"));
    assert!(!group.only_admins_can_send && !group.only_admins_can_add && !group.is_public);
    let bare = suite.group(ada, ConversationId::new(), &[grace]).await.expect("a group");
    assert_eq!(admins(&bare), (ada.to_string(), texts([ada])));
    assert_eq!(bare.group.expect("a group").name, "");
}

#[tokio::test]
async fn group_with_bad_texts_is_not_made() {
    let suite = start().await;
    let [ada] = suite.users().await;
    let long = "x".repeat(501);
    for (name, description) in
        [("", None), (" ", None), (&long[..101], None), ("Chess", Some(long.clone()))]
    {
        let request = CreateGroupRequest {
            conversation_id: ConversationId::new().to_string(),
            name: Some(name.to_owned()),
            description,
            ..Default::default()
        };
        let made = suite.conversations.clone().create_group(as_user(ada, request)).await;
        assert_failed(made, Code::InvalidArgument, "validation_error");
    }
    assert_eq!(suite.stored().count_documents(bson::doc! {}).await.expect("a count"), 0);
}

#[tokio::test]
async fn what_is_not_given_stays() {
    let suite = start().await;
    let [ada] = suite.users().await;
    let club = suite.club(ada, "Chess", &[]).await;
    let changed = club
        .update(ada, |change| {
            change.description = Some("$group.name".to_owned());
            change.avatar_url = Some("/uploads/a.png".to_owned());
            change.only_admins_can_send = Some(true);
        })
        .await
        .expect("changed");
    let group = changed.group.expect("a group");
    assert_eq!((group.name.as_str(), group.description.as_deref()), ("Chess", Some("$group.name")));
    assert_eq!((group.only_admins_can_send, group.only_admins_can_add), (true, false));
    let changed = club
        .update(ada, |change| {
            change.name = Some(" Go ".to_owned());
            change.description = Some(String::new());
            change.only_admins_can_add = Some(true);
        })
        .await
        .expect("changed");
    let group = changed.group.expect("a group");
    assert_eq!((group.name.as_str(), group.description), ("Go", None));
    assert_eq!(group.avatar_url.as_deref(), Some("/uploads/a.png"));
    assert_eq!((group.only_admins_can_send, group.only_admins_can_add), (true, true));
    let unchanged = club.update(ada, |_| {}).await.expect("as it is");
    assert_eq!(unchanged.group.expect("a group").name, "Go");
}

#[tokio::test]
async fn only_admins_change_a_group() {
    let suite = start().await;
    let [ada, grace, stranger] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    let rename = |change: &mut UpdateGroupRequest| change.name = Some("Go".to_owned());
    for by in [grace, stranger] {
        let refused = club.update(by, rename).await;
        assert_failed(refused, Code::PermissionDenied, "forbidden");
    }
    let blank = club.update(ada, |change| change.name = Some(" ".to_owned())).await;
    assert_failed(blank, Code::InvalidArgument, "validation_error");
    let script = "javascript:alert(1)".to_owned();
    let opened = club.update(ada, |change| change.avatar_url = Some(script)).await;
    assert_failed(opened, Code::InvalidArgument, "validation_error");
    assert_eq!(club.get(ada).await.expect("a group").group.expect("a group").name, "Chess");
}

#[tokio::test]
async fn changes_of_two_admins_at_once_are_both_kept() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    club.promote(ada, grace).await.expect("promoted");
    let other = club.at(suite.replica().await);
    let (one, two) = tokio::join!(
        club.update(ada, |change| change.name = Some("Go".to_owned())),
        other.update(grace, |change| change.is_public = Some(true)),
    );
    one.expect("changed");
    two.expect("changed");
    let group = club.get(ada).await.expect("a group").group.expect("a group");
    assert_eq!((group.name.as_str(), group.is_public), ("Go", true));
}

#[tokio::test]
async fn only_admins_write_where_the_group_says_so() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    club.update(ada, |change| change.only_admins_can_send = Some(true)).await.expect("changed");
    let refused = club.may(grace, Act::Post).await;
    let message = assert_failed(refused, Code::PermissionDenied, "forbidden");
    assert_eq!(message, "only administrators may write in this group");
    club.may(grace, Act::Read).await.expect("a member reads");
    club.may(ada, Act::Post).await.expect("an administrator writes");
    club.promote(ada, grace).await.expect("promoted");
    club.may(grace, Act::Post).await.expect("an administrator writes");
    club.update(ada, |change| change.only_admins_can_send = Some(false)).await.expect("changed");
    club.demote(ada, grace).await.expect("demoted");
    club.may(grace, Act::Post).await.expect("a member writes");
}

#[tokio::test]
async fn admins_make_admins_and_unmake_all_but_the_main_one() {
    let suite = start().await;
    let [ada, grace, alan, stranger] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace, alan]).await;
    for by in [grace, stranger] {
        assert_failed(club.promote(by, alan).await, Code::PermissionDenied, "forbidden");
        assert_failed(club.demote(by, ada).await, Code::PermissionDenied, "forbidden");
    }
    for user in [stranger, UserId::new()] {
        let refused = club.promote(ada, user).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
    let refused = club.demote(ada, grace).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    let changed = club.promote(ada, grace).await.expect("promoted");
    assert_eq!(admins(&changed), (ada.to_string(), texts([ada, grace])));
    assert_failed(club.promote(ada, grace).await, Code::AlreadyExists, "already_admin");
    for by in [ada, grace] {
        assert_failed(club.demote(by, ada).await, Code::PermissionDenied, "forbidden");
    }
    club.promote(grace, alan).await.expect("promoted");
    let changed = club.demote(grace, grace).await.expect("demoted");
    assert_eq!(admins(&changed), (ada.to_string(), texts([ada, alan])));
    let mut unknown = club.clone();
    unknown.id = ConversationId::new().to_string();
    assert_failed(unknown.promote(ada, grace).await, Code::NotFound, "not_found");
    assert_failed(unknown.demote(ada, grace).await, Code::NotFound, "not_found");
}

#[tokio::test]
async fn two_admins_who_demote_each_other_do_not_both_win() {
    let suite = start().await;
    let replica = suite.replica().await;
    for _ in 0..8 {
        let [ada, grace, alan] = suite.users().await;
        let club = suite.club(ada, "Chess", &[grace, alan]).await;
        club.promote(ada, grace).await.expect("promoted");
        club.promote(ada, alan).await.expect("promoted");
        let other = club.at(replica.clone());
        let (one, two) = tokio::join!(club.demote(grace, alan), other.demote(alan, grace));
        assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|is_ok| **is_ok).count(), 1);
        for refused in [one, two].into_iter().filter(Result::is_err) {
            assert_failed(refused, Code::PermissionDenied, "forbidden");
        }
    }
}
