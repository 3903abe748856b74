//! Load for the suite on this machine: messages at an offered rate that does not wait for answers, idle
//! sockets, groups, pages of history, and lists of conversations. Prints what it measured; fails where a message was lost, came twice
//! or out of order, or anything else failed.

mod costs;
mod files;
mod idle;
mod lists;
mod pages;
mod people;
mod plan;
mod processes;
mod report;
mod sockets;
mod suite;
mod tally;

use std::{
    io::Write as _,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{anyhow, ensure};
use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    costs::Costs,
    lists::Lists,
    people::{Api, Person},
    plan::{Place, Plan},
    processes::Snapshot,
    report::Report,
    sockets::{Dialect, Run},
    suite::Suite,
    tally::{Ear, Tally},
};

/// Most users of a run.
const MOST_USERS: u64 = 100_000;
/// Idle sockets of one user.
const SOCKETS_PER_IDLE_USER: u64 = 10;
/// Messages per second in a group whose costs are measured, where no other rate is given.
const GROUP_RATE: u64 = 50;
/// How long sockets settle before anything is measured.
const SETTLING: Duration = Duration::from_secs(2);
/// How long the last messages may take to arrive.
const DRAIN: Duration = Duration::from_secs(15);
/// Pause between two looks whether they have arrived.
const LOOK: Duration = Duration::from_millis(10);

/// Puts load on the suite: on one of its own, or on a running one of this machine.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Gateways of a running suite [default: a suite is started and ended].
    #[arg(long)]
    gateway: Vec<SocketAddr>,
    /// Process id of the running suite, again for each where it is more than one; their CPU time and memory,
    /// with those of their descendants, count.
    #[arg(long, requires = "gateway")]
    pid: Vec<u32>,
    /// Port of the first gateway of a suite that is started.
    #[arg(long, default_value_t = 13_000, conflicts_with = "gateway")]
    port: u16,
    /// How many conversations; each has users of its own, one socket each.
    #[arg(long, default_value = "100")]
    conversations: NonZeroU64,
    /// Members of each conversation.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(2..=1000))]
    members: u64,
    /// Members of one group over two gateways, each a process of its own: tells what CPU time a delivery
    /// takes there and in the suite. 50 messages per second, unless a rate is given.
    #[arg(long, conflicts_with_all = ["conversations", "members"],
          value_parser = clap::value_parser!(u64).range(2..=1000))]
    group: Option<u64>,
    /// Messages per second, in all conversations together; due whatever became of those before.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=100_000))]
    rate: u64,
    /// Seconds that count.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds before them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=600))]
    warm_up: u64,
    /// Bytes of a message's text.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(20..=4000))]
    size: u16,
    /// Sockets that neither send nor hear a message. Without messages and pages, each is of a user of its
    /// own, and what it costs a gateway is measured, which is a process of its own.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=100_000))]
    idle: u64,
    /// Sockets connected per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connect_rate: u64,
    /// Pages of history read per second.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=10_000))]
    pages: u64,
    /// Messages of a page.
    #[arg(long, default_value = "50")]
    page_size: NonZeroU32,
    /// How the clients speak.
    #[arg(long, default_value = "unified")]
    dialect: Dialect,
    /// Number of the first user; the same number is the same user.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..90_000_000))]
    first_user: u64,
    #[command(flatten)]
    lists: Lists,
    /// What else the suite is started with.
    #[arg(last = true, conflicts_with = "gateway")]
    suite: Vec<String>,
}

impl Arguments {
    /// Fills in what the wanted measurement implies.
    fn completed(mut self) -> Self {
        if let Some(members) = self.group {
            self.conversations = NonZeroU64::MIN;
            self.members = members;
            self.rate = if self.rate == 0 { GROUP_RATE } else { self.rate };
        }
        if self.group.is_some() || self.is_idle_alone() {
            self.imply(&["--processes"]);
        }
        if self.is_idle_alone() {
            self.imply(&["--gateways", "1"]);
        }
        self
    }

    /// Starts the suite with an option, too, unless it is among those given.
    fn imply(&mut self, option: &[&str]) {
        let is_given = |word: &String| word.split('=').next() == option.first().copied();
        if !self.suite.iter().any(is_given) {
            self.suite.extend(option.iter().map(|word| (*word).to_owned()));
        }
    }

    /// Says whether idle sockets are all that is wanted.
    fn is_idle_alone(&self) -> bool {
        self.idle > 0 && self.rate == 0 && self.pages == 0 && !self.lists.is_wanted()
    }

