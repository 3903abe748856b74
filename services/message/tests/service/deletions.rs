//! Deleting: for everybody or for oneself, what is left, and who hears of it.

use bson::doc;
use chat_kit::id::{MessageId, UserId};
use chat_proto::v1::{
    self as pb, Attachment, DeleteMessageRequest, Event, ListConversationsRequest,
    ListMessagesRequest, SendMessageRequest,
    event::Payload,
    list_messages_request::{Position, Target},
};
use futures_util::future::join_all;
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::{
    edits::preview,
    support::{
        Ear, Pair, Suite, as_user, assert_failed, eventually, listen, make_group, start, start_two,
        text,
    },
};

async fn delete(
    suite: &Suite,
    caller: UserId,
    id: &str,
    for_caller_alone: bool,
) -> Result<pb::Message, Status> {
    let request = DeleteMessageRequest { message_id: id.to_owned(), for_caller_alone };
    let deleted = suite.messages().delete_message(as_user(caller, request)).await?;
    Ok(deleted.into_inner().message.expect("a message"))
}

async fn hear(ear: &mut Ear, id: &str) -> (Event, pb::Message) {
    ear.hear_of(|event| match &event.payload {
        Some(Payload::MessageDeleted(deleted)) => {
            let message = deleted.message.clone().filter(|message| message.id == id)?;
            Some((event.clone(), message))
        }
        _ => None,
    })
    .await
}

async fn history(
    suite: &Suite,
    reader: UserId,
    pair: &Pair,
    request: ListMessagesRequest,
) -> (Vec<i64>, i64) {
    let target = Some(Target::ConversationId(pair.conversation.to_string()));
    let request = ListMessagesRequest { target, ..request };
    let listed = suite.messages().list_messages(as_user(reader, request)).await;
    let listed = listed.expect("a page").into_inner();
    (listed.messages.iter().map(|message| message.seq).collect(), listed.total_count)
}

#[tokio::test]
async fn of_a_deleted_message_nothing_is_left_but_its_place() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.say(pair.grace, pair.conversation, "before").await;
    let request = SendMessageRequest {
        attachment: Some(Attachment { url: "secret.jpg".to_owned(), ..Default::default() }),
        client_id: Some("\"c1\"".to_owned()),
        mention_ids: vec![pair.grace.to_string()],
        ..text(pair.conversation, "secret")
    };
    let sent = suite.send(pair.ada, request.clone()).await.expect("sent").message.expect("sent");
    let edit =
        pb::EditMessageRequest { message_id: sent.id.clone(), content: "secret, too".to_owned() };
    suite.messages().edit_message(as_user(pair.ada, edit)).await.expect("edited");
    let answer = SendMessageRequest {
        reply_to_id: Some(sent.id.clone()),
        given_quote: Some(r#"{"text":"secret"}"#.to_owned()),
        ..text(pair.conversation, "what?")
    };
    suite.send(pair.grace, answer).await.expect("sent");
    let mut ear = listen(pair.conversation).await;

    let left = delete(&suite, pair.ada, &sent.id, false).await.expect("deleted");
    assert!(left.deleted_at.is_some());
    assert_eq!((left.seq, left.sender_id.as_str()), (2, sent.sender_id.as_str()));
    let (event, heard) = hear(&mut ear, &sent.id).await;
    assert_eq!(event.id, format!("{}:deleted:2", sent.id));
    assert_eq!(event.recipient_ids.len(), 2, "the sender's other devices, too");
    assert!(!format!("{heard:?}").contains("secret"), "{heard:?}");

    let raw = suite.stored().clone_with_type::<bson::Document>();
    let all = format!("{:?}", {
        use futures_util::TryStreamExt as _;
        raw.find(doc! {}).await.expect("found").try_collect::<Vec<_>>().await.expect("documents")
    });
    assert!(!all.contains("secret"), "{all}");
    assert_eq!(preview(&suite, &pair).await.as_deref(), Some("what?"));

    let again = suite.send(pair.ada, request).await.expect("answered");
    assert!(again.is_repetition, "it is still known by its client's id");
    assert_eq!(delete(&suite, pair.ada, &sent.id, false).await.expect("no failure"), left);
}

#[tokio::test]
async fn deleted_preview_gives_way_to_the_newest_that_is_left() {
    let suite = start().await;
    let pair = suite.pair().await;
    let mut ids = Vec::new();
    for content in ["1", "2", "3"] {
        ids.push(suite.say(pair.ada, pair.conversation, content).await.id);
    }
    delete(&suite, pair.ada, &ids[1], false).await.expect("deleted");
    assert_eq!(preview(&suite, &pair).await.as_deref(), Some("3"));
    delete(&suite, pair.ada, &ids[2], false).await.expect("deleted");
    assert_eq!(preview(&suite, &pair).await.as_deref(), Some("1"));
    delete(&suite, pair.ada, &ids[0], false).await.expect("deleted");
    assert_eq!(preview(&suite, &pair).await, None);
    suite.say(pair.ada, pair.conversation, "4").await;
    assert_eq!(preview(&suite, &pair).await.as_deref(), Some("4"));
}

