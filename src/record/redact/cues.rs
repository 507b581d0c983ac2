//! The words by which secrets are known, and how they are found in a text.
//!
//! Not an automaton: to build one takes longer than most tools run. Two bytes at a time tell whether a word can begin there.

use std::sync::LazyLock;

use super::programs::{PROGRAMS, Program};
use super::tokens::{INNER, Inner, TOKENS, Token};

/// What a word in the text calls for.
pub(super) enum Cue {
    Token(&'static Token),
    Inner(Inner),
    /// Part of a name.
    Name,
    /// The same and one byte more.
    ShortName,
    /// A product whose tokens have no shape of their own.
    Product,
    /// `Bearer`, `Basic`.
    Scheme,
    Url,
    PrivateKey,
    PgPass,
    Program(&'static Program),
}

/// Parts of names. Each costs a look wherever it turns up, so there are few, and short ones only where nothing longer does.
const NAMES: [&str; 16] = [
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "credential",
    "creds",
    "auth",
    "cookie",
    "sess",
    "sid",
    "sig",
    "_pw",
    "otp",
    "mnemonic",
    "phrase",
];
/// … with the sign behind them, because they are part of many words.
const SHORT_NAMES: [&str; 8] = ["pin\"", "pin'", "pin=", "pin:", "cvv\"", "cvv=", "cvv:", "kennwort:"];
const PRODUCTS: [&str; 10] =
    ["discord", "telegram", "heroku", "datadog", "mailgun", "algolia", "cloudflare", "twilio", "okta", "jenkins"];

pub(super) static CUES: LazyLock<Cues> = LazyLock::new(Cues::new);

/// Words with what they call for.
pub(super) struct Cues {
    /// Sorted by the classes of their first two bytes.
    words: Vec<(&'static str, Cue)>,
    /// By the classes of two bytes: where the words that begin with them begin in `words`, up to where the next ones do.
    begins: Vec<u16>,
}

/// Classes of bytes: letters whatever their case, digits, the signs that words begin with, and 0 for all others.
const CLASSES: [u8; 256] = classes();
const CLASS_BITS: usize = 6;

const fn classes() -> [u8; 256] {
    const CLASSED: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789_-.:/~*";
    let mut classes = [0; 256];
    let mut at = 0;
    while at < CLASSED.len() {
        classes[CLASSED[at] as usize] = at as u8 + 1;
        classes[CLASSED[at].to_ascii_uppercase() as usize] = at as u8 + 1;
        at += 1;
    }
    classes
}

fn pair(first: u8, second: u8) -> usize {
    (CLASSES[usize::from(first)] as usize) << CLASS_BITS | CLASSES[usize::from(second)] as usize
}

impl Cues {
    fn new() -> Cues {
        let mut words: Vec<(&str, Cue)> = Vec::new();
        words.extend(NAMES.iter().map(|word| (*word, Cue::Name)));
        words.extend(SHORT_NAMES.iter().map(|word| (*word, Cue::ShortName)));
        words.extend(PRODUCTS.iter().map(|word| (*word, Cue::Product)));
        words.extend(TOKENS.iter().map(|token| (token.prefix, Cue::Token(token))));
        words.extend(INNER.iter().map(|(word, inner)| (*word, Cue::Inner(*inner))));
        words.extend(PROGRAMS.iter().map(|program| (program.name, Cue::Program(program))));
        words.extend(["bearer", "basic"].map(|word| (word, Cue::Scheme)));
        words.extend(["private key", "private-lines"].map(|word| (word, Cue::PrivateKey)));
        words.extend([":5432:", ":*:"].map(|word| (word, Cue::PgPass)));
        words.push(("://", Cue::Url));
        let key = |word: &str| pair(word.as_bytes()[0], word.as_bytes()[1]);
        words.sort_by_key(|(word, _)| key(word));
        let mut begins = vec![0; (1 << (2 * CLASS_BITS)) + 1];
        words.iter().for_each(|(word, _)| begins[key(word) + 1] += 1);
        (1..begins.len()).for_each(|at| begins[at] += begins[at - 1]);
        Cues { words, begins }
    }

    /// Tells of every word in the text, whatever its case, in the order in which they begin.
    pub(super) fn each(&self, text: &[u8], mut tell: impl FnMut(&Cue, usize, usize)) {
        for at in 1..text.len() {
            let pair = pair(text[at - 1], text[at]);
            let (from, to) = (self.begins[pair], self.begins[pair + 1]);
            for (word, cue) in &self.words[usize::from(from)..usize::from(to)] {
                let (start, end) = (at - 1, at - 1 + word.len());
                if text.get(start..end).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes())) {
                    tell(cue, start, end);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_wherever_it_stands_and_whatever_its_case() {
        assert!(CUES.words.iter().all(|(word, _)| !word.as_bytes()[..2].iter().any(|byte| CLASSES[usize::from(*byte)] == 0)));
        for (word, _) in &CUES.words {
            for text in [format!("é{word}"), format!("{word}{word}x"), word.to_uppercase()] {
                let mut found = Vec::new();
                CUES.each(text.as_bytes(), |_, start, end| found.push(text[start..end].to_lowercase()));
                assert!(found.contains(&word.to_lowercase()), "{word} in {text}: {found:?}");
            }
        }
        CUES.each(b"a quiet day", |_, start, end| panic!("{start}..{end}"));
    }
}
