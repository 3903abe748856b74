//! Every promise, broken on purpose.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::crashes::record::{Answer, Attempt, Item};

const AT: Duration = Duration::from_secs(1);

/// A story of two clients with one connection each: client 0 sends the messages 1 and 2, client 1 sends 3;
/// client 1 has read the first in the history.
struct Story {
    records: Vec<Record>,
    conversations: Vec<Conversation>,
    histories: Vec<History>,
}

fn stored(seq: i64, sender: usize) -> Stored {
    Stored {
        id: format!("id-{seq}"),
        seq,
        sender_id: format!("user-{sender}"),
        content: format!("text-{seq}"),
        created_at: format!("2026-01-01T00:00:0{seq}Z"),
    }
}

fn sent(seq: i64) -> Sent {
    Sent {
        client_id: format!("text-{seq}"),
        conversation: 0,
        attempts: vec![Attempt { connection: Some(0), at: AT }],
        answer: Some(Answer { id: format!("id-{seq}"), seq: Some(seq), at: AT }),
    }
}

fn heard(seq: i64) -> Heard {
    let name = "message:created".to_owned();
    Heard { name, id: format!("id-{seq}"), seq: Some(seq), conversation: 0, at: AT }
}

fn record(client: usize, sent: Vec<Sent>, read: &[i64], heard: Vec<Heard>) -> Record {
    let item = |seq: &i64| Item { id: format!("id-{seq}"), seq: Some(*seq) };
    let read = Read { after: 0, items: read.iter().map(item).collect() };
    let connection = Connection {
        gateway: client,
        opened: AT,
        ended: None,
        heard,
        synced: BTreeMap::from([(0, read)]),
    };
    Record {
        client,
        user_id: format!("user-{client}"),
        dialect: Dialect::Unified,
        sent,
        connections: vec![connection],
        faults: Vec::new(),
        failures: BTreeMap::new(),
    }
}

impl Story {
    fn new() -> Self {
        Self {
            records: vec![
                record(0, vec![sent(1), sent(2)], &[], vec![heard(3)]),
                record(1, vec![sent(3)], &[1], vec![heard(2)]),
            ],
            conversations: vec![Conversation { id: "c".to_owned(), members: vec![0, 1] }],
            histories: vec![vec![stored(1, 0), stored(2, 0), stored(3, 1)]],
        }
    }

    fn violations(&self) -> Vec<String> {
        check(&self.records, &self.conversations, &self.histories)
    }

    fn heard(&mut self, client: usize) -> &mut Vec<Heard> {
        &mut self.records[client].connections[0].heard
    }
}

#[track_caller]
fn broken(change: impl FnOnce(&mut Story), complaint: &str) {
    let mut story = Story::new();
    change(&mut story);
    let violations = story.violations();
    assert!(violations.iter().any(|line| line.contains(complaint)), "{violations:#?}");
}

#[test]
fn story_without_a_fault_has_no_violation() {
    assert_eq!(Story::new().violations(), Vec::<String>::new());
}

#[test]
fn history_must_hold_what_was_acknowledged_once_and_in_order() {
    broken(|story| drop(story.histories[0].pop()), "acknowledged as id-3");
    broken(|story| drop(story.histories[0].remove(1)), "3 where 2 is due");
    broken(|story| story.histories[0][2].content = "text-2".to_owned(), "stored twice");
    broken(|story| story.histories[0].push(stored(4, 1)), "nobody sent 4");
    broken(|story| story.histories[0][2].sender_id = "user-0".to_owned(), "nobody sent 3");
    broken(|story| story.records[1].sent[0].answer = None, "never acknowledged");
    let swap = |story: &mut Story| story.records[0].sent.swap(0, 1);
    broken(swap, "stored in the wrong order");
    let earlier = |story: &mut Story| story.histories[0][1].created_at = "2025".to_owned();
    broken(earlier, "not later than the one before");
}

#[test]
fn sockets_must_hear_each_message_once_and_in_order() {
    broken(|story| story.heard(1).clear(), "never heard 2");
    broken(|story| story.heard(0).push(heard(3)), "heard twice, behind 3: 3");
    broken(|story| story.heard(1).insert(0, heard(3)), "heard too late, behind 3: 2");
    broken(|story| story.heard(1).push(heard(3)), "heard its own 3");
    broken(|story| story.heard(1)[0].id = "id-9".to_owned(), "which is not stored there");
    broken(|story| story.heard(1)[0].seq = Some(7), "heard Some(7) as 2");
}

#[test]
fn gap_on_a_connection_that_has_ended_is_one_only_inside_what_it_heard() {
    let mut story = Story::new();
    story.records[1].connections[0].ended = Some(AT);
    story.heard(1).clear();
    let never = "client 1 never knew 2";
    assert!(matches!(&story.violations()[..], [one] if one.starts_with(never)));

    let mut story = Story::new();
    story.histories[0].push(stored(4, 0));
    story.records[0].sent.push(sent(4));
    story.records[1].connections[0].ended = Some(AT);
    story.heard(1)[0] = heard(4);
    assert!(story.violations().iter().any(|line| line.contains("never heard 2")));
}

#[test]
fn message_that_never_comes_before_a_connection_ends_is_missed() {
    let mut story = Story::new();
    story.heard(1).clear();
    story.records[1].connections[0].ended = Some(AT + LONGEST_WAY);
    assert!(!story.violations().iter().any(|line| line.contains("never heard 2")));
    story.records[1].connections[0].ended = Some(AT + 2 * LONGEST_WAY);
    assert!(story.violations().iter().any(|line| line.contains("never heard 2")));
}

#[test]
fn own_message_is_heard_where_it_was_not_sent() {
    let mut story = Story::new();
    story.records[1].sent[0].attempts[0].connection = None;
    assert!(story.violations().iter().any(|line| line.contains("never heard 3")));
    story.heard(1).push(heard(3));
    assert_eq!(story.violations(), Vec::<String>::new());
    // Tried on this connection, too: either is right.
    let again = Attempt { connection: Some(0), at: AT };
    story.records[1].sent[0].attempts.push(again);
    assert_eq!(story.violations(), Vec::<String>::new());
    story.heard(1).pop();
    assert_eq!(story.violations(), Vec::<String>::new());
}

#[test]
fn history_that_a_client_reads_must_be_one_range() {
    let item = |seq: i64| Item { id: format!("id-{seq}"), seq: Some(seq) };
    let read = move |items: &'static [i64]| {
        move |story: &mut Story| {
            let synced = &mut story.records[1].connections[0].synced;
            let items = items.iter().map(|seq| item(*seq)).collect();
            synced.insert(0, Read { after: 0, items });
        }
    };
    broken(read(&[1, 3]), "read 3 behind Some(1)");
    broken(read(&[9]), "which is not stored there");
    broken(|story| story.records[1].connections[0].synced.clear(), "its history was not read");
}
