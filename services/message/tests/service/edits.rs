//! Editing: who may, what is kept, who hears of it, and what happens to two at once.

use chat_kit::id::MessageId;
use chat_proto::v1::{
    self as pb, EditMessageRequest, Event, ListConversationsRequest, event::Payload,
};
use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::support::{
    Ear, Pair, Suite, as_user, assert_failed, eventually, listen, make_group, start, start_two,
};

async fn edit(
    suite: &Suite,
    caller: chat_kit::id::UserId,
    id: &str,
    content: &str,
) -> Result<pb::Message, Status> {
    let request = EditMessageRequest { message_id: id.to_owned(), content: content.to_owned() };
    let edited = suite.messages().edit_message(as_user(caller, request)).await?;
    Ok(edited.into_inner().message.expect("a message"))
}

async fn hear(ear: &mut Ear, id: &str) -> (Event, pb::MessageEdited) {
    ear.hear_of(|event| match &event.payload {
        Some(Payload::MessageEdited(edited))
            if edited.message.as_ref().is_some_and(|message| message.id == id) =>
        {
            Some((event.clone(), edited.clone()))
        }
        _ => None,
    })
    .await
}

/// Returns what the list of a member shows of the only conversation.
pub async fn preview(suite: &Suite, pair: &Pair) -> Option<String> {
    let request = as_user(pair.grace, ListConversationsRequest::default());
    let listed = suite.conversations.clone().list_conversations(request).await.expect("a list");
    let mut conversations = listed.into_inner().conversations;
    conversations.remove(0).last_message.map(|preview| preview.content)
}

#[tokio::test]
async fn edited_text_is_announced_listed_and_the_first_one_kept() {
    let suite = start().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "frist").await;
    let mut ear = listen(pair.conversation).await;
    let edited = edit(&suite, pair.ada, &sent.id, "$first").await.expect("edited");
    assert_eq!((edited.content.as_str(), edited.change), ("$first", 1));
    assert!(edited.edited_at.is_some());
    assert_eq!((edited.seq, edited.created_at), (sent.seq, sent.created_at));

    let (event, heard) = hear(&mut ear, &sent.id).await;
    assert_eq!(event.id, format!("{}:edited:1", sent.id));
    assert_eq!(event.recipient_ids.len(), 2);
    assert_eq!((heard.message, heard.change), (Some(edited), 1));
    assert_eq!(preview(&suite, &pair).await.as_deref(), Some("$first"));

    let stored = suite.stored().find_one(bson::doc! {}).await.expect("found").expect("a message");
    assert_eq!(stored.versions.len(), 1);
    assert_eq!(
        (stored.versions[0].content.as_str(), stored.versions[0].at),
        ("frist", stored.created_at)
    );
    eventually("the outbox is empty", async || {
        let stored = suite.stored().find_one(bson::doc! {}).await.expect("found");
        stored.expect("a message").outbox.is_empty()
    })
    .await;
}

#[tokio::test]
async fn same_text_again_changes_nothing() {
    let suite = start().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    let first = edit(&suite, pair.ada, &sent.id, "2").await.expect("edited");
    let second = edit(&suite, pair.ada, &sent.id, "2").await.expect("edited");
    assert_eq!(first, second);
}

#[tokio::test]
async fn first_text_and_the_newest_twenty_are_kept() {
    let suite = start().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "0").await;
    for text in 1..=25 {
        edit(&suite, pair.ada, &sent.id, &text.to_string()).await.expect("edited");
    }
    let stored = suite.stored().find_one(bson::doc! {}).await.expect("found").expect("a message");
    let kept: Vec<_> = stored.versions.iter().map(|version| version.content.as_str()).collect();
    let newest = (5..=24).map(|text| text.to_string());
    assert_eq!(kept, [vec!["0".to_owned()], newest.collect()].concat());
    assert_eq!((stored.content.as_str(), stored.change), ("25", 25));
}

