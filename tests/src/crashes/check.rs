//! What must hold at the end, of what was stored and of what every client was told and heard.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use serde::Deserialize;

use super::record::{Connection, Dialect, Heard, Read, Record, Sent};

/// A conversation of clients.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) id: String,
    pub(super) members: Vec<usize>,
}

/// The whole history of a conversation, in order.
pub(super) type History = Vec<Stored>;

/// A stored message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) seq: i64,
    pub(super) sender_id: String,
    pub(super) content: String,
    pub(super) created_at: String,
}

/// What was acknowledged so long before a connection ended must have been heard on it.
const LONGEST_WAY: Duration = Duration::from_secs(30);
/// Most violations that are listed.
const MOST_LISTED: usize = 50;

/// The whole truth: who a message is from, and which number it has.
struct Truth<'a> {
    conversations: &'a [Conversation],
    histories: &'a [History],
    /// Where each stored message is, by its id.
    places: HashMap<&'a str, (usize, &'a Stored)>,
    /// Every message that somebody wanted to send, by its text.
    sends: HashMap<&'a str, (&'a Record, &'a Sent)>,
    violations: Vec<String>,
}

/// Returns every promise that was broken.
pub(super) fn check(
    records: &[Record],
    conversations: &[Conversation],
    histories: &[History],
) -> Vec<String> {
    let stored = histories.iter().enumerate();
    let places = stored.flat_map(|(conversation, history)| {
        history.iter().map(move |stored| (stored.id.as_str(), (conversation, stored)))
    });
    let sends = records.iter().flat_map(|record| {
        record.sent.iter().map(move |sent| (sent.client_id.as_str(), (record, sent)))
    });
    let mut truth = Truth {
        conversations,
        histories,
        places: places.collect(),
        sends: sends.collect(),
        violations: Vec::new(),
    };
    truth.check_histories();
    for record in records {
        truth.violations.extend(record.faults.iter().cloned());
        truth.check_answers(record);
        truth.check_order_of_sends(record);
        for (number, connection) in record.connections.iter().enumerate() {
            truth.check_connection(record, number, connection);
        }
        truth.check_knowledge(record);
    }
    let count = truth.violations.len();
    truth.violations.truncate(MOST_LISTED);
    if count > MOST_LISTED {
        truth.violations.push(format!("and {} more", count - MOST_LISTED));
    }
    truth.violations
}

