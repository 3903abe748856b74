//! Previews of the newest message.

use bson::doc;
use chat_kit::{
    error,
    id::{ConversationId, MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{
    Attachment, Conversation, ListConversationsRequest, Preview, RecordActivitiesRequest,
    RecordActivityRequest, ReplacePreviewRequest,
};
use futures_util::future::join_all;
use tonic::{Code, Request, Status};

use crate::support::{Suite, as_service, as_user, assert_failed, start};

fn preview(sender: UserId, seq: i64, content: &str) -> Preview {
    Preview {
        message_id: MessageId::new().to_string(),
        seq,
        sender_id: sender.to_string(),
        content: content.to_owned(),
        r#type: "text".to_owned(),
        created_at: Some(to_timestamp(bson::DateTime::from_millis(1_000_000 + seq))),
        ..Default::default()
    }
}

fn about(id: &str, preview: Preview) -> RecordActivityRequest {
    RecordActivityRequest { conversation_id: id.to_owned(), preview: Some(preview) }
}

async fn record(suite: &Suite, request: Request<RecordActivityRequest>) -> Result<(), Status> {
    let mut conversations = suite.conversations.clone();
    conversations.record_activity(request).await.map(drop)
}

/// Returns the only conversation of a user as he sees it.
async fn seen_by(suite: &Suite, user: UserId) -> Conversation {
    let request = as_user(user, ListConversationsRequest::default());
    let mut conversations = suite.conversations.clone();
    let page = conversations.list_conversations(request).await.expect("a page").into_inner();
    page.conversations.into_iter().next().expect("a conversation")
}

#[tokio::test]
async fn preview_of_the_sender_reaches_the_list() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let sent = preview(ada, 1, "$status");
    record(&suite, as_user(ada, about(&conversation.id, sent.clone()))).await.expect("recorded");
    let seen = seen_by(&suite, ada).await;
    assert_eq!(seen.last_message.as_ref(), Some(&sent));
    assert_eq!(seen.last_sent_at, sent.created_at);
    let stored = suite.document(&conversation.id).await;
    let at = *stored.get_datetime("last_message_at").expect("a time");
    assert_eq!(Some(to_timestamp(at)), sent.created_at);
    let seen = seen_by(&suite, grace).await;
    assert_eq!((seen.last_message, seen.last_sent_at), (Some(sent), None));
    suite.assert_indexed(&["update"]).await;
}

#[tokio::test]
async fn older_preview_never_replaces_newer() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let newer = preview(ada, 7, "newer");
    record(&suite, as_user(ada, about(&conversation.id, newer.clone()))).await.expect("recorded");
    let before = suite.document(&conversation.id).await;

    let older = preview(grace, 6, "older");
    record(&suite, as_user(grace, about(&conversation.id, older.clone()))).await.expect("older");
    let again = preview(ada, 7, "the same number");
    record(&suite, as_service(about(&conversation.id, again))).await.expect("again");
    let first = preview(ada, 1, "first");
    record(&suite, as_service(about(&conversation.id, first))).await.expect("first");

    let after = suite.document(&conversation.id).await;
    for key in ["last_message", "last_message_at", "updated_at"] {
        assert_eq!(after.get(key), before.get(key), "{key}");
    }
    assert_eq!(seen_by(&suite, ada).await.last_sent_at, newer.created_at);
    assert_eq!(seen_by(&suite, grace).await.last_sent_at, older.created_at);
}

#[tokio::test]
async fn parallel_previews_end_with_the_newest() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let records = (1..=40).map(|seq| {
        let sender = if seq % 2 == 0 { ada } else { grace };
        let request = about(&conversation.id, preview(sender, seq, &seq.to_string()));
        record(&suite, as_user(sender, request))
    });
    for recorded in join_all(records).await {
        recorded.expect("recorded");
    }
    let seen = seen_by(&suite, ada).await;
    assert_eq!(seen.last_message.expect("a preview").content, "40");
    assert_eq!(seen.last_sent_at, preview(ada, 40, "").created_at);
    assert_eq!(seen_by(&suite, grace).await.last_sent_at, preview(grace, 39, "").created_at);
}

