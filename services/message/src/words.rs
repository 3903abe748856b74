//! How messages are found by their words: the tokens that stand for a text in the index, the one by which
//! a query looks, and whether a text really holds what is looked for. Pure.
//!
//! A query matches where its text begins a word, whatever the case. The index knows, of each word, its
//! beginnings of a few lengths: a query looks by the longest of these that its longest word has, and the
//! texts found are compared as a whole. With all lengths every word would cost as many keys as it has
//! letters; with these four it costs some three, and a query of any length still finds few texts beside
//! the right ones. Scripts without spaces have no words, so that there every pair of signs is one.

use std::collections::BTreeSet;

/// Lengths of the beginnings that are stored, in characters.
const LENGTHS: [usize; 4] = [2, 3, 5, 8];
/// Most tokens of a message: the words behind them are not found. Every token is a key of the index.
const MOST_TOKENS: usize = 120;
/// Shortest text that is looked for, in characters.
pub const SHORTEST_QUERY: usize = 2;

/// Returns the tokens of a text, each once.
#[must_use]
pub fn tokens(text: &str) -> Vec<String> {
    let mut tokens = BTreeSet::new();
    for word in words(&fold(text)) {
        let count = word.chars().count();
        let lengths = LENGTHS.iter().filter(|length| **length < count);
        for length in lengths.copied().chain([count.min(LENGTHS[3])]) {
            if tokens.len() == MOST_TOKENS {
                return tokens.into_iter().collect();
            }
            tokens.insert(word.chars().take(length).collect());
        }
    }
    tokens.into_iter().collect()
}

/// Something that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    folded: String,
    token: String,
}

impl Wanted {
    /// Reads a query. One that is too short, or has no word, finds nothing.
    #[must_use]
    pub fn parse(query: &str) -> Option<Self> {
        let folded = fold(query.trim());
        if folded.chars().count() < SHORTEST_QUERY {
            return None;
        }
        let all = words(&folded);
        let ends_in_word = folded.chars().next_back().is_some_and(is_of_word);
        let last = all.len().checked_sub(1)?;
        let token = all.iter().enumerate().map(|(place, word)| {
            let count = word.chars().count();
            // The last word may go on in the text, so that only a stored beginning of it can be looked for.
            let is_whole = place < last || !ends_in_word;
            let length = match LENGTHS.iter().rev().find(|length| **length <= count) {
                _ if is_whole && count < LENGTHS[3] => count,
                Some(length) => *length,
                None => count,
            };
            word.chars().take(length).collect::<String>()
        });
        let token = token.max_by_key(|token| token.chars().count())?;
        Some(Self { folded, token })
    }

    /// Returns the token by which texts are looked for.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Says whether a text holds what is looked for, at the beginning of a word.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        let text = fold(text);
        let begins_word = self.folded.chars().next().is_some_and(is_of_word);
        text.match_indices(&self.folded).any(|(place, _)| {
            let before = text[..place].chars().next_back();
            let first = text[place..].chars().next();
            !begins_word
                || before.is_none_or(|before| !is_of_word(before))
                || first.is_some_and(is_unspaced)
        })
    }
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// Says whether a character may stand in a word: letters, digits, and signs such as emoji.
fn is_of_word(character: char) -> bool {
    character.is_alphanumeric()
        || (!character.is_ascii() && !character.is_whitespace() && !is_punctuation(character))
}

/// Says whether a character beyond ASCII parts words.
fn is_punctuation(character: char) -> bool {
    matches!(character,
        '\u{a1}'..='\u{bf}' | '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff0f}')
}

/// Says whether a character is of a script that is written without spaces.
fn is_unspaced(character: char) -> bool {
    matches!(character,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// Returns the words of a folded text, in order; of unspaced scripts, every sign with the one behind it.
fn words(folded: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = folded.chars().peekable();
    while let Some(character) = characters.next() {
        if is_unspaced(character) {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            let next = characters.peek().filter(|next| is_unspaced(**next));
            words.push(std::iter::once(character).chain(next.copied()).collect());
        } else if is_of_word(character) {
            word.push(character);
        } else {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says whether a text is found by a query: by its token, and as a whole.
    fn finds(query: &str, text: &str) -> bool {
        Wanted::parse(query).is_some_and(|wanted| {
            let is_indexed = tokens(text).iter().any(|token| token == wanted.token());
            assert!(is_indexed || !wanted.is_in(text), "{query} is in {text} and not found");
            is_indexed && wanted.is_in(text)
        })
    }

    #[test]
    fn text_is_found_by_the_beginning_of_each_word_whatever_the_case() {
        let text = "Grüße aus der Donaudampfschifffahrt, Ada! 👍👍 (a+b) C3PO";
        for query in [
            "gr",
            "GRÜ",
            "Grüße",
            "aus der",
            "donaud",
            "Donaudampfschiff",
            "ada",
            "ad",
            "👍👍",
            "c3",
            "DONAUDAMPFSCHIFFFAHRT, ADA!",
            "a+b",
            "(a+b)",
            "der donau",
        ] {
            assert!(finds(query, text), "{query}");
        }
        for query in [
            "",
            "a",
            " x ",
            "!!",
            ".*",
            "donau.*",
            "dampf",
            "der  donau",
            "ada grüße",
            "us",
            "grüsse",
        ] {
            assert!(!finds(query, text), "{query}");
        }
    }

    #[test]
    fn scripts_without_spaces_are_found_at_every_sign() {
        let text = "今天天气很好 ok";
        for query in ["今天", "天气", "天气很好", "很好 ok", "ok"] {
            assert!(finds(query, text), "{query}");
        }
        assert!(!finds("天很", text));
    }

    #[test]
    fn tokens_are_few_and_each_once() {
        let expected = ["a", "el", "ele", "eleve", "eleven", "th", "the", "thr", "three", "to"];
        assert_eq!(tokens("a to the three eleven to"), expected);
        let words: Vec<String> = (0..500).map(|number| format!("word{number}")).collect();
        let long = words.join(" ");
        assert_eq!(tokens(&long).len(), MOST_TOKENS);
        assert!(tokens(&"x".repeat(4000)).iter().all(|token| token.len() <= 8));
        assert!(tokens("").is_empty() && tokens("?! …").is_empty());
    }
}
