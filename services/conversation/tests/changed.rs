//! What has changed of somebody's conversations since a time.

use bson::{DateTime, doc};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{
    AddMemberRequest, ClearConversationRequest, Conversation, LeaveGroupRequest,
    ListChangedConversationsRequest, ListChangedConversationsResponse, ListMembershipsRequest,
    Mute, Preview, RecordActivityRequest, RemoveMemberRequest, ReplacePreviewRequest,
    SetMarkRequest, set_mark_request::Mark,
};
use tonic::{Code, Status};

use crate::support::{Suite, as_service, as_user, assert_failed, by_id, start};

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
    assert_eq!(suite.queries().len(), 3);
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

/// Returns how somebody's message is shown.
fn preview(sender: UserId, seq: i64) -> Preview {
    Preview {
        message_id: MessageId::new().to_string(),
        seq,
        sender_id: sender.to_string(),
        content: seq.to_string(),
        r#type: "text".to_owned(),
        created_at: Some(to_timestamp(DateTime::from_millis(1_000_000 + seq))),
        ..Default::default()
    }
}

async fn clear(suite: &Suite, user: UserId, id: &str) {
    let request = as_user(user, ClearConversationRequest { conversation_id: id.to_owned() });
    suite.conversations.clone().clear_conversation(request).await.expect("cleared");
}

async fn record(suite: &Suite, id: &str, preview: Preview) {
    let request = RecordActivityRequest { conversation_id: id.to_owned(), preview: Some(preview) };
    let mut conversations = suite.conversations.clone();
    conversations.record_activity(as_service(request)).await.expect("recorded");
}

#[tokio::test]
async fn cleared_conversation_is_named_until_there_is_something_to_show() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let id = &conversation.id;
    let message = preview(grace, 1);
    record(&suite, id, message.clone()).await;
    clear(&suite, ada, id).await;
    let now = DateTime::now();
    change(&suite, id, DateTime::from_millis(now.timestamp_millis() - 60_000)).await;
    let told = async |user| {
        let answer = ask(&suite, user, Some(now), 0).await.expect("an answer");
        (answer.conversations, answer.hidden_ids)
    };
    assert_eq!(told(ada).await, (vec![], vec![id.clone()]), "by the clearing alone");
    assert_eq!(told(grace).await, (vec![], vec![]), "it is his own affair");
    // An edit changes the conversation for all, and brings nothing back.
    let edited = Preview { change: 1, content: "one".to_owned(), ..message };
    let replacement = ReplacePreviewRequest {
        conversation_id: id.clone(),
        seq: 1,
        change: 1,
        preview: Some(edited),
        deleted: None,
    };
    let mut conversations = suite.conversations.clone();
    conversations.replace_preview(as_service(replacement)).await.expect("replaced");
    assert_eq!(told(ada).await, (vec![], vec![id.clone()]));
    let of_grace = told(grace).await;
    assert_eq!((of_grace.0.len(), of_grace.1.len()), (1, 0));
    record(&suite, id, preview(grace, 2)).await;
    let (shown, hidden) = told(ada).await;
    assert_eq!((shown.len(), shown[0].cleared_seq, hidden.len()), (1, 1, 0));
    clear(&suite, ada, id).await;
    suite.open(ada, by_id(grace)).await.expect("opened");
    let (shown, hidden) = told(ada).await;
    assert_eq!((shown.len(), shown[0].cleared_seq, hidden.len()), (1, 2, 0), "opened again");
}

#[tokio::test]
async fn what_a_member_sets_for_himself_has_changed_for_him_alone() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let group = suite.group(ada, ConversationId::new(), &[grace]).await.expect("a group");
    let now = DateTime::now();
    let long_ago = DateTime::from_millis(now.timestamp_millis() - 60_000);
    let told = async |user| -> Vec<Conversation> {
        ask(&suite, user, Some(now), 0).await.expect("an answer").conversations
    };
    for mark in [
        Mark::IsPinned(true),
        Mark::Mute(Mute { is_muted: true, until: None }),
        Mark::IsArchived(true),
    ] {
        let forgotten =
            doc! { "$set": { "updated_at": long_ago }, "$unset": { "own_changes": "" } };
        let filter = doc! { "_id": group.id.parse::<ConversationId>().expect("an id") };
        suite.stored().update_one(filter, forgotten).await.expect("a change");
        assert!(told(ada).await.is_empty());
        let request = SetMarkRequest { conversation_id: group.id.clone(), mark: Some(mark) };
        suite.conversations.clone().set_mark(as_user(ada, request)).await.expect("set");
        let shown = told(ada).await;
        assert_eq!(shown.len(), 1, "{mark:?}");
        assert_ne!(shown[0].marks, Some(chat_proto::v1::Marks::default()));
        assert!(told(grace).await.is_empty(), "{mark:?}");
    }
    change(&suite, &group.id, now).await;
    suite.forget_commands();
    assert_eq!(told(ada).await.len(), 1, "once, however it changed");
    suite.assert_indexed(&["find"]).await;
    // Nothing is kept of who is no member any more.
    let leaving = LeaveGroupRequest { conversation_id: group.id.clone() };
    suite.conversations.clone().leave_group(as_user(ada, leaving)).await.expect("left");
    assert!(told(ada).await.is_empty());
    let left = suite.document(&group.id).await;
    assert_eq!(left.get_array("own_changes").expect("the changes").len(), 0);
}

#[tokio::test]
async fn conversation_that_changed_in_two_ways_is_told_once_in_its_place() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let mut ids = Vec::new();
    for number in 1..=3 {
        let other = suite.user().await.0;
        let group = suite.group(ada, ConversationId::new(), &[other]).await.expect("a group");
        record(&suite, &group.id, preview(other, number)).await;
        ids.push(group.id);
    }
    let request =
        SetMarkRequest { conversation_id: ids[0].clone(), mark: Some(Mark::IsPinned(true)) };
    suite.conversations.clone().set_mark(as_user(ada, request)).await.expect("set");
    let now = Some(DateTime::now());
    let answer = ask(&suite, ada, now, 3).await.expect("an answer");
    let told: Vec<_> = answer.conversations.iter().map(|one| one.id.clone()).collect();
    ids.reverse();
    assert_eq!((told, answer.has_more), (ids, false), "newest message first");
    assert!(ask(&suite, ada, now, 2).await.expect("an answer").has_more);
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
    assert_eq!((&found[0].conversation_id, &found[0].member_ids), (&own.id, &own.member_ids));
    suite.assert_indexed(&["find"]).await;
    // Of a large group who asks alone is named; he came in after its fifth message.
    let others: Vec<UserId> = (0..100).map(|_| UserId::new()).collect();
    let members: Vec<UserId> = others.iter().copied().chain([ada]).collect();
    let filter = doc! { "_id": own.id.parse::<ConversationId>().expect("an id") };
    let grown = doc! { "$set": { "member_ids": members, format!("joined.{ada}"): 5_i64 } };
    suite.stored().update_one(filter, grown).await.expect("a change");
    let found = ask(vec![own.id.clone()]).await.expect("an answer");
    assert_eq!(found[0].member_ids, [ada.to_string()]);
    assert_eq!((found[0].cleared_seq, found[0].counted_after_seq), (0, 5));
    let refused = ask(vec![own.id; 501]).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}
