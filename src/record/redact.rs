//! Redaction: secrets are taken out before anything is stored, and never come back.
//!
//! Four sources say what a secret is: shapes of tokens that their issuers document (`redact/tokens.rs`), names and places beside
//! which secrets stand (`assigned`, `places`, `programs`), the configuration, and values that are known: those of secret
//! environment variables, and what one part of a run gives away, in all its other parts.
//!
//! What looks harmless stays: a recorded run is only worth something if it can be repeated. Redacting twice is redacting once;
//! UTF-8 stays UTF-8, and JSON stays JSON.

mod arguments;
mod assigned;
mod cues;
mod known;
mod names;
mod places;
mod programs;
mod scan;
mod text;
mod tokens;
mod values;

use std::borrow::Cow;

use regex::bytes::{Regex, RegexBuilder};

use self::known::Known;
use self::names::Kind;
use self::scan::{Place, Scan};
use self::values::{Value, Written};
use crate::config::RecordConfig;
use crate::model::{CaptureLevel, Exit};

pub use crate::model::MASK;

/// What is taken out can make something else recognisable; nothing needs more looks than this.
const LOOKS: usize = 8;
/// So much of a word beside a cut is taken out; where more is without space, it is no word.
const WORD_MAX: usize = 4096;
const PIECE: usize = 300;

/// Makes what every redaction needs; whoever needs it first does so otherwise.
pub fn prepare() {
    std::sync::LazyLock::force(&cues::CUES);
}

/// What counts as a secret in this repository.
#[derive(Default)]
pub struct Rules {
    secrets: Vec<Regex>,
    harmless: Vec<Regex>,
    /// Patterns of names, in capitals.
    secret_environment: Vec<String>,
    environment: Option<Known>,
}

impl Rules {
    /// From the configuration.
    pub fn of(config: &RecordConfig) -> Rules {
        // The configuration was checked when it was read.
        let expressions = |all: &[String], around: fn(&str) -> String| {
            all.iter().filter_map(|one| RegexBuilder::new(&around(one)).build().ok()).collect()
        };
        Rules {
            secrets: expressions(&config.secrets, str::to_string),
            harmless: expressions(&config.harmless, |one| format!(r"\A(?:{one})\z")),
            secret_environment: config.secret_environment.iter().map(|pattern| pattern.to_uppercase()).collect(),
            environment: None,
        }
    }

    /// The same, knowing the environment in which the tools run: the values of its secret variables are secrets.
    pub fn knowing(self, environment: &[(Vec<u8>, Vec<u8>)]) -> Rules {
        self.knowing_values(environment, [])
    }

    /// The same, and these values are secrets too, whatever their variables are called.
    #[must_use]
    pub fn knowing_values<'v>(
        mut self,
        environment: &'v [(Vec<u8>, Vec<u8>)],
        values: impl IntoIterator<Item = &'v str>,
    ) -> Rules {
        let secret = environment.iter().filter(|(name, value)| self.holds_secret(name, value)).map(|(_, value)| value.as_slice());
        self.environment = Known::of(secret.chain(values.into_iter().map(str::as_bytes)));
        self
    }

    /// Whether one of the known values is in the text, as it is or in one of the usual encodings.
    pub fn knows(&self, text: &[u8]) -> bool {
        let mut found = Vec::new();
        if let Some(known) = &self.environment {
            known.places(text, &mut found);
        }
        !found.is_empty()
    }

    /// Whether the value of a variable is a secret. A pattern may mean more names than hold one (`TOKEN_TYPE`): there, the value has
    /// to look like one.
    fn holds_secret(&self, name: &[u8], value: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name).to_uppercase();
        let means = |pattern: &String| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(_), Some(_)) => name.contains(pattern.trim_matches('*')),
            (Some(end), None) => name.ends_with(end),
            (None, Some(start)) => name.starts_with(start),
            (None, None) => name == *pattern,
        };
        let exactly = self.secret_environment.contains(&name);
        let named = names::kind(name.as_bytes()).is_some();
        let whole = Value { start: 0, end: value.len(), quoted: true };
        let looks = !value.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':'));
        exactly
            || self.secret_environment.iter().any(means)
                && !values::is_harmless(value, whole, Kind::Password, Written::Tight)
                && (named || looks && value.len() >= 8)
    }

    /// The bytes with every secret replaced by [`MASK`].
    pub fn redact<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        self.redact_with(bytes, &[], None)
    }

    fn redact_with<'t>(&self, bytes: &'t [u8], also: &[Place], known: Option<&Known>) -> Cow<'t, [u8]> {
        let mut text = Cow::Borrowed(bytes);
        let mut places = also.to_vec();
        for _ in 0..LOOKS {
            places.extend(self.places(&text, known));
            let places = settled(&text, std::mem::take(&mut places));
            if places.is_empty() {
                break;
            }
            text = Cow::Owned(masked(&text, &places));
        }
        text
    }

    /// Where secrets are in the text, in no order.
    fn places(&self, text: &[u8], known: Option<&Known>) -> Vec<Place> {
        if text.is_empty() {
            return Vec::new();
        }
        let mut found = Scan::of(text);
        for expression in &self.secrets {
            let group = |found: regex::bytes::Captures<'_>| found.name("s").or_else(|| found.get(0)).map(|group| group.range());
            let ranges = expression.captures_iter(text).filter_map(group).filter(|range| !range.is_empty());
            found.extend(ranges.map(|range| Place { start: range.start, end: range.end, in_quotes: false }));
        }
        if !self.harmless.is_empty() {
            found.retain(|place| !self.harmless.iter().any(|harmless| harmless.is_match(&text[place.start..place.end])));
        }
        for known in self.environment.iter().chain(known) {
            known.places(text, &mut found);
        }
        found
    }
}

