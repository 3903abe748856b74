//! The list of conversations.

use bson::{DateTime, doc, oid::ObjectId};
use chat_kit::id::UserId;
use chat_proto::v1::{
    ConversationStatus, ListConversationsRequest, ListConversationsResponse, PageRequest,
};
use tonic::{Code, Status};

use crate::support::{Suite, as_user, assert_failed, start};

async fn list(
    suite: &Suite,
    user: UserId,
    status: ConversationStatus,
    limit: u32,
    cursor: &str,
) -> Result<ListConversationsResponse, Status> {
    let cursor = cursor.to_owned();
    let request = ListConversationsRequest {
        status: status.into(),
        page: Some(PageRequest { limit, cursor }),
        ..Default::default()
    };
    let mut conversations = suite.conversations.clone();
    let answer = conversations.list_conversations(as_user(user, request)).await?;
    Ok(answer.into_inner())
}

/// Reads all pages of the active conversations; returns their ids.
async fn all(suite: &Suite, user: UserId, limit: u32) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(suite, user, ConversationStatus::Active, limit, &cursor).await;
        let page = page.expect("a page");
        ids.extend(page.conversations.into_iter().map(|found| found.id));
        cursor = page.page.expect("a page").next_cursor;
        if cursor.is_empty() {
            return ids;
        }
    }
}

/// Stores a conversation of a user; returns its id.
async fn store(suite: &Suite, user: UserId, message_at: Option<i64>, updated_at: i64) -> String {
    let id = ObjectId::new();
    let time = DateTime::from_millis;
    let peer = UserId::new();
    let conversation = doc! {
        "_id": id,
        "status": "active",
        "member_ids": [user, peer],
        "participant_key": format!("{user}:{peer}"),
        "created_by": user,
        "last_message_at": message_at.map(time),
        "last_sent": {},
        "created_at": time(0),
        "updated_at": time(updated_at),
    };
    suite.stored().insert_one(conversation).await.expect("inserted");
    id.to_hex()
}

/// Stores conversations among which every pair of sort keys occurs several times, and returns their ids
/// in the order of the list.
async fn store_many(suite: &Suite, user: UserId) -> Vec<String> {
    let mut stored = Vec::new();
    for _ in 0..4 {
        for message_at in [None, Some(1000), Some(2000), Some(-5)] {
            for updated_at in [1, 2, 3] {
                let id = store(suite, user, message_at, updated_at).await;
                stored.push((message_at, updated_at, id));
            }
        }
    }
    stored.sort_by(|one, other| other.cmp(one));
    stored.into_iter().map(|(_, _, id)| id).collect()
}

#[tokio::test]
async fn list_pages_do_not_skip_or_repeat() {
    let suite = start().await;
    let user = UserId::new();
    let expected = store_many(&suite, user).await;
    for limit in [1, 3, 5, 47, 48, 49] {
        assert_eq!(all(&suite, user, limit).await, expected, "pages of {limit}");
    }
}

#[tokio::test]
async fn list_uses_its_index() {
    let suite = start().await;
    let user = UserId::new();
    store_many(&suite, user).await;
    store_many(&suite, UserId::new()).await;
    suite.forget_commands();
    all(&suite, user, 5).await;
    assert_eq!(suite.queries().len(), 10, "one query a page");
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn page_is_50_by_default_and_500_at_most() {
    let suite = start().await;
    let user = UserId::new();
    for _ in 0..51 {
        store(&suite, user, None, 1).await;
    }
    let page = list(&suite, user, ConversationStatus::Active, 0, "").await.expect("a page");
    assert_eq!(page.conversations.len(), 50);
    suite.forget_commands();
    list(&suite, user, ConversationStatus::Active, u32::MAX, "").await.expect("a page");
    let limit = suite.queries()[0].get_i64("limit").expect("a limit");
    assert_eq!(limit, 501, "one more tells whether the list goes on");
}

#[tokio::test]
async fn list_holds_the_callers_conversations_of_one_status() {
    let suite = start().await;
    let (ada, grace, pending) = suite.pair().await;
    suite.set_status(&pending.id, "pending").await;
    let (_, _, foreign) = suite.pair().await;
    let active = store(&suite, ada, Some(1), 1).await;
    for (user, status, expected) in [
        (ada, ConversationStatus::Active, Some(&active)),
        (ada, ConversationStatus::Unspecified, Some(&active)),
        (ada, ConversationStatus::Pending, Some(&pending.id)),
        (grace, ConversationStatus::Pending, Some(&pending.id)),
        (grace, ConversationStatus::Active, None),
        (ada, ConversationStatus::Declined, None),
        (ada, ConversationStatus::Blocked, None),
    ] {
        let page = list(&suite, user, status, 0, "").await.expect("a page");
        let ids: Vec<_> = page.conversations.iter().map(|found| &found.id).collect();
        assert_eq!(ids, expected.into_iter().collect::<Vec<_>>(), "{status:?}");
        assert!(!ids.contains(&&foreign.id));
    }
}

#[tokio::test]
async fn foreign_cursor_and_unknown_status_are_refused() {
    let suite = start().await;
    let user = UserId::new();
    for cursor in ["x", "0", "{\"$gt\": \"\"}", &"é".repeat(28), &"0".repeat(1000)] {
        let refused = list(&suite, user, ConversationStatus::Active, 0, cursor).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
    let request = ListConversationsRequest { status: 99, ..Default::default() };
    let mut conversations = suite.conversations.clone();
    let refused = conversations.list_conversations(as_user(user, request)).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}
