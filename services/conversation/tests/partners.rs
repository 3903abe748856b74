//! Who is a partner of whom.

use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1::{FilterPartnersRequest, ListPartnersRequest};
use tonic::{Code, Request, Status};

use crate::support::{Suite, as_service, as_user, assert_failed, by_id, start};

fn texts(users: &[UserId]) -> Vec<String> {
    users.iter().map(UserId::to_string).collect()
}

async fn filtered(suite: &Suite, user: UserId, others: &[UserId]) -> Result<Vec<String>, Status> {
    let request = FilterPartnersRequest { user_id: None, user_ids: texts(others) };
    let mut conversations = suite.conversations.clone();
    let answer = conversations.filter_partners(as_user(user, request)).await?;
    Ok(answer.into_inner().user_ids)
}

async fn listed(suite: &Suite, user: UserId, limit: u32) -> Vec<String> {
    let request = ListPartnersRequest { user_id: None, limit };
    let mut conversations = suite.conversations.clone();
    let answer = conversations.list_partners(as_user(user, request)).await.expect("a list");
    answer.into_inner().user_ids
}

/// Returns a user and others: a friend, a fellow of a group, both at once, one whose conversation with him
/// is not active, and a stranger.
async fn circle(suite: &Suite) -> (UserId, [UserId; 5]) {
    let [ada, friend, fellow, both, declined, stranger] = suite.users().await;
    for other in [friend, both] {
        suite.open(ada, by_id(other)).await.expect("opened");
    }
    for members in [[fellow, both], [both, fellow]] {
        suite.group(ada, ConversationId::new(), &members).await.expect("a group");
    }
    let opened = suite.open(ada, by_id(declined)).await.expect("opened");
    suite.set_status(&opened.conversation.expect("it").id, "declined").await;
    suite.group(stranger, ConversationId::new(), &[friend]).await.expect("a group");
    (ada, [friend, fellow, both, declined, stranger])
}

#[tokio::test]
async fn partners_share_an_active_conversation_or_a_group() {
    let suite = start().await;
    let (ada, [friend, fellow, both, declined, stranger]) = circle(&suite).await;
    let asked = [stranger, both, ada, declined, friend, fellow, both, UserId::new()];
    let partners = filtered(&suite, ada, &asked).await.expect("an answer");
    assert_eq!(partners, texts(&[both, friend, fellow]), "in the order of the request, once");
    for partner in [friend, fellow, both] {
        assert_eq!(filtered(&suite, partner, &[ada]).await.expect("an answer"), texts(&[ada]));
        assert!(listed(&suite, partner, 0).await.contains(&ada.to_string()));
    }
    for other in [declined, stranger] {
        assert!(filtered(&suite, other, &[ada]).await.expect("an answer").is_empty());
        assert!(!listed(&suite, other, 0).await.contains(&ada.to_string()));
    }
    let mut all = listed(&suite, ada, 0).await;
    all.sort();
    let mut expected = texts(&[friend, fellow, both]);
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(listed(&suite, ada, 2).await.len(), 2);
    assert!(filtered(&suite, ada, &[]).await.expect("an answer").is_empty());
}

#[tokio::test]
async fn questions_about_partners_use_indexes_and_are_few() {
    let suite = start().await;
    let (ada, others) = circle(&suite).await;
    suite.forget_commands();
    filtered(&suite, ada, &others).await.expect("an answer");
    assert_eq!(suite.queries().len(), 3);
    listed(&suite, ada, 0).await;
    assert_eq!(suite.queries().len(), 5);
    suite.assert_indexed(&["find", "aggregate"]).await;
}

#[tokio::test]
async fn large_group_makes_nobody_partners() {
    let suite = start().await;
    let members = suite.users::<101>().await;
    let (ada, others) = members.split_first().expect("somebody");
    let (last, rest) = others.split_last().expect("somebody");
    suite.group(*ada, ConversationId::new(), others).await.expect("a group of 101");
    assert!(filtered(&suite, *ada, others).await.expect("an answer").is_empty());
    assert!(listed(&suite, *ada, 0).await.is_empty());
    suite.group(*ada, ConversationId::new(), rest).await.expect("a group of 100");
    assert_eq!(filtered(&suite, *ada, others).await.expect("an answer"), texts(rest));
    assert_eq!(listed(&suite, *ada, 0).await.len(), 99);
    assert!(listed(&suite, *last, 0).await.is_empty());
}

#[tokio::test]
async fn service_asks_for_anybody_and_a_user_for_himself() {
    let suite = start().await;
    let (ada, grace, _) = suite.pair().await;
    let mut conversations = suite.conversations.clone();
    let about = |user: Option<UserId>| FilterPartnersRequest {
        user_id: user.map(|id| id.to_string()),
        user_ids: texts(&[grace]),
    };
    for request in [as_service(about(Some(ada))), as_user(ada, about(Some(ada)))] {
        let answer = conversations.filter_partners(request).await.expect("an answer");
        assert_eq!(answer.into_inner().user_ids, texts(&[grace]));
    }
    let refused = conversations.filter_partners(as_user(grace, about(Some(ada)))).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    let refused = conversations.filter_partners(as_service(about(None))).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    let list = |user: UserId| ListPartnersRequest { user_id: Some(user.to_string()), limit: 1 };
    let answer = conversations.list_partners(as_service(list(grace))).await.expect("an answer");
    assert_eq!(answer.into_inner().user_ids, texts(&[ada]));
    let refused = conversations.list_partners(as_user(grace, list(ada))).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    let nobody = conversations.list_partners(Request::new(list(ada))).await;
    assert_eq!(nobody.expect_err("nobody asks").code(), Code::Unauthenticated);
}

#[tokio::test]
async fn too_many_or_malformed_users_are_refused() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let most: Vec<UserId> = (0..5000).map(|_| UserId::new()).collect();
    assert!(filtered(&suite, ada, &most).await.expect("an answer").is_empty());
    let refused = filtered(&suite, ada, &vec![UserId::new(); 5001]).await;
    let message = assert_failed(refused, Code::InvalidArgument, "validation_error");
    assert!(message.contains("5000"), "{message}");
    let request = FilterPartnersRequest { user_id: None, user_ids: vec!["x".to_owned()] };
    let mut conversations = suite.conversations.clone();
    let refused = conversations.filter_partners(as_user(ada, request)).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_id");
}
