//! Reading a conversation of which one member has cleared a part.

use bson::doc;
use chat_kit::{id::UserId, time::to_timestamp};
use chat_proto::v1::{
    ListMessagesRequest,
    list_messages_request::{Position, Target},
};

use crate::support::{Pair, Suite, as_user, at, start};

/// Returns the numbers on a page as a member reads it, and how many messages there are to him.
async fn read(
    suite: &Suite,
    pair: &Pair,
    reader: UserId,
    limit: u32,
    position: Option<Position>,
    before: Option<i64>,
) -> (Vec<i64>, i64) {
    let before = before.map(|seq| to_timestamp(at(seq)));
    let target = Some(Target::ConversationId(pair.conversation.to_string()));
    let request = ListMessagesRequest { target, limit, position, before, ..Default::default() };
    let page = suite.messages().list_messages(as_user(reader, request)).await.expect("a page");
    let page = page.into_inner();
    (page.messages.iter().map(|message| message.seq).collect(), page.total_count)
}

async fn clear(suite: &Suite, pair: &Pair, seq: i64) {
    let mark = doc! { "seq": seq, "at": at(seq) };
    let change = doc! { "$set": { format!("cleared.{}", pair.grace): mark } };
    suite.change_conversation(pair.conversation, change).await;
}

#[tokio::test]
async fn history_begins_behind_what_its_reader_has_cleared() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 10).await;
    clear(&suite, &pair, 6).await;
    for (limit, position, before, expected, total) in [
        (0, None, None, vec![7, 8, 9, 10], 4),
        (3, None, None, vec![8, 9, 10], 4),
        (3, Some(Position::Page(2)), None, vec![7], 4),
        (3, Some(Position::Page(3)), None, vec![], 4),
        (0, Some(Position::AfterSeq(0)), None, vec![7, 8, 9, 10], 4),
        (2, Some(Position::AfterSeq(-1)), None, vec![7, 8], 4),
        (0, Some(Position::AfterSeq(8)), None, vec![9, 10], 4),
        (0, None, Some(9), vec![7, 8], 2),
        (0, None, Some(7), vec![], 0),
        (0, Some(Position::AfterSeq(2)), Some(5), vec![], 0),
    ] {
        let found = read(&suite, &pair, pair.grace, limit, position, before).await;
        assert_eq!(found, (expected, total), "{limit} {position:?} {before:?}");
    }
    let found = read(&suite, &pair, pair.ada, 0, None, None).await;
    assert_eq!(found, ((1..=10).collect(), 10), "nobody else notices");
}

#[tokio::test]
async fn whole_history_may_be_cleared() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 3).await;
    clear(&suite, &pair, 3).await;
    for position in [None, Some(Position::Page(2)), Some(Position::AfterSeq(0))] {
        let found = read(&suite, &pair, pair.grace, 0, position, None).await;
        assert_eq!(found, (vec![], 0), "{position:?}");
    }
    suite.say(pair.ada, pair.conversation, "again").await;
    assert_eq!(read(&suite, &pair, pair.grace, 0, None, None).await, (vec![4], 1));
}
