//! How MongoDB runs every query on messages: by an index, in its order, without reading more than is
//! asked for.

use std::sync::{Arc, Mutex};

use bson::{Bson, DateTime, Document, doc};
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    mongo,
};
use chat_message::store::messages::{
    Inserted, Known, MOST_FOUND, Message, Messages, OutboxEntry, OutboxKind, Stretch, Waiting,
};
use futures_util::future::join_all;
use mongodb::{
    Database,
    event::{EventHandler, command::CommandEvent},
};

use crate::{
    services::database,
    support::{at, stored_message},
};

/// Messages of every conversation in the collection.
const COUNT: i64 = 300;

/// Name of the index that MongoDB makes by itself.
const BY_ID: &str = "_id_";

/// The collection, filled with messages of which each is still to be announced, and the commands that
/// went to it.
pub struct Collection {
    messages: Messages,
    pub database: Database,
    pub commands: Arc<Mutex<Vec<Document>>>,
    pub conversation: ConversationId,
    /// Another one like it.
    second: ConversationId,
    sender: UserId,
    some: MessageId,
}

pub async fn open() -> Collection {
    let commands = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&commands);
    let observer = EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            seen.lock().expect("not poisoned").push(started.command);
        }
    });
    let database = mongo::connect(&database("message").await, "test", Some(observer))
        .await
        .expect("mongodb answers");
    let messages = Messages::open(&database).await.expect("a collection");
    let sender = UserId::new();
    let conversations = [ConversationId::new(), ConversationId::new(), ConversationId::new()];
    let filled: Vec<Message> = conversations
        .iter()
        .flat_map(|conversation| (1..=COUNT).map(|seq| filled(*conversation, sender, seq)))
        .collect();
    let some = filled[7].id;
    database.collection::<Message>("messages").insert_many(filled).await.expect("inserted");
    let [conversation, second, _] = conversations;
    Collection { messages, database, commands, conversation, second, sender, some }
}

fn filled(conversation: ConversationId, sender: UserId, seq: i64) -> Message {
    let mut message = stored_message(conversation, sender, seq);
    message.client_id = Some(format!("\"{seq}\""));
    message.tokens = vec!["word".to_owned(), seq.to_string()];
    let event_id = format!("{}:created:0", message.id);
    message.outbox = vec![OutboxEntry { event_id, kind: OutboxKind::Created, at: at(seq) }];
    message
}

impl Collection {
    /// Returns the only query since the last call as it was sent.
    fn query(&self) -> Document {
        let commands = std::mem::take(&mut *self.commands.lock().expect("not poisoned"));
        let is_query = |command: &Document| {
            let name = command.keys().next().map_or("", String::as_str);
            ["find", "findAndModify", "update", "aggregate", "getMore"].contains(&name)
        };
        let mut queries: Vec<Document> = commands.into_iter().filter(is_query).collect();
        assert_eq!(queries.len(), 1, "{queries:?}");
        let mut query = queries.remove(0);
        for key in ["lsid", "txnNumber", "$db", "$clusterTime", "readConcern", "writeConcern"] {
            query.remove(key);
        }
        query
    }

    /// Asks MongoDB how it runs the query that was sent last, and fails unless it goes by `index`,
    /// neither scans the collection nor sorts, and examines at most `most` keys and documents.
    pub async fn assert_runs_by(&self, index: &str, most: i32) {
        let query = self.query();
        let explain = doc! { "explain": &query, "verbosity": "executionStats" };
        let plan = self.database.run_command(explain).await.expect("a plan");
        self.commands.lock().expect("not poisoned").clear();
        let run = plan.get_document("executionStats").expect("statistics");
        let executed = run.get_document("executionStages").expect("stages");
        let executed = Bson::Document(executed.clone());
        let stages = texts(&executed, "stage");
        for refused in ["COLLSCAN", "SORT"] {
            assert!(!stages.iter().any(|stage| stage == refused), "{query}: {stages:?}");
        }
        let mut indexes = texts(&executed, "indexName");
        if stages.iter().any(|stage| stage.starts_with("IDHACK")) {
            indexes.push(BY_ID.to_owned());
        }
        assert_eq!(indexes, [index], "{query}: {stages:?}");
        for count in ["totalKeysExamined", "totalDocsExamined"] {
            let found = run.get_i32(count).expect("a count");
            assert!(found <= most, "{query}: {found} {count}, at most {most} are needed");
        }
    }
}

