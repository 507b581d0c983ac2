//! What a failed run said, and the identity of that failure.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Exit;
use super::id::digest;

/// One line of a stack trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Frame {
    /// Repository-relative when `in_repo`, else as printed.
    pub path: String,
    pub function: Option<String>,
    /// 1-based.
    pub line: u32,
    pub in_repo: bool,
}

/// A failure as its output tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub fingerprint: Fingerprint,
    /// `ZeroDivisionError`, `TypeError`, `panic`, `time-out`, `exit 3`, `signal 11`, `wrong output`.
    pub class: String,
    /// The last meaningful line, at most 300 characters.
    pub message: String,
    /// Innermost first.
    pub frames: Vec<Frame>,
}

/// Versioned identity of a failure: the algorithm's version, then 16 hexadecimal digits. The version is part of the key, so a
/// better algorithm never moves old groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// One that was computed before.
    pub fn known(text: String) -> Self {
        Fingerprint(text)
    }

    /// One that somebody else tells of; `None` when it cannot be one.
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('f')?.split_once('-')?;
        let number = !digits.0.is_empty() && digits.0.len() <= 3 && digits.0.bytes().all(|byte| byte.is_ascii_digit());
        let rest = digits.1.len() == 16 && digits.1.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (number && rest).then(|| Fingerprint(text.to_string()))
    }

    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Frames that take part in a fingerprint.
const FRAMES: usize = 4;
const MESSAGE_CHARACTERS: usize = 300;
const CLASS_CHARACTERS: usize = 80;

impl Failure {
    /// The failure of a run that ended with `exit`, from what its output tells.
    ///
    /// Version 1 of the fingerprint: class, then the innermost in-repository frames without line numbers; without such
    /// frames, the message with its variable parts masked (the order of preference that Sentry documents for grouping).
    pub fn new(exit: &Exit, error_type: Option<String>, message: &str, frames: Vec<Frame>) -> Self {
        let class = match (exit, error_type) {
            (Exit::TimedOut, _) => "time-out".to_string(),
            (_, Some(error_type)) => error_type,
            (exit, None) => exit.to_string(),
        };
        let places: Vec<String> = frames
            .iter()
            .filter(|frame| frame.in_repo)
            .take(FRAMES)
            .map(|frame| format!("{}:{}", frame.path, frame.function.as_deref().unwrap_or("?")))
            .collect();
        // A time-out may be seen from anywhere in the loop: only what ended it identifies it.
        let rest = match exit {
            Exit::TimedOut => String::new(),
            _ if places.is_empty() => mask(message),
            _ => places.join("|"),
        };
        let fingerprint = Fingerprint(format!("f1-{}", &digest(&[class.as_bytes(), rest.as_bytes()])[..16]));
        Failure {
            fingerprint,
            class: plain_line(&class, CLASS_CHARACTERS),
            message: plain_line(message, MESSAGE_CHARACTERS),
            frames,
        }
    }

    /// The failure of a run that a person or a caller marked as wrong.
    pub fn wrong_output() -> Self {
        let class = "wrong output".to_string();
        let fingerprint = Fingerprint(format!("f1-{}", &digest(&[class.as_bytes(), b"marked"])[..16]));
        Failure { fingerprint, class, message: "marked as wrong by its caller".into(), frames: Vec::new() }
    }

    /// Whether the other one happened at the same place and says the same, but for what varies.
    pub fn is_like(&self, other: &Failure) -> bool {
        self.fingerprint == other.fingerprint && mask(&self.message) == mask(&other.message)
    }

    /// What failures of different tools have in common when they are the same mistake: the class, and the message but for what varies.
    pub fn pattern(&self) -> (&str, String) {
        (&self.class, mask(&self.message))
    }

    /// Whether the tool ended by itself with a code that says no: nothing crashed, and nothing was complained about by what runs it.
    pub fn is_refusal(&self) -> bool {
        self.class.starts_with("exit ") && self.frames.is_empty()
    }

    /// Whether it is such a one.
    pub fn is_wrong_output(&self) -> bool {
        self.class == "wrong output" && self.fingerprint == Failure::wrong_output().fingerprint
    }
}

/// Whether a character does something to a terminal instead of being shown: controls, and those that turn the direction of what
/// follows, so that it reads as something else (N. Boucher, R. Anderson, "Trojan Source", 2021).
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text from outside as one line of at most `limit` characters that cannot steer a terminal.
pub fn plain_line(text: &str, limit: usize) -> String {
    // Almost always there is nothing to do.
    if text.len() <= limit && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return text.to_string();
    }
    let line: String = text.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    let line = line.trim();
    if line.chars().count() <= limit {
        return line.to_string();
    }
    line.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// The beginning of a text, at most so many bytes of it.
pub fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// The end of a text, at most so many bytes of it.
pub fn ending(text: &str, bytes: usize) -> &str {
    let from = (text.len().saturating_sub(bytes)..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..]
}

/// Masks what varies between two sightings of one message: quoted text, paths, numbers (hexadecimal ones too).
pub fn mask(message: &str) -> String {
    let mut masked = String::with_capacity(message.len());
    let mut rest = message.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' | '"' | '`' => {
                let closed = rest.clone().any(|later| later == c);
                if closed {
                    rest.by_ref().find(|later| *later == c);
                    masked.push_str("<text>");
                } else {
                    masked.push(c);
                }
            }
            '/' if rest.peek().is_some_and(|next| !next.is_whitespace()) => {
                while rest.next_if(|next| !next.is_whitespace() && !matches!(next, ':' | ',' | ';' | ')')).is_some() {}
                masked.push_str("<path>");
            }
            c if c.is_ascii_digit() => {
                while rest.next_if(|next| next.is_ascii_hexdigit() || matches!(next, '.' | 'x' | '_')).is_some() {}
                masked.push_str("<n>");
            }
            c => masked.push(c),
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(line: u32) -> Frame {
        Frame { path: "tools/a.py".into(), function: Some("f".into()), line, in_repo: true }
    }

    #[test]
    fn a_fingerprint_ignores_line_numbers_and_values() {
        let one = Failure::new(&Exit::Code(1), Some("KeyError".into()), "KeyError: 'a'", vec![frame(3)]);
        let two = Failure::new(&Exit::Code(1), Some("KeyError".into()), "KeyError: 'b'", vec![frame(9)]);
        assert_eq!(one.fingerprint, two.fingerprint);
        assert!(one.fingerprint.as_str().starts_with("f1-"));
    }

    #[test]
    fn without_frames_the_masked_message_decides() {
        let failure = |message: &str| Failure::new(&Exit::Code(1), None, message, vec![]).fingerprint;
        assert_eq!(failure("cannot open /tmp/a1: 17"), failure("cannot open /tmp/b2: 4"));
        assert_ne!(failure("upstream timed out"), failure("permission denied"));
    }

    #[test]
    fn text_from_outside_cannot_steer_a_terminal() {
        assert_eq!(plain_line("a\u{1b}[31mb\nc\u{9b}d", 80), "a [31mb c d");
        assert_eq!(plain_line("a\u{202e}b\u{2067}c", 80), "a b c");
        assert_eq!(plain_line("abcdef", 4), "abc…");
    }

    #[test]
    fn masking_keeps_the_words() {
        assert_eq!(mask("bad value 'x' at 0x1f in /a/b, line 3"), "bad value <text> at <n> in <path>, line <n>");
        assert_eq!(mask("it's open"), "it's open");
    }
}
