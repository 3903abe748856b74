//! What a client asks by HTTP while it hears on its socket.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Client, REPEAT_PAUSE, Session};
use crate::crashes::{account::item, record::Read};

/// Pause before a history that could not be read is asked for again; it doubles up to the longest.
pub(super) const READ_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_READ_PAUSE: Duration = Duration::from_secs(5);

/// A request that is done.
pub(super) enum Done {
    /// The history was read for a connection.
    Read { connection: usize, conversation: usize, read: Result<Read, String> },
    /// A message was posted: the answer, or nothing where the connection broke.
    Posted { sent: usize, answer: Option<Value> },
}

impl Client {
    /// Begins to read what the client lacks of a conversation.
    pub(super) fn read_history(&mut self, session: &mut Session, conversation: usize) {
        let after = self.known.get(&conversation).map_or(0, |(whole, _)| *whole);
        let id = self.conversations[conversation].id.clone();
        let (account, dialect) = (self.account.clone(), self.dialect);
        let (connection, gateway) = (session.connection, session.gateway);
        let pause = session.read_pause;
        let reading = self.requests.spawn(async move {
            let read = account.history(gateway, dialect, &id, after).await;
            let items = read.and_then(|messages| messages.iter().map(item).collect());
            if items.is_err() {
                sleep(pause).await;
            }
            let read = items.map(|items| Read { after, items });
            let read = read.map_err(|error| format!("{error:#}"));
            Done::Read { connection, conversation, read }
        });
        session.reading.push(reading);
    }

    /// Begins to post a message.
    pub(super) fn post(&mut self, session: &Session, sent: usize, body: String) {
        self.posted += 1;
        let (account, dialect, gateway) = (self.account.clone(), self.dialect, session.gateway);
        self.requests.spawn(async move {
            let answer = account.post(gateway, dialect, body).await.ok();
            Done::Posted { sent, answer }
        });
    }

    /// Takes in a request that is done.
    pub(super) fn requested(&mut self, session: &mut Session, done: Done) {
        match done {
            Done::Posted { sent, answer } => {
                self.posted -= 1;
                if let Some(answer) = answer {
                    self.answered(sent, &answer.to_string());
                } else {
                    self.failure("post: broken");
                    self.waiting.push_back((Instant::now() + REPEAT_PAUSE, sent));
                }
            }
            // Of a connection that has ended meanwhile.
            Done::Read { connection, .. } if connection != session.connection => {}
            Done::Read { conversation, read: Ok(read), .. } => {
                for item in &read.items {
                    self.learn(conversation, item.seq);
                }
                self.record.lock().connections[session.connection]
                    .synced
                    .insert(conversation, read);
                session.unsynced -= 1;
            }
            Done::Read { conversation, read: Err(error), .. } => {
                self.refused_read(&error);
                session.read_pause = (session.read_pause * 2).min(LONGEST_READ_PAUSE);
                self.read_history(session, conversation);
            }
        }
    }

    /// Failures of the way, and those that may be gone in a moment, are to be expected.
    fn refused_read(&self, error: &str) {
        let answer = error.split_once('{').map(|(_, body)| format!("{{{body}"));
        let answer: Value =
            answer.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or(json!({}));
        match answer["error"].as_str() {
            None => self.failure("read: broken"),
            Some(name) => {
                self.failure(&format!("read: {name}"));
                if !super::TRANSIENT.contains(&name) {
                    self.fault(&format!("a history was refused: {error}"));
                }
            }
        }
    }
}
