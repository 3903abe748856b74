//! The order of one conversation at one gateway: which numbers have been emitted, and which wait for
//! those before them. Pure: no clock, no I/O.

use std::collections::BTreeMap;

/// Most messages of one conversation that wait for an earlier one; see [`Offered::Overflow`].
pub const MOST_WAITING: usize = 200;

/// The window of a conversation.
#[derive(Debug)]
pub struct Window<T> {
    /// The first number that this window vouches for; unknown while it opens.
    base: Option<i64>,
    /// The last number emitted; unknown while the window opens.
    emitted: Option<i64>,
    waiting: BTreeMap<i64, T>,
}

/// What to do about an offered message.
#[derive(Debug, PartialEq, Eq)]
pub enum Offered<T> {
    /// It was emitted before, or waits already.
    Known,
    /// It lies before all that this window knows: nobody can say who has heard it, and it is too late to
    /// emit it in order.
    Unproven,
    /// Emit these, in this order.
    Ready(Vec<T>),
    /// It waits for a message before it.
    Waiting,
    /// Too many wait: the conversation has lost its order here.
    Overflow,
}

impl<T> Window<T> {
    /// Opens a window in front of a number whose predecessors need not be heard.
    #[must_use]
    pub fn before(seq: i64) -> Self {
        Self { base: Some(seq), emitted: Some(seq - 1), waiting: BTreeMap::new() }
    }

    /// Opens a window that does not know yet where it begins.
    #[must_use]
    pub fn opening() -> Self {
        Self { base: None, emitted: None, waiting: BTreeMap::new() }
    }

    /// Lets an opening window begin in front of a number, or of what waits where that is earlier.
    pub fn begin_before(&mut self, seq: i64) {
        if self.emitted.is_none() {
            let seq = self.waiting.keys().next().map_or(seq, |first| seq.min(*first));
            *self = Self { waiting: std::mem::take(&mut self.waiting), ..Self::before(seq) };
        }
    }

    /// Passes over a number that nobody here has to hear, and all before it.
    pub fn pass(&mut self, seq: i64) {
        self.base.get_or_insert(seq);
        self.emitted = self.emitted.max(Some(seq));
        self.waiting.retain(|waiting, _| *waiting > seq);
    }

    /// Offers a message.
    pub fn offer(&mut self, seq: i64, message: T) -> Offered<T> {
        if self.base.is_some_and(|base| seq < base) {
            return Offered::Unproven;
        }
        if self.emitted.is_some_and(|emitted| seq <= emitted) || self.waiting.contains_key(&seq) {
            return Offered::Known;
        }
        if self.waiting.len() >= MOST_WAITING {
            return Offered::Overflow;
        }
        self.waiting.insert(seq, message);
        let ready = self.take_ready();
        if ready.is_empty() { Offered::Waiting } else { Offered::Ready(ready) }
    }

    /// Returns the last number emitted, if it is known.
    #[must_use]
    pub fn emitted(&self) -> Option<i64> {
        self.emitted
    }

    /// Says whether a number waits.
    #[must_use]
    pub fn waits(&self, seq: i64) -> bool {
        self.waiting.contains_key(&seq)
    }

    /// Returns the lowest message that waits.
    #[must_use]
    pub fn first_waiting(&self) -> Option<(i64, &T)> {
        self.waiting.first_key_value().map(|(seq, message)| (*seq, message))
    }

    /// Says whether a number follows what has been emitted, as far as that is known.
    #[must_use]
    pub fn is_next(&self, seq: i64) -> bool {
        self.waiting.is_empty() && self.emitted.is_none_or(|emitted| seq <= emitted + 1)
    }

    /// Returns what waits, and its last number.
    pub fn waiting(&self) -> (impl Iterator<Item = &T>, Option<i64>) {
        (self.waiting.values(), self.waiting.keys().next_back().copied())
    }

    /// Gives up what waits. Whoever was to hear it comes back and reads it, so that it counts as emitted,
    /// with all that is missing before it.
    pub fn give_up(&mut self) -> impl Iterator<Item = T> + use<T> {
        let waiting = std::mem::take(&mut self.waiting);
        if let Some((last, _)) = waiting.last_key_value() {
            self.emitted = self.emitted.max(Some(*last));
            self.base = Some(i64::MIN);
        }
        waiting.into_values()
    }

