//! Making groups.

use bson::doc;
use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1::{
    Act, Conversation, CreateGroupRequest, GetAudienceRequest, ListConversationsRequest,
};
use tonic::{Code, Request};

use crate::support::{Suite, as_service, as_user, assert_failed, by_id, start};

async fn listed(suite: &Suite, user: UserId) -> Vec<Conversation> {
    let request = as_user(user, ListConversationsRequest::default());
    let page = suite.conversations.clone().list_conversations(request).await.expect("a page");
    page.into_inner().conversations
}

#[tokio::test]
async fn group_has_its_maker_first_and_the_others_as_named() {
    let suite = start().await;
    let [ada, grace, alan] = suite.users().await;
    let id = ConversationId::new();
    let named = [alan, grace, ada, alan];
    let group = suite.group(ada, id, &named).await.expect("a group");
    assert_eq!(group.member_ids, [ada, alan, grace].map(|member| member.to_string()));
    assert_eq!((group.id.clone(), group.is_group), (id.to_string(), true));
    assert_eq!(group.created_by, Some(ada.to_string()));
    assert_eq!((&group.participant_key, &group.last_message), (&None, &None));
    for member in [ada, grace, alan] {
        assert_eq!(listed(&suite, member).await, std::slice::from_ref(&group));
    }
}

#[tokio::test]
async fn all_members_of_a_group_post_and_hear_and_nobody_else() {
    let suite = start().await;
    let [ada, grace, alan, stranger] = suite.users().await;
    let group = suite.group(ada, ConversationId::new(), &[grace, alan]).await.expect("a group");
    let ask = async |user| {
        let question =
            GetAudienceRequest { conversation_id: group.id.clone(), act: Act::Post.into() };
        suite.conversations.clone().get_audience(as_user(user, question)).await
    };
    for member in [ada, grace, alan] {
        let audience = ask(member).await.expect("an audience").into_inner();
        assert_eq!(audience.member_ids, group.member_ids);
        assert!(!audience.is_direct);
    }
    assert_failed(ask(stranger).await, Code::PermissionDenied, "forbidden");
}

#[tokio::test]
async fn group_of_two_is_not_their_direct_conversation() {
    let suite = start().await;
    let (ada, grace, direct) = suite.pair().await;
    let group = suite.group(ada, ConversationId::new(), &[grace]).await.expect("a group");
    assert_ne!(group.id, direct.id);
    let opened = suite.open(grace, by_id(ada)).await.expect("opened");
    assert_eq!(opened.conversation.expect("a conversation").id, direct.id);
}

#[tokio::test]
async fn repetition_with_the_same_id_makes_no_second_group() {
    let suite = start().await;
    let [ada, grace, alan] = suite.users().await;
    let id = ConversationId::new();
    let others = [grace, alan];
    let (one, other) = tokio::join!(suite.group(ada, id, &others), suite.group(ada, id, &others));
    let (one, other) = (one.expect("a group"), other.expect("a group"));
    assert_eq!(one, other);
    assert_eq!(suite.group(ada, id, &[alan]).await.expect("the first one"), one);
    assert_eq!(suite.stored().count_documents(doc! {}).await.expect("a count"), 1);
}

#[tokio::test]
async fn id_of_another_conversation_is_refused() {
    let suite = start().await;
    let (ada, grace, direct) = suite.pair().await;
    let taken = direct.id.parse().expect("an id");
    let refused = suite.group(ada, taken, &[grace]).await;
    assert_failed(refused, Code::AlreadyExists, "conversation_id_in_use");
    let id = ConversationId::new();
    suite.group(ada, id, &[grace]).await.expect("a group");
    let refused = suite.group(grace, id, &[ada]).await;
    assert_failed(refused, Code::AlreadyExists, "conversation_id_in_use");
}

#[tokio::test]
async fn unknown_member_is_not_found_and_nothing_is_made() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let refused = suite.group(ada, ConversationId::new(), &[grace, UserId::new()]).await;
    assert_failed(refused, Code::NotFound, "user_not_found");
    assert_eq!(suite.stored().count_documents(doc! {}).await.expect("a count"), 0);
}

#[tokio::test]
async fn group_of_nobody_else_or_of_too_many_is_refused() {
    let suite = start().await;
    let [ada] = suite.users().await;
    let crowd: Vec<UserId> = (0..1000).map(|_| UserId::new()).collect();
    for members in [&[][..], &[ada], &crowd] {
        let refused = suite.group(ada, ConversationId::new(), members).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}

#[tokio::test]
async fn malformed_group_is_invalid() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    for (conversation_id, member, reason) in [
        ("", grace.to_string(), "invalid_conversation_id"),
        ("{\"$gt\": 1}", grace.to_string(), "invalid_conversation_id"),
        ("65f0c0ffee0123456789ab01", "zzz".to_owned(), "invalid_id"),
    ] {
        let request = CreateGroupRequest {
            conversation_id: conversation_id.to_owned(),
            member_ids: vec![member],
            ..Default::default()
        };
        let refused = suite.conversations.clone().create_group(as_user(ada, request)).await;
        assert_failed(refused, Code::InvalidArgument, reason);
    }
}

#[tokio::test]
async fn only_users_make_groups() {
    let suite = start().await;
    let message = CreateGroupRequest::default();
    for request in [as_service(message.clone()), Request::new(message)] {
        let refused = suite.conversations.clone().create_group(request).await;
        assert_eq!(refused.expect_err("no user").code(), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn group_waits_for_the_user_service() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    suite.user_life.stop();
    suite.user_life.ended(std::time::Duration::from_secs(5)).await.expect("an end");
    let refused = suite.group(ada, ConversationId::new(), &[grace]).await;
    assert_failed(refused, Code::Unavailable, "unavailable");
}
