//! Opening and finding direct conversations.

use std::collections::BTreeSet;

use bson::doc;
use chat_kit::id::UserId;
use chat_proto::v1::{
    ConversationStatus, FindDirectConversationRequest, OpenDirectConversationRequest,
    open_direct_conversation_request::Peer,
};
use futures_util::future::join_all;
use tonic::{Code, Request};

use crate::support::{Suite, as_service, as_user, assert_failed, by_id, start};

const ACTIVE: ConversationStatus = ConversationStatus::Active;

async fn find(suite: &Suite, user: UserId, peer: UserId) -> Option<String> {
    let request = FindDirectConversationRequest { user_id: peer.to_string() };
    let mut conversations = suite.conversations.clone();
    let answer = conversations.find_direct_conversation(as_user(user, request)).await;
    let found = answer.expect("an answer").into_inner();
    let status = found.conversation_id.as_ref().map_or(ConversationStatus::Unspecified, |_| ACTIVE);
    assert_eq!(found.status(), status);
    found.conversation_id
}

#[tokio::test]
async fn first_open_makes_the_conversation_and_the_second_finds_it() {
    let suite = start().await;
    let (ada, grace) = (suite.user().await.0, suite.user().await.0);
    assert_eq!(find(&suite, ada, grace).await, None);
    let first = suite.open(ada, by_id(grace)).await.expect("opened");
    let made = first.conversation.expect("a conversation");
    assert!(first.created);
    assert_eq!(made.status(), ConversationStatus::Active);
    let mut members = [ada.to_string(), grace.to_string()];
    members.sort();
    assert_eq!(made.member_ids, members);
    assert_eq!(made.participant_key, Some(members.join(":")));
    assert_eq!(made.created_by, Some(ada.to_string()));
    assert_eq!((made.last_message.as_ref(), made.last_sent_at), (None, None));

    let second = suite.open(grace, by_id(ada)).await.expect("opened");
    assert!(!second.created);
    assert_eq!(second.conversation.as_ref(), Some(&made));
    assert_eq!(find(&suite, ada, grace).await.as_ref(), Some(&made.id));
    assert_eq!(find(&suite, grace, ada).await.as_ref(), Some(&made.id));
    suite.assert_indexed(&["find", "findAndModify"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_opens_make_one_conversation() {
    let suite = start().await;
    // The first rounds open the connections that the later ones race on.
    for round in 1..=3 {
        let ((ada, ada_phone), (grace, grace_phone)) = (suite.user().await, suite.user().await);
        let opens = (0..50).map(|number| match number % 4 {
            0 => suite.open(ada, by_id(grace)),
            1 => suite.open(grace, by_id(ada)),
            2 => suite.open(ada, Peer::Contact(grace_phone.clone())),
            _ => suite.open(grace, Peer::Contact(ada_phone.clone())),
        });
        let opened = join_all(opens).await;
        let opened: Vec<_> = opened.into_iter().map(|opened| opened.expect("opened")).collect();
        assert_eq!(opened.iter().filter(|opened| opened.created).count(), 1);
        let ids = opened.into_iter().map(|opened| opened.conversation.expect("opened").id);
        assert_eq!(ids.collect::<BTreeSet<_>>().len(), 1);
        let stored = suite.stored().count_documents(doc! {}).await.expect("a count");
        assert_eq!(stored, round);
    }
}

#[tokio::test]
async fn database_refuses_a_second_conversation_of_a_pair() {
    let suite = start().await;
    let (_, _, conversation) = suite.pair().await;
    let mut second = suite.document(&conversation.id).await;
    second.insert("_id", UserId::new());
    suite.stored().insert_one(second).await.expect_err("the pair has a conversation");
    let group = doc! { "member_ids": [] };
    suite.stored().insert_many([group.clone(), group]).await.expect("groups have no pair");
}

#[tokio::test]
async fn contact_may_be_phone_or_id() {
    let suite = start().await;
    let (ada, (grace, phone)) = (suite.user().await.0, suite.user().await);
    let first = suite.open(ada, by_id(grace)).await.expect("opened");
    for contact in
        [phone.clone(), phone.replace('+', "00 ").replacen("00", "", 1), grace.to_string()]
    {
        let opened = suite.open(ada, Peer::Contact(contact)).await.expect("opened");
        assert_eq!((opened.created, &opened.conversation), (false, &first.conversation));
    }
}

#[tokio::test]
async fn unknown_user_gets_no_conversation() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let contacts = ["+15550000001", "ada@example.org", "", &UserId::new().to_string()];
    let contacts = contacts.map(|contact| Peer::Contact(contact.to_owned()));
    for peer in contacts.into_iter().chain([by_id(UserId::new())]) {
        assert_failed(suite.open(ada, peer).await, Code::NotFound, "user_not_found");
    }
    assert_eq!(suite.stored().count_documents(doc! {}).await.expect("a count"), 0);
}

#[tokio::test]
async fn conversation_with_oneself_is_refused() {
    let suite = start().await;
    let (ada, phone) = suite.user().await;
    for peer in [by_id(ada), Peer::Contact(phone), Peer::Contact(ada.to_string())] {
        let answer = suite.open(ada, peer).await;
        assert_failed(answer, Code::InvalidArgument, "validation_error");
    }
    assert_eq!(find(&suite, ada, ada).await, None);
}

#[tokio::test]
async fn closed_conversation_is_returned_as_it_is() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    for (text, status) in [
        ("pending", ConversationStatus::Pending),
        ("declined", ConversationStatus::Declined),
        ("blocked", ConversationStatus::Blocked),
    ] {
        suite.set_status(&conversation.id, text).await;
        let opened = suite.open(grace, by_id(ada)).await.expect("opened");
        let found = opened.conversation.expect("a conversation");
        assert_eq!((opened.created, &found.id), (false, &conversation.id));
        assert_eq!(found.status(), status);
    }
}

#[tokio::test]
async fn only_a_new_conversation_needs_the_user_service() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let alan = suite.user().await.0;
    suite.user_life.stop();
    suite.user_life.ended(std::time::Duration::from_secs(5)).await.expect("an end");
    let found = suite.open(ada, by_id(grace)).await.expect("opened");
    assert_eq!(found.conversation, Some(conversation));
    let refused = suite.open(ada, by_id(alan)).await;
    assert_failed(refused, Code::Unavailable, "unavailable");
}

#[tokio::test]
async fn malformed_id_is_invalid() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let refused = suite.open(ada, Peer::UserId("65f0".to_owned())).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_id");
    let request = FindDirectConversationRequest { user_id: "{\"$ne\": null}".to_owned() };
    let mut conversations = suite.conversations.clone();
    let refused = conversations.find_direct_conversation(as_user(ada, request)).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_id");
    let request = as_user(ada, OpenDirectConversationRequest { peer: None });
    let refused = conversations.open_direct_conversation(request).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn only_users_open_conversations() {
    let suite = start().await;
    let message = OpenDirectConversationRequest { peer: Some(by_id(suite.user().await.0)) };
    let mut conversations = suite.conversations.clone();
    for request in [as_service(message.clone()), Request::new(message)] {
        let refused = conversations.open_direct_conversation(request).await;
        assert_eq!(refused.expect_err("no user").code(), Code::Unauthenticated);
    }
}
