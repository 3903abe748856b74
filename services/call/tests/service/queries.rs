//! How MongoDB runs every query of the service: by an index, in its order, without reading more than is
//! asked for, however many calls there are.

use bson::{Bson, DateTime, Document, doc};
use chat_kit::id::UserId;
use chat_proto::v1::{ListCallsRequest, PageRequest};

use crate::{
    missed::note_rung,
    support::{Device, Suite, eventually, start},
};

/// Calls that others, and the same users, had before.
const BEFORE: i64 = 300;

fn over(number: i64, parties: [UserId; 2]) -> Document {
    let at = DateTime::from_millis(1_769_847_330_000 + number);
    let side = |user: UserId| doc! { "user_id": user, "candidate_count": 0_i64 };
    doc! {
        "_id": format!("{number:032x}"),
        "parties": parties.to_vec(),
        "is_live": false,
        "revision": 1_i64,
        "kind": "audio",
        "state": "ended",
        "caller": side(parties[0]),
        "callee": side(parties[1]),
        "placed_at": at,
        "ended_at": at,
        "end_reason": "cancelled",
    }
}

fn name(command: &Document) -> &str {
    command.keys().next().map_or("", String::as_str)
}

/// Returns the statistics of every stage that looks at keys or documents.
fn stages(plan: &Bson) -> Vec<String> {
    match plan {
        Bson::Document(document) => {
            let own = document.get_str("stage").ok().map(str::to_owned);
            let parts = document.iter().filter(|(key, _)| *key != "command");
            own.into_iter().chain(parts.flat_map(|(_, part)| stages(part))).collect()
        }
        Bson::Array(parts) => parts.iter().flat_map(stages).collect(),
        _ => Vec::new(),
    }
}

async fn assert_indexed(suite: &Suite, mut query: Document) {
    for key in ["lsid", "txnNumber", "$db", "$clusterTime", "readConcern", "writeConcern"] {
        query.remove(key);
    }
    let explain = doc! { "explain": &query, "verbosity": "executionStats" };
    let plan = suite.database.run_command(explain).await.expect("a plan");
    let stages = stages(&Bson::Document(plan.clone()));
    for refused in ["COLLSCAN", "SORT"] {
        assert!(!stages.iter().any(|stage| stage == refused), "{query}: {stages:?}");
    }
    let run = plan.get_document("executionStats").expect("statistics");
    let count = |key| run.get_i32(key).expect("a count");
    // Every branch of a page's filter looks one key ahead; so does every id that is asked for.
    let needed = count("nReturned") + 4;
    assert!(count("totalKeysExamined") <= needed, "{query}: {run}");
    assert!(count("totalDocsExamined") <= needed, "{query}: {run}");
}

/// Does everything that can be done with calls.
async fn everything(suite: &Suite, ada: &Device, grace: &Device) {
    let declined = suite.ring(0, ada, grace).await.expect("it rings").id;
    suite.decline(grace, &declined).await.expect("declined");
    let id = suite.ring(0, ada, grace).await.expect("it rings").id;
    for may_repeat in [false, true] {
        let new = Device::of(grace.user);
        assert!(suite.attach_by(0, &new, may_repeat).await.missed.is_some());
    }
    note_rung(suite, &id, &[grace]).await.expect("noted");
    suite.add(ada, &id, "1").await.expect("added");
    suite.answer(1, grace, &id).await.expect("answered");
    suite.add(grace, &id, "2").await.expect("added");
    let back = grace.again();
    suite.attach(&back).await.expect("it stands by");
    suite.renew(&[(&id, ada), (&id, grace), (&id, &back)]).await;
    suite.detach(grace).await;
    let interrupted = doc! { "$set": { "at": DateTime::from_millis(0) } };
    suite.pulse().update_one(doc! {}, interrupted).await.expect("an answer");
    let has_resumed = async || suite.has_looked_since(DateTime::from_millis(0)).await;
    eventually("the interruption is made up for", has_resumed).await;
    suite.hang_up(ada, &id).await.expect("ended");
    assert!(suite.attach_by(0, &Device::of(grace.user), false).await.missed.is_some());
    let mut cursor = String::new();
    for _ in 0..2 {
        let page = Some(PageRequest { limit: 10, cursor });
        let request = ada.request(ListCallsRequest { page });
        let list = suite.calls[0].clone().list_calls(request).await.expect("a list").into_inner();
        cursor = list.page.expect("a page").next_cursor;
        assert!(!cursor.is_empty());
    }
    let is_stripped = async || !suite.document(&id).await.contains_key("offer");
    eventually("it is announced", is_stripped).await;
}

#[tokio::test]
async fn every_query_goes_by_an_index() {
    let suite = start().await;
    let (ada, grace) = suite.pair().await;
    let strangers = [UserId::new(), UserId::new()];
    let before = (0..BEFORE).map(|number| {
        over(number, if number % 2 == 0 { [ada.user, grace.user] } else { strangers })
    });
    suite.stored().insert_many(before).await.expect("stored");
    suite.commands.lock().expect("not poisoned").clear();
    everything(&suite, &ada, &grace).await;
    let commands = std::mem::take(&mut *suite.commands.lock().expect("not poisoned"));
    let is_query = |command: &Document| {
        let of = command.iter().next().and_then(|(_, of)| of.as_str());
        of.is_some_and(|of| ["calls", "pulse"].contains(&of))
            && ["find", "findAndModify", "update"].contains(&name(command))
    };
    let queries: Vec<Document> = commands.into_iter().filter(is_query).collect();
    for expected in ["find", "findAndModify", "update"] {
        assert!(queries.iter().any(|query| name(query) == expected), "no {expected}");
    }
    for expected in ["due_at", "callee.rung", "resumed_at", "$mergeObjects"] {
        let has_it = |query: &Document| query.to_string().contains(expected);
        assert!(queries.iter().any(has_it), "no {expected}");
    }
    let is_extension = |query: &Document| {
        let text = query.to_string();
        text.contains("$mergeObjects") && text.contains("$lte")
    };
    assert!(queries.iter().any(is_extension), "no interruption was made up for");
    for query in queries {
        assert_indexed(&suite, query).await;
    }
}

/// Returns how many commands a renewal of some calls takes.
async fn commands_of_renewal(suite: &Suite, calls: &[(String, Device)]) -> usize {
    suite.commands.lock().expect("not poisoned").clear();
    let sockets: Vec<_> = calls.iter().map(|(id, device)| (id.as_str(), device)).collect();
    assert_eq!(suite.renew(&sockets).await, []);
    let commands = suite.commands.lock().expect("not poisoned");
    let ids = format!("\"$in\": [\"{}\"", calls[0].0);
    commands.iter().filter(|command| command.to_string().contains(&ids)).count()
}

#[tokio::test]
async fn renewal_takes_the_same_commands_for_one_call_and_for_many() {
    let suite = start().await;
    let mut calls = Vec::new();
    for _ in 0..5 {
        let (ada, grace) = suite.pair().await;
        calls.push((suite.ring(0, &ada, &grace).await.expect("it rings").id, ada));
    }
    let one = commands_of_renewal(&suite, &calls[..1]).await;
    assert_eq!(one, 2);
    assert_eq!(commands_of_renewal(&suite, &calls).await, one);
}
