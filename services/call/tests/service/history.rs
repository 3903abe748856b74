//! The list of a user's calls, and what is left of a call that has ended.

use bson::{DateTime, doc};
use chat_proto::v1::{
    Call, CallEndReason, CallState, ListCallsRequest, ListCallsResponse, PageRequest,
};
use tonic::{Code, Status};

use crate::support::{Device, Suite, assert_failed, eventually, start};

async fn page(
    suite: &Suite,
    device: &Device,
    limit: u32,
    cursor: &str,
) -> Result<ListCallsResponse, Status> {
    let page = Some(PageRequest { limit, cursor: cursor.to_owned() });
    let request = device.request(ListCallsRequest { page });
    Ok(suite.calls[0].clone().list_calls(request).await?.into_inner())
}

#[tokio::test]
async fn calls_of_both_directions_are_listed_page_by_page_the_newest_first() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let joan = suite.device().await;
    suite.connect(&joan, &grace).await;
    let mut placed = Vec::new();
    for turn in 0..5 {
        let (by, to) = if turn % 2 == 0 { (&ada, &grace) } else { (&grace, &ada) };
        let id = suite.ring(0, by, to).await.expect("it rings").id;
        suite.hang_up(by, &id).await.expect("ended");
        placed.push(id);
        let foreign = suite.ring(0, &joan, &grace).await.expect("it rings").id;
        suite.decline(&grace, &foreign).await.expect("declined");
    }
    // Two of the same moment keep an order.
    let at = suite.document(&placed[3]).await.get_datetime("placed_at").expect("a time").to_owned();
    suite.alter(&placed[2], doc! { "$set": { "placed_at": at } }).await;
    let mut found: Vec<Call> = Vec::new();
    let mut cursor = String::new();
    loop {
        let next = page(&suite, &ada, 2, &cursor).await.expect("a page");
        assert!(next.calls.len() <= 2);
        found.extend(next.calls);
        cursor = next.page.expect("a page").next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    let mut expected = placed.clone();
    expected[2..4].sort();
    expected.reverse();
    assert_eq!(
        found.iter().map(|call| &call.id).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    let newest = &found[0];
    assert_eq!((newest.state(), newest.end_reason()), (CallState::Ended, CallEndReason::Cancelled));
    assert_eq!(newest.ended_by, Some(ada.user.to_string()));
    let all = page(&suite, &grace, 0, "").await.expect("a page");
    assert_eq!(all.calls.len(), 10);
    let none = page(&suite, &suite.device().await, 0, "").await.expect("a page");
    assert_eq!(none.calls, []);
    for odd in ["x", "0000000000000000nonsense"] {
        let refused = page(&suite, &ada, 2, odd).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}

#[tokio::test]
async fn call_that_has_ended_keeps_neither_descriptions_nor_candidates_and_expires() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let id = suite.ring(0, &ada, &grace).await.expect("it rings").id;
    suite.add(&ada, &id, "1").await.expect("added");
    suite.add(&grace, &id, "2").await.expect("added");
    suite.answer(0, &grace, &id).await.expect("answered");
    let live = suite.document(&id).await;
    assert!(live.contains_key("offer") && live.contains_key("answer"), "{live}");
    assert!(!live.contains_key("expires_at"), "{live}");
    suite.hang_up(&ada, &id).await.expect("ended");
    let is_stripped = async || {
        let document = suite.document(&id).await;
        !document.contains_key("offer") && !document.contains_key("outbox")
    };
    eventually("nothing is left to be announced", is_stripped).await;
    let mut ended = suite.document(&id).await;
    for gone in ["answer", "due_at", "ring_until", "held_hang_up"] {
        assert!(!ended.contains_key(gone), "{gone}: {ended}");
    }
    for side in ["caller", "callee"] {
        let mut keys: Vec<_> = ended.get_document(side).expect("a side").keys().collect();
        keys.sort();
        assert_eq!(keys, ["candidate_count", "user_id"]);
    }
    let expires_at = ended.get_datetime("expires_at").expect("a time").timestamp_millis();
    let days = (expires_at - DateTime::now().timestamp_millis() + 60_000) / (24 * 3_600_000);
    assert_eq!(days, 90);
    ended.remove("expires_at");
    let indexes: Vec<_> = suite.stored().list_index_names().await.expect("names");
    assert!(indexes.iter().any(|name| name == "expires_at_1"), "{indexes:?}");
}
