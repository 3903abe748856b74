//! What a member has cleared for himself.

use bson::{DateTime, doc, oid::ObjectId};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{
    Act, ClearConversationRequest, Conversation, GetAudienceRequest, GetConversationRequest,
    ListConversationsRequest, ListMembershipsRequest, Membership, Preview, RecordActivityRequest,
    ReplacePreviewRequest, open_direct_conversation_request::Peer,
};
use tonic::{Code, Status};

use crate::support::{Suite, as_service, as_user, assert_failed, by_id, start};

async fn memberships(suite: &Suite, user: UserId) -> Vec<Membership> {
    let request = as_user(user, ListMembershipsRequest::default());
    let answer = suite.conversations.clone().list_memberships(request).await.expect("an answer");
    answer.into_inner().memberships
}

/// Clears a conversation behind the service's back.
async fn mark_cleared(suite: &Suite, id: &str, user: UserId, seq: i64) {
    let filter = doc! { "_id": id.parse::<ConversationId>().expect("an id") };
    let mark = doc! { "seq": seq, "at": DateTime::now() };
    let change = doc! { "$set": { format!("cleared.{user}"): mark } };
    suite.stored().update_one(filter, change).await.expect("a change");
}

#[tokio::test]
async fn each_member_hears_what_he_has_cleared_himself() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    mark_cleared(&suite, &conversation.id, ada, 7).await;
    suite.forget_commands();
    let request = GetAudienceRequest { conversation_id: conversation.id, act: Act::Read.into() };
    let delivery = GetAudienceRequest { act: Act::Deliver.into(), ..request.clone() };
    // At the same time, so that one query may answer several.
    let ask = async |request| {
        let answer = suite.conversations.clone().get_audience(request).await;
        answer.expect("an audience").into_inner().cleared_seq
    };
    let seqs = tokio::join!(
        ask(as_user(ada, request.clone())),
        ask(as_user(grace, request.clone())),
        ask(as_service(delivery)),
        ask(as_user(ada, request.clone())),
    );
    assert_eq!(seqs, (7, 0, 0, 7));
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn memberships_are_those_of_every_status_and_of_nobody_else() {
    let suite = start().await;
    let (ada, _, first) = suite.pair().await;
    let membership = |id: &str, cleared_seq| Membership {
        conversation_id: id.to_owned(),
        cleared_seq,
        counted_after_seq: cleared_seq,
        ..Default::default()
    };
    let mut expected = vec![membership(&first.id, 3)];
    mark_cleared(&suite, &first.id, ada, 3).await;
    for status in ["pending", "declined", "blocked"] {
        let id = ConversationId::new();
        let group = suite.group(ada, id, &[suite.user().await.0]).await.expect("a group");
        suite.set_status(&group.id, status).await;
        expected.push(membership(&group.id, 0));
    }
    let (stranger, _, foreign) = suite.pair().await;
    let mut found = memberships(&suite, ada).await;
    let by_name = |one: &Membership| one.conversation_id.clone();
    found.sort_by_key(by_name);
    expected.sort_by_key(by_name);
    assert_eq!(found, expected);
    assert_eq!(memberships(&suite, stranger).await, [membership(&foreign.id, 0)]);
    assert_eq!(memberships(&suite, UserId::new()).await, []);
}

#[tokio::test]
async fn memberships_are_the_newest_500_in_the_order_of_their_messages() {
    let suite = start().await;
    let user = UserId::new();
    let time = DateTime::from_millis;
    let statuses = ["active", "pending", "declined", "blocked"];
    let stored = (0..510_i64).map(|number| {
        let status = statuses[usize::try_from(number % 4).expect("small")];
        doc! {
            "_id": ObjectId::new(), "status": status, "member_ids": [user, UserId::new()],
            "last_message_at": time(number), "created_at": time(0), "updated_at": time(0),
        }
    });
    let mut stored: Vec<_> = stored.collect();
    suite.stored().insert_many(&stored).await.expect("inserted");
    suite.forget_commands();
    let found = memberships(&suite, user).await;
    stored.reverse();
    let expected = stored.iter().take(500).map(|one| one.get_object_id("_id").expect("an id"));
    let expected: Vec<String> = expected.map(ObjectId::to_hex).collect();
    let found: Vec<String> = found.into_iter().map(|one| one.conversation_id).collect();
    assert_eq!(found, expected);
    assert_eq!(suite.queries().len(), 1);
    suite.assert_indexed(&["find"]).await;
}

/// Returns the only active conversation of a user as he sees it.
async fn row(suite: &Suite, user: UserId) -> Conversation {
    let request = as_user(user, ListConversationsRequest::default());
    let mut conversations = suite.conversations.clone();
    let page = conversations.list_conversations(request).await.expect("a page").into_inner();
    page.conversations.into_iter().next().expect("a conversation")
}

