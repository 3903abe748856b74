//! What a member sets of a conversation for himself: mute and archive, and what all marks have in common.

use std::time::Duration;

use bson::DateTime;
use chat_kit::{
    client::Channel,
    id::{ConversationId, UserId},
    time::{after, before, to_timestamp},
};
use chat_proto::v1::{
    ClearConversationRequest, Conversation, GetConversationRequest, ListConversationsRequest,
    Marks, Mute, PageRequest, SetMarkRequest,
    conversation_service_client::ConversationServiceClient, event::Payload, set_mark_request::Mark,
};
use tonic::{Code, Status};

use crate::{
    announce::Ear,
    support::{Suite, as_user, assert_failed, start},
};

const PINNED: Mark = Mark::IsPinned(true);
const ARCHIVED: Mark = Mark::IsArchived(true);

fn muted(until: Option<DateTime>) -> Mark {
    Mark::Mute(Mute { is_muted: true, until: until.map(to_timestamp) })
}

/// Sets a mark at a replica; returns all that is set then.
pub async fn set_at(
    replica: &ConversationServiceClient<Channel>,
    user: UserId,
    id: &str,
    mark: Mark,
) -> Result<Marks, Status> {
    let request = SetMarkRequest { conversation_id: id.to_owned(), mark: Some(mark) };
    let answer = replica.clone().set_mark(as_user(user, request)).await?;
    Ok(answer.into_inner().marks.expect("marks"))
}

async fn set(suite: &Suite, user: UserId, id: &str, mark: Mark) -> Marks {
    set_at(&suite.conversations, user, id, mark).await.expect("a mark")
}

/// Returns what a user has set of a conversation.
pub async fn marks(suite: &Suite, user: UserId, id: &str) -> Marks {
    let request = as_user(user, GetConversationRequest { conversation_id: id.to_owned() });
    let found = suite.conversations.clone().get_conversation(request).await.expect("an answer");
    found.into_inner().conversation.expect("a conversation").marks.expect("marks")
}

/// Reads a user's list page by page, `asked` saying what it shows; returns the conversations.
pub async fn listed(
    suite: &Suite,
    user: UserId,
    limit: u32,
    asked: &ListConversationsRequest,
) -> Vec<Conversation> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = Some(PageRequest { limit, cursor });
        let request = as_user(user, ListConversationsRequest { page, ..*asked });
        let answer = suite.conversations.clone().list_conversations(request).await;
        let answer = answer.expect("a page").into_inner();
        all.extend(answer.conversations);
        cursor = answer.page.expect("a page").next_cursor;
        if cursor.is_empty() {
            return all;
        }
    }
}

async fn ids(suite: &Suite, user: UserId, archived: Option<bool>) -> Vec<String> {
    let asked = ListConversationsRequest { is_archived: archived, ..Default::default() };
    let all = listed(suite, user, 2, &asked).await;
    all.into_iter().map(|found| found.id).collect()
}

/// Makes groups of a user with another one; returns their ids, the newest first.
pub async fn groups(suite: &Suite, user: UserId, count: usize) -> Vec<String> {
    let other = [suite.user().await.0];
    let mut ids = Vec::new();
    for _ in 0..count {
        let made = suite.group(user, ConversationId::new(), &other).await.expect("a group");
        ids.insert(0, made.id);
    }
    ids
}

#[tokio::test]
async fn marks_are_each_members_own() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    assert_eq!(conversation.marks, Some(Marks::default()));
    let until = after(DateTime::now(), Duration::from_hours(1));
    let expected = Marks {
        is_muted: true,
        muted_until: Some(to_timestamp(until)),
        is_pinned: true,
        is_archived: false,
    };
    set(&suite, ada, &conversation.id, PINNED).await;
    assert_eq!(set(&suite, ada, &conversation.id, muted(Some(until))).await, expected);
    assert_eq!(marks(&suite, ada, &conversation.id).await, expected);
    let row = listed(&suite, ada, 1, &ListConversationsRequest::default()).await.remove(0);
    assert_eq!(row.marks, Some(expected));
    assert_eq!(marks(&suite, grace, &conversation.id).await, Marks::default());
    // Another one's order of conversations does not change by it.
    assert_eq!(row.updated_at, conversation.updated_at);
}

