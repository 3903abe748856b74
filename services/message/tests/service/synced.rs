//! What a client that comes back is told: what is new, what has changed, and nothing that it must not see.

use bson::{DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    time::{from_timestamp, to_timestamp},
};
use chat_message::store::messages::{OutboxEntry, OutboxKind, Reply};
use chat_proto::v1::{
    ClearConversationRequest, ConversationChanges, DeleteMessageRequest, EditMessageRequest,
    KnownConversation, ListChangesRequest, ListChangesResponse, ListMessagesRequest, Message,
    list_messages_request::Target,
};
use tonic::{Code, Status};

use crate::support::{
    Suite, as_user, assert_failed, at, eventually, make_group, start, stored_message,
};

fn known(conversation: ConversationId, after_seq: i64) -> KnownConversation {
    KnownConversation { conversation_id: conversation.to_string(), after_seq, cursor: None }
}

async fn ask(
    suite: &Suite,
    user: UserId,
    request: ListChangesRequest,
) -> Result<ListChangesResponse, Status> {
    Ok(suite.messages().list_changes(as_user(user, request)).await?.into_inner())
}

/// Asks what has been missed of one conversation.
async fn missed(
    suite: &Suite,
    user: UserId,
    known: KnownConversation,
    since: Option<DateTime>,
    limit: u32,
) -> ConversationChanges {
    let since = since.map(to_timestamp);
    let request = ListChangesRequest { conversations: vec![known], since, limit };
    let mut answer = ask(suite, user, request).await.expect("an answer");
    assert_eq!(answer.conversations.len(), 1, "{answer:?}");
    answer.conversations.remove(0)
}

fn numbers(messages: &[Message]) -> Vec<i64> {
    messages.iter().map(|message| message.seq).collect()
}

async fn edit(suite: &Suite, by: UserId, message: &Message, content: &str) {
    let request =
        EditMessageRequest { message_id: message.id.clone(), content: content.to_owned() };
    suite.messages().edit_message(as_user(by, request)).await.expect("edited");
}

async fn delete(suite: &Suite, by: UserId, message: &Message, for_caller_alone: bool) {
    let request = DeleteMessageRequest { message_id: message.id.clone(), for_caller_alone };
    suite.messages().delete_message(as_user(by, request)).await.expect("deleted");
}

#[tokio::test]
async fn what_is_new_comes_in_order_and_page_by_page() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 7).await;
    let mut heard = Vec::new();
    loop {
        let after = heard.last().copied().unwrap_or(2);
        let page = missed(&suite, pair.grace, known(pair.conversation, after), None, 2).await;
        assert!(page.changed.is_empty());
        heard.extend(numbers(&page.messages));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(heard, [3, 4, 5, 6, 7]);
    let page = missed(&suite, pair.grace, known(pair.conversation, 7), None, 2).await;
    assert!(page.messages.is_empty() && !page.has_more, "{page:?}");
}

#[tokio::test]
async fn changes_of_known_messages_are_told_and_deleted_ones_as_what_is_left() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut sent = Vec::new();
    for content in ["1", "2", "3", "4"] {
        sent.push(suite.say(pair.ada, pair.conversation, content).await);
    }
    let request = ListChangesRequest::default();
    let since = ask(&suite, pair.grace, request).await.expect("an answer").as_of;
    let since = since.as_ref().map(from_timestamp);
    edit(&suite, pair.ada, &sent[1], "two").await;
    delete(&suite, pair.ada, &sent[0], false).await;
    delete(&suite, pair.grace, &sent[2], true).await;
    edit(&suite, pair.ada, &sent[3], "four").await;

    let page = missed(&suite, pair.grace, known(pair.conversation, 3), since, 0).await;
    assert_eq!(numbers(&page.messages), [4]);
    assert_eq!(page.messages[0].content, "four");
    assert_eq!(numbers(&page.changed), [2, 1, 3], "in the order of the changes");
    assert_eq!(page.changed[0].content, "two");
    for gone in &page.changed[1..] {
        assert!(gone.content.is_empty() && gone.deleted_at.is_some(), "{gone:?}");
    }
    // What one has deleted for himself is as it was for the others.
    let page = missed(&suite, pair.ada, known(pair.conversation, 4), since, 0).await;
    let third = page.changed.iter().find(|message| message.seq == 3).expect("the third");
    assert_eq!((third.content.as_str(), &third.deleted_at), ("3", &None));
    let later = Some(DateTime::from_millis(DateTime::now().timestamp_millis() + 60_000));
    let page = missed(&suite, pair.grace, known(pair.conversation, 4), later, 0).await;
    assert!(page.changed.is_empty(), "known already: {page:?}");
}

