//! What the fan-out knows about a conversation beside its order, and how many it knows.

use std::collections::HashMap;

use chat_kit::id::ConversationId;
use tokio::{task::AbortHandle, time::Instant};

use super::{Item, change::Held, window::Window};

/// A window with what the fan-out knows about it.
pub struct Entry {
    /// The window.
    pub window: Window<Item>,
    /// When this gateway first heard of the conversation.
    pub opened_at: Instant,
    /// When it last heard of it.
    pub heard_at: Instant,
    /// What is done about its gap.
    pub pending: Pending,
    /// Changes of messages that are not emitted yet.
    pub held: Vec<Held>,
}

/// What is done about the gap of a window.
pub enum Pending {
    /// Nothing: there is none.
    Nothing,
    /// It has this long to close by itself.
    Wait(Instant),
    /// Its messages are fetched, since this time.
    Fetch(Instant, AbortHandle),
}

impl Entry {
    /// Puts a window together with what is known of it now.
    pub fn new(window: Window<Item>) -> Self {
        let now = Instant::now();
        Self { window, opened_at: now, heard_at: now, pending: Pending::Nothing, held: Vec::new() }
    }

    /// Does no more about a gap that is closed, or given up.
    pub fn rest(&mut self) {
        if let Pending::Fetch(_, fetch) = std::mem::replace(&mut self.pending, Pending::Nothing) {
            fetch.abort();
        }
    }

    /// Says whether it has a gap.
    pub fn is_pending(&self) -> bool {
        !matches!(self.pending, Pending::Nothing)
    }
}

/// Forgets the longest unheard half where there are as many windows as there may be, except what is in
/// the midst of a gap.
pub fn make_room(windows: &mut HashMap<ConversationId, Entry>, most: usize) {
    if windows.len() < most {
        return;
    }
    let mut heard: Vec<Instant> = windows.values().map(|entry| entry.heard_at).collect();
    let middle = heard.len() / 2;
    let (_, oldest, _) = heard.select_nth_unstable(middle);
    let oldest = *oldest;
    windows
        .retain(|_, entry| entry.is_pending() || !entry.held.is_empty() || entry.heard_at > oldest);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn longest_unheard_windows_go_where_there_are_too_many() {
        let (mut windows, mut ids) = (HashMap::new(), Vec::new());
        for number in 0..10 {
            make_room(&mut windows, 10);
            let heard_at = Instant::now() + Duration::from_secs(number);
            let pending = if number == 0 { Pending::Wait(heard_at) } else { Pending::Nothing };
            let window = Window::opening();
            let id = ConversationId::new();
            windows.insert(
                id,
                Entry { window, opened_at: heard_at, heard_at, pending, held: Vec::new() },
            );
            ids.push(id);
        }
        assert_eq!(windows.len(), 10);
        make_room(&mut windows, 10);
        let kept: Vec<usize> = (0..10).filter(|at| windows.contains_key(&ids[*at])).collect();
        assert_eq!(kept, [0, 6, 7, 8, 9], "and the one in the midst of a gap");
    }
}
