//! Who comes into a group and who goes, also when several decide at once.

use std::num::NonZeroUsize;

use bson::doc;
use chat_conversation::Limits;
use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1::{Act, BlockUserRequest, Preview, RecordActivityRequest};
use futures_util::future::join_all;
use tonic::Code;

use crate::{
    club::{admins, texts},
    support::{as_service, as_user, assert_failed, by_id, start, start_with},
};

#[tokio::test]
async fn any_member_adds_and_the_new_one_is_the_last() {
    let suite = start().await;
    let [ada, grace, alan] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    suite.forget_commands();
    let changed = club.add(grace, alan).await.expect("added");
    assert_eq!(changed.member_ids, texts([ada, grace, alan]));
    suite.assert_indexed(&["findAndModify"]).await;
    club.may(alan, Act::Post).await.expect("a member posts");
    assert_eq!(club.get(alan).await.expect("a group").member_ids, changed.member_ids);
}

#[tokio::test]
async fn adding_is_refused_with_its_reason_and_changes_nothing() {
    let suite = start().await;
    let [ada, grace, stranger, alan] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    let before = club.get(ada).await.expect("a group");
    let again = club.add(ada, grace).await;
    assert_failed(again, Code::AlreadyExists, "already_member");
    for newcomer in [stranger, alan] {
        let by_stranger = club.add(stranger, newcomer).await;
        assert_failed(by_stranger, Code::PermissionDenied, "forbidden");
    }
    assert_failed(club.add(ada, UserId::new()).await, Code::NotFound, "user_not_found");
    assert_eq!(club.get(ada).await.expect("a group"), before);
    let mut unknown = club.clone();
    unknown.id = ConversationId::new().to_string();
    assert_failed(unknown.add(ada, alan).await, Code::NotFound, "not_found");
    unknown.id = "zzz".to_owned();
    assert_failed(unknown.add(ada, alan).await, Code::InvalidArgument, "invalid_conversation_id");
}

#[tokio::test]
async fn nobody_adds_whom_he_has_blocked_or_who_has_blocked_him() {
    let suite = start().await;
    let [ada, grace, alan] = suite.users().await;
    let club = suite.club(ada, "Chess", &[alan]).await;
    let of_grace = suite.club(grace, "Go", &[]).await;
    let request = BlockUserRequest { user_id: grace.to_string() };
    suite.conversations.clone().block_user(as_user(ada, request)).await.expect("blocked");
    suite.forget_commands();
    let refused = club.add(ada, grace).await;
    let message = assert_failed(refused, Code::PermissionDenied, "forbidden");
    assert!(message.contains("blocked"), "{message}");
    assert_failed(of_grace.add(grace, ada).await, Code::PermissionDenied, "forbidden");
    suite.assert_indexed(&["find"]).await;
    let made = suite.group(ada, ConversationId::new(), &[alan, grace]).await;
    let message = assert_failed(made, Code::PermissionDenied, "forbidden");
    assert!(message.contains(&grace.to_string()), "{message}");
    club.add(alan, grace).await.expect("somebody else adds her");
}

#[tokio::test]
async fn direct_conversation_is_no_group() {
    let suite = start().await;
    let (ada, grace, direct) = suite.pair().await;
    let [alan] = suite.users().await;
    let mut club = suite.club(ada, "Chess", &[]).await;
    club.id = direct.id;
    assert_failed(club.add(ada, alan).await, Code::NotFound, "not_found");
    assert_failed(club.remove(ada, grace).await, Code::NotFound, "not_found");
    assert_failed(club.leave(grace).await, Code::NotFound, "not_found");
    assert_failed(club.invite(ada).await, Code::NotFound, "not_found");
    assert_failed(club.get(ada).await, Code::NotFound, "not_found");
    suite.open(ada, by_id(grace)).await.expect("as before");
}

