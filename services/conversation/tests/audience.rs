//! Who may act, and who hears.

use bson::doc;
use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1::{
    Act, ConversationUsers, FilterMembersRequest, GetAudienceRequest, GetAudienceResponse,
};
use futures_util::future::join_all;
use tonic::{Code, Request, Status};

use crate::support::{Suite, as_service, as_user, assert_failed, start};

async fn ask(
    suite: &Suite,
    request: Request<GetAudienceRequest>,
) -> Result<GetAudienceResponse, Status> {
    let mut conversations = suite.conversations.clone();
    Ok(conversations.get_audience(request).await?.into_inner())
}

fn about(id: &str, act: Act) -> GetAudienceRequest {
    GetAudienceRequest { conversation_id: id.to_owned(), act: act.into() }
}

#[tokio::test]
async fn members_read_and_post_and_all_of_them_hear() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    suite.forget_commands();
    for member in [ada, grace] {
        for act in [Act::Read, Act::Post] {
            let request = as_user(member, about(&conversation.id, act));
            let audience = ask(&suite, request).await.expect("an audience");
            assert_eq!(audience.member_ids, conversation.member_ids);
            assert!(audience.is_direct);
        }
    }
    assert_eq!(suite.queries().len(), 4, "one read a question");
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn stranger_gets_no_audience() {
    let suite = start().await;
    let (_, _, conversation) = suite.pair().await;
    for act in [Act::Read, Act::Post, Act::Deliver] {
        let request = as_user(UserId::new(), about(&conversation.id, act));
        assert_failed(ask(&suite, request).await, Code::PermissionDenied, "forbidden");
    }
}

#[tokio::test]
async fn removed_member_gets_no_audience() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let id: ConversationId = conversation.id.parse().expect("an id");
    let removal = doc! { "$pull": { "member_ids": grace } };
    suite.stored().update_one(doc! { "_id": id }, removal).await.expect("a removal");
    let request = as_user(grace, about(&conversation.id, Act::Read));
    assert_failed(ask(&suite, request).await, Code::PermissionDenied, "forbidden");
    let request = as_user(ada, about(&conversation.id, Act::Read));
    let audience = ask(&suite, request).await.expect("an audience");
    assert_eq!(audience.member_ids, [ada.to_string()]);
}

#[tokio::test]
async fn nobody_posts_in_a_declined_conversation() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let mut messages = Vec::new();
    for status in ["pending", "declined", "blocked"] {
        suite.set_status(&conversation.id, status).await;
        for member in [ada, grace] {
            let request = as_user(member, about(&conversation.id, Act::Post));
            let refused = ask(&suite, request).await;
            messages.push(assert_failed(refused, Code::PermissionDenied, "forbidden"));
            let request = as_user(member, about(&conversation.id, Act::Read));
            ask(&suite, request).await.expect("reading stays allowed");
        }
    }
    messages.dedup();
    assert_eq!(messages.len(), 4, "each side of a request waits for another: {messages:?}");
}

#[tokio::test]
async fn only_services_deliver() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    suite.set_status(&conversation.id, "declined").await;
    let request = as_service(about(&conversation.id, Act::Deliver));
    let audience = ask(&suite, request).await.expect("an audience");
    assert_eq!(audience.member_ids, conversation.member_ids);
    let request = as_user(ada, about(&conversation.id, Act::Deliver));
    assert_failed(ask(&suite, request).await, Code::PermissionDenied, "forbidden");
    for act in [Act::Read, Act::Post] {
        let request = as_service(about(&conversation.id, act));
        assert_failed(ask(&suite, request).await, Code::PermissionDenied, "forbidden");
    }
}

#[tokio::test]
async fn unknown_conversation_is_not_found() {
    let suite = start().await;
    let id = ConversationId::new().to_string();
    for request in
        [as_user(UserId::new(), about(&id, Act::Post)), as_service(about(&id, Act::Deliver))]
    {
        let refused = ask(&suite, request).await;
        assert_failed(refused, Code::NotFound, "conversation_not_found");
    }
}

#[tokio::test]
async fn malformed_question_is_invalid() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    for id in ["", "65f0", "{\"$gt\": \"\"}", "zzzzzzzzzzzzzzzzzzzzzzzz"] {
        let refused = ask(&suite, as_user(ada, about(id, Act::Read))).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_conversation_id");
    }
    for act in [0, 4, -1] {
        let request = GetAudienceRequest { conversation_id: conversation.id.clone(), act };
        let refused = ask(&suite, as_user(ada, request)).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}

