//! What one answer about what was missed holds, and how the next one goes on where it ends.

use std::collections::HashMap;

use bson::DateTime;
use chat_kit::{
    id::{ConversationId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{
    ClearConversationRequest, KnownConversation, ListChangesRequest, ListChangesResponse,
    ListState, MarkReadRequest, mark_read_request::Target,
};
use prost::Message as _;

use crate::support::{Suite, as_user, at, make_group, start, stored_message};

/// An answer is no larger, but for one message.
const ROOM: usize = 300 * 1024;

async fn ask(
    suite: &Suite,
    user: UserId,
    conversations: Vec<KnownConversation>,
    since: Option<DateTime>,
) -> ListChangesResponse {
    let request = ListChangesRequest { conversations, since: since.map(to_timestamp), limit: 0 };
    let answer = suite.messages().list_changes(as_user(user, request)).await;
    answer.expect("an answer").into_inner()
}

fn known(conversation: ConversationId, after_seq: i64) -> KnownConversation {
    KnownConversation { conversation_id: conversation.to_string(), after_seq, cursor: None }
}

/// Stores long messages, the first ones changed since.
async fn fill(suite: &Suite, of: (ConversationId, UserId), count: i64, size: usize, changed: i64) {
    let messages = (1..=count).map(|seq| {
        let mut message = stored_message(of.0, of.1, seq);
        message.content = "x".repeat(size);
        // The one that is first in the conversation has changed last.
        message.changed_at = (seq <= changed).then(|| at(10_000 - seq));
        message
    });
    suite.stored().insert_many(messages).await.expect("inserted");
}

/// What a client has heard of a conversation, and whether there is more.
#[derive(Default)]
struct Heard {
    new: Vec<i64>,
    changed: Vec<i64>,
    is_over: bool,
}

/// Asks as a client does that wants everything; returns what it heard, and how often it asked.
async fn everything(
    suite: &Suite,
    user: UserId,
    mut wanted: Vec<KnownConversation>,
    most: usize,
) -> (HashMap<String, Heard>, usize) {
    let mut heard: HashMap<String, Heard> = HashMap::new();
    for round in 1..=most {
        let answer = ask(suite, user, wanted.clone(), Some(at(9_000))).await;
        assert!(answer.encoded_len() < ROOM, "{}", answer.encoded_len());
        let mut again = Vec::new();
        for (mut known, told) in wanted.into_iter().zip(answer.conversations) {
            assert_eq!(known.conversation_id, told.conversation_id);
            let heard = heard.entry(told.conversation_id).or_default();
            heard.new.extend(told.messages.iter().map(|message| message.seq));
            heard.changed.extend(told.changed.iter().map(|message| message.seq));
            heard.is_over = !told.has_more;
            if told.has_more {
                known.after_seq = heard.new.last().copied().unwrap_or(known.after_seq);
                known.cursor = told.next_cursor;
                again.push(known);
            }
        }
        if again.is_empty() {
            return (heard, round);
        }
        wanted = again;
    }
    panic!("no end after {most} answers");
}

#[tokio::test]
async fn long_messages_come_in_several_answers_none_twice_and_none_left_out() {
    let suite = start().await;
    let pair = suite.pair().await;
    // 30 changed and 40 new ones of 20 KiB each.
    fill(&suite, (pair.conversation, pair.ada), 70, 20 * 1024, 30).await;
    let (heard, rounds) =
        everything(&suite, pair.grace, vec![known(pair.conversation, 30)], 20).await;
    let heard = &heard[&pair.conversation.to_string()];
    assert_eq!(heard.new, (31..=70).collect::<Vec<_>>());
    assert_eq!(heard.changed, (1..=30).rev().collect::<Vec<_>>(), "in the order of the changes");
    assert!((6..10).contains(&rounds), "{rounds}");
}

#[tokio::test]
async fn conversations_that_found_no_room_are_told_in_the_next_answer() {
    let suite = start().await;
    let grace = suite.user().await.0;
    let mut wanted = Vec::new();
    for _ in 0..4 {
        let partner = suite.user().await.0;
        let conversation = suite.open(partner, grace).await;
        fill(&suite, (conversation, partner), 10, 30 * 1024, 5).await;
        wanted.push(known(conversation, 5));
    }
    let first = ask(&suite, grace, wanted.clone(), Some(at(9_000))).await;
    let has_state: Vec<bool> = first.conversations.iter().map(|one| one.state.is_some()).collect();
    assert_eq!(has_state, [true, false, false, false], "room for one of them");
    assert!(first.conversations.iter().all(|one| one.has_more));
    let (heard, _) = everything(&suite, grace, wanted, 20).await;
    assert_eq!(heard.len(), 4);
    for heard in heard.values() {
        assert_eq!((&*heard.new, &*heard.changed), (&[6, 7, 8, 9, 10][..], &[5, 4, 3, 2, 1][..]));
        assert!(heard.is_over);
    }
}

#[tokio::test]
async fn message_that_is_larger_than_an_answer_comes_alone() {
    let suite = start().await;
    let pair = suite.pair().await;
    fill(&suite, (pair.conversation, pair.ada), 3, ROOM, 0).await;
    for after in 0..3 {
        let answer = ask(&suite, pair.grace, vec![known(pair.conversation, after)], None).await;
        let [told] = &answer.conversations[..] else { panic!("one") };
        assert_eq!((told.messages.len(), told.messages[0].seq), (1, after + 1));
        assert_eq!(told.has_more, after < 2);
    }
}

#[tokio::test]
async fn conversation_that_is_named_twice_is_told_once() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 4).await;
    let named = vec![known(pair.conversation, 2), known(pair.conversation, 0)];
    let answer = ask(&suite, pair.grace, named, None).await;
    let [told] = &answer.conversations[..] else { panic!("one: {answer:?}") };
    assert_eq!(told.messages.iter().map(|message| message.seq).collect::<Vec<_>>(), [3, 4]);
}