#[tokio::test]
async fn older_message_is_edited_behind_the_preview() {
    let suite = start().await;
    let pair = suite.pair().await;
    let first = suite.say(pair.ada, pair.conversation, "1").await;
    suite.say(pair.grace, pair.conversation, "2").await;
    edit(&suite, pair.ada, &first.id, "one").await.expect("edited");
    assert_eq!(preview(&suite, &pair).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn only_the_sender_edits_while_he_is_a_member() {
    let suite = start().await;
    let (pair, (stranger, _)) = (suite.pair().await, suite.user().await);
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    for other in [pair.grace, stranger] {
        let refused = edit(&suite, other, &sent.id, "2").await;
        assert_failed(refused, Code::PermissionDenied, "forbidden");
    }
    make_group(&suite, pair.conversation, &[pair.grace]).await;
    let refused = edit(&suite, pair.ada, &sent.id, "2").await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    let stored = suite.stored().find_one(bson::doc! {}).await.expect("found").expect("a message");
    assert_eq!((stored.content.as_str(), stored.change), ("1", 0));
}

#[tokio::test]
async fn edit_that_cannot_be_is_refused_by_name() {
    let suite = start().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    let long = "x".repeat(4001);
    let unknown = MessageId::new().to_string();
    for (id, content, code, reason) in [
        (sent.id.as_str(), "", Code::InvalidArgument, "validation_error"),
        (sent.id.as_str(), " \n", Code::InvalidArgument, "validation_error"),
        (sent.id.as_str(), long.as_str(), Code::InvalidArgument, "too_long"),
        ("m1", "2", Code::InvalidArgument, "invalid_id"),
        (unknown.as_str(), "2", Code::NotFound, "not_found"),
    ] {
        assert_failed(edit(&suite, pair.ada, id, content).await, code, reason);
    }
    let deletion =
        pb::DeleteMessageRequest { message_id: sent.id.clone(), for_caller_alone: false };
    suite.messages().delete_message(as_user(pair.ada, deletion)).await.expect("deleted");
    let refused = edit(&suite, pair.ada, &sent.id, "2").await;
    assert_failed(refused, Code::FailedPrecondition, "message_deleted");
}

#[tokio::test]
async fn of_many_edits_at_once_each_takes_effect_and_the_last_is_listed() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "0").await;
    let edits = (1..=12).map(async |text: usize| {
        let request = EditMessageRequest { message_id: sent.id.clone(), content: text.to_string() };
        let mut replica = suite.replicas[text % 2].clone();
        let edited = replica.edit_message(as_user(pair.ada, request)).await.expect("edited");
        edited.into_inner().message.expect("a message").change
    });
    let mut changes = join_all(edits).await;
    changes.sort_unstable();
    assert_eq!(changes, (1..=12).collect::<Vec<i64>>());
    let stored = suite.stored().find_one(bson::doc! {}).await.expect("found").expect("a message");
    eventually("the list shows the last text", async || {
        preview(&suite, &pair).await.as_deref() == Some(stored.content.as_str())
    })
    .await;
}

#[tokio::test]
async fn edit_and_deletion_at_once_end_in_a_deletion() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    for round in 0..8 {
        let sent = suite.say(pair.ada, pair.conversation, &format!("secret {round}")).await;
        let deletion =
            pb::DeleteMessageRequest { message_id: sent.id.clone(), for_caller_alone: false };
        let mut other = suite.replicas[1].clone();
        let (edited, deleted) = tokio::join!(
            edit(&suite, pair.ada, &sent.id, "secret too"),
            other.delete_message(as_user(pair.ada, deletion)),
        );
        deleted.expect("deleted");
        if let Err(refused) = edited {
            assert_failed(Err::<(), _>(refused), Code::FailedPrecondition, "message_deleted");
        }
        let id: MessageId = sent.id.parse().expect("an id");
        let stored = suite.stored().find_one(bson::doc! { "_id": id }).await.expect("found");
        let stored = stored.expect("what is left");
        assert!(stored.deleted_at.is_some());
        assert_eq!((stored.content.as_str(), stored.versions.len()), ("", 0));
    }
    eventually("nothing is listed", async || preview(&suite, &pair).await.is_none()).await;
}
