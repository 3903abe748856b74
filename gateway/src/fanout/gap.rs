//! Fetching the messages whose events did not come.

use std::{sync::Arc, time::Duration};

use chat_kit::{
    caller::{Caller, new_request_id},
    client::Channel,
    id::ConversationId,
};
use chat_proto::v1::{self as pb, message_service_client::MessageServiceClient};
use tokio::{sync::Semaphore, time::Instant};
use tracing::Instrument as _;

use super::{Fanout, Filled, entry::Pending};
use crate::metrics::FANOUT;

/// Calls that are made for gaps at the same time; further ones wait for a place.
pub const MOST_CALLS: usize = 16;
/// Most messages fetched for one gap; equal to what may wait behind it.
pub const MOST_FETCHED: i64 = 200;
/// How long a gap is tried to be closed: longer than a service takes to start again.
const PATIENCE: Duration = Duration::from_secs(8);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// What is missing of a conversation.
pub struct Gap {
    /// The conversation.
    pub conversation: ConversationId,
    /// The number before the gap.
    pub after: i64,
    /// The last number of the gap.
    pub to: i64,
    /// Whether nothing says how far the gap reaches. All that was announced has been heard, so only
    /// what is still to be announced can be missing.
    pub is_open: bool,
    /// Id of the request that fetches it.
    pub request_id: String,
}

impl Gap {
    /// Fetches its messages, in order. A service that is away, or does not have them yet, is asked again
    /// for a while.
    pub async fn fetch(
        &self,
        client: &MessageServiceClient<Channel>,
        places: &Arc<Semaphore>,
    ) -> anyhow::Result<Vec<pb::Message>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let tried = tokio::time::timeout_at(until, self.ask(client.clone(), places)).await;
            match tried {
                Ok(Ok(messages)) if self.is_closed_by(&messages) => return Ok(messages),
                Ok(outcome) if Instant::now() + PAUSE < until => {
                    let error = outcome.err().map(|error| format!("{error:#}"));
                    tracing::warn!(conversation = %self.conversation, error, "a gap stays open");
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(Ok(_)) => anyhow::bail!("numbers behind {} are missing", self.after),
                Ok(Err(error)) => return Err(error),
                Err(_) => anyhow::bail!("not answered within {PATIENCE:?}"),
            }
        }
    }

    async fn ask(
        &self,
        mut client: MessageServiceClient<Channel>,
        places: &Arc<Semaphore>,
    ) -> anyhow::Result<Vec<pb::Message>> {
        let _place = places.acquire().await?;
        let request = pb::ListAfterRequest {
            conversation_id: self.conversation.to_string(),
            after_seq: self.after,
            limit: u32::try_from((self.to - self.after).clamp(1, MOST_FETCHED))?,
            unannounced: self.is_open,
        };
        let caller = Caller::service("gateway", &self.request_id);
        Ok(client.list_after(caller.request(request)).await?.into_inner().messages)
    }

    fn is_closed_by(&self, messages: &[pb::Message]) -> bool {
        let numbers = messages.iter().map(|message| message.seq);
        self.is_open || numbers.eq(self.after + 1..=self.to)
    }
}

impl Fanout {
    /// Fetches a gap whose time is over, if it is still there and somebody here hears what waits.
    pub(super) fn fetch(&mut self, end: Instant, conversation: ConversationId) {
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        if !matches!(entry.pending, Pending::Wait(own) if own == end) {
            return;
        }
        let Some((seq, first)) = entry.window.first_waiting() else { return entry.rest() };
        let (mut waiting, last) = entry.window.waiting();
        if !waiting.any(|item| self.sockets.has_any(&item.recipients)) {
            drop(waiting);
            entry.window.pass(last.unwrap_or(seq));
            return entry.rest();
        }
        drop(waiting);
        let is_open = entry.window.emitted().is_none();
        if is_open && self.settled.is_replaying() {
            // What was announced may be unheard: nothing but the replay says what came before.
            return self.wait(conversation);
        }
        let after = entry.window.emitted().unwrap_or((seq - 1 - MOST_FETCHED).max(0));
        if seq - 1 - after > MOST_FETCHED {
            return self.give_up(conversation, "too many messages are missing");
        }
        let (recipients, cause) = (Arc::clone(&first.recipients), Arc::clone(&first.cause));
        let request_id = new_request_id();
        let span = cause.fetch(&request_id, &self.state.part);
        let gap = Gap { conversation, after, to: seq - 1, is_open, request_id };
        tracing::debug!(%conversation, after, seq, "fetching a gap");
        let (filled, calls) = (self.filled.clone(), Arc::clone(&self.calls));
        let client = self.state.clients.message.clone();
        let since = Instant::now();
        let fetch = async move {
            let messages = gap.fetch(&client, &calls).await;
            let counter = if messages.is_ok() { &FANOUT.gaps_fetched } else { &FANOUT.gaps_failed };
            counter.increment(1);
            // Closed only when the gateway ends.
            filled.send(Filled { conversation, since, messages, recipients, cause }).await.ok();
        };
        let fetch = tokio::spawn(fetch.instrument(span));
        entry.pending = Pending::Fetch(since, fetch.abort_handle());
    }

    pub(super) fn close_gap(&mut self, filled: Filled) {
        let conversation = filled.conversation;
        self.fill(filled);
        self.release(conversation);
    }

    fn fill(&mut self, filled: Filled) {
        let Filled { conversation, since, messages, recipients, cause } = filled;
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        if !matches!(entry.pending, Pending::Fetch(own, _) if own == since) {
            return;
        }
        let messages = match messages {
            Ok(messages) => messages,
            Err(error) => return self.give_up(conversation, &format!("{error:#}")),
        };
        if entry.window.emitted().is_none() && self.settled.is_replaying() {
            return self.wait(conversation);
        }
        let first = entry.window.first_waiting().map(|(seq, _)| seq);
        if let Some(begin) = messages.first().map(|message| message.seq).or(first) {
            entry.window.begin_before(begin);
        }
        for message in messages {
            self.offer(conversation, message, Arc::clone(&recipients), &cause);
        }
        let Some(entry) = self.windows.get_mut(&conversation) else { return };
        entry.rest();
        // An opening window that began right at what waits has emitted nothing yet.
        let ready = entry.window.take_ready();
        if entry.window.first_waiting().is_some() {
            self.wait(conversation);
        }
        for item in &ready {
            self.emit(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::window::MOST_WAITING;

    #[test]
    fn what_may_wait_may_be_fetched() {
        assert_eq!(usize::try_from(MOST_FETCHED), Ok(MOST_WAITING));
    }

    #[test]
    fn gap_is_closed_by_all_its_numbers() {
        let gap = Gap {
            conversation: ConversationId::new(),
            after: 3,
            to: 5,
            is_open: false,
            request_id: String::new(),
        };
        let messages = |numbers: &[i64]| -> Vec<pb::Message> {
            let message = |seq: &i64| pb::Message { seq: *seq, ..Default::default() };
            numbers.iter().map(message).collect()
        };
        assert!(gap.is_closed_by(&messages(&[4, 5])));
        for open in [&[][..], &[4], &[5], &[4, 5, 6]] {
            assert!(!gap.is_closed_by(&messages(open)), "{open:?}");
        }
        let gap = Gap { is_open: true, ..gap };
        assert!(gap.is_closed_by(&[]), "nobody knows how far it reaches");
    }
}
