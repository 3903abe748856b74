//! Receipts as they are stored: what waits for its announcement is bounded, and every query goes by an index.

use bson::{DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo,
};
use chat_message::store::receipts::{Advance, Cursor, Move, Moved, Receipts, Step};
use mongodb::Collection;

use crate::{queries, services::database, support::at};

/// Receipts in the collection of which something waits.
const COUNT: i64 = 300;

fn step(cursor: Cursor, to: i64, now: DateTime) -> Step {
    Step::new(cursor, (to, at(to)), now)
}

/// Returns what waits in the oldest receipt, and takes it up.
async fn waiting(receipts: &Receipts) -> Vec<Moved> {
    let now = DateTime::now();
    let claimed = receipts.claim(DateTime::from_millis(i64::MAX), now).await.expect("claimed");
    claimed.map(|left| left.moved().collect()).unwrap_or_default()
}

/// Returns the cursors, and from where to where they have moved.
fn told(moved: &[Moved]) -> Vec<(Cursor, i64, i64)> {
    let told = |moved: &Moved| (moved.advance.cursor, moved.advance.after, moved.advance.to);
    moved.iter().map(told).collect()
}

async fn open() -> (Receipts, Collection<Document>) {
    let database = mongo::connect(&database("message").await, "test", None).await;
    let database = database.expect("mongodb answers");
    (Receipts::open(&database).await.expect("a collection"), database.collection("receipts"))
}

#[tokio::test]
async fn cursor_moves_forward_alone_and_what_moves_waits_until_it_is_announced() {
    let (receipts, stored) = open().await;
    let (conversation_id, user_id) = (ConversationId::new(), UserId::new());
    let now = DateTime::from_millis(5000);
    let mut advances: Vec<Advance> = Vec::new();
    for (to, read_seq, from) in [(3, 3, Some(0)), (2, 3, None), (3, 3, None), (5, 5, Some(3))] {
        let step = step(Cursor::Read, to, now);
        let raised = receipts.advance_read(conversation_id, user_id, &step).await.expect("raised");
        assert_eq!((raised.read_seq, raised.advance), (read_seq, from.map(|from| step.from(from))));
        advances.extend(raised.advance);
    }
    let to = Some(step(Cursor::Delivered, 9, now));
    let forward = Move { conversation_id, from: 5, to, examined: 11 };
    let moved = receipts.move_delivered(user_id, &[forward, forward]).await.expect("an outcome");
    assert_eq!(moved, [true, false], "from where it stood, and so once");
    let receipt = receipts.of_user(user_id, &[conversation_id]).await.expect("found").remove(0);
    assert_eq!((receipt.read_seq, receipt.read_at), (5, Some(at(5))));
    assert_eq!((receipt.delivered_seq, receipt.delivered_at), (9, Some(at(9))));
    assert_eq!(receipt.examined_seq, 11);

    let all = waiting(&receipts).await;
    let expected = [(Cursor::Read, 0, 3), (Cursor::Read, 3, 5), (Cursor::Delivered, 5, 9)];
    assert_eq!(told(&all), expected);
    assert_eq!([all[0].advance, all[1].advance], advances[..]);
    receipts.pull(&all[1..2]).await.expect("pulled");
    assert_eq!(told(&waiting(&receipts).await), [expected[0], expected[2]]);
    receipts.pull(&all).await.expect("pulled");
    assert!(waiting(&receipts).await.is_empty());
    let left = stored.find_one(doc! {}).await.expect("found").expect("the receipt");
    assert!(left.get_array("outbox").expect("a list").is_empty());
}

#[tokio::test]
async fn what_waits_of_a_receipt_is_bounded_and_nothing_of_it_is_left_out() {
    let (receipts, _) = open().await;
    let (conversation_id, user_id) = (ConversationId::new(), UserId::new());
    let now = DateTime::from_millis(5000);
    let to = Some(step(Cursor::Delivered, 1, now));
    let delivered = Move { conversation_id, from: 0, to, examined: 1 };
    assert_eq!(receipts.move_delivered(user_id, &[delivered]).await.expect("moved"), [true]);
    let mut most = 0;
    let mut last = None;
    for to in 1..=100 {
        let step = step(Cursor::Read, to, now);
        let raised = receipts.advance_read(conversation_id, user_id, &step).await.expect("raised");
        last = raised.advance;
        let waiting = waiting(&receipts).await;
        most = waiting.len().max(most);
        let parts = told(&waiting);
        assert_eq!(parts[0], (Cursor::Delivered, 0, 1), "of the other cursor it is kept");
        let mut reached = 0;
        for (cursor, after, to) in &parts[1..] {
            assert_eq!((*cursor, *after), (Cursor::Read, reached), "{parts:?}");
            reached = *to;
        }
        assert_eq!(reached, to);
    }
    assert_eq!(most, 16);
    let last = last.expect("the last one has moved it");
    let own = Moved { conversation_id, user_id, advance: last };
    let before = waiting(&receipts).await.len();
    receipts.pull(&[own]).await.expect("pulled");
    assert_eq!(waiting(&receipts).await.len(), before - 1);
}

