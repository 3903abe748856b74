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
    /// Whether somebody here heard the last of it.
    pub is_heard_here: bool,
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
        Self {
            window,
            opened_at: now,
            heard_at: now,
            is_heard_here: false,
            pending: Pending::Nothing,
            held: Vec::new(),
        }
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

/// Forgets half of the windows where there are as many as there may be, except what is in the midst of a
/// gap: first those that nobody here heard, then the longest unheard.
pub fn make_room(windows: &mut HashMap<ConversationId, Entry>, most: usize) {
    if windows.len() < most {
        return;
    }
    let worth = |entry: &Entry| (entry.is_heard_here, entry.heard_at);
    let mut worths: Vec<(bool, Instant)> = windows.values().map(worth).collect();
    let middle = worths.len() / 2;
    let (_, least, _) = worths.select_nth_unstable(middle);
    let least = *least;
    windows.retain(|_, entry| entry.is_pending() || !entry.held.is_empty() || worth(entry) > least);
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
            let entry = Entry::new(Window::opening());
            let id = ConversationId::new();
            windows.insert(id, Entry { heard_at, pending, is_heard_here: number == 1, ..entry });
            ids.push(id);
        }
        assert_eq!(windows.len(), 10);
        make_room(&mut windows, 10);
        let kept: Vec<usize> = (0..10).filter(|at| windows.contains_key(&ids[*at])).collect();
        assert_eq!(kept, [0, 1, 7, 8, 9], "and what is in a gap, or was heard here");
    }
}
