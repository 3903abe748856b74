//! What a list shows of conversations: receipts, unread counts, and previews that one has deleted.

use bson::doc;
use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1::{
    GetListStatesRequest, ListRow, ListState, MarkReadRequest, mark_read_request::Target,
};
use tonic::Code;

use crate::support::{Pair, Suite, as_user, assert_failed, at, start, stored_message};

fn row(conversation: ConversationId) -> ListRow {
    ListRow { conversation_id: conversation.to_string(), ..Default::default() }
}

async fn states(suite: &Suite, user: UserId, rows: Vec<ListRow>) -> Vec<ListState> {
    let request = GetListStatesRequest { rows };
    let listed = suite.messages().get_list_states(as_user(user, request)).await;
    listed.expect("states").into_inner().rows
}

async fn state(suite: &Suite, user: UserId, row: ListRow) -> ListState {
    states(suite, user, vec![row]).await.remove(0)
}

async fn read(suite: &Suite, user: UserId, conversation: ConversationId) {
    let target = Some(Target::ConversationId(conversation.to_string()));
    suite.messages().mark_read(as_user(user, MarkReadRequest { target })).await.expect("read");
}

async fn change(suite: &Suite, pair: &Pair, seq: i64, change: bson::Document) {
    let filter = doc! { "conversation_id": pair.conversation, "seq": seq };
    let changed = suite.stored().update_one(filter, change).await.expect("changed");
    assert_eq!(changed.matched_count, 1);
}

#[tokio::test]
async fn unread_are_the_messages_of_others_behind_ones_cursor() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.say(pair.ada, pair.conversation, "1").await;
    suite.say(pair.grace, pair.conversation, "2").await;
    suite.say(pair.ada, pair.conversation, "3").await;
    assert_eq!(state(&suite, pair.grace, row(pair.conversation)).await.unread_count, 2);
    assert_eq!(state(&suite, pair.ada, row(pair.conversation)).await.unread_count, 1);
    read(&suite, pair.grace, pair.conversation).await;
    assert_eq!(state(&suite, pair.grace, row(pair.conversation)).await.unread_count, 0);
    assert_eq!(state(&suite, pair.ada, row(pair.conversation)).await.unread_count, 1);
    suite.say(pair.ada, pair.conversation, "4").await;
    assert_eq!(state(&suite, pair.grace, row(pair.conversation)).await.unread_count, 1);
}

#[tokio::test]
async fn what_one_does_not_see_is_not_unread() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 6).await;
    change(&suite, &pair, 3, doc! { "$set": { "deleted_at": at(9) } }).await;
    change(&suite, &pair, 4, doc! { "$set": { "deleted_for": [pair.grace] } }).await;
    change(&suite, &pair, 5, doc! { "$set": { "deleted_for": [pair.ada] } }).await;
    let all = row(pair.conversation);
    assert_eq!(state(&suite, pair.grace, all.clone()).await.unread_count, 4);
    let later = ListRow { counted_after_seq: 2, ..all };
    assert_eq!(state(&suite, pair.grace, later).await.unread_count, 2);
}

#[tokio::test]
async fn unread_count_ends_at_999() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 1005).await;
    assert_eq!(state(&suite, pair.grace, row(pair.conversation)).await.unread_count, 999);
    let later = ListRow { counted_after_seq: 6, ..row(pair.conversation) };
    assert_eq!(state(&suite, pair.grace, later).await.unread_count, 999);
    let later = ListRow { counted_after_seq: 7, ..row(pair.conversation) };
    assert_eq!(state(&suite, pair.grace, later).await.unread_count, 998);
}

#[tokio::test]
async fn cursors_are_everybodys_or_ones_own() {
    let suite = start().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    read(&suite, pair.grace, pair.conversation).await;
    assert!(state(&suite, pair.ada, row(pair.conversation)).await.cursors.is_empty());
    let wanted = ListRow { with_all_cursors: true, ..row(pair.conversation) };
    let cursors = state(&suite, pair.ada, wanted).await.cursors;
    assert_eq!(cursors.len(), 1);
    assert_eq!(cursors[0].user_id, pair.grace.to_string());
    assert_eq!((cursors[0].delivered_seq, cursors[0].read_seq), (1, 1));
    assert_eq!(cursors[0].read_at, sent.created_at);
    assert_eq!(cursors[0].delivered_at, sent.created_at);
    assert_eq!(state(&suite, pair.grace, row(pair.conversation)).await.cursors, cursors);
}

#[tokio::test]
async fn deleted_preview_gives_way_to_the_newest_that_one_sees() {
    let suite = start().await;
    let pair = suite.pair().await;
    let messages: Vec<_> =
        (1..=4).map(|seq| stored_message(pair.conversation, pair.ada, seq)).collect();
    suite.stored().insert_many(&messages).await.expect("inserted");
    let last =
        ListRow { last_message_id: Some(messages[3].id.to_string()), ..row(pair.conversation) };
    assert_eq!(state(&suite, pair.grace, last.clone()).await.preview_override, None);
    change(&suite, &pair, 4, doc! { "$set": { "deleted_for": [pair.grace] } }).await;
    change(&suite, &pair, 3, doc! { "$set": { "deleted_at": at(9) } }).await;
    let shown = state(&suite, pair.grace, last.clone()).await.preview_override;
    let shown = shown.expect("another one").message.expect("a message");
    assert_eq!(shown.id, messages[1].id.to_string());
    assert_eq!(state(&suite, pair.ada, last.clone()).await.preview_override, None);
    let cleared = ListRow { counted_after_seq: 2, ..last };
    let shown = state(&suite, pair.grace, cleared).await.preview_override;
    assert_eq!(shown.expect("a change").message, None, "nothing is left");
}

#[tokio::test]
async fn rows_are_answered_in_their_order() {
    let suite = start().await;
    let (ada, _) = suite.user().await;
    let mut rows = Vec::new();
    for count in 0..4 {
        let (other, _) = suite.user().await;
        let conversation = suite.open(ada, other).await;
        for _ in 0..count {
            suite.say(other, conversation, "hi").await;
        }
        rows.push(row(conversation));
    }
    rows.reverse();
    let listed = states(&suite, ada, rows.clone()).await;
    let ids: Vec<_> = listed.iter().map(|state| state.conversation_id.clone()).collect();
    let asked: Vec<_> = rows.iter().map(|row| row.conversation_id.clone()).collect();
    assert_eq!(ids, asked);
    let counts: Vec<_> = listed.iter().map(|state| state.unread_count).collect();
    assert_eq!(counts, [3, 2, 1, 0]);
    assert!(states(&suite, ada, Vec::new()).await.is_empty());
}

#[tokio::test]
async fn list_has_at_most_500_rows() {
    let suite = start().await;
    let (ada, _) = suite.user().await;
    let rows = |count| (0..count).map(|_| row(ConversationId::new())).collect::<Vec<_>>();
    assert_eq!(states(&suite, ada, rows(500)).await.len(), 500);
    let request = GetListStatesRequest { rows: rows(501) };
    let refused = suite.messages().get_list_states(as_user(ada, request)).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    let request = GetListStatesRequest { rows: vec![ListRow::default()] };
    let refused = suite.messages().get_list_states(as_user(ada, request)).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_conversation_id");
}