#[tokio::test]
async fn only_admins_add_where_the_group_says_so() {
    let suite = start().await;
    let [ada, grace, alan] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    club.update(ada, |change| change.only_admins_can_add = Some(true)).await.expect("changed");
    assert_failed(club.add(grace, alan).await, Code::PermissionDenied, "forbidden");
    club.add(ada, alan).await.expect("added");
}

#[tokio::test]
async fn last_place_goes_to_one_of_those_who_are_added_at_once() {
    let limits = Limits { members: NonZeroUsize::new(4).expect("not zero"), ..Limits::default() };
    let suite = start_with(limits).await;
    let users: [UserId; 9] = suite.users().await;
    let [ada, grace, alan, newcomers @ ..] = users;
    let club = suite.club(ada, "Chess", &[grace, alan]).await;
    let replicas = [club.clone(), club.at(suite.replica().await)];
    let adding = newcomers.iter().enumerate();
    let adding = adding.map(|(number, user)| replicas[number % 2].add(ada, *user));
    let outcomes = join_all(adding).await;
    let (added, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((added.len(), refused.len()), (1, 5));
    for refused in refused {
        assert_failed(refused, Code::AlreadyExists, "group_full");
    }
    assert_eq!(club.get(ada).await.expect("a group").member_ids.len(), 4);
}

#[tokio::test]
async fn nobody_is_lost_or_there_twice_when_many_are_added_at_once() {
    let suite = start().await;
    let users: [UserId; 11] = suite.users().await;
    let [ada, newcomers @ ..] = users;
    let club = suite.club(ada, "Chess", &[]).await;
    let replicas = [club.clone(), club.at(suite.replica().await)];
    let adding = newcomers.iter().flat_map(|user| replicas.iter().map(|club| club.add(ada, *user)));
    let outcomes = join_all(adding).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), newcomers.len());
    for refused in outcomes.into_iter().filter(Result::is_err) {
        assert_failed(refused, Code::AlreadyExists, "already_member");
    }
    let mut members = club.get(ada).await.expect("a group").member_ids;
    members.sort_unstable();
    let mut expected = texts(users);
    expected.sort_unstable();
    assert_eq!(members, expected);
}

#[tokio::test]
async fn removed_member_neither_reads_nor_posts_and_nobody_hears_for_him() {
    let suite = start().await;
    let [ada, grace, alan] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace, alan]).await;
    let changed = club.remove(ada, grace).await.expect("removed");
    assert_eq!(changed.member_ids, texts([ada, alan]));
    for act in [Act::Read, Act::Post] {
        assert_failed(club.may(grace, act).await, Code::PermissionDenied, "forbidden");
    }
    assert_eq!(club.may(alan, Act::Post).await.expect("an audience"), texts([ada, alan]));
    assert_failed(club.get(grace).await, Code::PermissionDenied, "forbidden");
    let again = club.remove(ada, grace).await.expect("as it is");
    assert_eq!(again, changed);
}

#[tokio::test]
async fn removing_is_for_admins_and_for_oneself_and_never_of_an_admin() {
    let suite = start().await;
    let [ada, grace, alan, stranger] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace, alan]).await;
    for by in [grace, stranger] {
        assert_failed(club.remove(by, alan).await, Code::PermissionDenied, "forbidden");
    }
    let out = club.remove(stranger, stranger).await;
    assert_failed(out, Code::PermissionDenied, "forbidden");
    club.promote(ada, grace).await.expect("promoted");
    for (by, user) in [(ada, grace), (grace, ada), (grace, grace), (ada, ada)] {
        let message = club.remove(by, user).await;
        let message = assert_failed(message, Code::InvalidArgument, "validation_error");
        assert!(message.contains("demote"), "{message}");
    }
    let changed = club.remove(alan, alan).await.expect("removed");
    assert_eq!(changed.member_ids, texts([ada, grace]));
}

