//! The crash story: clients send without pause over two gateways and repeat what was not answered,
//! while processes are killed. At the end nothing acknowledged may be lost, doubled or out of order, in
//! the history or at any socket.

mod account;
mod chaos;
mod check;
mod client;
mod random;
mod record;
pub mod soak;

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chat_local::{build_directory, keep::Say, testing};
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use self::{
    account::Account,
    check::{Conversation, History},
    client::{Client, Habits, Phase},
    random::Random,
    record::{Dialect, Record},
};

/// How many clients there are.
const CLIENTS: usize = 8;
/// How many of them are of the old families and declare nothing.
const OLD_CLIENTS: usize = 2;
/// How many replicas of every service run.
const REPLICAS: u16 = 2;
/// How long the suite may take, once nothing is killed any more, until all is answered and heard.
const RECOVERY: Duration = Duration::from_mins(2);
/// Requests under way at once before and after the story.
const AT_ONCE: usize = 16;
/// What is not right yet is shown up to so many lines.
const MOST_SHOWN: usize = 3;
/// Pause between two looks whether that is so.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// What is to happen.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many processes are killed.
    pub kills: usize,
    /// Decides who is killed when, and what clients do.
    pub seed: u64,
}

impl Plan {
    /// Makes a plan with a seed of the moment.
    #[must_use]
    pub fn new(kills: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { kills, seed: u64::from(now.subsec_nanos()) }
    }
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// What happened, in lines for people.
    pub summary: String,
    /// Every promise that was broken, with what is needed to find out why.
    pub violations: Vec<String>,
}

/// How many people of which kinds take part.
#[derive(Clone, Copy, Debug)]
struct Size {
    clients: usize,
    /// How many of them are of the old families and declare nothing.
    old_clients: usize,
    /// How many groups there are beside the direct conversations; everybody is in one, if there are any.
    groups: usize,
}

/// Who takes part, and what is known of them.
struct Cast {
    accounts: Vec<Account>,
    gateways: [SocketAddr; 2],
    conversations: Arc<Vec<Conversation>>,
    records: Vec<Arc<Mutex<Record>>>,
}

/// Runs the story. An error means that it could not be told.
pub async fn run(plan: Plan) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let deaths: Arc<Mutex<Vec<String>>> = Arc::default();
    let reported = Arc::clone(&deaths);
    let say: Say = Arc::new(move |line| {
        reported.lock().push(format!("{:8.3} {line}", start.elapsed().as_secs_f64()));
    });
    let suite = Box::pin(testing::processes(REPLICAS, &say)).await;
    let gateways = [suite.suite.gateways[0].address, suite.suite.gateways[1].address];
    let size = Size { clients: CLIENTS, old_clients: OLD_CLIENTS, groups: 0 };
    let cast = Cast::new(gateways, size).await?;
    let mut random = Random::new(plan.seed);

    let (phase, phases) = watch::channel(Phase::Sending);
    let part = |_| (gateways, Habits::default());
    let clients = cast.start(start, &phases, &mut random, part);
    let kills = chaos::kill(&suite, plan.kills, start, &mut random).await?;
    phase.send_replace(Phase::Finishing);
    let (violations, course) = cast.recovered().await;
    phase.send_replace(Phase::Over);
    for client in join_all(clients).await {
        client?;
    }

    let mut summary = record::summary(&cast.records());
    writeln!(summary, "kills: {}", kills.summary())?;
    writeln!(summary, "{course}seed {}", plan.seed)?;
    if !violations.is_empty() {
        let kept = keep_logs(&suite.logs, "crashes", plan.seed)?;
        let (kills, deaths) = (kills.lines(), deaths.lock().join("\n"));
        writeln!(summary, "logs {}\nkills\n{kills}\ndeaths\n{deaths}", kept.display())?;
    }
    Ok(Outcome { summary, violations })
}

impl Cast {
    async fn new(gateways: [SocketAddr; 2], size: Size) -> anyhow::Result<Self> {
        let accounts = stream::iter(0..size.clients)
            .map(|number| Account::new(number, gateways[number % 2]))
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        let conversations = open_conversations(&accounts, gateways[0], size.groups).await?;
        let conversations = Arc::new(conversations);
        let record = |account: &Account| {
            let is_old = account.number < size.old_clients;
            let dialect = if is_old { Dialect::Undeclared } else { Dialect::Unified };
            Arc::new(Mutex::new(Record::new(account, dialect)))
        };
        let records = accounts.iter().map(record).collect();
        Ok(Self { accounts, gateways, conversations, records })
    }

