//! Catching up by one question on the socket, as new clients do.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Client, Session, TRANSIENT, requests::READ_PAUSE};
use crate::crashes::{
    account::item,
    record::{Item, Read},
};

/// What a connection lacks of all its conversations, page by page.
pub(super) struct Sync {
    /// What came of each conversation so far, behind the number that was known.
    reads: BTreeMap<usize, Read>,
    /// The acknowledgement that is waited for, and since when.
    pub(super) asked: Option<(u64, Instant)>,
    /// When it is asked for next, while no answer is waited for.
    due: Instant,
}

impl Sync {
    /// Returns when to ask, unless an answer is waited for.
    pub(super) fn due(&self) -> Option<Instant> {
        self.asked.is_none().then_some(self.due)
    }
}

impl Client {
    /// Begins to ask what is lacking.
    pub(super) fn sync(&self) -> Sync {
        let after = |conversation| self.known.get(&conversation).map_or(0, |(whole, _)| *whole);
        let read = |conversation: &usize| {
            (*conversation, Read { after: after(*conversation), items: Vec::new() })
        };
        let reads = self.own.iter().map(read).collect();
        Sync { reads, asked: None, due: Instant::now() }
    }

    /// Asks for the next page where that is due; says whether the connection still works.
    pub(super) async fn ask_sync(&self, session: &mut Session) -> bool {
        let now = Instant::now();
        let Some(sync) = &mut session.sync else { return true };
        if sync.due().is_none_or(|due| due > now) {
            return true;
        }
        let known = sync.reads.iter().map(|(conversation, read)| {
            let last = read.items.last().and_then(|item| item.seq).unwrap_or(read.after);
            json!({ "id": self.conversations[*conversation].id, "seq": last })
        });
        let asked = json!({ "conversations": known.collect::<Vec<_>>() }).to_string();
        sync.asked = Some((session.next_ack, now));
        session.next_ack += 1;
        session.sender.emit_with_ack(session.next_ack - 1, "sync", &asked).await.is_ok()
    }

    /// Takes in a page.
    pub(super) fn synced(&mut self, session: &mut Session, body: &str) {
        let Some(sync) = &mut session.sync else { return };
        sync.asked = None;
        let page: Value = serde_json::from_str(body).unwrap_or_default();
        if page["ok"] != true {
            sync.due = Instant::now() + READ_PAUSE;
            let error = page["error"].as_str().unwrap_or("odd");
            self.failure(&format!("sync: {error}"));
            if !TRANSIENT.contains(&error) {
                self.fault(&format!("what was missed was refused: {body}"));
            }
            return;
        }
        let mut has_more = false;
        for told in page["conversations"].as_array().into_iter().flatten() {
            has_more |= told["hasMore"] == true;
            let conversation = self
                .own
                .iter()
                .find(|index| told["id"].as_str() == Some(&self.conversations[**index].id));
            let read = conversation.and_then(|index| sync.reads.get_mut(index));
            let items: anyhow::Result<Vec<Item>> =
                told["messages"].as_array().into_iter().flatten().map(item).collect();
            match (read, items) {
                (Some(read), Ok(items)) => read.items.extend(items),
                _ => self.fault(&format!("an odd page of what was missed: {told}")),
            }
        }
        if has_more {
            sync.due = Instant::now();
            return;
        }
        let reads = session.sync.take().map(|sync| sync.reads).unwrap_or_default();
        for (conversation, read) in reads {
            for item in &read.items {
                self.learn(conversation, item.seq);
            }
            self.record.lock().connections[session.connection].synced.insert(conversation, read);
        }
        session.unsynced = 0;
    }
}

/// Returns when the oldest event was emitted that is not acknowledged.
pub(super) fn oldest(session: &Session) -> Option<Instant> {
    let sync = session.sync.as_ref().and_then(|sync| Some(sync.asked?.1));
    session.open.values().map(|(_, at)| *at).chain(sync).min()
}

/// Says whether an acknowledgement is that of the question.
pub(super) fn is_answer(session: &Session, number: u64) -> bool {
    let asked = session.sync.as_ref().and_then(|sync| sync.asked);
    asked.is_some_and(|(asked, _)| asked == number)
}
