//! Searching: what is found, by whom, in which order, and by which index.

use bson::doc;
use chat_kit::id::UserId;
use chat_proto::v1::{
    self as pb, DeleteMessageRequest, EditMessageRequest, PageRequest, SearchMessagesRequest,
};
use tonic::{Code, Status};

use crate::support::{Suite, as_user, assert_failed, start};

async fn search(
    suite: &Suite,
    reader: UserId,
    query: &str,
    limit: u32,
    cursor: &str,
) -> Result<(Vec<pb::Message>, String), Status> {
    let page = Some(PageRequest { limit, cursor: cursor.to_owned() });
    let request = SearchMessagesRequest { query: query.to_owned(), page };
    let found = suite.messages().search_messages(as_user(reader, request)).await?.into_inner();
    Ok((found.messages, found.page.expect("a page").next_cursor))
}

/// Returns the texts that are found.
async fn texts(suite: &Suite, reader: UserId, query: &str) -> Vec<String> {
    let (found, next) = search(suite, reader, query, 0, "").await.expect("found");
    assert_eq!(next, "");
    found.into_iter().map(|message| message.content).collect()
}

#[tokio::test]
async fn messages_of_ones_own_conversations_are_found_newest_first() {
    let suite = start().await;
    let (pair, other) = (suite.pair().await, suite.pair().await);
    let third = suite.open(pair.ada, other.ada).await;
    suite.say(pair.ada, pair.conversation, "The treasure is here").await;
    suite.say(other.ada, third, "a TREASURE map").await;
    suite.say(other.ada, other.conversation, "treasure of nobody else").await;
    suite.say(pair.grace, pair.conversation, "no gold").await;
    let found = texts(&suite, pair.ada, "treas").await;
    assert_eq!(found, ["a TREASURE map", "The treasure is here"]);
    assert_eq!(texts(&suite, pair.grace, "treasure is").await, ["The treasure is here"]);
    for nothing in ["", "t", "reasure", "treasure.*", ".*", "treasures"] {
        assert!(texts(&suite, pair.ada, nothing).await.is_empty(), "{nothing}");
    }
}

#[tokio::test]
async fn what_one_does_not_see_any_more_is_not_found() {
    let suite = start().await;
    let pair = suite.pair().await;
    let first = suite.say(pair.ada, pair.conversation, "secret one").await;
    let second = suite.say(pair.ada, pair.conversation, "secret two").await;
    let third = suite.say(pair.ada, pair.conversation, "secret three").await;
    let deletion = |id: &str, for_caller_alone| DeleteMessageRequest {
        message_id: id.to_owned(),
        for_caller_alone,
    };
    let mut messages = suite.messages();
    let request = as_user(pair.ada, deletion(&first.id, false));
    messages.delete_message(request).await.expect("deleted");
    let request = as_user(pair.grace, deletion(&second.id, true));
    messages.delete_message(request).await.expect("deleted");
    let edit = EditMessageRequest { message_id: third.id, content: "harmless".to_owned() };
    messages.edit_message(as_user(pair.ada, edit)).await.expect("edited");
    assert_eq!(texts(&suite, pair.ada, "secret").await, ["secret two"]);
    assert!(texts(&suite, pair.grace, "secret").await.is_empty());
    assert_eq!(texts(&suite, pair.grace, "harm").await, ["harmless"]);
    let cleared = format!("cleared.{}", pair.grace);
    let change = doc! { "$set": { cleared: { "seq": 3_i64, "at": bson::DateTime::now() } } };
    suite.change_conversation(pair.conversation, change).await;
    assert!(texts(&suite, pair.grace, "harm").await.is_empty());
    assert_eq!(texts(&suite, pair.ada, "harm").await, ["harmless"]);
    let removal = doc! { "$pull": { "member_ids": pair.ada } };
    suite.change_conversation(pair.conversation, removal).await;
    assert!(texts(&suite, pair.ada, "harm").await.is_empty());
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_double() {
    let suite = start().await;
    let pair = suite.pair().await;
    for number in 0..12 {
        suite.say(pair.ada, pair.conversation, &format!("word {number}")).await;
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = search(&suite, pair.grace, "word", 5, &cursor).await.expect("a page");
        found.extend(page.0.into_iter().map(|message| message.seq));
        if page.1.is_empty() {
            break;
        }
        cursor = page.1;
    }
    assert_eq!(found, (1..=12).rev().collect::<Vec<i64>>());
    for cursor in ["x", "1-2", "-", "x-65f0c0ffee0123456789abcd"] {
        let refused = search(&suite, pair.grace, "word", 5, cursor).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}