#[tokio::test]
async fn of_many_deletions_at_once_none_leaves_a_deleted_preview() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    let mut ids = Vec::new();
    let first = suite.say(pair.ada, pair.conversation, "0").await;
    for content in 1..8 {
        ids.push(suite.say(pair.ada, pair.conversation, &content.to_string()).await.id);
    }
    let deletions = ids.iter().enumerate().map(async |(at, id)| {
        let request = DeleteMessageRequest { message_id: id.clone(), for_caller_alone: false };
        let mut replica = suite.replicas[at % 2].clone();
        replica.delete_message(as_user(pair.ada, request)).await.expect("deleted");
    });
    join_all(deletions).await;
    eventually("the first is shown", async || preview(&suite, &pair).await.as_deref() == Some("0"))
        .await;
    eventually("the first is the last one written", async || {
        last_sent(&suite, pair.ada).await == first.created_at
    })
    .await;
}

/// Returns when somebody last wrote, as his list says.
async fn last_sent(suite: &Suite, who: UserId) -> Option<Timestamp> {
    let request = as_user(who, ListConversationsRequest::default());
    let listed = suite.conversations.clone().list_conversations(request).await.expect("a list");
    listed.into_inner().conversations.remove(0).last_sent_at
}

#[tokio::test]
async fn deleted_message_is_not_the_newest_that_its_sender_wrote() {
    let suite = start().await;
    let pair = suite.pair().await;
    let first = suite.say(pair.ada, pair.conversation, "1").await;
    let of_grace = suite.say(pair.grace, pair.conversation, "2").await;
    let second = suite.say(pair.ada, pair.conversation, "3").await;
    let third = suite.say(pair.ada, pair.conversation, "4").await;
    for (deleted, left) in [
        (&second, third.created_at),
        (&third, first.created_at),
        (&third, first.created_at),
        (&first, None),
    ] {
        delete(&suite, pair.ada, &deleted.id, false).await.expect("deleted");
        assert_eq!(last_sent(&suite, pair.ada).await, left);
        assert_eq!(last_sent(&suite, pair.grace).await, of_grace.created_at);
    }
    let next = suite.say(pair.ada, pair.conversation, "5").await;
    assert_eq!(last_sent(&suite, pair.ada).await, next.created_at);
}

#[tokio::test]
async fn only_the_sender_deletes_for_everybody() {
    let suite = start().await;
    let (pair, (stranger, _)) = (suite.pair().await, suite.user().await);
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    let refused = delete(&suite, pair.grace, &sent.id, false).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    for alone in [false, true] {
        let refused = delete(&suite, stranger, &sent.id, alone).await;
        assert_failed(refused, Code::PermissionDenied, "forbidden");
    }
    let unknown = MessageId::new().to_string();
    for alone in [false, true] {
        let refused = delete(&suite, pair.ada, &unknown, alone).await;
        assert_failed(refused, Code::NotFound, "not_found");
        let refused = delete(&suite, pair.ada, "m1", alone).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_id");
    }
    make_group(&suite, pair.conversation, &[pair.grace]).await;
    let refused = delete(&suite, pair.ada, &sent.id, false).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    suite.assert_stored(None, 1).await;
}

#[tokio::test]
async fn what_happened_cannot_be_deleted_for_everybody() {
    let suite = start().await;
    let pair = suite.pair().await;
    let happening = pb::SendSystemMessageRequest {
        conversation_id: pair.conversation.to_string(),
        message_id: MessageId::new().to_string(),
        actor_id: pair.ada.to_string(),
        content: "Ada added Grace".to_owned(),
        note: Some(pb::SystemNote { kind: "member_added".to_owned(), user_ids: vec![] }),
    };
    let id = happening.message_id.clone();
    let request = crate::support::as_service(happening);
    suite.messages().send_system_message(request).await.expect("sent");
    let refused = delete(&suite, pair.ada, &id, false).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    delete(&suite, pair.ada, &id, true).await.expect("for himself");
}

#[tokio::test]
async fn what_is_deleted_for_oneself_others_still_see() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.say(pair.ada, pair.conversation, "1").await;
    let second = suite.say(pair.ada, pair.conversation, "2").await;
    for _ in 0..2 {
        let left = delete(&suite, pair.grace, &second.id, true).await.expect("deleted");
        assert_eq!((left.id.as_str(), left.deleted_at), (second.id.as_str(), None));
    }
    let all = ListMessagesRequest::default();
    assert_eq!(history(&suite, pair.grace, &pair, all.clone()).await, (vec![1], 1));
    assert_eq!(history(&suite, pair.ada, &pair, all).await, (vec![1, 2], 2));
    let stored = suite.stored().find_one(doc! { "seq": 2 }).await.expect("found");
    assert_eq!(stored.expect("a message").deleted_for, [pair.grace], "once");
}