impl Collection {
    /// Asks the same of each part of a query that merges several ranges of an index.
    async fn assert_merges_by(&self, index: &str, parts: usize, most: i32) {
        let query = self.query();
        let explain = doc! { "explain": &query, "verbosity": "executionStats" };
        let plan = self.database.run_command(explain).await.expect("a plan");
        self.commands.lock().expect("not poisoned").clear();
        let plan = Bson::Document(plan);
        let runs = runs(&plan);
        assert_eq!(runs.len(), parts, "{plan}");
        for run in runs {
            let stages = run.get("executionStages").expect("stages");
            let names = texts(stages, "stage");
            assert!(names.iter().any(|name| name == "SORT_MERGE"), "{names:?}");
            for refused in ["COLLSCAN", "SORT"] {
                assert!(!names.iter().any(|name| name == refused), "{query}: {names:?}");
            }
            assert!(texts(stages, "indexName").iter().all(|name| name == index), "{names:?}");
            for count in ["totalKeysExamined", "totalDocsExamined"] {
                let found = run.get_i32(count).expect("a count");
                assert!(found <= most, "{query}: {found} {count}, at most {most} are needed");
            }
        }
    }

    /// Asks the same of a query that looks rows up in the collection.
    async fn assert_looks_up_by(&self, index: &str, most: i64) {
        let mut query = self.query();
        let pipeline = query.get_array_mut("pipeline").expect("stages");
        let is_unwinding =
            |stage: &Bson| stage.as_document().is_some_and(|stage| stage.contains_key("$unwind"));
        // MongoDB puts it into the lookup, whose statistics it hides.
        if let Some(end) = pipeline.iter().position(is_unwinding) {
            pipeline.truncate(end);
        }
        let explain = doc! { "explain": &query, "verbosity": "executionStats" };
        let plan = self.database.run_command(explain).await.expect("a plan");
        self.commands.lock().expect("not poisoned").clear();
        let stages = plan.get_array("stages").expect("stages");
        let lookup = stages.iter().find_map(|stage| {
            let stage = stage.as_document()?;
            stage.contains_key("$lookup").then_some(stage)
        });
        let lookup = lookup.expect("a lookup");
        let count = |key: &str| lookup.get_i64(key).expect("a count");
        assert_eq!(count("collectionScans"), 0, "{lookup}");
        assert_eq!(lookup.get_array("indexesUsed").expect("indexes"), &[Bson::from(index)]);
        for key in ["totalKeysExamined", "totalDocsExamined"] {
            assert!(count(key) <= most, "{lookup}");
        }
    }
}

/// Returns what a plan says of each part of a query that was run.
fn runs(plan: &Bson) -> Vec<&Document> {
    match plan {
        Bson::Document(run) if run.contains_key("executionStages") => vec![run],
        Bson::Document(parts) => parts.values().flat_map(runs).collect(),
        Bson::Array(parts) => parts.iter().flat_map(runs).collect(),
        _ => Vec::new(),
    }
}