#[tokio::test]
async fn message_that_loses_its_quote_has_changed() {
    let suite = start().await;
    let pair = suite.pair().await;
    let quoted = suite.say(pair.ada, pair.conversation, "secret").await;
    let request = crate::support::text(pair.conversation, "yes");
    let request =
        chat_proto::v1::SendMessageRequest { reply_to_id: Some(quoted.id.clone()), ..request };
    suite.send(pair.grace, request).await.expect("sent");
    let since = Some(DateTime::now());
    delete(&suite, pair.ada, &quoted, false).await;
    let page = missed(&suite, pair.grace, known(pair.conversation, 2), since, 0).await;
    let reply = page.changed.iter().find(|message| message.seq == 2).expect("the answer");
    assert_eq!((&reply.quote, reply.reply_to_id.as_deref()), (&None, Some(&*quoted.id)));
}

#[tokio::test]
async fn new_message_that_loses_a_stale_quote_has_changed() {
    let suite = start().await;
    let pair = suite.pair().await;
    let since = Some(DateTime::now());
    // As it is when the quoted message goes while the answer is on its way.
    let mut answer = stored_message(pair.conversation, pair.grace, 1);
    let given = Some(r#"{"text":"secret"}"#.to_owned());
    answer.reply = Some(Reply { to: MessageId::new(), quote: None, given });
    let event_id = format!("{}:created:0", answer.id);
    answer.outbox = vec![OutboxEntry { event_id, kind: OutboxKind::Created, at: at(0) }];
    suite.stored().insert_one(answer).await.expect("inserted");
    eventually("the quote is gone", async || {
        let page = missed(&suite, pair.grace, known(pair.conversation, 1), since, 0).await;
        page.changed.iter().any(|message| message.seq == 1 && message.given_quote.is_none())
    })
    .await;
}

#[tokio::test]
async fn changes_go_on_where_a_page_of_them_ends() {
    let suite = start().await;
    let pair = suite.pair().await;
    // Two changes bear the same time.
    let changes = [(1, 5), (2, 3), (3, 3), (4, 9), (5, 7)];
    let messages = changes.map(|(seq, change)| {
        let mut message = stored_message(pair.conversation, pair.ada, seq);
        message.changed_at = Some(at(100 + change));
        message
    });
    suite.stored().insert_many(messages).await.expect("inserted");
    let (mut heard, mut cursor) = (Vec::new(), None);
    loop {
        let known = KnownConversation { cursor, ..known(pair.conversation, 5) };
        let page = missed(&suite, pair.grace, known, Some(at(50)), 2).await;
        heard.extend(numbers(&page.changed));
        assert_eq!(page.has_more, page.next_cursor.is_some());
        if !page.has_more {
            break;
        }
        cursor = page.next_cursor;
    }
    assert_eq!(heard, [2, 3, 1, 5, 4]);
    let nonsense = Some("tomorrow".to_owned());
    let known = KnownConversation { cursor: nonsense, ..known(pair.conversation, 5) };
    let request = ListChangesRequest { conversations: vec![known], ..Default::default() };
    let refused = ask(&suite, pair.grace, request).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn what_is_cleared_is_told_neither_as_new_nor_as_changed() {
    let suite = start().await;
    let pair = suite.pair().await;
    let first = suite.say(pair.ada, pair.conversation, "1").await;
    suite.say(pair.ada, pair.conversation, "2").await;
    let since = Some(DateTime::now());
    let request = ClearConversationRequest { conversation_id: pair.conversation.to_string() };
    let mut conversations = suite.conversations.clone();
    conversations.clear_conversation(as_user(pair.grace, request)).await.expect("cleared");
    edit(&suite, pair.ada, &first, "one").await;
    suite.say(pair.ada, pair.conversation, "3").await;
    let page = missed(&suite, pair.grace, known(pair.conversation, 0), since, 0).await;
    assert_eq!((numbers(&page.messages), numbers(&page.changed)), (vec![3], vec![]));
    let page = missed(&suite, pair.grace, known(pair.conversation, 3), since, 0).await;
    assert!(page.changed.is_empty(), "{page:?}");
    let page = missed(&suite, pair.ada, known(pair.conversation, 3), since, 0).await;
    assert_eq!(numbers(&page.changed), [1], "the other has cleared nothing");
}

#[tokio::test]
async fn strangers_and_former_members_are_told_nothing() {
    let suite = start().await;
    let (pair, other) = (suite.pair().await, suite.pair().await);
    for pair in [&pair, &other] {
        suite.say(pair.ada, pair.conversation, "hi").await;
    }
    let nowhere = ConversationId::new();
    let all = || ListChangesRequest {
        conversations: vec![
            known(other.conversation, 0),
            known(pair.conversation, 0),
            known(nowhere, 0),
        ],
        since: Some(to_timestamp(at(0))),
        limit: 0,
    };
    let answer = ask(&suite, pair.grace, all()).await.expect("an answer");
    assert_eq!(answer.conversations.len(), 1);
    assert_eq!(answer.conversations[0].conversation_id, pair.conversation.to_string());
    assert_eq!(answer.refused_ids, [other.conversation.to_string(), nowhere.to_string()]);
    make_group(&suite, pair.conversation, &[pair.ada]).await;
    let answer = ask(&suite, pair.grace, all()).await.expect("an answer");
    assert_eq!((answer.conversations.len(), answer.refused_ids.len()), (0, 3));
    let too_many =
        ListChangesRequest { conversations: vec![known(nowhere, 0); 101], ..Default::default() };
    let refused = ask(&suite, pair.grace, too_many).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn many_conversations_cost_as_many_queries_as_one() {
    let suite = start().await;
    let grace = suite.user().await.0;
    let mut conversations = Vec::new();
    for _ in 0..10 {
        let partner = suite.user().await.0;
        let conversation = suite.open(partner, grace).await;
        suite.say(partner, conversation, "hi").await;
        conversations.push(known(conversation, 0));
    }
    suite.take_aggregates();
    let request = ListChangesRequest {
        conversations: conversations.clone(),
        since: Some(to_timestamp(at(0))),
        limit: 0,
    };
    let answer = ask(&suite, grace, request).await.expect("an answer");
    let unread =
        answer.conversations.iter().map(|one| one.state.as_ref().expect("it").unread_count);
    assert!(unread.eq([1; 10]));
    let told: Vec<_> = answer.conversations.iter().map(|one| &one.conversation_id).collect();
    let asked: Vec<_> = conversations.iter().map(|one| &one.conversation_id).collect();
    assert_eq!(told, asked, "in the order of the question");
    assert!(answer.conversations.iter().all(|one| one.messages.len() == 1));
    // What is new, what has changed, and what is unread.
    assert_eq!(suite.take_aggregates(), 3);
}

#[tokio::test]
async fn neither_history_nor_sync_reads_former_texts_and_tokens() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 2).await;
    // Nobody could read what stands there.
    let damage = doc! { "$set": { "tokens": 1, "versions": "none", "changed_at": at(100) } };
    let stored = suite.stored().clone_with_type::<Document>();
    stored.update_many(doc! {}, damage).await.expect("a change");
    let page = missed(&suite, pair.grace, known(pair.conversation, 1), Some(at(90)), 0).await;
    assert_eq!((numbers(&page.messages), numbers(&page.changed)), (vec![2], vec![1]));
    let target = Some(Target::ConversationId(pair.conversation.to_string()));
    let request = as_user(pair.grace, ListMessagesRequest { target, ..Default::default() });
    let page = suite.messages().list_messages(request).await.expect("a page").into_inner();
    assert_eq!(numbers(&page.messages), [1, 2]);
}
