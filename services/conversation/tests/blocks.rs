//! Who keeps apart from whom, also when several decide at once.

use std::time::Duration;

use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_kit::{
    client::Channel,
    id::{ConversationId, UserId},
};
use chat_proto::v1::{
    Act, BlockUserRequest, ConversationStatus, GetAudienceRequest, ListBlockedRequest,
    ListBlockedResponse, ListConversationsRequest, OpenDirectConversationRequest, PageRequest,
    UnblockUserRequest, conversation_service_client::ConversationServiceClient,
};
use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::support::{Suite, as_service, as_user, assert_failed, by_id, start};

const PATIENCE: Duration = Duration::from_secs(20);

type Client = ConversationServiceClient<Channel>;

async fn block(client: &Client, user: UserId, blocked: UserId) -> Result<(), Status> {
    let request = BlockUserRequest { user_id: blocked.to_string() };
    client.clone().block_user(as_user(user, request)).await.map(drop)
}

async fn unblock(client: &Client, user: UserId, blocked: UserId) -> Result<(), Status> {
    let request = UnblockUserRequest { user_id: blocked.to_string() };
    client.clone().unblock_user(as_user(user, request)).await.map(drop)
}

async fn may(client: &Client, user: UserId, id: &str, act: Act) -> Result<(), Status> {
    let request = GetAudienceRequest { conversation_id: id.to_owned(), act: act.into() };
    client.clone().get_audience(as_user(user, request)).await.map(drop)
}

async fn listed(suite: &Suite, user: UserId, limit: u32, cursor: &str) -> ListBlockedResponse {
    let page = Some(PageRequest { limit, cursor: cursor.to_owned() });
    let request = as_user(user, ListBlockedRequest { page });
    let listed = suite.conversations.clone().list_blocked(request).await;
    listed.expect("a page").into_inner()
}

/// Returns the number of blocks that are stored, and the status of the conversation.
async fn stored(suite: &Suite, id: &str) -> (u64, String) {
    let standing = doc! { "lifted": { "$exists": false } };
    let count = suite.blocks().count_documents(standing).await.expect("a count");
    let document = suite.document(id).await;
    (count, document.get_str("status").expect("a status").to_owned())
}

/// Waits until nothing is to be announced of blocks any more.
async fn announced(suite: &Suite) {
    let announced = tokio::time::timeout(PATIENCE, async {
        let waiting = doc! { "outbox": { "$exists": true } };
        while suite.blocks().count_documents(waiting.clone()).await.expect("a count") > 0 {
            tokio::task::yield_now().await;
        }
    });
    announced.await.expect("announced in time");
}

#[tokio::test]
async fn nobody_writes_across_a_block_and_both_read() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let client = &suite.conversations;
    for _ in 0..2 {
        block(client, ada, grace).await.expect("blocked");
        for user in [ada, grace] {
            let refused = may(client, user, &conversation.id, Act::Post).await;
            let message = assert_failed(refused, Code::PermissionDenied, "forbidden");
            assert!(message.contains("blocked") && !message.contains(&ada.to_string()));
            may(client, user, &conversation.id, Act::Read).await.expect("a member reads");
        }
        assert_eq!(stored(&suite, &conversation.id).await, (1, "blocked".to_owned()));
    }
    for _ in 0..2 {
        unblock(client, ada, grace).await.expect("unblocked");
        for user in [ada, grace] {
            may(client, user, &conversation.id, Act::Post).await.expect("a member posts");
        }
        assert_eq!(stored(&suite, &conversation.id).await, (0, "active".to_owned()));
    }
}

#[tokio::test]
async fn conversation_stays_closed_until_both_sides_have_lifted_their_blocks() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let client = &suite.conversations;
    let (one, other) = tokio::join!(block(client, ada, grace), block(client, grace, ada));
    one.expect("blocked");
    other.expect("blocked");
    assert_eq!(stored(&suite, &conversation.id).await, (2, "blocked".to_owned()));
    unblock(client, ada, grace).await.expect("unblocked");
    assert_eq!(stored(&suite, &conversation.id).await, (1, "blocked".to_owned()));
    unblock(client, ada, grace).await.expect("the block of the other side is hers");
    assert_eq!(stored(&suite, &conversation.id).await, (1, "blocked".to_owned()));
    unblock(client, grace, ada).await.expect("unblocked");
    assert_eq!(stored(&suite, &conversation.id).await, (0, "active".to_owned()));
}

