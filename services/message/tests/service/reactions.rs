//! Reactions: one of each for a member, bounded, and known to everybody.

use chat_kit::id::{MessageId, UserId};
use chat_proto::v1::{self as pb, AddReactionRequest, RemoveReactionRequest, event::Payload};
use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::support::{Suite, as_user, assert_failed, listen, start, start_two};

async fn add(
    suite: &Suite,
    member: UserId,
    id: &str,
    reaction: &str,
) -> Result<pb::Message, Status> {
    let request = AddReactionRequest { message_id: id.to_owned(), reaction: reaction.to_owned() };
    let answer = suite.messages().add_reaction(as_user(member, request)).await?;
    Ok(answer.into_inner().message.expect("a message"))
}

async fn remove(
    suite: &Suite,
    member: UserId,
    id: &str,
    reaction: &str,
) -> Result<pb::Message, Status> {
    let request =
        RemoveReactionRequest { message_id: id.to_owned(), reaction: reaction.to_owned() };
    let answer = suite.messages().remove_reaction(as_user(member, request)).await?;
    Ok(answer.into_inner().message.expect("a message"))
}

fn said(message: &pb::Message) -> Vec<(&str, &str)> {
    let reactions = message.reactions.iter();
    reactions.map(|one| (one.user_id.as_str(), one.reaction.as_str())).collect()
}

#[tokio::test]
async fn reactions_come_once_go_again_and_are_announced() {
    let suite = start().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    let (ada, grace) = (pair.ada.to_string(), pair.grace.to_string());
    let mut ear = listen(pair.conversation).await;
    add(&suite, pair.grace, &sent.id, "👍").await.expect("added");
    add(&suite, pair.ada, &sent.id, "👍").await.expect("added");
    add(&suite, pair.grace, &sent.id, "$set").await.expect("added");
    let again = add(&suite, pair.grace, &sent.id, "👍").await.expect("no failure");
    assert_eq!(said(&again), [(&*grace, "👍"), (&*ada, "👍"), (&*grace, "$set")]);
    assert_eq!(again.change, 3, "the fourth changed nothing");
    let left = remove(&suite, pair.grace, &sent.id, "👍").await.expect("removed");
    assert_eq!(said(&left), [(&*ada, "👍"), (&*grace, "$set")]);
    let again = remove(&suite, pair.grace, &sent.id, "👍").await.expect("no failure");
    assert_eq!(again, left);
    for change in 1..=4 {
        let id = format!("{}:reacted:{change}", sent.id);
        let reacted = ear
            .hear_of(|event| match &event.payload {
                Some(Payload::MessageReacted(reacted)) if event.id == id => Some(reacted.clone()),
                _ => None,
            })
            .await;
        assert_eq!(reacted.change, change);
    }
}

#[tokio::test]
async fn reaction_is_a_sign_or_a_short_word() {
    let suite = start().await;
    let (pair, (stranger, _)) = (suite.pair().await, suite.user().await);
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    for wrong in ["", " ", "a\nb", &"x".repeat(33)] {
        for outcome in [
            add(&suite, pair.ada, &sent.id, wrong).await,
            remove(&suite, pair.ada, &sent.id, wrong).await,
        ] {
            assert_failed(outcome, Code::InvalidArgument, "validation_error");
        }
    }
    let refused = add(&suite, stranger, &sent.id, "👍").await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    let refused = remove(&suite, stranger, &sent.id, "👍").await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    let refused = add(&suite, pair.ada, &MessageId::new().to_string(), "👍").await;
    assert_failed(refused, Code::NotFound, "not_found");
    let deletion =
        pb::DeleteMessageRequest { message_id: sent.id.clone(), for_caller_alone: false };
    suite.messages().delete_message(as_user(pair.ada, deletion)).await.expect("deleted");
    for outcome in [
        add(&suite, pair.ada, &sent.id, "👍").await,
        remove(&suite, pair.ada, &sent.id, "👍").await,
    ] {
        assert_failed(outcome, Code::FailedPrecondition, "message_deleted");
    }
}

#[tokio::test]
async fn message_has_at_most_20_different_reactions_however_many_come_at_once() {
    let suite = start_two().await;
    let pair = suite.pair().await;
    let sent = suite.say(pair.ada, pair.conversation, "1").await;
    let adding = (0..30).map(async |number: usize| {
        let request =
            AddReactionRequest { message_id: sent.id.clone(), reaction: format!("r{number}") };
        let mut replica = suite.replicas[number % 2].clone();
        match replica.add_reaction(as_user(pair.grace, request)).await {
            Ok(_) => true,
            Err(refused) => {
                assert_failed(
                    Err::<(), _>(refused),
                    Code::FailedPrecondition,
                    "too_many_reactions",
                );
                false
            }
        }
    });
    let added = join_all(adding).await.into_iter().filter(|is_added| *is_added).count();
    assert_eq!(added, 20);
    let stored = suite.stored().find_one(bson::doc! {}).await.expect("found").expect("a message");
    assert_eq!(stored.reactions.len(), 20);
    let known = stored.reactions[0].reaction.clone();
    let message = add(&suite, pair.ada, &sent.id, &known).await.expect("one that is there");
    assert_eq!(message.reactions.len(), 21);
}