    /// Takes what need not wait any more, in order.
    pub fn take_ready(&mut self) -> Vec<T> {
        let mut ready = Vec::new();
        while let Some(emitted) = self.emitted {
            let Some(message) = self.waiting.remove(&(emitted + 1)) else { break };
            self.emitted = Some(emitted + 1);
            ready.push(message);
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_number_is_emitted() {
        let mut window = Window::before(5);
        assert_eq!(window.offer(5, 'a'), Offered::Ready(vec!['a']));
        assert_eq!(window.offer(6, 'b'), Offered::Ready(vec!['b']));
    }

    #[test]
    fn known_number_is_dropped() {
        let mut window = Window::before(5);
        window.offer(5, 'a');
        assert_eq!(window.offer(5, 'a'), Offered::Known);
        window.offer(7, 'c');
        assert_eq!(window.offer(7, 'c'), Offered::Known);
    }

    #[test]
    fn higher_number_waits_for_those_before_it() {
        let mut window = Window::before(1);
        assert_eq!(window.offer(3, 'c'), Offered::Waiting);
        assert_eq!(window.offer(2, 'b'), Offered::Waiting);
        assert_eq!(window.offer(1, 'a'), Offered::Ready(vec!['a', 'b', 'c']));
    }

    #[test]
    fn opening_window_emits_nothing_until_it_knows_where_it_begins() {
        let mut window = Window::opening();
        assert_eq!(window.offer(8, 'b'), Offered::Waiting);
        window.begin_before(7);
        assert_eq!(window.offer(7, 'a'), Offered::Ready(vec!['a', 'b']));
    }

    #[test]
    fn number_that_was_passed_over_is_known() {
        let mut window = Window::opening();
        window.pass(4);
        assert_eq!(window.offer(4, 'a'), Offered::Known);
        assert_eq!(window.offer(5, 'b'), Offered::Ready(vec!['b']));
    }

    #[test]
    fn beginning_twice_changes_nothing() {
        let mut window = Window::before(3);
        window.offer(3, 'a');
        window.begin_before(1);
        assert_eq!(window.emitted(), Some(3));
    }

    #[test]
    fn number_before_all_that_is_known_is_unproven() {
        let mut window = Window::before(5);
        window.offer(5, 'b');
        assert_eq!(window.offer(4, 'a'), Offered::Unproven);
        let mut window = Window::opening();
        window.offer(9, 'b');
        window.begin_before(8);
        assert_eq!(window.offer(7, 'a'), Offered::Unproven);
    }

    #[test]
    fn opening_window_begins_in_front_of_what_waits() {
        let mut window = Window::opening();
        assert_eq!(window.offer(6, 'a'), Offered::Waiting);
        window.begin_before(7);
        assert_eq!(window.offer(7, 'b'), Offered::Ready(vec!['a', 'b']));
    }

    #[test]
    fn what_was_given_up_is_over() {
        for mut window in [Window::before(5), Window::opening()] {
            window.offer(7, 'c');
            window.offer(8, 'd');
            assert_eq!(window.give_up().collect::<Vec<_>>(), ['c', 'd']);
            assert_eq!(window.offer(4, 'x'), Offered::Known, "it has been read meanwhile");
            assert_eq!(window.offer(7, 'x'), Offered::Known);
            assert_eq!(window.offer(9, 'e'), Offered::Ready(vec!['e']), "it goes on");
        }
    }

    #[test]
    fn number_behind_a_gap_is_not_next() {
        let mut window = Window::before(5);
        assert!(window.is_next(5) && !window.is_next(6));
        window.offer(6, 'b');
        assert!(!window.is_next(5), "it would pass over what waits");
        assert!(Window::<()>::opening().is_next(9));
    }

    #[test]
    fn waiting_is_bounded() {
        let mut window = Window::before(1);
        let most = i64::try_from(MOST_WAITING).expect("a small number");
        for seq in 0..most {
            assert_eq!(window.offer(seq + 2, ()), Offered::Waiting);
        }
        assert_eq!(window.offer(most + 2, ()), Offered::Overflow);
    }
}