async fn state(suite: &Suite, user: UserId, conversation: ConversationId) -> (i64, ListState) {
    let answer = ask(suite, user, vec![known(conversation, 0)], None).await;
    let told = answer.conversations.into_iter().next().expect("it");
    (told.cleared_seq, told.state.expect("room for it"))
}

#[tokio::test]
async fn client_hears_what_is_unread_and_how_far_members_have_read() {
    let suite = start().await;
    let pair = suite.pair().await;
    for content in ["1", "2", "3"] {
        suite.say(pair.ada, pair.conversation, content).await;
    }
    let read = MarkReadRequest {
        target: Some(Target::Number(chat_proto::v1::ReadNumber {
            conversation_id: pair.conversation.to_string(),
            seq: 2,
        })),
    };
    suite.messages().mark_read(as_user(pair.grace, read)).await.expect("read");
    let (_, of_grace) = state(&suite, pair.grace, pair.conversation).await;
    assert_eq!(of_grace.unread_count, 1);
    let (cleared, of_ada) = state(&suite, pair.ada, pair.conversation).await;
    assert_eq!((cleared, of_ada.unread_count), (0, 0), "his own are not unread");
    let [cursor] = &of_ada.cursors[..] else { panic!("{of_ada:?}") };
    assert_eq!((&cursor.user_id, cursor.read_seq), (&pair.grace.to_string(), 2));

    let clearing = ClearConversationRequest { conversation_id: pair.conversation.to_string() };
    let mut conversations = suite.conversations.clone();
    conversations.clear_conversation(as_user(pair.grace, clearing)).await.expect("cleared");
    let (cleared, of_grace) = state(&suite, pair.grace, pair.conversation).await;
    assert_eq!((cleared, of_grace.unread_count), (3, 0));
    // Who is no member any more is not told of.
    make_group(&suite, pair.conversation, &[pair.ada]).await;
    let (_, of_ada) = state(&suite, pair.ada, pair.conversation).await;
    assert_eq!(of_ada.cursors, []);
}