#[tokio::test]
async fn preview_of_what_is_cleared_is_shown_to_the_others_alone() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    record(&suite, &conversation.id, ada, 7).await;
    mark_cleared(&suite, &conversation.id, ada, 7).await;
    let seen = row(&suite, ada).await;
    assert_eq!((seen.last_message, seen.cleared_seq, seen.counted_after_seq), (None, 7, 7));
    let seen = row(&suite, grace).await;
    assert_eq!(seen.last_message.expect("a preview").seq, 7);
    assert_eq!((seen.cleared_seq, seen.counted_after_seq), (0, 0));
    record(&suite, &conversation.id, grace, 8).await;
    let own = memberships(&suite, ada).await.remove(0);
    assert_eq!((own.cleared_seq, own.newest_seq), (7, 8));
    assert_eq!(row(&suite, ada).await.last_message.expect("a preview").seq, 8);
}

#[tokio::test]
async fn unread_counts_from_whatever_came_later_joining_or_clearing() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let others = [suite.user().await.0];
    let group = suite.group(ada, ConversationId::new(), &others).await.expect("a group");
    let filter = doc! { "_id": group.id.parse::<ConversationId>().expect("an id") };
    let mark = doc! { "$set": { format!("joined.{ada}"): 5_i64 } };
    suite.stored().update_one(filter, mark).await.expect("a change");
    for (cleared, counted) in [(4, 5), (9, 9)] {
        mark_cleared(&suite, &group.id, ada, cleared).await;
        let seen = row(&suite, ada).await;
        assert_eq!((seen.cleared_seq, seen.counted_after_seq), (cleared, counted));
    }
}

/// Returns how a message of somebody is shown.
fn preview(sender: UserId, seq: i64) -> Preview {
    Preview {
        message_id: MessageId::new().to_string(),
        seq,
        sender_id: sender.to_string(),
        content: format!("message {seq}"),
        r#type: "text".to_owned(),
        created_at: Some(to_timestamp(DateTime::from_millis(1_000_000 + seq))),
        ..Default::default()
    }
}

/// Shows a message of somebody in the list.
async fn record(suite: &Suite, id: &str, sender: UserId, seq: i64) {
    let preview = Some(preview(sender, seq));
    let request = RecordActivityRequest { conversation_id: id.to_owned(), preview };
    let mut conversations = suite.conversations.clone();
    conversations.record_activity(as_service(request)).await.expect("recorded");
}

async fn clear(suite: &Suite, id: &str, user: UserId) -> Result<i64, Status> {
    let request = as_user(user, ClearConversationRequest { conversation_id: id.to_owned() });
    let answer = suite.conversations.clone().clear_conversation(request).await?;
    Ok(answer.into_inner().hidden_count)
}

async fn get(suite: &Suite, id: &str, user: UserId) -> Result<Conversation, Status> {
    let request = as_user(user, GetConversationRequest { conversation_id: id.to_owned() });
    let answer = suite.conversations.clone().get_conversation(request).await?;
    Ok(answer.into_inner().conversation.expect("a conversation"))
}

/// Returns the ids in a user's list.
async fn listed(suite: &Suite, user: UserId) -> Vec<String> {
    let request = as_user(user, ListConversationsRequest::default());
    let mut conversations = suite.conversations.clone();
    let page = conversations.list_conversations(request).await.expect("a page").into_inner();
    page.conversations.into_iter().map(|found| found.id).collect()
}

#[tokio::test]
async fn cleared_conversation_is_gone_until_its_next_message() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let id = &conversation.id;
    record(&suite, id, ada, 3).await;
    suite.forget_commands();
    assert_eq!(clear(&suite, id, ada).await.expect("cleared"), 3);
    assert_eq!(listed(&suite, ada).await, [""; 0]);
    assert_eq!(listed(&suite, grace).await, std::slice::from_ref(id));
    let seen = get(&suite, id, ada).await.expect("he is still a member");
    assert_eq!((seen.last_message, seen.cleared_seq), (None, 3));
    let seen = get(&suite, id, grace).await.expect("a member");
    assert_eq!((seen.last_message.expect("a preview").seq, seen.cleared_seq), (3, 0));
    assert_eq!(clear(&suite, id, ada).await.expect("again"), 0);

    record(&suite, id, grace, 2).await;
    assert_eq!(listed(&suite, ada).await, [""; 0], "an older one that comes late");
    record(&suite, id, grace, 5).await;
    let seen = row(&suite, ada).await;
    assert_eq!((seen.last_message.expect("a preview").seq, seen.counted_after_seq), (5, 3));
    assert_eq!(clear(&suite, id, ada).await.expect("cleared"), 2);
    assert_eq!(clear(&suite, id, grace).await.expect("cleared"), 5);
    suite.assert_indexed(&["findAndModify", "find", "update"]).await;
}

