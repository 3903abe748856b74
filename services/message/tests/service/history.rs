//! Reading a conversation: pages for its members, gaps for services.

use std::time::Duration;

use bson::{DateTime, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    time::{after, to_timestamp},
};
use chat_proto::v1::{
    ListAfterRequest, ListMessagesRequest, ListMessagesResponse,
    list_messages_request::{Position, Target},
};
use tonic::{Code, Status};

use crate::support::{Pair, Suite, as_service, as_user, assert_failed, at, start};

async fn list(
    suite: &Suite,
    reader: UserId,
    request: ListMessagesRequest,
) -> Result<ListMessagesResponse, Status> {
    Ok(suite.messages().list_messages(as_user(reader, request)).await?.into_inner())
}

fn of(target: Target) -> ListMessagesRequest {
    ListMessagesRequest { target: Some(target), ..ListMessagesRequest::default() }
}

fn about(id: ConversationId) -> ListMessagesRequest {
    of(Target::ConversationId(id.to_string()))
}

/// Returns the numbers on a page, and how many messages there are.
async fn numbers(
    suite: &Suite,
    pair: &Pair,
    limit: u32,
    position: Option<Position>,
    before: Option<i64>,
) -> (Vec<i64>, i64) {
    let before = before.map(|seq| to_timestamp(at(seq)));
    let request = ListMessagesRequest { limit, position, before, ..about(pair.conversation) };
    let page = list(suite, pair.grace, request).await.expect("a page");
    (page.messages.iter().map(|message| message.seq).collect(), page.total_count)
}

fn span(from: i64, to: i64) -> Vec<i64> {
    (from..=to).collect()
}

async fn gap(
    suite: &Suite,
    id: ConversationId,
    after_seq: i64,
    limit: u32,
    unannounced: bool,
) -> Vec<i64> {
    let conversation_id = id.to_string();
    let request = ListAfterRequest { conversation_id, after_seq, limit, unannounced };
    let listed = suite.messages().list_after(as_service(request)).await.expect("a gap");
    listed.into_inner().messages.iter().map(|message| message.seq).collect()
}

#[tokio::test]
async fn stranger_cannot_list() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 3).await;
    let (stranger, _) = suite.user().await;
    for position in [None, Some(Position::Page(2)), Some(Position::AfterSeq(1))] {
        let request = ListMessagesRequest { position, ..about(pair.conversation) };
        let refused = list(&suite, stranger, request).await;
        assert_failed(refused, Code::PermissionDenied, "forbidden");
    }
}

#[tokio::test]
async fn members_read_what_is_closed_and_the_removed_read_nothing() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 2).await;
    for status in ["pending", "declined", "blocked"] {
        let change = doc! { "$set": { "status": status } };
        suite.change_conversation(pair.conversation, change).await;
        assert_eq!(numbers(&suite, &pair, 0, None, None).await, (vec![1, 2], 2));
    }
    let removal = doc! { "$pull": { "member_ids": pair.grace } };
    suite.change_conversation(pair.conversation, removal).await;
    let refused = list(&suite, pair.grace, about(pair.conversation)).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
}

#[tokio::test]
async fn unknown_conversation_is_not_found_when_reading() {
    let suite = start().await;
    let refused = list(&suite, UserId::new(), about(ConversationId::new())).await;
    assert_failed(refused, Code::NotFound, "not_found");
}

#[tokio::test]
async fn malformed_ids_are_refused() {
    let suite = start().await;
    let reader = UserId::new();
    for id in ["", "65f0", "{\"$gt\": \"\"}", "zzzzzzzzzzzzzzzzzzzzzzzz"] {
        let refused = list(&suite, reader, of(Target::ConversationId(id.to_owned()))).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_conversation_id");
        let refused = list(&suite, reader, of(Target::UserId(id.to_owned()))).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_id");
        let conversation_id = id.to_owned();
        let request = ListAfterRequest { conversation_id, ..ListAfterRequest::default() };
        let refused = suite.messages().list_after(as_service(request)).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_conversation_id");
    }
    let refused = list(&suite, reader, ListMessagesRequest::default()).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn pages_count_from_the_newest_and_read_oldest_first() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 25).await;
    let page = |number| Some(Position::Page(number));
    for (position, expected) in [
        (None, span(16, 25)),
        (page(0), span(16, 25)),
        (page(1), span(16, 25)),
        (page(2), span(6, 15)),
        (page(3), span(1, 5)),
    ] {
        let found = numbers(&suite, &pair, 10, position, None).await;
        assert_eq!(found, (expected, 25), "{position:?}");
    }
    assert_eq!(numbers(&suite, &pair, 0, None, None).await, (span(1, 25), 25));
}

#[tokio::test]
async fn page_beyond_the_end_is_empty() {
    let suite = start().await;
    let pair = suite.pair().await;
    assert_eq!(numbers(&suite, &pair, 10, None, None).await, (vec![], 0), "nothing is stored");
    suite.seed(&pair, 20).await;
    for number in [3, 4, 1_000_000, u32::MAX] {
        for limit in [10, u32::MAX] {
            let position = Some(Position::Page(number));
            assert_eq!(numbers(&suite, &pair, limit, position, None).await, (vec![], 20));
        }
    }
}