/// In order, apart from each other and from what was taken out before, and on the borders of characters.
fn settled(text: &[u8], mut places: Vec<Place>) -> Vec<Place> {
    if places.is_empty() {
        return places;
    }
    let inside = |byte: Option<&u8>| byte.is_some_and(|byte| byte & 0xc0 == 0x80);
    let masks: Vec<usize> = positions(text, MASK.as_bytes()).collect();
    for place in &mut places {
        // A sequence of such bytes that is no character need not end.
        for _ in 0..3 {
            place.start -= usize::from(place.start > 0 && inside(text.get(place.start)));
            place.end += usize::from(inside(text.get(place.end)));
        }
        // Half a mask would stay behind.
        let from = masks.partition_point(|mask| mask + MASK.len() <= place.start);
        let to = masks.partition_point(|mask| *mask < place.end);
        if let [first, ..] = masks[from..to.max(from)] {
            (place.start, place.end) = (place.start.min(first), place.end.max(masks[to - 1] + MASK.len()));
        }
    }
    places.retain(|place| place.start < place.end && &text[place.start..place.end] != MASK.as_bytes());
    places.sort_unstable();
    places.dedup_by(|later, earlier| {
        let overlap = later.start < earlier.end;
        if overlap {
            earlier.end = earlier.end.max(later.end);
            earlier.in_quotes &= later.in_quotes;
        }
        overlap
    });
    places
}

/// Where `part` is in the text.
fn positions<'t>(text: &'t [u8], part: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + text.get(from..)?.windows(part.len()).position(|window| window == part)?;
        from = at + part.len();
        Some(at)
    })
}

fn masked(text: &[u8], places: &[Place]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(text.len());
    let mut from = 0;
    for place in places {
        masked.extend_from_slice(&text[from..place.start]);
        let quote: &[u8] = if place.in_quotes { b"\"" } else { b"" };
        [quote, MASK.as_bytes(), quote].iter().for_each(|part| masked.extend_from_slice(part));
        from = place.end;
    }
    masked.extend_from_slice(&text[from..]);
    masked
}

/// Whether all of a stream is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Whole,
    /// Its end is missing.
    Beginning,
    /// Something is missing: where a line says so, else at the end.
    Parts,
}

/// The redaction of one run: what one part of it gives away is taken out of all of them.
pub struct Redactor<'a> {
    rules: &'a Rules,
    capture: CaptureLevel,
    /// Secrets that only the order of the arguments tells, with the argument's number.
    in_arguments: Vec<(usize, Place)>,
    known: Option<Known>,
    /// Nothing was found in the arguments and the parts.
    clean: bool,
}

