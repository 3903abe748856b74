//! What a member has cleared for himself.

use bson::{DateTime, doc, oid::ObjectId};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{
    Act, Conversation, GetAudienceRequest, ListConversationsRequest, ListMembershipsRequest,
    Membership, Preview, RecordActivityRequest,
};

use crate::support::{Suite, as_service, as_user, start};

async fn memberships(suite: &Suite, user: UserId) -> Vec<Membership> {
    let request = as_user(user, ListMembershipsRequest {});
    let answer = suite.conversations.clone().list_memberships(request).await.expect("an answer");
    answer.into_inner().memberships
}

/// Clears a conversation behind the service's back.
async fn mark_cleared(suite: &Suite, id: &str, user: UserId, seq: i64) {
    let filter = doc! { "_id": id.parse::<ConversationId>().expect("an id") };
    let mark = doc! { "seq": seq, "at": DateTime::now() };
    let change = doc! { "$set": { format!("cleared.{user}"): mark } };
    suite.stored().update_one(filter, change).await.expect("a change");
}

#[tokio::test]
async fn each_member_hears_what_he_has_cleared_himself() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    mark_cleared(&suite, &conversation.id, ada, 7).await;
    suite.forget_commands();
    let request = GetAudienceRequest { conversation_id: conversation.id, act: Act::Read.into() };
    let delivery = GetAudienceRequest { act: Act::Deliver.into(), ..request.clone() };
    // At the same time, so that one query may answer several.
    let ask = async |request| {
        let answer = suite.conversations.clone().get_audience(request).await;
        answer.expect("an audience").into_inner().cleared_seq
    };
    let seqs = tokio::join!(
        ask(as_user(ada, request.clone())),
        ask(as_user(grace, request.clone())),
        ask(as_service(delivery)),
        ask(as_user(ada, request.clone())),
    );
    assert_eq!(seqs, (7, 0, 0, 7));
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn memberships_are_those_of_every_status_and_of_nobody_else() {
    let suite = start().await;
    let (ada, _, first) = suite.pair().await;
    let mut expected = vec![Membership { conversation_id: first.id.clone(), cleared_seq: 3 }];
    mark_cleared(&suite, &first.id, ada, 3).await;
    for status in ["pending", "declined", "blocked"] {
        let id = ConversationId::new();
        let group = suite.group(ada, id, &[suite.user().await.0]).await.expect("a group");
        suite.set_status(&group.id, status).await;
        expected.push(Membership { conversation_id: group.id, cleared_seq: 0 });
    }
    let (stranger, _, foreign) = suite.pair().await;
    let mut found = memberships(&suite, ada).await;
    let by_id = |one: &Membership| one.conversation_id.clone();
    found.sort_by_key(by_id);
    expected.sort_by_key(by_id);
    assert_eq!(found, expected);
    let own = Membership { conversation_id: foreign.id, cleared_seq: 0 };
    assert_eq!(memberships(&suite, stranger).await, [own]);
    assert_eq!(memberships(&suite, UserId::new()).await, []);
}

#[tokio::test]
async fn memberships_are_the_newest_500_in_the_order_of_their_messages() {
    let suite = start().await;
    let user = UserId::new();
    let time = DateTime::from_millis;
    let statuses = ["active", "pending", "declined", "blocked"];
    let stored = (0..510_i64).map(|number| {
        let status = statuses[usize::try_from(number % 4).expect("small")];
        doc! {
            "_id": ObjectId::new(), "status": status, "member_ids": [user, UserId::new()],
            "last_message_at": time(number), "created_at": time(0), "updated_at": time(0),
        }
    });
    let mut stored: Vec<_> = stored.collect();
    suite.stored().insert_many(&stored).await.expect("inserted");
    suite.forget_commands();
    let found = memberships(&suite, user).await;
    stored.reverse();
    let expected = stored.iter().take(500).map(|one| one.get_object_id("_id").expect("an id"));
    let expected: Vec<String> = expected.map(|id| id.to_hex()).collect();
    let found: Vec<String> = found.into_iter().map(|one| one.conversation_id).collect();
    assert_eq!(found, expected);
    assert_eq!(suite.queries().len(), 1);
    suite.assert_indexed(&["find"]).await;
}

/// Returns the only active conversation of a user as he sees it.
async fn row(suite: &Suite, user: UserId) -> Conversation {
    let request = as_user(user, ListConversationsRequest::default());
    let mut conversations = suite.conversations.clone();
    let page = conversations.list_conversations(request).await.expect("a page").into_inner();
    page.conversations.into_iter().next().expect("a conversation")
}

#[tokio::test]
async fn preview_of_what_is_cleared_is_shown_to_the_others_alone() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    record(&suite, &conversation.id, ada, 7).await;
    mark_cleared(&suite, &conversation.id, ada, 7).await;
    let seen = row(&suite, ada).await;
    assert_eq!((seen.last_message, seen.cleared_seq, seen.counted_after_seq), (None, 7, 7));
    let seen = row(&suite, grace).await;
    assert_eq!(seen.last_message.expect("a preview").seq, 7);
    assert_eq!((seen.cleared_seq, seen.counted_after_seq), (0, 0));
    record(&suite, &conversation.id, grace, 8).await;
    assert_eq!(row(&suite, ada).await.last_message.expect("a preview").seq, 8);
}

#[tokio::test]
async fn unread_counts_from_whatever_came_later_joining_or_clearing() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let others = [suite.user().await.0];
    let group = suite.group(ada, ConversationId::new(), &others).await.expect("a group");
    let filter = doc! { "_id": group.id.parse::<ConversationId>().expect("an id") };
    let mark = doc! { "$set": { format!("joined.{ada}"): 5_i64 } };
    suite.stored().update_one(filter, mark).await.expect("a change");
    for (cleared, counted) in [(4, 5), (9, 9)] {
        mark_cleared(&suite, &group.id, ada, cleared).await;
        let seen = row(&suite, ada).await;
        assert_eq!((seen.cleared_seq, seen.counted_after_seq), (cleared, counted));
    }
}

/// Shows a message of somebody in the list.
async fn record(suite: &Suite, id: &str, sender: UserId, seq: i64) {
    let preview = Preview {
        message_id: MessageId::new().to_string(),
        seq,
        sender_id: sender.to_string(),
        content: format!("message {seq}"),
        r#type: "text".to_owned(),
        created_at: Some(to_timestamp(DateTime::from_millis(1_000_000 + seq))),
        ..Default::default()
    };
    let request = RecordActivityRequest { conversation_id: id.to_owned(), preview: Some(preview) };
    let mut conversations = suite.conversations.clone();
    conversations.record_activity(as_service(request)).await.expect("recorded");
}