    /// Returns how many sockets there will be.
    fn sockets(&self) -> u64 {
        let talking = if self.rate > 0 || self.pages > 0 { self.conversations.get() } else { 0 };
        talking.saturating_mul(self.members).saturating_add(self.idle)
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let plan = Plan {
            conversations: self.conversations,
            members: NonZeroU64::new(self.members).unwrap_or(NonZeroU64::MIN),
            rate: self.rate,
            warm_up: Duration::from_secs(self.warm_up),
            measured: Duration::from_secs(self.seconds),
            size: self.size.into(),
        };
        let users = plan.conversations.get().saturating_mul(plan.members.get());
        ensure!(users <= MOST_USERS, "{users} users are too many, {MOST_USERS} are possible");
        Ok(plan)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse().completed();
    // One thread: the suite needs the others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            writeln!(std::io::stderr(), "load: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Says whether everything arrived as it should.
async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    files::ensure_enough(std::process::id(), "this program", arguments.sockets())?;
    let suite = if arguments.gateway.is_empty() {
        Suite::start(arguments.port, &arguments.suite).await?
    } else {
        Suite::given(arguments.gateway.clone(), arguments.pid.clone())?
    };
    let outcome = tokio::select! {
        outcome = measure(&arguments, &suite) => outcome,
        interrupted = interrupted() => Err(interrupted.err().unwrap_or(anyhow!("interrupted"))),
    };
    if let (Some(log), Ok(false) | Err(_)) = (&suite.log, &outcome) {
        writeln!(std::io::stderr(), "load: the suite's complaints are in {}", log.display())?;
    }
    suite.stop().await?;
    outcome
}

/// Waits for a signal that ends programs.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The people of a run and their conversations' ids.
struct Scene {
    api: Api,
    people: Vec<Person>,
    idle: Vec<Person>,
    conversations: Vec<Arc<str>>,
}

async fn prepare(arguments: &Arguments, suite: &Suite, plan: &Plan) -> anyhow::Result<Scene> {
    let api = Api::new()?;
    let first = arguments.first_user;
    let (mut people, mut conversations) = (Vec::new(), Vec::new());
    if arguments.rate > 0 || arguments.pages > 0 {
        people = api.log_in(&suite.gateways, first, plan.users()).await?;
        let made = api.converse(&people, usize::try_from(arguments.members)?).await?;
        conversations = made.into_iter().map(Arc::from).collect();
    }
    let idle_users = arguments.idle.div_ceil(SOCKETS_PER_IDLE_USER);
    let users = api.log_in(&suite.gateways, first + plan.users(), idle_users).await?;
    let idle = users.iter().cycle().take(usize::try_from(arguments.idle)?).cloned().collect();
    Ok(Scene { api, people, idle, conversations })
}

/// Runs the load and prints the report; says whether everything arrived as it should.
async fn measure(arguments: &Arguments, suite: &Suite) -> anyhow::Result<bool> {
    if arguments.lists.is_wanted() {
        return arguments.lists.measure(suite, arguments.first_user).await;
    }
    if arguments.is_idle_alone() {
        return idle::measure(arguments, suite).await;
    }
    if arguments.group.is_some() {
        Snapshot::take(&suite.pids)?.ensure_apart(suite.gateways.len())?;
    }
    let plan = arguments.plan()?;
    let scene = prepare(arguments, suite, &plan).await?;
    let mut run = Run::new(arguments.dialect, Tally::new(plan));

    let before_idle = Snapshot::take(&suite.pids)?;
    let _idle = run.idle(&scene.idle, arguments.connect_rate).await;
    sleep(if arguments.idle > 0 { SETTLING } else { Duration::ZERO }).await;
    let with_idle = Snapshot::take(&suite.pids)?.suite_memory();
    let idle_memory = with_idle.saturating_sub(before_idle.suite_memory());

    let sockets = run.connect(&scene.people, arguments.connect_rate).await;
    run.start = Instant::now() + SETTLING;
    let mut tasks = JoinSet::new();
    let mut ears = Vec::new();
    for (number, socket) in (0..).zip(sockets) {
        let conversation = number / arguments.members;
        let place = Place { conversation, member: number % arguments.members };
        let Some((sender, receiver)) = socket else { continue };
        let ear = Arc::new(Mutex::new(Ear::new(&plan, place)));
        ears.push(Arc::clone(&ear));
        tasks.spawn(run.clone().listen(receiver, ear));
        let id = Arc::clone(&scene.conversations[usize::try_from(conversation)?]);
        tasks.spawn(run.clone().speak(place, sender, id));
    }
    let mut reading = JoinSet::new();
    if arguments.pages > 0 {
        reading.spawn(pages::read(run.clone(), pages::Reading::new(arguments, &scene)));
    }

    sleep_until(run.start + plan.warm_up).await;
    let before = Snapshot::take(&suite.pids)?;
    sleep_until(run.start + plan.warm_up + plan.measured).await;
    let drained = Instant::now() + DRAIN;
    while !run.tally().is_complete() && Instant::now() < drained {
        sleep(LOOK).await;
    }
    if timeout_at(drained, reading.join_all()).await.is_err() {
        run.tally().fail("pages that have not come");
    }
    let after = Snapshot::take(&suite.pids)?;
    for ear in &ears {
        run.tally().close(&ear.lock().expect("not poisoned"));
    }
    let tally = run.tally();
    let report = Report {
        gateways: suite.gateways.len(),
        tally: &tally,
        took: tally.took(),
        before: &before,
        after: &after,
        idle: arguments.idle,
        idle_memory,
    };
    write!(std::io::stdout(), "{report}")?;
    if arguments.group.is_some() {
        let gateways = suite.gateways.len();
        let costs = Costs { gateways, tally: &tally, before: &before, after: &after };
        write!(std::io::stdout(), "{costs}")?;
    }
    Ok(tally.is_clean())
}