#[tokio::test]
async fn status_is_afterwards_as_it_was_before() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let client = &suite.conversations;
    for status in ["pending", "declined", "active"] {
        suite.set_status(&conversation.id, status).await;
        block(client, grace, ada).await.expect("blocked");
        block(client, ada, grace).await.expect("blocked");
        unblock(client, grace, ada).await.expect("unblocked");
        assert_eq!(stored(&suite, &conversation.id).await, (1, "blocked".to_owned()));
        unblock(client, ada, grace).await.expect("unblocked");
        assert_eq!(stored(&suite, &conversation.id).await, (0, status.to_owned()));
    }
}

#[tokio::test]
async fn no_conversation_is_opened_across_a_block() {
    let suite = start().await;
    let ((ada, ada_phone), (grace, grace_phone)) = (suite.user().await, suite.user().await);
    let client = &suite.conversations;
    block(client, ada, grace).await.expect("blocked");
    let contact = |phone: &String| {
        chat_proto::v1::open_direct_conversation_request::Peer::Contact(phone.clone())
    };
    for (user, peer) in [
        (ada, by_id(grace)),
        (grace, by_id(ada)),
        (ada, contact(&grace_phone)),
        (grace, contact(&ada_phone)),
    ] {
        let message =
            assert_failed(suite.open(user, peer).await, Code::PermissionDenied, "forbidden");
        assert!(message.contains("blocked"), "{message}");
    }
    assert_eq!(suite.stored().count_documents(doc! {}).await.expect("a count"), 0);
    unblock(client, ada, grace).await.expect("unblocked");
    let opened = suite.open(grace, by_id(ada)).await.expect("opened").conversation;
    let opened = opened.expect("a conversation");
    assert_eq!(opened.status(), ConversationStatus::Active);
    block(client, ada, grace).await.expect("blocked");
    for peer in [by_id(ada), contact(&ada_phone)] {
        let found = suite.open(grace, peer).await.expect("opened").conversation;
        let found = found.expect("a conversation");
        assert_eq!((found.status(), &found.id), (ConversationStatus::Blocked, &opened.id));
    }
}

#[tokio::test]
async fn blocked_conversation_is_listed_as_such_alone() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    block(&suite.conversations, ada, grace).await.expect("blocked");
    for user in [ada, grace] {
        for (status, expected) in [
            (ConversationStatus::Unspecified, 0),
            (ConversationStatus::Active, 0),
            (ConversationStatus::Blocked, 1),
        ] {
            let request = ListConversationsRequest { status: status.into(), ..Default::default() };
            let mut client = suite.conversations.clone();
            let page = client.list_conversations(as_user(user, request)).await.expect("a page");
            let found = page.into_inner().conversations;
            assert_eq!(found.len(), expected, "{status:?}");
            assert!(found.iter().all(|found| found.id == conversation.id));
        }
    }
}

#[tokio::test]
async fn block_that_comes_while_a_conversation_is_made_closes_it() {
    let suite = start().await;
    let replica = suite.replica().await;
    for _ in 0..20 {
        let [ada, grace] = suite.users().await;
        let open = OpenDirectConversationRequest { peer: Some(by_id(ada)) };
        let mut making = replica.clone();
        let (blocked, opened) = tokio::join!(
            block(&suite.conversations, ada, grace),
            making.open_direct_conversation(as_user(grace, open)),
        );
        blocked.expect("blocked");
        if let Err(refused) = opened {
            assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        }
        let key = format!("{}:{}", ada.min(grace), ada.max(grace));
        let made = suite.stored().find_one(doc! { "participant_key": key }).await;
        if let Some(made) = made.expect("an answer") {
            assert_eq!(made.get_str("status").expect("a status"), "blocked");
        }
    }
}