#[tokio::test]
async fn group_is_cleared_like_any_other_and_he_stays_in_it() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let group = suite.group(ada, ConversationId::new(), &[grace]).await.expect("a group");
    record(&suite, &group.id, ada, 1).await;
    assert_eq!(clear(&suite, &group.id, grace).await.expect("cleared"), 1);
    assert_eq!(listed(&suite, grace).await, [""; 0]);
    let seen = get(&suite, &group.id, grace).await.expect("a member");
    assert_eq!(seen.member_ids, group.member_ids);
    record(&suite, &group.id, ada, 2).await;
    assert_eq!(listed(&suite, grace).await, [group.id]);
}

#[tokio::test]
async fn opening_a_cleared_conversation_shows_it_without_its_past() {
    let suite = start().await;
    let (ada, phone) = suite.user().await;
    let grace = suite.user().await.0;
    let opened = suite.open(ada, by_id(grace)).await.expect("a conversation");
    let id = opened.conversation.expect("a conversation").id;
    record(&suite, &id, ada, 4).await;
    for peer in [by_id(ada), Peer::Contact(phone)] {
        clear(&suite, &id, grace).await.expect("cleared");
        clear(&suite, &id, ada).await.expect("cleared");
        let opened = suite.open(grace, peer).await.expect("a conversation");
        assert!(!opened.created);
        let opened = opened.conversation.expect("a conversation");
        assert_eq!((&opened.id, opened.last_message, opened.cleared_seq), (&id, None, 4));
        assert_eq!(listed(&suite, grace).await, std::slice::from_ref(&id));
        assert_eq!(listed(&suite, ada).await, [""; 0], "the other one's list is his own");
    }
}

#[tokio::test]
async fn edit_brings_nothing_back_and_deletion_neither() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    let id = conversation.id;
    record(&suite, &id, ada, 1).await;
    clear(&suite, &id, ada).await.expect("cleared");
    let edited = Preview { change: 1, ..preview(ada, 1) };
    for (change, preview) in [(1, Some(edited)), (2, None)] {
        let request = ReplacePreviewRequest {
            conversation_id: id.clone(),
            seq: 1,
            change,
            preview,
            deleted: None,
        };
        let mut conversations = suite.conversations.clone();
        conversations.replace_preview(as_service(request)).await.expect("replaced");
        assert_eq!(listed(&suite, ada).await, [""; 0]);
    }
    // The number of what was deleted is cleared, too.
    record(&suite, &id, ada, 1).await;
    assert_eq!(listed(&suite, ada).await, [""; 0]);
    assert_eq!(get(&suite, &id, ada).await.expect("a member").cleared_seq, 1);
}

#[tokio::test]
async fn message_beside_a_clearing_is_hidden_or_brings_the_conversation_back() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let id = &conversation.id;
    for seq in 1..=30 {
        let (cleared, ()) = tokio::join!(clear(&suite, id, ada), record(&suite, id, grace, seq));
        cleared.expect("cleared");
        let seen = get(&suite, id, ada).await.expect("a member");
        if listed(&suite, ada).await.is_empty() {
            assert_eq!((seen.cleared_seq, seen.last_message), (seq, None));
        } else {
            assert!(seen.cleared_seq < seq);
            assert_eq!(seen.last_message.expect("a preview").seq, seq);
        }
    }
}

#[tokio::test]
async fn stranger_neither_looks_nor_clears() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let id = &conversation.id;
    record(&suite, id, ada, 1).await;
    let removal = doc! { "$pull": { "member_ids": grace } };
    let filter = doc! { "_id": id.parse::<ConversationId>().expect("an id") };
    suite.stored().update_one(filter, removal).await.expect("a removal");
    let before = suite.document_but_outbox(id).await;
    for user in [UserId::new(), grace] {
        assert_failed(get(&suite, id, user).await, Code::PermissionDenied, "forbidden");
        assert_failed(clear(&suite, id, user).await, Code::PermissionDenied, "forbidden");
    }
    assert_eq!(suite.document_but_outbox(id).await, before);
    for (id, code, reason) in [
        (ConversationId::new().to_string(), Code::NotFound, "not_found"),
        ("65f0".to_owned(), Code::InvalidArgument, "invalid_conversation_id"),
    ] {
        assert_failed(get(&suite, &id, ada).await, code, reason);
        assert_failed(clear(&suite, &id, ada).await, code, reason);
    }
}
