//! Lists of conversations: what a page costs somebody with many conversations, beside somebody with few.
//! Both read in turns, one request at a time, so that whatever else the machine does slows both down.

use std::{
    fmt,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::ensure;
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    people::{Api, Person},
    suite::Suite,
    tally::Times,
};

/// Conversations of whoever has few.
const FEW: usize = 20;
/// Rows of a page.
const ROWS: usize = 20;
/// Rounds that do not count.
const WARM_UP: u64 = 50;
/// Whole lists are read in every round of so many: each takes as long as many pages.
const WHOLE_EVERY: u64 = 10;
/// Conversations that are filled at once.
const FILLED_AT_ONCE: usize = 48;
/// How much longer a page may take of many conversations than of few.
const MOST_TIMES_LONGER: f64 = 2.0;

/// What is compared.
#[derive(Clone, Copy, Debug, Args)]
pub struct Lists {
    /// Conversations of a user whose list is compared with that of one with 20; nothing else is measured.
    #[arg(long = "lists", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=5_000))]
    many: u64,
    /// Messages in each of these conversations.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    depth: u64,
    /// How often each page is read.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    reads: u64,
}

/// The times of one list.
#[derive(Debug, Default)]
struct Reader {
    page: Times,
    whole: Times,
}

impl Lists {
    /// Says whether lists are to be compared.
    pub fn is_wanted(&self) -> bool {
        self.many > 0
    }

    /// Fills two users' lists, reads them and prints how long that takes; says whether a page of the long list
    /// takes at most twice as long.
    pub async fn measure(&self, suite: &Suite, first_user: u64) -> anyhow::Result<bool> {
        let many = usize::try_from(self.many)?;
        ensure!(many >= FEW, "{many} conversations are fewer than the {FEW} of the other user");
        let api = Api::new()?;
        let people = api.log_in(&suite.gateways, first_user, self.many + 2).await?;
        let [one, other, peers @ ..] = people.as_slice() else { return Ok(false) };
        let other = &Person { gateway: one.gateway, ..other.clone() };
        let began = Instant::now();
        self.fill(&api, one, peers).await?;
        self.fill(&api, other, &peers[..FEW]).await?;
        let filled = began.elapsed();
        let (mut long, mut short) = (Reader::default(), Reader::default());
        for round in 0..WARM_UP + self.reads {
            let counts = round >= WARM_UP;
            for (person, reader, whole) in [(one, &mut long, many), (other, &mut short, FEW)] {
                let took = page(&api, person, ROWS.min(whole)).await?;
                reader.page.record_if(counts, took);
                if round % WHOLE_EVERY == 0 {
                    let took = whole_list(&api, person, whole.min(500)).await?;
                    reader.whole.record_if(counts, took);
                }
            }
        }
        let report = Report { lists: *self, filled, long: &long, short: &short };
        write!(std::io::stdout(), "{report}")?;
        Ok(report.times_longer(50.0) <= MOST_TIMES_LONGER)
    }

    /// Opens the conversations of somebody, and lets each peer and him speak in turns.
    async fn fill(&self, api: &Api, person: &Person, peers: &[Person]) -> anyhow::Result<()> {
        let filling = peers.iter().map(|peer| async move {
            let body = json!({ "otherUserId": peer.id });
            let made = api.ask(person, "/api/conversations", body).await?;
            let id = made["conversation"]["_id"].clone();
            for number in 0..self.depth {
                // He reads nothing: what the peer says is unread.
                let is_own = number < self.depth / 2 && number % 2 == 0;
                let sender = if is_own { person } else { peer };
                let content = format!("message {number} of a conversation {:x<60}", "");
                let body = json!({ "conversationId": id, "content": content });
                api.ask(sender, "/api/messages", body).await?;
            }
            anyhow::Ok(())
        });
        stream::iter(filling).buffer_unordered(FILLED_AT_ONCE).try_collect().await
    }
}

/// Reads the first page of new clients; returns how long it took.
async fn page(api: &Api, person: &Person, rows: usize) -> anyhow::Result<Duration> {
    let path = format!("/api/conversations?clientType=unified&limit={ROWS}");
    let began = Instant::now();
    let body = api.read(person, &path).await?;
    let took = began.elapsed();
    let list: Value = serde_json::from_slice(&body)?;
    let read = list["conversations"].as_array().map(Vec::len);
    ensure!(read == Some(rows), "a page has {read:?} rows instead of {rows}");
    let newest = &list["conversations"][rows - 1]["lastMessage"];
    ensure!(newest.is_object(), "a row without its newest message");
    Ok(took)
}

/// Reads the bare list of old clients; returns how long it took.
async fn whole_list(api: &Api, person: &Person, rows: usize) -> anyhow::Result<Duration> {
    let path = format!("/api/conversations?me={}&status=active&clientType=flutter", person.id);
    let began = Instant::now();
    let body = api.read(person, &path).await?;
    let took = began.elapsed();
    let list: Value = serde_json::from_slice(&body)?;
    let read = list.as_array().map(Vec::len);
    ensure!(read == Some(rows), "a list has {read:?} rows instead of {rows}");
    Ok(took)
}

struct Report<'a> {
    lists: Lists,
    filled: Duration,
    long: &'a Reader,
    short: &'a Reader,
}

impl Report<'_> {
    /// Returns how many times longer a page of many conversations takes than one of few.
    fn times_longer(&self, percentile: f64) -> f64 {
        self.long.page.millis(percentile) / self.short.page.millis(percentile)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lists { many, depth, .. } = self.lists;
        writeln!(
            out,
            "a user of {many} conversations and {} messages beside one of {FEW} and {}; filled in {} s",
            many * depth,
            FEW as u64 * depth,
            self.filled.as_secs(),
        )?;
        writeln!(out, "\n{:<34}{:>8}{:>10}{:>10}", "ms", "count", "p50", "p99")?;
        for (name, times) in [
            (format!("page of {ROWS}, of {many}"), &self.long.page),
            (format!("page of {ROWS}, of {FEW}"), &self.short.page),
            (format!("bare list of {}", many.min(500)), &self.long.whole),
            (format!("bare list of {FEW}"), &self.short.whole),
        ] {
            let (p50, p99) = (times.millis(50.0), times.millis(99.0));
            writeln!(out, "{name:<34}{:>8}{p50:>10.2}{p99:>10.2}", times.count())?;
        }
        let (p50, p99) = (self.times_longer(50.0), self.times_longer(99.0));
        writeln!(out, "\na page of many takes {p50:.2} times as long at p50, {p99:.2} at p99")
    }
}