#[tokio::test]
async fn conversation_does_what_the_blocks_say_after_any_race() {
    let suite = start().await;
    let replica = suite.replica().await;
    let clients = [&suite.conversations, &replica];
    let (ada, grace, conversation) = suite.pair().await;
    for round in 0..15 {
        let calls = (0..6).map(|number| {
            let (user, other) = if number % 2 == 0 { (ada, grace) } else { (grace, ada) };
            let client = clients[(number + round) % 2];
            async move {
                match (number / 2 + round) % 3 {
                    0 => unblock(client, user, other).await,
                    _ => block(client, user, other).await,
                }
            }
        });
        for outcome in join_all(calls).await {
            outcome.expect("blocked or unblocked");
        }
        let (count, status) = stored(&suite, &conversation.id).await;
        assert_eq!(status, if count == 0 { "active" } else { "blocked" }, "{count} blocks");
        let document = suite.document(&conversation.id).await;
        let ids = document.get_array("block_ids").expect("blocks");
        assert_eq!(ids.len() as u64, count);
    }
    for (user, other) in [(ada, grace), (grace, ada)] {
        unblock(&suite.conversations, user, other).await.expect("unblocked");
    }
    assert_eq!(stored(&suite, &conversation.id).await, (0, "active".to_owned()));
}

#[tokio::test]
async fn what_a_crash_left_undone_is_done_by_the_next_call() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let client = &suite.conversations;
    block(client, ada, grace).await.expect("blocked");
    // The process died between the block and its conversation. In one write: the announcement of the block
    // puts right what it meets, too.
    let forget = doc! {
        "$unset": { "block_ids": "", "status_before_block": "" }, "$set": { "status": "active" },
    };
    suite.stored().update_one(doc! {}, forget).await.expect("forgotten");
    block(client, ada, grace).await.expect("blocked");
    assert_eq!(stored(&suite, &conversation.id).await, (1, "blocked".to_owned()));
    // The process died between the lifting and the conversation.
    suite.blocks().delete_many(doc! {}).await.expect("deleted");
    unblock(client, ada, grace).await.expect("unblocked");
    assert_eq!(stored(&suite, &conversation.id).await, (0, "active".to_owned()));
}

#[tokio::test]
async fn blocks_are_listed_by_page_the_newest_first() {
    let suite = start().await;
    let users: [UserId; 6] = suite.users().await;
    let [ada, blocked @ ..] = users;
    for user in blocked {
        block(&suite.conversations, ada, user).await.expect("blocked");
        block(&suite.conversations, user, blocked[0]).await.ok();
    }
    // The same instant, so that ids decide.
    let same = doc! { "$set": { "created_at": bson::DateTime::from_millis(7) } };
    let mut expected: Vec<String> = blocked.iter().rev().map(UserId::to_string).collect();
    for is_same in [false, true] {
        if is_same {
            suite.blocks().update_many(doc! {}, same.clone()).await.expect("changed");
            let own = doc! { "blocker_id": ada };
            let mut ids = Vec::new();
            let mut cursor =
                suite.blocks().find(own).sort(doc! { "_id": -1 }).await.expect("found");
            while cursor.advance().await.expect("an answer") {
                let block: Document = cursor.deserialize_current().expect("a document");
                ids.push(block.get_object_id("blocked_id").expect("an id").to_hex());
            }
            expected = ids;
        }
        announced(&suite).await;
        suite.forget_commands();
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = listed(&suite, ada, 2, &cursor).await;
            ids.extend(page.user_ids);
            cursor = page.page.expect("a page").next_cursor;
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!(ids, expected);
        assert_eq!(suite.queries().len(), 3, "one query a page");
        suite.assert_indexed(&["find"]).await;
    }
    for cursor in ["x", "0", "{\"$gt\": \"\"}", &"é".repeat(20)] {
        let page = Some(PageRequest { limit: 2, cursor: cursor.to_owned() });
        let request = as_user(ada, ListBlockedRequest { page });
        let refused = suite.conversations.clone().list_blocked(request).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}

#[tokio::test]
async fn blocking_is_refused_with_its_reason_and_changes_nothing() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let client = &suite.conversations;
    let own = Code::InvalidArgument;
    assert_failed(block(client, ada, ada).await, own, "validation_error");
    assert_failed(unblock(client, ada, ada).await, own, "validation_error");
    assert_failed(block(client, ada, UserId::new()).await, Code::NotFound, "user_not_found");
    let request = BlockUserRequest { user_id: "{\"$ne\": null}".to_owned() };
    let refused = client.clone().block_user(as_user(ada, request)).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_id");
    let request = UnblockUserRequest { user_id: "65f0".to_owned() };
    let refused = client.clone().unblock_user(as_user(ada, request)).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_id");
    let request = as_service(BlockUserRequest { user_id: grace.to_string() });
    client.clone().block_user(request).await.expect_err("no user");
    assert_eq!(suite.blocks().count_documents(doc! {}).await.expect("a count"), 0);
}