#[tokio::test]
async fn delivery_that_was_put_together_with_others_is_not_taken_for_announced() {
    let (receipts, _) = open().await;
    let (conversation_id, user_id) = (ConversationId::new(), UserId::new());
    let now = DateTime::from_millis(5000);
    let mut own = None;
    for to in 1..=17 {
        let step = step(Cursor::Delivered, to, now);
        let one = Move { conversation_id, from: to - 1, to: Some(step), examined: to };
        assert_eq!(receipts.move_delivered(user_id, &[one]).await.expect("moved"), [true]);
        own = Some(Moved { conversation_id, user_id, advance: step.from(to - 1) });
    }
    receipts.pull(&[own.expect("the last one")]).await.expect("pulled");
    assert_eq!(told(&waiting(&receipts).await), [(Cursor::Delivered, 0, 17)]);
}

#[tokio::test]
async fn every_query_on_receipts_goes_by_an_index() {
    const BY_MEMBER: &str = "conversation_id_1_user_id_1";
    let filled = queries::open().await;
    let receipts = Receipts::open(&filled.database).await.expect("a collection");
    let (conversation_id, user_id) = (filled.conversation, UserId::new());
    let waits = |number: i64| {
        let user = if number == 1 { user_id } else { UserId::new() };
        let advance = doc! {
            "_id": bson::oid::ObjectId::new(), "cursor": "read", "after": 0_i64, "to": 7_i64,
            "to_at": at(7), "moved_at": at(number), "at": at(number),
        };
        doc! {
            "conversation_id": conversation_id, "user_id": user, "read_seq": 7_i64,
            "read_at": at(7), "delivered_seq": 7_i64, "delivered_at": at(7), "outbox": [advance],
        }
    };
    let stored = filled.database.collection::<Document>("receipts");
    stored.insert_many((1..=COUNT).map(waits)).await.expect("inserted");
    let forget = || filled.commands.lock().expect("not poisoned").clear();

    forget();
    let claimed = receipts.claim(at(COUNT - 50), DateTime::now()).await.expect("claimed");
    let moved: Vec<Moved> = claimed.expect("the oldest").moved().collect();
    assert_eq!((moved.len(), moved[0].user_id), (1, user_id));
    filled.assert_runs_by("outbox.at_1", 1).await;
    assert!(receipts.claim(at(0), DateTime::now()).await.expect("an answer").is_none());
    filled.assert_runs_by("outbox.at_1", 1).await;
    forget();
    receipts.pull(&moved).await.expect("pulled");
    filled.assert_runs_by(BY_MEMBER, 1).await;
    let further = step(Cursor::Read, 9, DateTime::now());
    receipts.advance_read(conversation_id, user_id, &further).await.expect("raised");
    filled.assert_runs_by(BY_MEMBER, 1).await;
    let to = Some(step(Cursor::Delivered, 12, DateTime::now()));
    let delivered = Move { conversation_id, from: 9, to, examined: 12 };
    assert_eq!(receipts.move_delivered(user_id, &[delivered]).await.expect("moved"), [true]);
    filled.assert_runs_by(BY_MEMBER, 1).await;
    receipts.read_seq(conversation_id, user_id).await.expect("a number");
    filled.assert_runs_by(BY_MEMBER, 1).await;
    assert_eq!(receipts.of_user(user_id, &[conversation_id]).await.expect("found").len(), 1);
    filled.assert_runs_by(BY_MEMBER, 2).await;
    let all = receipts.of_all(&[conversation_id]).await.expect("found");
    assert_eq!(i64::try_from(all.len()).expect("few"), COUNT);
    filled.assert_runs_by(BY_MEMBER, 301).await;
}