#[tokio::test]
async fn preview_of_a_file_or_of_a_call_comes_back_whole() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let bare = Attachment { url: "https://x/a".to_owned(), ..Attachment::default() };
    let whole = Attachment {
        name: Some("a.m4a".to_owned()),
        file_type: Some("audio".to_owned()),
        duration_seconds: Some(u32::MAX),
        ..bare.clone()
    };
    for (seq, attachment) in [(1, bare), (2, whole)] {
        let sent = Preview { attachment: Some(attachment), ..preview(ada, seq, "") };
        let request = about(&conversation.id, sent.clone());
        record(&suite, as_user(ada, request)).await.expect("recorded");
        assert_eq!(seen_by(&suite, ada).await.last_message, Some(sent));
    }
    for (seq, is_video) in [(3, false), (4, true)] {
        let sent = Preview { is_call: true, is_video, ..preview(ada, seq, "call") };
        let request = about(&conversation.id, sent.clone());
        record(&suite, as_user(ada, request)).await.expect("recorded");
        assert_eq!(seen_by(&suite, ada).await.last_message, Some(sent));
    }
}

#[tokio::test]
async fn preview_is_cut_to_4000_characters() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let long = preview(ada, 1, &"📎".repeat(4001));
    record(&suite, as_user(ada, about(&conversation.id, long))).await.expect("recorded");
    let seen = seen_by(&suite, ada).await;
    assert_eq!(seen.last_message.expect("a preview").content, "📎".repeat(4000));
}

#[tokio::test]
async fn preview_of_somebody_else_or_of_a_stranger_is_refused() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let foreign = about(&conversation.id, preview(grace, 1, "forged"));
    let refused = record(&suite, as_user(ada, foreign)).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    let stranger = UserId::new();
    let own = about(&conversation.id, preview(stranger, 1, "forged"));
    let refused = record(&suite, as_user(stranger, own)).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    let seen = seen_by(&suite, ada).await;
    assert_eq!((seen.last_message, seen.last_sent_at), (None, None));
}

#[tokio::test]
async fn unknown_conversation_is_not_found() {
    let suite = start().await;
    let ada = UserId::new();
    let request = about(&ConversationId::new().to_string(), preview(ada, 1, "hi"));
    for request in [as_user(ada, request.clone()), as_service(request)] {
        let refused = record(&suite, request).await;
        assert_failed(refused, Code::NotFound, "conversation_not_found");
    }
}

#[tokio::test]
async fn malformed_preview_is_invalid() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let whole = preview(ada, 1, "hi");
    let mut broken = whole.clone();
    broken.sender_id = "a.b".to_owned();
    let refused = record(&suite, as_service(about(&conversation.id, broken))).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_id");
    let refused = record(&suite, as_user(ada, about("65f0", whole.clone()))).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_conversation_id");
    let mut broken = whole;
    broken.created_at = None;
    let refused = record(&suite, as_user(ada, about(&conversation.id, broken))).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn previews_of_one_call_fail_each_for_itself() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let (other, _, another) = suite.pair().await;
    let nowhere = ConversationId::new().to_string();
    let whole = preview(ada, 2, "newest");
    let mut broken = whole.clone();
    broken.created_at = None;
    let activities = vec![
        about(&conversation.id, whole.clone()),
        about(&nowhere, preview(ada, 1, "nowhere")),
        about(&conversation.id, broken),
        about(&conversation.id, preview(grace, 1, "older")),
        about(&another.id, preview(other, 1, "elsewhere")),
    ];
    suite.forget_commands();
    let request = as_service(RecordActivitiesRequest { activities });
    let answer = suite.conversations.clone().record_activities(request).await.expect("an answer");
    let failures = answer.into_inner().failures;
    let told = failures.iter().map(|failure| {
        let details = failure.details.clone().into();
        let status = Status::with_details(failure.code.into(), failure.message.clone(), details);
        (failure.place, status.code(), error::reason(&status).expect("a reason"))
    });
    let expected = [
        (1, Code::NotFound, "conversation_not_found".to_owned()),
        (2, Code::InvalidArgument, "validation_error".to_owned()),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(seen_by(&suite, ada).await.last_message, Some(whole.clone()));
    assert_eq!(seen_by(&suite, ada).await.last_sent_at, whole.created_at);
    let grace_sent = seen_by(&suite, grace).await.last_sent_at;
    assert_eq!(grace_sent, preview(grace, 1, "").created_at, "shown or not, she has written");
    assert_eq!(seen_by(&suite, other).await.last_message.expect("a preview").content, "elsewhere");
}

#[tokio::test]
async fn previews_of_one_call_cost_one_command() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let activities = (1..=20).map(|seq| {
        let sender = if seq % 2 == 0 { ada } else { grace };
        about(&conversation.id, preview(sender, seq, &seq.to_string()))
    });
    suite.forget_commands();
    let request = as_service(RecordActivitiesRequest { activities: activities.collect() });
    let answer = suite.conversations.clone().record_activities(request).await.expect("an answer");
    assert_eq!(answer.into_inner().failures, []);
    assert_eq!(suite.queries().len(), 1);
    let seen = seen_by(&suite, ada).await;
    assert_eq!(seen.last_message.expect("a preview").content, "20");
    assert_eq!(seen.last_sent_at, preview(ada, 20, "").created_at);
    assert_eq!(seen_by(&suite, grace).await.last_sent_at, preview(grace, 19, "").created_at);
}

