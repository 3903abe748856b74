//! Pins: what they do, and how many a member may have, also at two replicas at once.

use std::{collections::HashSet, num::NonZeroU32};

use bson::doc;
use chat_conversation::Limits;
use chat_proto::v1::{ListConversationsRequest, Marks, set_mark_request::Mark};
use futures_util::future::join_all;
use tonic::Code;

use crate::{
    marks::{groups, listed, marks, set_at},
    support::{Suite, assert_failed, start, start_with},
};

const PINNED: Mark = Mark::IsPinned(true);
const UNPINNED: Mark = Mark::IsPinned(false);
const ARCHIVED: Mark = Mark::IsArchived(true);

async fn start_with_most(pinned: u32) -> Suite {
    let pinned = NonZeroU32::new(pinned).expect("not zero");
    start_with(Limits { pinned, ..Default::default() }).await
}

#[tokio::test]
async fn pinned_conversations_are_listed_apart_where_that_is_asked_for() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let all = groups(&suite, ada, 5).await;
    for id in [&all[4], &all[0], &all[4]] {
        let set = set_at(&suite.conversations, ada, id, PINNED).await.expect("a pin");
        assert_eq!(set, Marks { is_pinned: true, ..Default::default() });
    }
    suite.forget_commands();
    let is_pinned = |pinned| ListConversationsRequest { is_pinned: pinned, ..Default::default() };
    for (pinned, expected) in [
        (None, all.clone()),
        (Some(true), vec![all[0].clone(), all[4].clone()]),
        (Some(false), all[1..4].to_vec()),
    ] {
        for limit in [1, 50] {
            let found = listed(&suite, ada, limit, &is_pinned(pinned)).await;
            let ids: Vec<String> = found.into_iter().map(|found| found.id).collect();
            assert_eq!(ids, expected, "{pinned:?}");
        }
    }
    let both = ListConversationsRequest { is_archived: Some(true), ..is_pinned(Some(true)) };
    assert_eq!(listed(&suite, ada, 50, &both).await, []);
    suite.assert_indexed(&["find"]).await;
    for _ in 0..2 {
        let set = set_at(&suite.conversations, ada, &all[0], UNPINNED).await.expect("no pin");
        assert_eq!(set, Marks::default());
    }
    assert_eq!(listed(&suite, ada, 50, &is_pinned(Some(true))).await.len(), 1);
}

#[tokio::test]
async fn pinned_conversation_is_not_archived_and_archived_one_not_pinned() {
    let suite = start().await;
    let (ada, _, conversation) = suite.pair().await;
    for (mark, is_pinned) in [(PINNED, true), (ARCHIVED, false), (PINNED, true)] {
        let set = set_at(&suite.conversations, ada, &conversation.id, mark).await.expect("set");
        assert_eq!((set.is_pinned, set.is_archived), (is_pinned, !is_pinned));
    }
}

#[tokio::test]
async fn pins_use_their_index() {
    let suite = start().await;
    let ada = suite.user().await.0;
    let all = groups(&suite, ada, 3).await;
    suite.forget_commands();
    for id in &all {
        set_at(&suite.conversations, ada, id, PINNED).await.expect("a pin");
    }
    let names = suite.queries();
    assert_eq!(names.len(), 6, "one query for the numbers and one change for each");
    suite.assert_indexed(&["find", "findAndModify"]).await;
}

#[tokio::test]
async fn member_pins_50_and_each_member_has_his_own() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let mut clubs = Vec::new();
    for number in 0..51 {
        clubs.push(suite.club(ada, &format!("{number}"), &[grace]).await.id);
    }
    for user in [ada, grace] {
        for id in &clubs[..50] {
            set_at(&suite.conversations, user, id, PINNED).await.expect("a pin");
        }
        let refused = set_at(&suite.conversations, user, &clubs[50], PINNED).await;
        let message = assert_failed(refused, Code::FailedPrecondition, "too_many_pinned");
        assert!(message.contains("50"), "{message}");
    }
    // One that is pinned stays so, and a stranger hears that he is none of theirs.
    set_at(&suite.conversations, ada, &clubs[7], PINNED).await.expect("as it is");
    let (_, _, foreign) = suite.pair().await;
    let refused = set_at(&suite.conversations, ada, &foreign.id, PINNED).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");
    // Another one has room once a pin is gone, whichever way.
    let club = suite.club(grace, "Go", &[ada]).await;
    set_at(&suite.conversations, ada, &clubs[7], ARCHIVED).await.expect("archived");
    set_at(&suite.conversations, ada, &club.id, PINNED).await.expect("a pin");
    club.leave(ada).await.expect("left");
    set_at(&suite.conversations, ada, &clubs[50], PINNED).await.expect("a pin");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_at_once_pin_no_more_than_the_limit() {
    const MOST: usize = 6;
    let suite = start_with_most(6).await;
    let replicas = [suite.conversations.clone(), suite.replica().await];
    let ada = suite.user().await.0;
    let all = groups(&suite, ada, 2 * MOST).await;
    let pins = all.iter().enumerate().map(|(number, id)| {
        let replica = &replicas[number % 2];
        async move { (id, set_at(replica, ada, id, PINNED).await) }
    });
    let mut pinned = HashSet::new();
    for (id, outcome) in join_all(pins).await {
        match outcome {
            Ok(set) => assert!(set.is_pinned && pinned.insert(id.clone())),
            refused => {
                assert_failed(refused, Code::FailedPrecondition, "too_many_pinned");
            }
        }
    }
    assert_eq!(pinned.len(), MOST);
    let asked = ListConversationsRequest { is_pinned: Some(true), ..Default::default() };
    let found = listed(&suite, ada, 50, &asked).await;
    assert_eq!(found.into_iter().map(|found| found.id).collect::<HashSet<_>>(), pinned);
    let slots = suite.stored().distinct("pinned_by.slot", doc! { "pinned_by.user_id": ada }).await;
    assert_eq!(slots.expect("an answer").len(), MOST, "each pin has a number of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn same_conversation_pinned_at_two_replicas_at_once_is_one_pin() {
    let suite = start_with_most(2).await;
    let replicas = [suite.conversations.clone(), suite.replica().await];
    let ada = suite.user().await.0;
    for id in groups(&suite, ada, 2).await {
        let pins = replicas.iter().cycle().take(6).map(|one| set_at(one, ada, &id, PINNED));
        for outcome in join_all(pins).await {
            assert!(outcome.expect("a pin").is_pinned);
        }
        let pins = suite.document(&id).await;
        assert_eq!(pins.get_array("pinned_by").expect("pins").len(), 1);
        assert!(marks(&suite, ada, &id).await.is_pinned);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pin_and_archive_at_once_end_as_one_of_them() {
    let suite = start().await;
    let replicas = [suite.conversations.clone(), suite.replica().await];
    let (ada, _, conversation) = suite.pair().await;
    for _ in 0..8 {
        let (pinned, archived) = tokio::join!(
            set_at(&replicas[0], ada, &conversation.id, PINNED),
            set_at(&replicas[1], ada, &conversation.id, ARCHIVED),
        );
        pinned.expect("pinned");
        archived.expect("archived");
        let set = marks(&suite, ada, &conversation.id).await;
        assert!(set.is_pinned != set.is_archived, "{set:?}");
    }
}