#[tokio::test]
async fn member_who_comes_back_counts_unread_from_then_on_and_keeps_his_marks_cleared() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    let preview = Preview {
        message_id: ConversationId::new().to_string(),
        seq: 7,
        sender_id: ada.to_string(),
        content: "hi".to_owned(),
        r#type: "text".to_owned(),
        created_at: Some(prost_types::Timestamp::default()),
        ..Default::default()
    };
    let conversation_id = club.id.clone();
    let activity = RecordActivityRequest { conversation_id, preview: Some(preview) };
    let mut client = suite.conversations.clone();
    client.record_activity(as_service(activity)).await.expect("recorded");
    let marks = doc! { "$set": {
        "hidden_for": [grace, ada], "pinned_by": [{ "user_id": grace, "slot": 0_i64 }],
        format!("cleared.{grace}"): { "seq": 3_i64 },
    } };
    suite.stored().update_one(doc! { "is_group": true }, marks).await.expect("marked");
    club.remove(ada, grace).await.expect("removed");
    club.add(ada, grace).await.expect("added");
    let stored = suite.document(&club.id).await;
    let joined = stored.get_document("joined").expect("numbers");
    assert_eq!(joined, &doc! { grace.to_string(): 7_i64 });
    assert_eq!(stored.get_array("hidden_for").expect("users"), &vec![ada.into()]);
    assert!(stored.get_array("pinned_by").expect("users").is_empty());
    assert!(stored.get_document("cleared").expect("marks").contains_key(grace.to_string()));
}

#[tokio::test]
async fn main_admin_hands_over_to_the_oldest_admin_else_to_the_oldest_member() {
    let suite = start().await;
    let [ada, grace, alan, edsger] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace, alan, edsger]).await;
    club.promote(ada, edsger).await.expect("promoted");
    club.promote(ada, alan).await.expect("promoted");
    club.leave(ada).await.expect("left");
    let group = club.get(grace).await.expect("a group");
    assert_eq!(admins(&group), (edsger.to_string(), texts([edsger, alan])));
    club.leave(edsger).await.expect("left");
    club.leave(alan).await.expect("left");
    let group = club.get(grace).await.expect("a group");
    assert_eq!(admins(&group), (grace.to_string(), texts([grace])));
    assert_eq!(group.member_ids, texts([grace]));
}

#[tokio::test]
async fn plain_member_leaves_and_hands_nothing_over() {
    let suite = start().await;
    let [ada, grace, stranger] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    club.leave(grace).await.expect("left");
    let group = club.get(ada).await.expect("a group");
    assert_eq!(admins(&group), (ada.to_string(), texts([ada])));
    for user in [grace, stranger] {
        assert_failed(club.leave(user).await, Code::PermissionDenied, "forbidden");
    }
}

#[tokio::test]
async fn last_member_ends_the_group_and_its_link() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let club = suite.club(ada, "Chess", &[]).await;
    club.update(ada, |change| change.is_public = Some(true)).await.expect("changed");
    let link = club.invite(ada).await.expect("a link").link;
    club.leave(ada).await.expect("left");
    let joined = club.join(grace, &link).await;
    assert_failed(joined, Code::InvalidArgument, "validation_error");
    assert_failed(club.join_public(grace).await, Code::PermissionDenied, "forbidden");
    for user in [ada, grace] {
        assert_failed(club.get(user).await, Code::PermissionDenied, "forbidden");
    }
}

#[tokio::test]
async fn group_whose_admins_leave_at_once_has_one_of_its_members_as_admin() {
    let suite = start().await;
    let replica = suite.replica().await;
    for _ in 0..8 {
        let [ada, grace, alan, edsger] = suite.users().await;
        let club = suite.club(ada, "Chess", &[grace, alan, edsger]).await;
        club.promote(ada, grace).await.expect("promoted");
        let other = club.at(replica.clone());
        let (one, two, demoted) =
            tokio::join!(club.leave(ada), other.leave(grace), other.demote(ada, grace));
        one.expect("left");
        two.expect("left");
        // Too late or in time: either is an answer.
        drop(demoted);
        let group = club.get(alan).await.expect("a group");
        assert_eq!(admins(&group), (alan.to_string(), texts([alan])));
    }
}