#[tokio::test]
async fn removed_member_records_nothing_and_hinders_nobody() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let id: ConversationId = conversation.id.parse().expect("an id");
    let removal = doc! { "$pull": { "member_ids": grace } };
    suite.stored().update_one(doc! { "_id": id }, removal).await.expect("a removal");
    let records = (1..=20).map(|seq| {
        let sender = if seq % 2 == 0 { ada } else { grace };
        let request = about(&conversation.id, preview(sender, seq, &seq.to_string()));
        record(&suite, as_user(sender, request))
    });
    for (seq, recorded) in (1..).zip(join_all(records).await) {
        if seq % 2 == 0 {
            recorded.expect("recorded");
        } else {
            assert_failed(recorded, Code::PermissionDenied, "forbidden");
        }
    }
    assert_eq!(seen_by(&suite, ada).await.last_message.expect("a preview").content, "20");
}

#[tokio::test]
async fn many_previews_are_for_services_and_bounded() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let one = about(&conversation.id, preview(ada, 1, "hi"));
    let record = async |request| suite.conversations.clone().record_activities(request).await;
    let refused = record(as_user(ada, RecordActivitiesRequest { activities: vec![one.clone()] }));
    assert_eq!(refused.await.expect_err("a user").code(), Code::PermissionDenied);
    let refused = record(as_service(RecordActivitiesRequest { activities: vec![one; 257] }));
    assert_failed(refused.await, Code::InvalidArgument, "validation_error");
}

async fn replace(suite: &Suite, id: &str, seq: i64, change: i64, preview: Option<Preview>) {
    let request = ReplacePreviewRequest {
        conversation_id: id.to_owned(),
        seq,
        change,
        preview,
        deleted: None,
    };
    let mut conversations = suite.conversations.clone();
    conversations.replace_preview(as_service(request)).await.expect("replaced");
}

#[tokio::test]
async fn edited_message_is_shown_as_its_newest_change_has_it() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let sent = preview(ada, 1, "first");
    record(&suite, as_service(about(&conversation.id, sent.clone()))).await.expect("recorded");
    let edited =
        |change, content: &str| Preview { change, content: content.to_owned(), ..sent.clone() };
    for (change, content) in [(2, "third"), (1, "second"), (2, "late")] {
        replace(&suite, &conversation.id, 1, change, Some(edited(change, content))).await;
        let shown = seen_by(&suite, ada).await.last_message.expect("a preview");
        assert_eq!((shown.content.as_str(), shown.change), ("third", 2));
    }
    record(&suite, as_service(about(&conversation.id, sent))).await.expect("recorded");
    let shown = seen_by(&suite, ada).await.last_message.expect("a preview");
    assert_eq!(shown.content, "third", "a late preview of the same message changes nothing");
}

#[tokio::test]
async fn deleted_message_gives_way_to_the_one_before_it_for_good() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let (first, second) = (preview(ada, 1, "first"), preview(ada, 2, "second"));
    record(&suite, as_service(about(&conversation.id, second.clone()))).await.expect("recorded");
    replace(&suite, &conversation.id, 1, 1, None).await;
    assert_eq!(seen_by(&suite, ada).await.last_message.as_ref(), Some(&second), "not shown");
    replace(&suite, &conversation.id, 2, 1, Some(first.clone())).await;
    assert_eq!(seen_by(&suite, ada).await.last_message.as_ref(), Some(&first));
    record(&suite, as_service(about(&conversation.id, second))).await.expect("recorded");
    assert_eq!(seen_by(&suite, ada).await.last_message.as_ref(), Some(&first), "gone for good");
    replace(&suite, &conversation.id, 1, 1, None).await;
    assert_eq!(seen_by(&suite, ada).await.last_message, None);
    let third = preview(ada, 3, "third");
    record(&suite, as_service(about(&conversation.id, third.clone()))).await.expect("recorded");
    assert_eq!(seen_by(&suite, ada).await.last_message, Some(third));
}

#[tokio::test]
async fn users_replace_no_previews() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let conversation_id = conversation.id;
    let request = ReplacePreviewRequest { conversation_id, seq: 1, ..Default::default() };
    let mut conversations = suite.conversations.clone();
    let refused = conversations.replace_preview(as_user(ada, request)).await;
    assert_eq!(refused.expect_err("refused").code(), Code::PermissionDenied);
}
