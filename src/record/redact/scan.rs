//! One pass over a text: an automaton finds the words by which secrets are known, and only there something looks closer.
//!
//! The time is linear in the text: every look around a word is bounded, and what was found is not looked into again.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::programs::{PROGRAMS, Program};
use super::tokens::{INNER, Inner, TOKENS, Token};
use super::{assigned, places, programs};

/// What a word in the text calls for.
enum Cue {
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

static CUES: LazyLock<(AhoCorasick, Vec<Cue>)> = LazyLock::new(|| {
    let mut words: Vec<&str> = Vec::new();
    let mut cues = Vec::new();
    let mut add = |word: &'static str, cue: Cue| {
        words.push(word);
        cues.push(cue);
    };
    NAMES.iter().for_each(|word| add(word, Cue::Name));
    SHORT_NAMES.iter().for_each(|word| add(word, Cue::ShortName));
    PRODUCTS.iter().for_each(|word| add(word, Cue::Product));
    TOKENS.iter().for_each(|token| add(token.prefix, Cue::Token(token)));
    INNER.iter().for_each(|(word, inner)| add(word, Cue::Inner(*inner)));
    PROGRAMS.iter().for_each(|program| add(program.name, Cue::Program(program)));
    ["bearer", "basic"].iter().for_each(|word| add(word, Cue::Scheme));
    add("://", Cue::Url);
    ["private key", "private-lines"].iter().for_each(|word| add(word, Cue::PrivateKey));
    [":5432:", ":*:"].iter().for_each(|word| add(word, Cue::PgPass));
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(words)
        .expect("a few hundred short words fit");
    (automaton, cues)
});

/// A place to be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
    /// What stands there instead needs quotes.
    pub(super) in_quotes: bool,
}

/// A text, and what was found in it so far.
pub(super) struct Scan<'a> {
    pub(super) text: &'a [u8],
    pub(super) found: Vec<Place>,
    /// Names that begin before were looked at.
    pub(super) names_until: usize,
    /// What stands beside secret words was looked at up to here.
    pub(super) beside_until: usize,
    /// So was the word that may be a line of a `.pgpass`, and the command line of this program.
    pub(super) pgpass_until: usize,
    pub(super) line_until: (&'static str, usize),
    /// Where the first last line of a key's armour is, looked for from the first position on.
    pub(super) armour_end: Option<(usize, Option<usize>)>,
    /// The place that reaches farthest.
    farthest: (usize, usize),
}

impl<'a> Scan<'a> {
    /// Everything in the text that looks like a secret, in no order, possibly overlapping.
    pub(super) fn of(text: &'a [u8]) -> Vec<Place> {
        let mut scan = Scan {
            text,
            found: Vec::new(),
            names_until: 0,
            beside_until: 0,
            pgpass_until: 0,
            line_until: ("", 0),
            armour_end: None,
            farthest: (0, 0),
        };
        let (automaton, cues) = &*CUES;
        for seen in automaton.find_overlapping_iter(text) {
            let (start, end) = (seen.start(), seen.end());
            if scan.farthest.0 <= start && end <= scan.farthest.1 {
                continue;
            }
            scan.look(&cues[seen.pattern().as_usize()], start, end);
        }
        scan.found
    }

    fn look(&mut self, cue: &Cue, start: usize, end: usize) {
        match cue {
            Cue::Token(token) => {
                if let Some(end) = token.end(self.text, start, end) {
                    self.add(start, end);
                }
            }
            Cue::Inner(inner) => {
                if let Some((start, end)) = inner.place(self.text, start, end) {
                    self.add(start, end);
                }
            }
            Cue::Name => assigned::at(self, start, end),
            Cue::ShortName => assigned::at(self, start, end - 1),
            Cue::Product => assigned::beside(self, start, end, true),
            Cue::Scheme => assigned::scheme(self, start, end),
            Cue::Url => places::url(self, start, end),
            Cue::PrivateKey => places::private_key(self, start, end),
            Cue::PgPass => places::pgpass(self, start),
            Cue::Program(program) => programs::line(self, program, start, end),
        }
    }

    /// This is a secret.
    pub(super) fn add(&mut self, start: usize, end: usize) {
        self.add_value(start, end, false);
    }

    pub(super) fn add_value(&mut self, start: usize, end: usize, in_quotes: bool) {
        if start < end {
            self.found.push(Place { start, end, in_quotes });
            if end > self.farthest.1 {
                self.farthest = (start, end);
            }
        }
    }
}