/// Returns the texts that stand under a key anywhere in a plan.
fn texts(plan: &Bson, key: &str) -> Vec<String> {
    match plan {
        Bson::Document(document) => {
            let own = document.get_str(key).ok().map(str::to_owned);
            own.into_iter().chain(document.values().flat_map(|part| texts(part, key))).collect()
        }
        Bson::Array(parts) => parts.iter().flat_map(|part| texts(part, key)).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_query_goes_by_an_index_and_reads_no_more_than_it_returns() {
    const BY_SEQ: &str = "conversation_seq";
    const BY_TIME: &str = "conversation_id_1_created_at_1";
    let filled = open().await;
    let (messages, conversation) = (&filled.messages, filled.conversation);

    filled.commands.lock().expect("not poisoned").clear();
    messages.last(conversation).await.expect("a number").expect("a number");
    filled.assert_runs_by(BY_SEQ, 1).await;
    messages.by_id(filled.some).await.expect("found").expect("a message");
    filled.assert_runs_by(BY_ID, 1).await;
    let found = messages.by_client_id(conversation, filled.sender, "\"7\"").await;
    found.expect("found").expect("a message");
    filled.assert_runs_by("sender_client_id", 1).await;

    assert_eq!(messages.last_before(conversation, None).await.expect("a number"), COUNT);
    filled.assert_runs_by(BY_SEQ, 1).await;
    let before = messages.last_before(conversation, Some(at(150))).await;
    assert_eq!(before.expect("a number"), 149);
    filled.assert_runs_by(BY_TIME, 1).await;

    let range = messages.range(conversation, 101, 150).await.expect("messages");
    assert_eq!(range.len(), 50);
    filled.assert_runs_by(BY_SEQ, 51).await;
    // The numbers bound what is read, however many messages are still to be announced.
    let unannounced = messages.unannounced(conversation, 101, 150).await.expect("messages");
    assert_eq!(unannounced.len(), 50);
    filled.assert_runs_by(BY_SEQ, 51).await;
    // Whoever has not written for long is not looked for further.
    for (sender, is_found, most) in
        [(None, true, 2), (Some(filled.sender), true, 2), (Some(UserId::new()), false, 150)]
    {
        let left = messages.newest_left(conversation, 150, sender).await.expect("an answer");
        assert_eq!(left.map(|left| left.seq), is_found.then_some(149));
        filled.assert_runs_by(BY_SEQ, most).await;
    }
    messages.hidden_from(filled.sender, conversation, 0).await.expect("numbers");
    filled.assert_runs_by("conversation_hidden", 1).await;
}

#[tokio::test]
async fn lists_and_receipts_go_by_indexes() {
    const BY_SEQ: &str = "conversation_seq";
    let filled = open().await;
    let (messages, conversation, reader) = (&filled.messages, filled.conversation, UserId::new());
    filled.commands.lock().expect("not poisoned").clear();
    let newest = messages.newest_place(conversation).await.expect("a place");
    assert_eq!(newest.expect("a message").seq, COUNT);
    filled.assert_runs_by(BY_SEQ, 1).await;
    let covered = messages.covered(conversation, 10, 60).await.expect("messages");
    assert_eq!(covered.len(), 50);
    filled.assert_runs_by(BY_SEQ, 51).await;
    messages.deleted_for(reader, &[filled.some]).await.expect("an answer");
    filled.assert_runs_by(BY_ID, 2).await;
    let located = messages.located(&[filled.some]).await.expect("places");
    assert_eq!(located[0].id, filled.some);
    filled.assert_runs_by(BY_ID, 2).await;
    let place = messages.place_at(conversation, at(150)).await.expect("a place");
    assert_eq!(place.expect("a message").seq, 150);
    filled.assert_runs_by("conversation_id_1_created_at_1", 1).await;
    let place = messages.place_numbered(conversation, 150).await.expect("a place");
    assert_eq!(place.expect("a message").seq, 150);
    filled.assert_runs_by(BY_SEQ, 1).await;
    let stretch = Stretch { conversation_id: conversation, after: 10, to: 290 };
    let held = messages.held(reader, &[stretch]).await.expect("an answer");
    assert_eq!((held[0].of_others[0].seq, held[0].of_others.len()), (290, 1));
    filled.assert_looks_up_by(BY_SEQ, 280).await;
    // Of so many, 200 messages each.
    let mut stretches = vec![Stretch { conversation_id: conversation, after: 0, to: COUNT }];
    stretches.push(Stretch { conversation_id: filled.second, ..stretches[0] });
    stretches.resize_with(500, || Stretch { conversation_id: ConversationId::new(), ..stretch });
    let held = messages.held(reader, &stretches).await.expect("an answer");
    assert_eq!(held.iter().filter(|held| !held.of_others.is_empty()).count(), 2);
    filled.assert_looks_up_by(BY_SEQ, 2 * 200).await;

    let change = (at(0), -1);
    let known = Known { conversation_id: conversation, after: 250, change };
    let new = messages.new_in(&[known], 20).await.expect("messages");
    assert_eq!((new.len(), new[0].seq), (20, 251));
    filled.assert_looks_up_by(BY_SEQ, 20).await;
    let changed = messages.changed_in(&[known], 20).await.expect("messages");
    assert!(changed.is_empty(), "nothing has changed");
    filled.assert_looks_up_by("conversation_changed", 0).await;
    let change = doc! { "$set": { "changed_at": at(500) } };
    let all = doc! { "conversation_id": conversation };
    let stored = filled.database.collection::<Document>("messages");
    stored.update_many(all, change).await.expect("changed");
    filled.commands.lock().expect("not poisoned").clear();
    let known = Known { change: (at(500), 200), ..known };
    let changed = messages.changed_in(&[known], 20).await.expect("messages");
    assert_eq!((changed.len(), changed[0].seq), (20, 201), "behind the cursor");
    // Those of the same time before it are read, and no more.
    filled.assert_looks_up_by("conversation_changed", 200 + 20).await;

    let unread = messages.unread(reader, &[(conversation, 250)]).await.expect("counts");
    assert_eq!(unread[&conversation], 50);
    filled.assert_looks_up_by(BY_SEQ, 50).await;
    let seen = messages.newest_seen(reader, &[(conversation, 0)]).await.expect("messages");
    assert_eq!(seen[0].seq, COUNT);
    filled.assert_looks_up_by(BY_SEQ, 1).await;
}

#[tokio::test]
async fn words_are_found_newest_first_by_their_index_alone() {
    let filled = open().await;
    let numbers = |found: &[Message]| -> Vec<i64> { found.iter().map(|found| found.seq).collect() };
    let newest_first: Vec<i64> = (1..=COUNT).rev().collect();
    // More than MongoDB merges at once.
    let mut conversations: Vec<_> = (0..250).map(|_| ConversationId::new()).collect();
    (conversations[0], conversations[249]) = (filled.conversation, filled.second);
    filled.commands.lock().expect("not poisoned").clear();
    let found = filled.messages.holding("word", &conversations, None).await.expect("messages");
    assert_eq!(found.iter().map(|part| numbers(part)).collect::<Vec<_>>(), [&newest_first[..]; 2]);
    assert_eq!(found[0].len(), MOST_FOUND);
    filled.assert_merges_by("tokens", 2, 501).await;
    let before = Some((found[0][9].created_at, found[0][9].id));
    let some = &conversations[..2];
    let found = filled.messages.holding("word", some, before).await.expect("messages");
    assert_eq!((found.len(), found[0].len(), found[0][0].seq), (1, 290, 290));
    filled.assert_merges_by("tokens", 1, 302).await;
    assert!(filled.messages.holding("word", &[], None).await.expect("none").is_empty());
}

#[tokio::test]
async fn outbox_is_claimed_and_emptied_by_an_index_however_much_waits() {
    let filled = open().await;
    let messages = &filled.messages;
    filled.commands.lock().expect("not poisoned").clear();
    let (cutoff, now) = (at(COUNT - 50), DateTime::now());
    messages.claim_outbox(cutoff, now).await.expect("claimed").expect("a message");
    filled.assert_runs_by("outbox.at_1", 1).await;
    assert!(messages.claim_outbox(at(0), now).await.expect("no message").is_none());
    filled.assert_runs_by("outbox.at_1", 1).await;
    let announced = [(filled.some, format!("{}:created:0", filled.some))];
    messages.pull_outbox(&announced).await.expect("pulled");
    filled.assert_runs_by(BY_ID, 1).await;
}

#[tokio::test]
async fn what_waits_in_the_outbox_is_counted_by_an_index() {
    let filled = open().await;
    let messages = &filled.messages;
    filled.commands.lock().expect("not poisoned").clear();
    let waiting = messages.waiting().await.expect("counted");
    assert_eq!(waiting, Waiting { count: 900, oldest: Some(at(1)) });
    let query = filled.query();
    assert_eq!(query.get_document("hint").expect("an index"), &doc! { "outbox.at": 1 });
    assert!(query.to_string().contains("\"$limit\": 10000"), "bounded: {query}");

    let database = database("message").await;
    let empty = mongo::connect(&database, "test", None).await.expect("mongodb answers");
    let empty = Messages::open(&empty).await.expect("a collection");
    assert_eq!(empty.waiting().await.expect("counted"), Waiting::default());
}

#[tokio::test]
async fn outbox_is_claimed_oldest_first_and_once() {
    let filled = open().await;
    let (cutoff, now) = (at(4), DateTime::now());
    let mut claimed = Vec::new();
    while let Some(message) = filled.messages.claim_outbox(cutoff, now).await.expect("claimed") {
        assert_eq!(message.outbox[0].at, at(message.seq), "as it was before");
        claimed.push(message.seq);
    }
    assert_eq!(claimed, [1, 1, 1, 2, 2, 2, 3, 3, 3], "three conversations");
}

#[tokio::test(flavor = "multi_thread")]
async fn insert_that_is_refused_fails_alone_in_its_batch() {
    let Collection { messages, database, commands, conversation, sender, some, .. } = open().await;
    let stored = database.collection::<Message>("messages");
    let named = |client_id: &str| Some(client_id.to_owned());
    let new = |seq| stored_message(ConversationId::new(), sender, seq);
    let first = Message { conversation_id: conversation, client_id: named("c"), ..new(1000) };
    let outcome = messages.insert(&Arc::new(first.clone())).await.expect("an outcome");
    assert_eq!(outcome, Inserted::Stored);
    commands.lock().expect("not poisoned").clear();

    let again = Message { client_id: named("c"), conversation_id: conversation, ..new(1001) };
    let mut batch: Vec<(Message, Inserted)> =
        (1..=30).map(|_| (new(1), Inserted::Stored)).collect();
    batch[7] = (Message { id: some, ..new(1) }, Inserted::IdTaken);
    batch[17] = (again, Inserted::ClientIdTaken);
    batch[27] = (Message { conversation_id: conversation, ..new(1000) }, Inserted::SeqTaken);
    let inserts = batch.iter().map(async |(message, expected)| {
        let outcome = messages.insert(&Arc::new(message.clone())).await.expect("an outcome");
        assert_eq!(outcome, *expected);
        let found = messages.by_id(message.id).await.expect("an answer");
        let is_stored = found.is_some_and(|found| found == *message);
        assert_eq!(is_stored, *expected == Inserted::Stored, "{expected:?}");
    });
    join_all(inserts).await;
    let commands = commands.lock().expect("not poisoned").clone();
    let count = commands.iter().filter(|command| command.contains_key("insert")).count();
    assert!(count < 10, "{count} commands for 30 messages");
    let count = stored.count_documents(doc! { "conversation_id": conversation }).await;
    assert_eq!(count.expect("a count"), u64::try_from(COUNT).expect("positive") + 1);
}
