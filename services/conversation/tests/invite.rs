//! Invite links: who gets them, how long they hold, and how many come in by one.

use bson::DateTime;
use chat_kit::{id::UserId, time::to_timestamp};
use futures_util::future::join_all;
use tonic::Code;

use crate::{
    club::texts,
    support::{assert_failed, start},
};

#[tokio::test]
async fn link_stays_the_same_until_it_is_changed() {
    let suite = start().await;
    let [ada, grace, alan] = suite.users().await;
    let club = suite.club(ada, "Chess", &[]).await;
    let link = club.invite(ada).await.expect("a link").link;
    let other = club.at(suite.replica().await);
    assert_eq!(other.invite(ada).await.expect("a link").link, link);
    let shown = club.get(ada).await.expect("a group").group.expect("a group");
    assert_eq!(shown.invite_link.as_ref(), Some(&link));
    let joined = club.join(grace, &format!(" {} ", link.to_uppercase())).await.expect("joined");
    assert_eq!(joined.member_ids, texts([ada, grace]));
    let shown = joined.group.expect("a group");
    assert_eq!(shown.invite_link, None, "for administrators");

    let rotated = club.rotate(ada, |_| {}).await.expect("a link").link;
    assert_ne!(rotated, link);
    assert_eq!(other.invite(ada).await.expect("a link").link, rotated);
    let refused = club.join(alan, &link).await;
    let message = assert_failed(refused, Code::InvalidArgument, "validation_error");
    assert!(message.contains("not known"), "{message}");
    club.join(alan, &rotated).await.expect("joined");
}

#[tokio::test]
async fn replicas_that_are_asked_at_once_give_the_same_link() {
    let suite = start().await;
    let [ada] = suite.users().await;
    let club = suite.club(ada, "Chess", &[]).await;
    let replicas = [club.clone(), club.at(suite.replica().await)];
    let links = join_all((0..8).map(|number: usize| replicas[number % 2].invite(ada))).await;
    let links: Vec<String> = links.into_iter().map(|link| link.expect("a link").link).collect();
    assert!(links.iter().all(|link| *link == links[0]), "{links:?}");
}

#[tokio::test]
async fn links_are_for_admins_alone() {
    let suite = start().await;
    let [ada, grace, stranger] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    let link = club.invite(ada).await.expect("a link").link;
    for user in [grace, stranger] {
        assert_failed(club.invite(user).await, Code::PermissionDenied, "forbidden");
        assert_failed(club.rotate(user, |_| {}).await, Code::PermissionDenied, "forbidden");
        assert_failed(club.revoke(user).await, Code::PermissionDenied, "forbidden");
    }
    assert_eq!(club.invite(ada).await.expect("a link").link, link);
    let shown = club.get(grace).await.expect("a group").group.expect("a group");
    assert_eq!(shown.invite_link, None);
}

#[tokio::test]
async fn database_does_not_give_the_link_away() {
    let suite = start().await;
    let [ada] = suite.users().await;
    let club = suite.club(ada, "Chess", &[]).await;
    let link = club.invite(ada).await.expect("a link").link;
    let stored = suite.document(&club.id).await;
    assert!(!format!("{stored:?}").contains(&link));
    let group = stored.get_document("group").expect("a group");
    let invite = group.get_document("invite").expect("an invite");
    assert_eq!(invite.get_binary_generic("token_hash").expect("a hash").len(), 32);
}

#[tokio::test]
async fn revoked_link_lets_nobody_in() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let club = suite.club(ada, "Chess", &[]).await;
    let link = club.invite(ada).await.expect("a link").link;
    club.revoke(ada).await.expect("revoked");
    club.revoke(ada).await.expect("as it is");
    let shown = club.get(ada).await.expect("a group").group.expect("a group");
    assert_eq!(shown.invite_link, None);
    let refused = club.join(grace, &link).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    assert_ne!(club.invite(ada).await.expect("another link").link, link);
}

#[tokio::test]
async fn unknown_links_are_refused() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let club = suite.club(ada, "Chess", &[]).await;
    club.invite(ada).await.expect("a link");
    for link in ["", "0", "{\"$ne\": null}", &"z".repeat(25), &"x".repeat(100_000)] {
        let refused = club.join(grace, link).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}

#[tokio::test]
async fn link_of_one_use_lets_exactly_one_in() {
    let suite = start().await;
    let users: [UserId; 9] = suite.users().await;
    let [ada, newcomers @ ..] = users;
    let club = suite.club(ada, "Chess", &[]).await;
    let replicas = [club.clone(), club.at(suite.replica().await)];
    let link = club.rotate(ada, |terms| terms.max_uses = Some(1)).await.expect("a link").link;
    let joining = newcomers.iter().enumerate();
    let joining = joining.map(|(number, user)| replicas[number % 2].join(*user, &link));
    let outcomes = join_all(joining).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let joined = outcomes.iter().position(Result::is_ok).expect("somebody");
    for refused in outcomes.into_iter().filter(Result::is_err) {
        let message = assert_failed(refused, Code::InvalidArgument, "validation_error");
        assert!(message.contains("used up"), "{message}");
    }
    let group = club.get(ada).await.expect("a group");
    assert_eq!(group.member_ids, texts([ada, newcomers[joined]]));
    // Whoever is in is told so, however late he asks again.
    assert_eq!(club.join(newcomers[joined], &link).await.expect("in").member_ids, group.member_ids);
    let next = club.invite(ada).await.expect("another link");
    assert_ne!(next.link, link);
}

#[tokio::test]
async fn member_uses_nothing_up() {
    let suite = start().await;
    let [ada, grace, alan] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    let link = club.rotate(ada, |terms| terms.max_uses = Some(2)).await.expect("a link").link;
    for _ in 0..3 {
        let joined = club.join(grace, &link).await.expect("in");
        assert_eq!(joined.member_ids, texts([ada, grace]));
    }
    club.join(alan, &link).await.expect("joined");
    let invite = club.invite(ada).await.expect("a link");
    assert_eq!((invite.link, invite.use_count, invite.max_uses), (link, 1, Some(2)));
}

#[tokio::test]
async fn expired_link_lets_nobody_in() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let club = suite.club(ada, "Chess", &[]).await;
    let past = DateTime::from_millis(DateTime::now().timestamp_millis() - 1);
    let refused = club.rotate(ada, |terms| terms.expires_at = Some(to_timestamp(past))).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    let refused = club.rotate(ada, |terms| terms.max_uses = Some(0)).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");

    let soon = DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000);
    let soon = Some(to_timestamp(soon));
    let invite = club.rotate(ada, |terms| terms.expires_at = soon).await.expect("a link");
    assert_eq!(invite.expires_at, soon);
    let expiry = bson::doc! { "$set": { "group.invite.expires_at": past } };
    suite.stored().update_one(bson::doc! {}, expiry).await.expect("set");
    let refused = club.join(grace, &invite.link).await;
    let message = assert_failed(refused, Code::InvalidArgument, "validation_error");
    assert!(message.contains("expired"), "{message}");
    let shown = club.get(ada).await.expect("a group").group.expect("a group");
    assert_eq!(shown.invite_link, None);
    let next = club.invite(ada).await.expect("another link");
    assert_eq!(next.expires_at, None);
    club.join(grace, &next.link).await.expect("joined");
}