    /// Lets the clients begin, each with its part: how it reaches the gateways, and its habits.
    fn start(
        &self,
        start: Instant,
        phases: &watch::Receiver<Phase>,
        random: &mut Random,
        part: impl Fn(usize) -> ([SocketAddr; 2], Habits),
    ) -> Vec<JoinHandle<()>> {
        let clients = self.accounts.iter().zip(&self.records).map(|(account, record)| {
            let (gateways, habits) = part(account.number);
            let client = Client::new(
                account.clone(),
                habits,
                gateways,
                Arc::clone(&self.conversations),
                Arc::clone(record),
                Random::new(random.next()),
            );
            tokio::spawn(client.run(start, phases.clone()))
        });
        clients.collect()
    }

    /// Returns the records as they are.
    fn records(&self) -> Vec<Record> {
        self.records.iter().map(|record| record.lock().clone()).collect()
    }

    /// Waits until everything is answered, stored and heard as it must be; returns what is not in the
    /// end, and how it went in lines.
    async fn recovered(&self) -> (Vec<String>, String) {
        let begun = Instant::now();
        let mut course = String::new();
        loop {
            let is_over = begun.elapsed() > RECOVERY;
            let violations = self.violations(is_over).await;
            // Writing to a text cannot fail.
            let at = begun.elapsed().as_secs_f64();
            writeln!(course, "{at:8.1} s after the last blow: {} not right yet", violations.len())
                .ok();
            for violation in violations.iter().take(MOST_SHOWN) {
                writeln!(course, "         {violation}").ok();
            }
            if is_over || violations.is_empty() {
                return (violations, course);
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Returns what is not right; what is not acknowledged yet alone, unless all is asked for.
    async fn violations(&self, all: bool) -> Vec<String> {
        let records = self.records();
        let unanswered =
            records.iter().flat_map(|record| &record.sent).filter(|sent| sent.answer.is_none());
        let unanswered: Vec<String> =
            unanswered.map(|sent| format!("not acknowledged: {}", sent.client_id)).collect();
        if !unanswered.is_empty() && !all {
            return unanswered;
        }
        match self.histories().await {
            Ok(histories) => check::check(&records, &self.conversations, &histories),
            Err(error) => vec![format!("the history cannot be read: {error:#}")],
        }
    }

    /// Reads every conversation whole.
    async fn histories(&self) -> anyhow::Result<Vec<History>> {
        let read = stream::iter(self.conversations.iter()).map(async |conversation| {
            let reader = &self.accounts[conversation.members[0]];
            let read = reader.history(self.gateways[0], Dialect::Unified, &conversation.id, 0);
            let messages = read.await?.into_iter();
            messages.map(|message| Ok(serde_json::from_value(message)?)).collect()
        });
        read.buffered(AT_ONCE).try_collect().await
    }
}

/// Opens the conversations: everybody talks with both neighbours, and in one of the groups or with the one
/// opposite.
async fn open_conversations(
    accounts: &[Account],
    gateway: SocketAddr,
    groups: usize,
) -> anyhow::Result<Vec<Conversation>> {
    let count = accounts.len();
    let next = |one: usize| vec![one, (one + 1) % count];
    let opposite = |one: usize| vec![one, one + count / 2];
    let across = if groups == 0 { count / 2 } else { 0 };
    let pairs = (0..count).map(next).chain((0..across).map(opposite));
    let group = |first: usize| (first..count).step_by(groups).collect();
    let members: Vec<Vec<usize>> = pairs.chain((0..groups).map(group)).collect();
    let opened = stream::iter(members).map(async |members| {
        let one = &accounts[members[0]];
        let id = match members[..] {
            [_, other] => one.open(gateway, &accounts[other]).await?,
            _ => one.group(gateway, members[1..].iter().map(|other| &accounts[*other])).await?,
        };
        anyhow::Ok(Conversation { id, members })
    });
    opened.buffered(AT_ONCE).try_collect().await
}

/// Keeps the logs of a run where later ones do not sweep them away.
fn keep_logs(logs: &Path, story: &str, seed: u64) -> anyhow::Result<PathBuf> {
    let kept = build_directory()?.join(format!("{story}-{seed}"));
    std::fs::rename(logs, &kept)?;
    Ok(kept)
}