#[tokio::test]
async fn pages_are_filled_up_over_what_is_deleted() {
    let suite = start().await;
    let pair = suite.pair().await;
    suite.seed(&pair, 20).await;
    let gone = doc! { "seq": { "$in": [20, 18, 17, 9] } };
    let change = doc! { "$set": { "deleted_at": bson::DateTime::now(), "is_hidden": true } };
    suite.stored().update_many(gone, change).await.expect("changed");
    let own = doc! { "seq": { "$in": [12, 13] } };
    let change = doc! { "$set": { "deleted_for": [pair.grace], "is_hidden": true } };
    suite.stored().update_many(own, change).await.expect("changed");

    let page = |page, show_deleted| ListMessagesRequest {
        limit: 5,
        position: Some(Position::Page(page)),
        show_deleted,
        ..Default::default()
    };
    let mut pages = Vec::new();
    for number in 1..=4 {
        let (numbers, total) = history(&suite, pair.grace, &pair, page(number, false)).await;
        assert_eq!(total, 14);
        pages.push(numbers);
    }
    let expected = [vec![11, 14, 15, 16, 19], vec![5, 6, 7, 8, 10], vec![1, 2, 3, 4], vec![]];
    assert_eq!(pages, expected);
    let (numbers, total) = history(&suite, pair.ada, &pair, page(1, false)).await;
    assert_eq!((numbers, total), (vec![13, 14, 15, 16, 19], 16));
    let (numbers, total) = history(&suite, pair.grace, &pair, page(1, true)).await;
    assert_eq!((numbers, total), ((16..=20).collect(), 20));
    let behind = |show_deleted| ListMessagesRequest {
        limit: 5,
        position: Some(Position::AfterSeq(8)),
        show_deleted,
        ..Default::default()
    };
    let (numbers, _) = history(&suite, pair.grace, &pair, behind(false)).await;
    assert_eq!(numbers, [10, 11, 14, 15, 16]);
    let (numbers, _) = history(&suite, pair.grace, &pair, behind(true)).await;
    assert_eq!(numbers, [9, 10, 11, 12, 13]);
}

#[tokio::test]
async fn what_is_left_is_shown_to_whom_it_is_deleted_alone() {
    let suite = start().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "secret").await;
    delete(&suite, pair.grace, &sent.id, true).await.expect("deleted");
    let target = Some(Target::ConversationId(pair.conversation.to_string()));
    let request = ListMessagesRequest { target, show_deleted: true, ..Default::default() };
    let read = async |reader| {
        let listed = suite.messages().list_messages(as_user(reader, request.clone())).await;
        listed.expect("a page").into_inner().messages.remove(0)
    };
    let left = read(pair.grace).await;
    assert!(left.deleted_at.is_some() && left.content.is_empty());
    assert_eq!(read(pair.ada).await.content, "secret");
}

#[tokio::test]
async fn answer_that_meets_a_deletion_quotes_nothing() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    for round in 0..8 {
        let sent = suite.say(pair.ada, pair.conversation, &format!("secret {round}")).await;
        let answer = SendMessageRequest {
            reply_to_id: Some(sent.id.clone()),
            given_quote: Some(r#"{"text":"secret"}"#.to_owned()),
            ..text(pair.conversation, "what?")
        };
        let mut other = suite.replicas[1].clone();
        let (deleted, answered) = tokio::join!(
            delete(&suite, pair.ada, &sent.id, false),
            other.send_message(as_user(pair.grace, answer)),
        );
        deleted.expect("deleted");
        answered.expect("sent");
    }
    eventually("no quote is left", async || {
        let quoting = doc! { "$or": [{ "reply.quote": { "$exists": true } }, { "reply.given": { "$exists": true } }] };
        suite.stored().count_documents(quoting).await.expect("a count") == 0
    })
    .await;
}

#[tokio::test]
async fn deletion_that_a_crash_left_behind_is_finished_by_a_relay() {
    let suite = start().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "secret").await;
    let answer =
        SendMessageRequest { reply_to_id: Some(sent.id.clone()), ..text(pair.conversation, "?") };
    let answer = suite.send(pair.grace, answer).await.expect("sent").message.expect("a message");
    let answer: MessageId = answer.id.parse().expect("an id");
    delete(&suite, pair.grace, &answer.to_string(), false).await.expect("deleted");
    assert_eq!(preview(&suite, &pair).await.as_deref(), Some("secret"));
    let mut ear = listen(pair.conversation).await;
    // As it is when a process dies right behind the commit.
    let id: MessageId = sent.id.parse().expect("an id");
    let entry = doc! {
        "event_id": format!("{id}:deleted:1"), "kind": "deleted",
        "at": bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() - 10_000),
    };
    let change = doc! {
        "$set": { "content": "", "deleted_at": bson::DateTime::now(), "is_hidden": true, "change": 1_i64 },
        "$push": { "outbox": entry },
    };
    suite.stored().update_one(doc! { "_id": id }, change).await.expect("changed");
    let (event, _) = hear(&mut ear, &sent.id).await;
    assert_eq!(event.id, format!("{id}:deleted:1"));
    eventually("the list shows nothing of it", async || preview(&suite, &pair).await.is_none())
        .await;
}
