//! What one client did, was told and heard, with times since the start.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::account::Account;

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The vocabulary of new clients.
    Unified,
    /// That of the old families, without saying which.
    Undeclared,
}

/// Span in which acknowledgements are counted.
const PACE: Duration = Duration::from_secs(5);

/// Everything about one client.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) client: usize,
    pub(super) user_id: String,
    pub(super) dialect: Dialect,
    pub(super) sent: Vec<Sent>,
    pub(super) connections: Vec<Connection>,
    /// What no server should have done, whatever dies.
    pub(super) faults: Vec<String>,
    /// How often each failure was answered.
    pub(super) failures: BTreeMap<String, usize>,
}

/// A message that the client wants to have sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The client's id, and the text: no other message has it.
    pub(super) client_id: String,
    /// Index of the conversation.
    pub(super) conversation: usize,
    pub(super) attempts: Vec<Attempt>,
    pub(super) answer: Option<Answer>,
}

/// One try to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Index of the connection; nothing where it was posted.
    pub(super) connection: Option<usize>,
    pub(super) at: Duration,
}

/// The acknowledgement.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) id: String,
    /// Where the dialect has numbers.
    pub(super) seq: Option<i64>,
    pub(super) at: Duration,
}

/// One connection, from the open namespace to the end of the transport.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) gateway: usize,
    pub(super) opened: Duration,
    pub(super) ended: Option<Duration>,
    pub(super) heard: Vec<Heard>,
    /// What was read on it of each conversation's history.
    pub(super) synced: BTreeMap<usize, Read>,
}

/// What was read of a conversation's history.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The number behind which it was read.
    pub(super) after: i64,
    pub(super) items: Vec<Item>,
}

/// A message in the history, as the client read it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) seq: Option<i64>,
}

/// A message that came by itself.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// Name of the event.
    pub(super) name: String,
    pub(super) id: String,
    pub(super) seq: Option<i64>,
    /// Index of the conversation.
    pub(super) conversation: usize,
    pub(super) at: Duration,
}

impl Record {
    pub(super) fn new(account: &Account, dialect: Dialect) -> Self {
        Self {
            client: account.number,
            user_id: account.id.clone(),
            dialect,
            sent: Vec::new(),
            connections: Vec::new(),
            faults: Vec::new(),
            failures: BTreeMap::new(),
        }
    }
}

impl Record {
    /// Returns how many messages are acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.sent.iter().filter(|sent| sent.answer.is_some()).count()
    }
}

/// Says in lines what happened to all of them.
pub(super) fn summary(records: &[Record]) -> String {
    let sent = || records.iter().flat_map(|record| &record.sent);
    let connections = || records.iter().flat_map(|record| &record.connections);
    let repeated = sent().filter(|sent| sent.attempts.len() > 1).count();
    let waits = sent().filter_map(|sent| {
        let begun = sent.attempts.first()?.at;
        Some(sent.answer.as_ref()?.at.saturating_sub(begun))
    });
    let heard: usize = connections().map(|connection| connection.heard.len()).sum();
    let mut failures: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, count) in records.iter().flat_map(|record| &record.failures) {
        *failures.entry(name).or_default() += count;
    }
    let mut text = format!(
        "{} messages sent by {} clients, {repeated} of them more than once\n{} connections, {heard} \
         events\nlongest wait for an acknowledgement: {:.1} s\nfailures:",
        sent().count(),
        records.len(),
        connections().count(),
        waits.max().unwrap_or_default().as_secs_f64(),
    );
    for (name, count) in failures {
        // Writing to a text cannot fail.
        write!(text, " {name} {count}").ok();
    }
    let mut pace: BTreeMap<u64, usize> = BTreeMap::new();
    for answer in sent().filter_map(|sent| sent.answer.as_ref()) {
        *pace.entry(answer.at.as_secs() / PACE.as_secs()).or_default() += 1;
    }
    let counts: Vec<String> = pace.values().map(ToString::to_string).collect();
    write!(text, "\nacknowledged every {} s: {}\n", PACE.as_secs(), counts.join(" ")).ok();
    text
}