#[tokio::test]
async fn limit_is_cut_to_1000_and_50_where_absent() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 1005).await;
    let page = |number| Some(Position::Page(number));
    let after = |seq| Some(Position::AfterSeq(seq));
    for (limit, position, expected) in [
        (u32::MAX, None, span(6, 1005)),
        (1001, page(2), span(1, 5)),
        (u32::MAX, after(2), span(3, 1002)),
        (0, None, span(956, 1005)),
        (0, page(2), span(906, 955)),
        (0, after(0), span(1, 50)),
    ] {
        let found = numbers(&suite, &pair, limit, position, None).await;
        assert_eq!(found, (expected, 1005), "{limit} {position:?}");
    }
    assert_eq!(gap(&suite, pair.conversation, 1, u32::MAX, false).await, span(2, 1001));
}

#[tokio::test]
async fn after_seq_lists_what_is_behind_a_number() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 25).await;
    for (seq, expected) in [
        (-5, span(1, 3)),
        (i64::MIN, span(1, 3)),
        (0, span(1, 3)),
        (20, span(21, 23)),
        (24, vec![25]),
        (25, vec![]),
        (i64::MAX, vec![]),
    ] {
        let found = numbers(&suite, &pair, 3, Some(Position::AfterSeq(seq)), None).await;
        assert_eq!(found, (expected, 25), "after {seq}");
    }
}

#[tokio::test]
async fn before_leaves_out_what_is_as_old_or_newer() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 25).await;
    let page = |number| Some(Position::Page(number));
    let after = |seq| Some(Position::AfterSeq(seq));
    for (before, position, expected, total_count) in [
        (11, None, span(7, 10), 10),
        (11, page(2), span(3, 6), 10),
        (11, page(3), span(1, 2), 10),
        (11, page(4), vec![], 10),
        (11, after(7), span(8, 10), 10),
        (11, after(10), vec![], 10),
        (100, None, span(22, 25), 25),
        (1, None, vec![], 0),
    ] {
        let found = numbers(&suite, &pair, 4, position, Some(before)).await;
        assert_eq!(found, (expected, total_count), "before {before} {position:?}");
    }
}

#[tokio::test]
async fn history_with_a_user_is_that_of_the_direct_conversation() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 2).await;
    for (reader, other) in [(pair.ada, pair.grace), (pair.grace, pair.ada)] {
        let page = list(&suite, reader, of(Target::UserId(other.to_string()))).await;
        assert_eq!(page.expect("a page").total_count, 2);
    }
    let (stranger, _) = suite.user().await;
    for other in [pair.ada, UserId::new(), stranger] {
        let page = list(&suite, stranger, of(Target::UserId(other.to_string()))).await;
        assert_eq!(page.expect("no conversation"), ListMessagesResponse::default());
    }
}

#[tokio::test]
async fn list_after_is_for_services_only() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 3).await;
    let conversation_id = pair.conversation.to_string();
    let request = ListAfterRequest { conversation_id, limit: 10, ..ListAfterRequest::default() };
    for user in [pair.ada, UserId::new()] {
        let refused = suite.messages().list_after(as_user(user, request.clone())).await;
        assert_eq!(refused.expect_err("a user").code(), Code::PermissionDenied);
    }
}

#[tokio::test]
async fn list_after_fills_a_gap_for_a_service() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 20).await;
    let id = pair.conversation;
    assert_eq!(gap(&suite, id, 5, 3, false).await, [6, 7, 8]);
    assert_eq!(gap(&suite, id, 18, 10, false).await, [19, 20]);
    assert!(gap(&suite, id, 20, 10, false).await.is_empty());
    assert_eq!(gap(&suite, id, -1, 2, false).await, [1, 2]);
    assert!(gap(&suite, id, i64::MAX, 10, false).await.is_empty());
    assert!(gap(&suite, ConversationId::new(), 0, 10, false).await.is_empty());
}

#[tokio::test]
async fn list_after_finds_what_nobody_may_have_heard_of() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 20).await;
    // Not due yet, so that no relay takes it away.
    let due = after(DateTime::now(), Duration::from_hours(1));
    let entry = doc! { "event_id": "x", "kind": "created", "at": due };
    let some = doc! { "seq": { "$in": [3, 8, 12, 17] } };
    let change = doc! { "$set": { "outbox": [entry] } };
    suite.stored().update_many(some, change).await.expect("changed");
    assert_eq!(gap(&suite, pair.conversation, 5, 10, true).await, [8, 12]);
    assert!(gap(&suite, pair.conversation, 17, 10, true).await.is_empty());
}

#[tokio::test]
async fn damaged_message_is_an_error_and_not_left_out() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 3).await;
    let damage = doc! { "$set": { "type": "unheard of" } };
    suite.stored().update_one(doc! { "seq": 2 }, damage).await.expect("damaged");
    let refused = list(&suite, pair.ada, about(pair.conversation)).await;
    assert_failed(refused, Code::Internal, "server_error");
    let position = Some(Position::AfterSeq(2));
    assert_eq!(numbers(&suite, &pair, 0, position, None).await, (vec![3], 3));
}
