//! What has changed of somebody's conversations since a time.

use bson::{DateTime, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{
    AddMemberRequest, LeaveGroupRequest, ListChangedConversationsRequest,
    ListChangedConversationsResponse, ListMembershipsRequest, RemoveMemberRequest,
};
use tonic::{Code, Status};

use crate::support::{Suite, as_user, assert_failed, start};

async fn ask(
    suite: &Suite,
    user: UserId,
    since: Option<DateTime>,
    limit: u32,
) -> Result<ListChangedConversationsResponse, Status> {
    let since = since.map(to_timestamp);
    let request = as_user(user, ListChangedConversationsRequest { since, limit });
    Ok(suite.conversations.clone().list_changed_conversations(request).await?.into_inner())
}

fn ids(answer: &ListChangedConversationsResponse) -> Vec<&str> {
    let mut ids: Vec<_> = answer.conversations.iter().map(|one| one.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Lets a conversation have changed last at a time.
async fn change(suite: &Suite, id: &str, at: DateTime) {
    let filter = doc! { "_id": id.parse::<ConversationId>().expect("an id") };
    let change = doc! { "$set": { "updated_at": at } };
    suite.stored().update_one(filter, change).await.expect("a change");
}

#[tokio::test]
async fn own_conversations_that_changed_since_are_listed_whatever_their_status() {
    let suite = start().await;
    let (ada, _, direct) = suite.pair().await;
    let other = suite.user().await.0;
    let quiet = suite.group(ada, ConversationId::new(), &[other]).await.expect("a group");
    let declined = suite.group(ada, ConversationId::new(), &[other]).await.expect("a group");
    suite.set_status(&declined.id, "declined").await;
    suite.pair().await;
    let now = DateTime::now();
    let ago = |seconds: i64| DateTime::from_millis(now.timestamp_millis() - seconds * 1000);
    suite.forget_commands();
    assert_eq!(ids(&ask(&suite, ada, Some(now), 0).await.expect("an answer")).len(), 3);
    assert_eq!(suite.queries().len(), 2);
    suite.assert_indexed(&["find"]).await;
    change(&suite, &quiet.id, ago(60)).await;
    change(&suite, &direct.id, ago(5)).await;
    let answer = ask(&suite, ada, Some(now), 0).await.expect("an answer");
    let mut expected = vec![&*direct.id, &*declined.id];
    expected.sort_unstable();
    assert_eq!(ids(&answer), expected, "ten seconds further back than asked");
    assert!(!answer.has_more && answer.left_ids.is_empty());
    let answer = ask(&suite, ada, Some(ago(50)), 2).await.expect("an answer");
    assert_eq!((answer.conversations.len(), answer.has_more), (2, true));
    assert_failed(ask(&suite, ada, None, 0).await, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn whoever_left_or_was_removed_is_told_so_until_he_comes_back() {
    let suite = start().await;
    let [ada, grace, joan] = suite.users().await;
    let group = suite.group(ada, ConversationId::new(), &[grace, joan]).await.expect("a group");
    let conversation_id = group.id.clone();
    let mut conversations = suite.conversations.clone();
    let since = Some(DateTime::now());
    let removal = RemoveMemberRequest {
        conversation_id: conversation_id.clone(),
        user_id: grace.to_string(),
    };
    conversations.remove_member(as_user(ada, removal)).await.expect("removed");
    let leaving = LeaveGroupRequest { conversation_id: conversation_id.clone() };
    conversations.leave_group(as_user(joan, leaving)).await.expect("left");
    for former in [grace, joan] {
        let answer = ask(&suite, former, since, 0).await.expect("an answer");
        assert_eq!((ids(&answer), &answer.left_ids), (vec![], &vec![conversation_id.clone()]));
        let later = DateTime::from_millis(DateTime::now().timestamp_millis() + 60_000);
        let answer = ask(&suite, former, Some(later), 0).await.expect("an answer");
        assert!(answer.left_ids.is_empty(), "long known");
    }
    let answer = ask(&suite, ada, since, 0).await.expect("an answer");
    assert_eq!((ids(&answer), answer.left_ids.len()), (vec![&*conversation_id], 0));
    let addition =
        AddMemberRequest { conversation_id: conversation_id.clone(), user_id: grace.to_string() };
    conversations.add_member(as_user(ada, addition)).await.expect("added");
    let answer = ask(&suite, grace, since, 0).await.expect("an answer");
    assert_eq!((ids(&answer), answer.left_ids.len()), (vec![&*conversation_id], 0));
}

#[tokio::test]
async fn of_named_conversations_those_of_the_caller_are_his_memberships() {
    let suite = start().await;
    let (ada, _, own) = suite.pair().await;
    let (_, _, foreign) = suite.pair().await;
    let ask = async |conversation_ids: Vec<String>| {
        let request = as_user(ada, ListMembershipsRequest { conversation_ids });
        let answer = suite.conversations.clone().list_memberships(request).await;
        answer.map(|answer| answer.into_inner().memberships)
    };
    suite.forget_commands();
    let named = vec![foreign.id, own.id.clone(), ConversationId::new().to_string()];
    let found = ask(named).await.expect("an answer");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].conversation_id, own.id);
    suite.assert_indexed(&["find"]).await;
    let refused = ask(vec![own.id; 501]).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}