#[tokio::test]
async fn block_that_is_lifted_is_forgotten_once_that_was_told() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let client = &suite.conversations;
    for _ in 0..3 {
        block(client, ada, grace).await.expect("blocked");
        unblock(client, ada, grace).await.expect("unblocked");
        assert_eq!(stored(&suite, &conversation.id).await, (0, "active".to_owned()));
        block(client, ada, grace).await.expect("blocked");
        assert_eq!(stored(&suite, &conversation.id).await, (1, "blocked".to_owned()));
        announced(&suite).await;
        assert_eq!(suite.blocks().count_documents(doc! {}).await.expect("a count"), 1);
        unblock(client, ada, grace).await.expect("unblocked");
    }
    announced(&suite).await;
    assert_eq!(suite.blocks().count_documents(doc! {}).await.expect("a count"), 0);
}

#[tokio::test]
async fn what_a_replica_that_died_left_of_a_block_is_done_without_another_call() {
    let suite = start().await;
    let (ada, grace, conversation) = suite.pair().await;
    let made = doc! {
        "_id": ObjectId::new(), "at": DateTime::from_millis(0), "change": "made",
    };
    let block = doc! {
        "blocker_id": ada, "blocked_id": grace, "created_at": DateTime::now(), "outbox": [made],
    };
    suite.blocks().insert_one(block).await.expect("stored");
    announced(&suite).await;
    assert_eq!(stored(&suite, &conversation.id).await, (1, "blocked".to_owned()));
    let lifted = doc! {
        "_id": ObjectId::new(), "at": DateTime::from_millis(0), "change": "lifted",
    };
    let lift = vec![doc! { "$set": {
        "lifted": { "blocker_id": ada, "blocked_id": grace },
        "blocker_id": "$_id",
        "blocked_id": "$_id",
        "outbox": [lifted],
    } }];
    suite.blocks().update_one(doc! {}, lift).await.expect("stored");
    announced(&suite).await;
    assert_eq!(stored(&suite, &conversation.id).await, (0, "active".to_owned()));
    assert_eq!(suite.blocks().count_documents(doc! {}).await.expect("a count"), 0);
}

#[tokio::test]
async fn blocks_are_found_by_their_indexes() {
    let suite = start().await;
    let (ada, grace, _) = suite.pair().await;
    let [alan, edsger] = suite.users().await;
    for (user, other) in [(grace, alan), (alan, edsger), (edsger, ada)] {
        block(&suite.conversations, user, other).await.expect("blocked");
    }
    suite.forget_commands();
    block(&suite.conversations, ada, grace).await.expect("blocked");
    let made = suite.group(ada, ConversationId::new(), &[alan, grace]).await;
    assert_failed(made, Code::PermissionDenied, "forbidden");
    unblock(&suite.conversations, ada, grace).await.expect("unblocked");
    announced(&suite).await;
    suite.assert_indexed(&["find", "findAndModify", "update", "aggregate"]).await;
}