impl Truth<'_> {
    fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Numbers are dense, times go up with them, and each message was sent by somebody and is there
    /// once.
    fn check_histories(&mut self) {
        let mut seen: HashMap<&str, &Stored> = HashMap::new();
        for (conversation, history) in self.histories.iter().enumerate() {
            let mut last: Option<&Stored> = None;
            for (position, stored) in history.iter().enumerate() {
                let expected = i64::try_from(position).expect("a small number") + 1;
                if stored.seq != expected {
                    self.violations.push(format!(
                        "history of conversation {conversation}: {} where {expected} is due: {}",
                        stored.seq,
                        stored.tell()
                    ));
                }
                if last.is_some_and(|last| last.created_at >= stored.created_at) {
                    self.violations.push(format!(
                        "history of conversation {conversation}: not later than the one before: {}",
                        stored.tell()
                    ));
                }
                last = Some(stored);
                if let Some(first) = seen.insert(&stored.content, stored) {
                    self.violations.push(format!(
                        "stored twice: {} and {}",
                        first.tell(),
                        stored.tell()
                    ));
                }
                let sent = self.sends.get(stored.content.as_str());
                let is_sent = sent.is_some_and(|(record, sent)| {
                    record.user_id == stored.sender_id && sent.conversation == conversation
                });
                if !is_sent {
                    self.violations.push(format!("nobody sent {}", stored.tell()));
                }
            }
        }
    }

    /// What was acknowledged is stored, under the id and the number of the acknowledgement.
    fn check_answers(&mut self, record: &Record) {
        for sent in &record.sent {
            let Some(answer) = &sent.answer else {
                self.violated(format!("never acknowledged: {}", tell_sent(record, sent)));
                continue;
            };
            let is_stored = self.places.get(answer.id.as_str()).is_some_and(|(_, stored)| {
                stored.content == sent.client_id && answer.seq.is_none_or(|seq| seq == stored.seq)
            });
            if !is_stored {
                let what =
                    format!("acknowledged as {} {:?} and not so stored", answer.id, answer.seq);
                self.violated(format!("{what}: {}", tell_sent(record, sent)));
            }
        }
    }

    /// Of two messages that were emitted once, one after the other, the first has the lower number.
    fn check_order_of_sends(&mut self, record: &Record) {
        let mut last: HashMap<(usize, usize), (i64, &Sent)> = HashMap::new();
        for sent in &record.sent {
            let [attempt] = sent.attempts[..] else { continue };
            let (Some(connection), Some(answer)) = (attempt.connection, &sent.answer) else {
                continue;
            };
            let Some((_, stored)) = self.places.get(answer.id.as_str()) else { continue };
            let key = (connection, sent.conversation);
            if let Some((seq, before)) = last.insert(key, (stored.seq, sent))
                && seq > stored.seq
            {
                let (before, after) = (tell_sent(record, before), tell_sent(record, sent));
                self.violated(format!("stored in the wrong order: {seq} {before}, then {after}"));
            }
        }
    }

    /// What came by itself on one connection: each message once, in order, without a gap from what was
    /// read on the connection, and to the end where the connection still lives.
    fn check_connection(&mut self, record: &Record, number: usize, connection: &Connection) {
        let own: Vec<usize> = (0..self.conversations.len())
            .filter(|index| self.conversations[*index].members.contains(&record.client))
            .collect();
        for conversation in own {
            let place = format!(
                "client {} ({:?}), connection {number} (gateway {}, {:.3} to {:.3}), conversation \
                 {conversation}",
                record.client,
                record.dialect,
                connection.gateway + 1,
                connection.opened.as_secs_f64(),
                connection.ended.unwrap_or_default().as_secs_f64(),
            );
            let read = connection.synced.get(&conversation);
            if read.is_none() && connection.ended.is_none() {
                self.violated(format!("{place}: its history was not read"));
            }
            let read_to = read.map(|read| self.check_read(&place, conversation, read));
            let names: &[&str] = match record.dialect {
                Dialect::Unified => &["message:created"],
                Dialect::Undeclared => &["receive-message", "message"],
            };
            for name in names {
                let heard = connection.heard.iter();
                let heard: Vec<&Heard> = heard
                    .filter(|heard| heard.conversation == conversation && heard.name == *name)
                    .collect();
                let place = format!("{place}, {name}");
                let numbers = self.check_heard(&place, &heard);
                let stream = Stream { record, number, conversation, name };
                let due = self.due(conversation, connection);
                let end = due.max(numbers.last().copied().unwrap_or(0));
                let begin = read_to.into_iter().chain(numbers.first().map(|first| first - 1)).min();
                if let Some(begin) = begin {
                    self.check_whole(&place, &stream, (begin, end), &numbers);
                }
            }
        }
    }

    /// Returns the last number of a conversation that must have reached a connection.
    fn due(&self, conversation: usize, connection: &Connection) -> i64 {
        let is_due = |stored: &&Stored| {
            let Some(ended) = connection.ended else { return true };
            let sent = self.sends.get(stored.content.as_str());
            let answered = sent.and_then(|(_, sent)| Some(sent.answer.as_ref()?.at));
            answered.is_some_and(|at| at + LONGEST_WAY < ended)
        };
        self.histories[conversation].iter().rev().find(is_due).map_or(0, |stored| stored.seq)
    }

    /// Returns the last number that the client knows after it has read, which must be one range.
    fn check_read(&mut self, place: &str, conversation: usize, read: &Read) -> i64 {
        // An old client reads the newest messages, whatever it knows.
        let mut last = (read.after > 0).then_some(read.after);
        for item in &read.items {
            let stored = self.places.get(item.id.as_str());
            let Some((_, stored)) = stored.filter(|(index, _)| *index == conversation) else {
                self.violated(format!("{place}: read {item:?}, which is not stored there"));
                continue;
            };
            let seq = stored.seq;
            if last.is_some_and(|last| seq != last + 1) || item.seq.is_some_and(|own| own != seq) {
                self.violated(format!("{place}: read {seq} behind {last:?}: {item:?}"));
            }
            last = Some(seq);
        }
        last.unwrap_or(0)
    }

    /// Returns the numbers that were heard, which must go up.
    fn check_heard(&mut self, place: &str, heard: &[&Heard]) -> Vec<i64> {
        let mut numbers: Vec<i64> = Vec::new();
        for heard in heard {
            let at = heard.at.as_secs_f64();
            let stored = self.places.get(heard.id.as_str());
            let Some((_, stored)) = stored.filter(|(index, _)| *index == heard.conversation) else {
                self.violated(format!("{place}: heard {heard:?}, which is not stored there"));
                continue;
            };
            let (seq, told) = (stored.seq, stored.tell());
            if heard.seq.is_some_and(|own| own != seq) {
                self.violated(format!("{place}: at {at:.3} heard {:?} as {told}", heard.seq));
            }
            if let Some(last) = numbers.last().filter(|last| seq <= **last) {
                let what = if numbers.contains(&seq) { "twice" } else { "too late" };
                self.violated(format!("{place}: at {at:.3} heard {what}, behind {last}: {told}"));
            }
            numbers.push(seq);
        }
        numbers
    }

    /// Every message in a range was heard, but those that this connection sent.
    fn check_whole(&mut self, place: &str, stream: &Stream, range: (i64, i64), heard: &[i64]) {
        let (begin, end) = range;
        let heard: HashSet<i64> = heard.iter().copied().collect();
        let history = &self.histories[stream.conversation];
        let from = usize::try_from(begin).unwrap_or(0).min(history.len());
        let to = usize::try_from(end).unwrap_or(0).min(history.len()).max(from);
        let mut missing = Vec::new();
        for stored in &history[from..to] {
            let expected = self.expected(stream, stored);
            let is_heard = heard.contains(&stored.seq);
            if expected == Some(true) && !is_heard {
                missing.push(format!("{place}: never heard {}", stored.tell()));
            } else if expected == Some(false) && is_heard {
                missing.push(format!("{place}: heard its own {}", stored.tell()));
            }
        }
        self.violations.extend(missing);
    }

    /// Says whether a message must come on a stream, where that is certain.
    fn expected(&self, stream: &Stream, stored: &Stored) -> Option<bool> {
        let Stream { record, number, name, .. } = stream;
        if stored.sender_id != record.user_id {
            return Some(true);
        }
        if *name == "receive-message" {
            return Some(false);
        }
        let (_, sent) = self.sends.get(stored.content.as_str())?;
        let is_here = |connection: Option<usize>| connection == Some(*number);
        let here = sent.attempts.iter().filter(|attempt| is_here(attempt.connection)).count();
        match here {
            0 => Some(true),
            count if count == sent.attempts.len() => Some(false),
            // Which of the tries was stored, nobody knows.
            _ => None,
        }
    }

    /// In the end each client knows every message of its conversations, by whichever way.
    fn check_knowledge(&mut self, record: &Record) {
        let connections = record.connections.iter();
        let told = connections.flat_map(|connection| {
            let read = connection
                .synced
                .values()
                .flat_map(|read| &read.items)
                .map(|item| item.id.as_str());
            read.chain(connection.heard.iter().map(|heard| heard.id.as_str()))
        });
        let answers = record.sent.iter().filter_map(|sent| Some(sent.answer.as_ref()?.id.as_str()));
        let known: BTreeSet<&str> = told.chain(answers).collect();
        for (conversation, history) in self.conversations.iter().zip(self.histories) {
            if !conversation.members.contains(&record.client) {
                continue;
            }
            for stored in history.iter().filter(|stored| !known.contains(stored.id.as_str())) {
                let told = stored.tell();
                self.violations.push(format!("client {} never knew {told}", record.client));
            }
        }
    }
}

/// The events of one name on one connection about one conversation.
struct Stream<'a> {
    record: &'a Record,
    number: usize,
    conversation: usize,
    name: &'a str,
}

impl Stored {
    fn tell(&self) -> String {
        let Self { id, seq, content, created_at, .. } = self;
        format!("{seq} {content} ({id}, {created_at})")
    }
}

fn tell_sent(record: &Record, sent: &Sent) -> String {
    let seconds = |at: Duration| format!("{:.3}", at.as_secs_f64());
    let attempts = sent.attempts.iter().map(|attempt| {
        let way = attempt.connection.map_or("posted".to_owned(), |number| format!("on {number}"));
        format!("{way} at {}", seconds(attempt.at))
    });
    let attempts: Vec<String> = attempts.collect();
    let answered = sent.answer.as_ref().map(|answer| seconds(answer.at));
    format!(
        "{} of client {} in conversation {}, {}, acknowledged {answered:?}",
        sent.client_id,
        record.client,
        sent.conversation,
        attempts.join(", "),
    )
}
