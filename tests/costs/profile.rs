//! What MongoDB says of the commands that services have sent: its profile of every database.

use std::collections::{BTreeMap, BTreeSet};

use chat_e2e::harness::eventually;
use futures_util::TryStreamExt as _;
use mongodb::{
    Database,
    bson::{Bson, Document, doc},
};

use crate::world::Databases;

const PROFILE: &str = "system.profile";
/// Room for the profile of the whole tour.
const ROOM: i64 = 256 << 20;
/// Names under which services connect begin so.
const SERVICES: &str = "chat-";
/// Documents and keys that a query may look at beside four for each that it names, returns or changes.
const MOST_BESIDE: usize = 100;

/// Queries that look at more, by service and what stands in the command.
const BOUNDED: [(&str, &str); 6] = [
    // Who shares a group with the caller: as many as he has groups.
    ("conversation", "$setIntersection"),
    // How many groups the caller has, by name or all: the same.
    ("conversation", "$indexOfCP"),
    ("conversation", r#""is_group": true } }, { "$group": { "_id": 1"#),
    // How many users a list has: at most ten thousand.
    ("user", r#""$limit": 10000"#),
    // What is unread in the conversations of a list: at most two thousand messages of each.
    ("message", r#""$limit": 2000"#),
    // Whose messages have reached somebody: at most the newest ten thousand of each conversation.
    ("message", r#""as": "of_others""#),
];

/// Stages that no query may have.
const REFUSED: [&str; 2] = ["COLLSCAN", "SORT"];
/// Parts of a plan that tell of what was not run.
const NOT_RUN: [&str; 3] = ["queryPlanner", "rejectedPlans", "command"];

/// Begins to keep the profiles of all databases.
pub async fn begin(databases: &Databases) {
    for (_, database) in databases.all() {
        let room = doc! { "create": PROFILE, "capped": true, "size": ROOM };
        database.run_command(room).await.expect("room for the profile");
        database.run_command(doc! { "profile": 2 }).await.expect("a profile");
    }
}

/// A command of a service as MongoDB ran it.
pub struct Run {
    service: &'static str,
    collection: String,
    profile: Document,
}

/// Ends the profiles; returns what is in them.
pub async fn end(databases: &Databases) -> Vec<Run> {
    let mut runs = Vec::new();
    for (service, database) in databases.all() {
        database.run_command(doc! { "profile": 0 }).await.expect("no profile any more");
        let sent = doc! { "appName": { "$regex": format!("^{SERVICES}") } };
        let found = database.collection::<Document>(PROFILE).find(sent).await.expect("a profile");
        let found: Vec<Document> = found.try_collect().await.expect("a profile");
        runs.extend(found.into_iter().filter_map(|profile| {
            let namespace = profile.get_str("ns").unwrap_or_default();
            let collection = namespace.split_once('.').map_or("", |(_, name)| name).to_owned();
            (collection != PROFILE).then_some(Run { service, collection, profile })
        }));
    }
    runs
}

/// Waits until a service has sent a command that begins with these fields.
pub async fn until_sent(databases: &Databases, service: &str, filter: Document) {
    let profile = databases.collection(service, PROFILE);
    eventually(&format!("{service} sends {filter}"), async || {
        profile.find_one(filter.clone()).await.expect("an answer").is_some()
    })
    .await;
}

impl Run {
    fn command(&self) -> Document {
        let mut command = self.profile.get_document("command").cloned().unwrap_or_default();
        for key in ["lsid", "txnNumber", "$db", "$clusterTime", "readConcern", "writeConcern"] {
            command.remove(key);
        }
        command
    }

    fn count(&self, key: &str) -> usize {
        match self.profile.get(key) {
            Some(Bson::Int32(count)) => usize::try_from(*count).expect("not negative"),
            Some(Bson::Int64(count)) => usize::try_from(*count).expect("not negative"),
            _ => 0,
        }
    }

    /// Says what is wrong with the plan.
    pub fn fault(&self) -> Option<String> {
        let plan = self.profile.get_str("planSummary").unwrap_or_default();
        let examined = self.count("docsExamined").max(self.count("keysExamined"));
        let command = self.command().to_string();
        let counts = ["nreturned", "nMatched", "ndeleted", "nUpserted"].map(|key| self.count(key));
        let named = command.matches("ObjectId(").count() + pairs(&command);
        let known = counts.into_iter().sum::<usize>() + named;
        let is_bounded = BOUNDED
            .iter()
            .any(|(service, part)| *service == self.service && command.contains(part));
        let fault = if plan.contains("COLLSCAN") {
            "scans the collection".to_owned()
        } else if self.profile.get_bool("hasSortStage").unwrap_or_default() {
            "sorts in memory".to_owned()
        } else if examined > MOST_BESIDE + 4 * known && !is_bounded {
            format!("looks at {examined} for {known}")
        } else {
            return None;
        };
        let command: String = command.chars().take(700).collect();
        Some(format!("{} {} {fault} ({plan}): {command}", self.service, self.collection))
    }

    /// Returns the command if it reads by pipelines inside its pipeline, of which the profile says nothing.
    pub fn with_inner_pipelines(&self) -> Option<(&'static str, Document)> {
        let command = self.command();
        let is_whole = !command.contains_key("$truncated") && command.contains_key("aggregate");
        let text = command.to_string();
        let has_inner = ["$lookup", "$unionWith"].iter().any(|stage| text.contains(stage));
        (is_whole && has_inner).then_some((self.service, command))
    }
}

/// Counts the keys of direct conversations in a command, two ids each.
fn pairs(command: &str) -> usize {
    let is_id = |text: &str| text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let texts = command.split('"').filter_map(|text| text.split_once(':'));
    texts.filter(|(one, other)| is_id(one) && is_id(other)).count()
}

/// Says which collections nothing was asked of, and which indexes no query went by. Those that MongoDB
/// deletes by are used by itself.
pub async fn unused(databases: &Databases, runs: &[Run]) -> Vec<String> {
    let used: BTreeSet<(&str, &str)> =
        runs.iter().map(|run| (run.service, run.collection.as_str())).collect();
    let mut unused = Vec::new();
    for (service, database) in databases.all() {
        let names = database.list_collection_names().await.expect("collections");
        for name in names.iter().filter(|name| !name.starts_with("system.")) {
            if !used.contains(&(service, name.as_str())) {
                unused.push(format!("{service} {name}"));
            }
            let own_uses = uses(&database, name).await;
            let never = own_uses.into_iter().filter(|(_, count)| *count == 0);
            unused.extend(never.map(|(index, _)| format!("{service} {name} {index}")));
        }
    }
    unused
}

/// Returns how often each index of a collection was used.
async fn uses(database: &Database, collection: &str) -> BTreeMap<String, i64> {
    let collection = database.collection::<Document>(collection);
    let stats = collection.aggregate([doc! { "$indexStats": {} }]);
    let stats = stats.await.expect("an answer").try_collect::<Vec<_>>().await.expect("an answer");
    let uses = stats.into_iter().filter_map(|index| {
        let is_for_deletion = index.get_document("spec").ok()?.contains_key("expireAfterSeconds");
        let name = index.get_str("name").ok()?.to_owned();
        let count = index.get_document("accesses").ok()?.get_i64("ops").ok()?;
        (!is_for_deletion && name != "_id_").then_some((name, count))
    });
    uses.collect()
}

/// Asks how a command is run with all its inner pipelines; says what is wrong with that.
pub async fn inner_fault(
    databases: &Databases,
    service: &str,
    command: &Document,
) -> Option<String> {
    let (_, database) = databases.all().find(|(known, _)| *known == service)?;
    let explain = doc! { "explain": command, "verbosity": "executionStats" };
    let plan = Bson::Document(database.run_command(explain).await.expect("a plan"));
    let mut seen = Seen::default();
    seen.look(&plan);
    assert!(seen.runs > 0, "nothing was run in {plan}");
    let is_bad =
        seen.scans > 0 || seen.stages.iter().any(|stage| REFUSED.contains(&stage.as_str()));
    is_bad.then(|| format!("{service} {} scans, {:?}: {plan}", seen.scans, seen.stages))
}

/// What stands in a plan that was run.
#[derive(Default)]
struct Seen {
    runs: usize,
    scans: i64,
    stages: BTreeSet<String>,
}

impl Seen {
    fn look(&mut self, plan: &Bson) {
        match plan {
            Bson::Document(part) => {
                self.scans += part.get_i64("collectionScans").unwrap_or_default();
                self.runs += usize::from(part.contains_key("collectionScans"));
                self.runs += usize::from(part.contains_key("executionStages"));
                self.stages.extend(part.get_str("stage").map(str::to_owned));
                let run = part.iter().filter(|(key, _)| !NOT_RUN.contains(&key.as_str()));
                run.for_each(|(_, inner)| self.look(inner));
            }
            Bson::Array(parts) => parts.iter().for_each(|part| self.look(part)),
            _ => {}
        }
    }
}