#[tokio::test]
async fn broken_document_is_an_internal_error() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    suite.set_status(&conversation.id, "unheard of").await;
    let refused = ask(&suite, as_user(ada, about(&conversation.id, Act::Read))).await;
    assert_failed(refused, Code::Internal, "server_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_at_the_same_time_are_answered_each_for_itself() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let (other, _, another) = suite.pair().await;
    suite.set_status(&another.id, "unheard of").await;
    let nowhere = ConversationId::new().to_string();
    let mut questions = Vec::new();
    for _ in 0..20 {
        for (user, id) in
            [(ada, &conversation.id), (grace, &conversation.id), (other, &conversation.id)]
        {
            questions.push(ask(&suite, as_user(user, about(id, Act::Post))));
        }
        questions.push(ask(&suite, as_user(ada, about(&nowhere, Act::Post))));
        questions.push(ask(&suite, as_user(other, about(&another.id, Act::Post))));
    }
    for (place, answer) in join_all(questions).await.into_iter().enumerate() {
        match place % 5 {
            0 | 1 => assert_eq!(answer.expect("a member").member_ids, conversation.member_ids),
            2 => drop(assert_failed(answer, Code::PermissionDenied, "forbidden")),
            3 => drop(assert_failed(answer, Code::NotFound, "conversation_not_found")),
            _ => drop(assert_failed(answer, Code::Internal, "server_error")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn question_after_a_removal_sees_it_however_many_are_asked() {
    let suite = start().await;
    let (_, grace, conversation) = suite.pair().await;
    let id: ConversationId = conversation.id.parse().expect("an id");
    let question = || ask(&suite, as_user(grace, about(&conversation.id, Act::Read)));
    for _ in 0..20 {
        let restore = doc! { "$addToSet": { "member_ids": grace } };
        suite.stored().update_one(doc! { "_id": id }, restore).await.expect("restored");
        let asking = async {
            // So many that some wait for a query while the removal is acknowledged.
            join_all((0..50).map(|_| question())).await;
        };
        let removing = async {
            let removal = doc! { "$pull": { "member_ids": grace } };
            suite.stored().update_one(doc! { "_id": id }, removal).await.expect("a removal");
            assert_failed(question().await, Code::PermissionDenied, "forbidden");
        };
        tokio::join!(asking, removing);
    }
}

async fn filtered(
    suite: &Suite,
    asked: &[(&str, Vec<UserId>)],
) -> Result<Vec<Vec<String>>, Status> {
    let conversations = asked.iter().map(|(id, users)| ConversationUsers {
        conversation_id: (*id).to_owned(),
        user_ids: users.iter().map(UserId::to_string).collect(),
    });
    let request = FilterMembersRequest { conversations: conversations.collect() };
    let mut conversations = suite.conversations.clone();
    let answer = conversations.filter_members(as_service(request)).await?.into_inner();
    Ok(answer.conversations.into_iter().map(|members| members.user_ids).collect())
}

#[tokio::test]
async fn members_of_several_conversations_are_told_by_one_query() {
    let suite = start().await;
    let (ada, grace, direct) = suite.pair().await;
    let [joan, stranger] = suite.users().await;
    let group = suite.group(ada, ConversationId::new(), &[joan]).await.expect("a group");
    suite.set_status(&group.id, "blocked").await;
    let nowhere = ConversationId::new().to_string();
    let all = vec![stranger, grace, ada, joan];
    let asked = [
        (&*direct.id, all.clone()),
        (&*nowhere, all.clone()),
        (&*group.id, all),
        (&*direct.id, vec![]),
    ];
    suite.forget_commands();
    let members = filtered(&suite, &asked).await.expect("an answer");
    let texts = |users: &[UserId]| users.iter().map(UserId::to_string).collect::<Vec<_>>();
    assert_eq!(members, [texts(&[grace, ada]), vec![], texts(&[ada, joan]), vec![]]);
    assert_eq!(suite.queries().len(), 1);
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn membership_of_others_is_told_to_services_alone_and_not_of_too_many() {
    let suite = start().await;
    let request = as_user(UserId::new(), FilterMembersRequest::default());
    let refused = suite.conversations.clone().filter_members(request).await;
    assert_eq!(refused.expect_err("a user").code(), Code::PermissionDenied);
    let id = ConversationId::new().to_string();
    let too_many_users = [(&*id, vec![UserId::new(); 1002])];
    let refused = filtered(&suite, &too_many_users).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    let too_many = vec![(&*id, vec![]); 501];
    assert_failed(filtered(&suite, &too_many).await, Code::InvalidArgument, "validation_error");
    assert_eq!(filtered(&suite, &too_many[..500]).await.expect("an answer").len(), 500);
}