impl<'a> Redactor<'a> {
    /// For a run of `tool` with these arguments and streams. At the level `full` nothing is taken out.
    pub fn of(rules: &'a Rules, capture: CaptureLevel, tool: &str, arguments: &[Vec<u8>], parts: &[&[u8]]) -> Redactor<'a> {
        let mut redactor = Redactor { rules, capture, in_arguments: Vec::new(), known: None, clean: true };
        if capture == CaptureLevel::Full {
            return redactor;
        }
        redactor.in_arguments = arguments::places(tool, arguments);
        let told = redactor.in_arguments.iter().map(|(at, place)| &arguments[*at][place.start..place.end]);
        let mut values: Vec<Cow<'_, [u8]>> = told.filter(|value| known::is_distinctive(value)).map(Cow::Borrowed).collect();
        redactor.clean = redactor.in_arguments.is_empty();
        for text in arguments.iter().map(Vec::as_slice).chain(parts.iter().copied()) {
            let places = rules.places(text, None);
            redactor.clean &= places.is_empty();
            for place in places {
                values.extend(known::given_away(&text[place.start..place.end]));
            }
        }
        redactor.known = Known::of(values.iter().map(AsRef::as_ref));
        redactor
    }

    /// The arguments with every secret replaced, also the one after `--password`.
    pub fn arguments(&self, arguments: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        if self.capture == CaptureLevel::Full || self.clean {
            return arguments;
        }
        let of = |at: usize| self.in_arguments.iter().filter(move |(other, _)| *other == at).map(|(_, place)| *place);
        let redact = |(at, argument): (usize, Vec<u8>)| {
            self.rules.redact_with(&argument, &of(at).collect::<Vec<_>>(), self.known.as_ref()).into_owned()
        };
        arguments.into_iter().enumerate().map(redact).collect()
    }

    /// One of the parts with every secret replaced.
    pub fn part(&self, bytes: Vec<u8>, kept: Kept) -> Vec<u8> {
        if self.capture == CaptureLevel::Full {
            return bytes;
        }
        let redacted = if self.clean { bytes } else { self.bytes(&bytes).into_owned() };
        match kept {
            Kept::Whole => redacted,
            Kept::Beginning => without_last_word(redacted),
            Kept::Parts => without_words_at_cuts(redacted),
        }
    }

    /// Any other text of the run with every secret replaced.
    pub fn text(&self, text: &str) -> String {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => text.to_string(),
            Cow::Owned(redacted) => String::from_utf8_lossy(&redacted).into_owned(),
        }
    }

    /// How a run ended, with every secret in the words replaced.
    pub fn exit(&self, exit: Exit) -> Exit {
        match exit {
            Exit::NotStarted(why) => Exit::NotStarted(self.text(&why)),
            exit => exit,
        }
    }

    fn bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        match self.capture {
            CaptureLevel::Full => Cow::Borrowed(bytes),
            _ => self.rules.redact_with(bytes, &[], self.known.as_ref()),
        }
    }
}

/// The word at the end is taken out, because half a secret has no shape.
fn without_last_word(mut text: Vec<u8>) -> Vec<u8> {
    let word = word_before(&text, text.len());
    if word > 0 {
        text.truncate(text.len() - word);
        text.extend_from_slice(MASK.as_bytes());
    }
    text
}

/// The same at each line that says that bytes are missing, on both sides; at the end if there is none.
fn without_words_at_cuts(text: Vec<u8>) -> Vec<u8> {
    const SAYS: &[u8] = b" bytes not kept]\n";
    let mut places = Vec::new();
    for at in positions(&text, SAYS) {
        let start = at - text[..at].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        if start == at || !text[..start].ends_with(b"\n[") {
            continue;
        }
        let (before, after) = (start - 2, at + SAYS.len());
        let blank = text::run(&text, after, |byte| matches!(byte, b' ' | b'\t'));
        places.push(Place { start: before - word_before(&text, before), end: before, in_quotes: false });
        places.push(Place { start: after, end: after + blank + word_after(&text, after + blank), in_quotes: false });
    }
    match places.is_empty() {
        true => without_last_word(text),
        false => masked(&text, &settled(&text, places)),
    }
}

fn word_before(text: &[u8], at: usize) -> usize {
    let word = text[..at].iter().rev().take(WORD_MAX + 1).take_while(|byte| !byte.is_ascii_whitespace()).count();
    if word > WORD_MAX { PIECE } else { word }
}

fn word_after(text: &[u8], at: usize) -> usize {
    let word = text[at..].iter().take(WORD_MAX + 1).take_while(|byte| !byte.is_ascii_whitespace()).count();
    if word > WORD_MAX { PIECE } else { word }
}

#[cfg(test)]
mod tests;