#[tokio::test]
async fn mute_ends_at_its_time_or_with_the_next_one() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let id = &conversation.id;
    let until = after(DateTime::now(), Duration::from_hours(1));
    set(&suite, ada, id, muted(Some(until))).await;
    let forever = set(&suite, ada, id, muted(None)).await;
    assert_eq!((forever.is_muted, forever.muted_until), (true, None));
    for time in [DateTime::now(), before(DateTime::now(), Duration::from_secs(1))] {
        let refused = set_at(&suite.conversations, ada, id, muted(Some(time))).await;
        let message = assert_failed(refused, Code::InvalidArgument, "validation_error");
        assert!(message.contains("until"), "{message}");
    }
    assert_eq!(marks(&suite, ada, id).await, forever, "nothing was changed");
    let soon = after(DateTime::now(), Duration::from_millis(300));
    assert!(set(&suite, ada, id, muted(Some(soon))).await.is_muted);
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        while marks(&suite, ada, id).await.is_muted {
            tokio::task::yield_now().await;
        }
    });
    ended.await.expect("over in time");
    assert!(DateTime::now() >= soon, "not before its time");
    assert_eq!(marks(&suite, ada, id).await, Marks::default());
    set(&suite, ada, id, muted(None)).await;
    let unmuted = Mark::Mute(Mute::default());
    for _ in 0..2 {
        assert_eq!(set(&suite, ada, id, unmuted).await, Marks::default());
    }
}

#[tokio::test]
async fn archived_conversations_are_listed_apart_where_that_is_asked_for() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let all = groups(&suite, ada, 5).await;
    let (away, left) = ([all[1].clone(), all[3].clone()], [&all[0], &all[2], &all[4]]);
    for id in &away {
        for _ in 0..2 {
            assert!(set(&suite, ada, id, ARCHIVED).await.is_archived);
        }
    }
    suite.forget_commands();
    assert_eq!(ids(&suite, ada, None).await, all);
    assert_eq!(ids(&suite, ada, Some(true)).await, away);
    assert_eq!(ids(&suite, ada, Some(false)).await.iter().collect::<Vec<_>>(), left);
    suite.assert_indexed(&["find"]).await;
    for _ in 0..2 {
        assert!(!set(&suite, ada, &away[0], Mark::IsArchived(false)).await.is_archived);
    }
    assert_eq!(ids(&suite, ada, Some(true)).await, away[1..]);
}

#[tokio::test]
async fn stranger_and_former_member_set_nothing() {
    let suite = start().await;
    let [ada, grace, stranger] = suite.users().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    for mark in [PINNED, ARCHIVED, muted(None)] {
        set(&suite, grace, &club.id, mark).await;
    }
    set(&suite, grace, &club.id, PINNED).await;
    club.leave(grace).await.expect("left");
    let before = suite.document_but_outbox(&club.id).await;
    for mark in [
        PINNED,
        ARCHIVED,
        muted(None),
        Mark::IsPinned(false),
        Mark::IsArchived(false),
        Mark::Mute(Mute::default()),
    ] {
        for user in [stranger, grace] {
            let refused = set_at(&suite.conversations, user, &club.id, mark).await;
            assert_failed(refused, Code::PermissionDenied, "forbidden");
        }
        let nowhere = ConversationId::new().to_string();
        let refused = set_at(&suite.conversations, ada, &nowhere, mark).await;
        assert_failed(refused, Code::NotFound, "not_found");
        let refused = set_at(&suite.conversations, ada, "x", mark).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_conversation_id");
    }
    let request = SetMarkRequest { conversation_id: club.id.clone(), mark: None };
    let refused = suite.conversations.clone().set_mark(as_user(ada, request)).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    assert_eq!(suite.document_but_outbox(&club.id).await, before);
    // Who comes back has set nothing.
    club.add(ada, grace).await.expect("added");
    assert_eq!(marks(&suite, grace, &club.id).await, Marks::default());
}

#[tokio::test]
async fn mark_is_announced_to_who_set_it_alone() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let mut ear = Ear::open().await;
    set(&suite, ada, &conversation.id, PINNED).await;
    let event = loop {
        let event = ear.hear(&conversation.id).await;
        // What was said when it was made may still be on its way.
        if !matches!(event.payload, Some(Payload::ConversationCreated(_))) {
            break event;
        }
    };
    assert_eq!(event.recipient_ids, [ada.to_string()]);
    let Some(Payload::MarksChanged(changed)) = event.payload else { panic!("{event:?}") };
    assert_eq!((&changed.conversation_id, changed.user_id), (&conversation.id, ada.to_string()));
    assert_eq!(changed.marks, Some(Marks { is_pinned: true, ..Default::default() }));
}

#[tokio::test]
async fn clearing_takes_pin_and_archive_away_and_leaves_the_mute() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let [pinned, archived] = groups(&suite, ada, 2).await.try_into().expect("two");
    for (id, mark) in [(&pinned, PINNED), (&archived, ARCHIVED)] {
        set(&suite, ada, id, muted(None)).await;
        set(&suite, ada, id, mark).await;
        let request = as_user(ada, ClearConversationRequest { conversation_id: id.clone() });
        suite.conversations.clone().clear_conversation(request).await.expect("cleared");
        let left = Marks { is_muted: true, ..Default::default() };
        assert_eq!(marks(&suite, ada, id).await, left);
    }
    assert_eq!(ids(&suite, ada, None).await, [""; 0]);
    // A pin brings it back, as nobody could take away one that he does not see.
    set(&suite, ada, &pinned, PINNED).await;
    assert_eq!(ids(&suite, ada, None).await, [pinned]);
}
