//! Redaction: secrets are taken out before anything is stored, and never come back.
//!
//! Known token shapes, credentials in URLs, private keys, and the values beside words like `password` or `token`. What looks
//! harmless stays: a recorded run is only worth something if it can be repeated.

use std::sync::OnceLock;

use regex::bytes::{Captures, Regex};

use crate::config::RecordConfig;
use crate::model::{CaptureLevel, Exit};

/// What stands in the place of a secret.
pub const MASK: &str = "[redacted]";

/// Shapes of tokens that their issuers document, and of secrets beside words that name them. The group `s` is the secret. Each is
/// looked for only in text that holds one of its words (in lower case): building an expression costs more than most runs print.
const SHAPES: [(&[&str], &str); 8] = [
    (
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"],
        r"(?P<s>\bgh[pousr]_[A-Za-z0-9]{36,251}\b|\bgithub_pat_[A-Za-z0-9_]{22,251}\b|\bglpat-[A-Za-z0-9_-]{20,}\b)",
    ),
    (
        &["akia", "asia", "sk-", "xox", "aiza"],
        r"(?P<s>\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bsk-[A-Za-z0-9_-]{20,}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}\b|\bAIza[A-Za-z0-9_-]{35}\b)",
    ),
    (&["eyj"], r"(?P<s>\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"),
    (&["private key"], r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<s>.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)"),
    (&["://"], r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]+:(?P<s>[^/\s@]+)@"),
    (&["authorization"], r"(?i)\bauthorization\s*:\s*(?:bearer|basic|token)\s+(?P<s>[A-Za-z0-9._~+/=-]{6,})"),
    (
        &["password", "passwd", "secret", "key", "token"],
        r#"(?i)["']?\b[A-Za-z0-9_.-]*(?:password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|access[_-]?token|client[_-]?secret)["']?\s*[=:]\s*["']?(?P<s>[^\s"'&,;]{4,})"#,
    ),
    (&["token"], r#"(?i)["']?\b(?:[A-Za-z0-9_.-]*[_-])?token["']?\s*[=:]\s*["']?(?P<s>[^\s"'&,;]{8,})"#),
];

/// Options whose next argument is a secret.
const SECRET_OPTIONS: [&str; 6] = ["password", "passwd", "token", "secret", "api-key", "apikey"];

/// The expressions whose words the text holds.
fn shapes(text: &[u8]) -> impl Iterator<Item = &'static Regex> {
    static BUILT: [OnceLock<Option<Regex>>; SHAPES.len()] = [const { OnceLock::new() }; SHAPES.len()];
    let lower = text.to_ascii_lowercase();
    let holds = move |word: &&str| lower.windows(word.len()).any(|window| window == word.as_bytes());
    let wanted = SHAPES.iter().zip(&BUILT).filter(move |((words, _), _)| words.iter().any(&holds));
    wanted.filter_map(|((_, shape), built)| built.get_or_init(|| Regex::new(shape).ok()).as_ref())
}

/// The bytes with every secret replaced by [`MASK`].
pub fn redact(bytes: &[u8]) -> Vec<u8> {
    let mut text = bytes.to_vec();
    for shape in shapes(bytes) {
        if !shape.is_match(&text) {
            continue;
        }
        text = shape
            .replace_all(&text, |found: &Captures<'_>| {
                let (Some(whole), Some(secret)) = (found.get(0), found.name("s")) else { return Vec::new() };
                let mut replaced = whole.as_bytes()[..secret.start() - whole.start()].to_vec();
                replaced.extend_from_slice(MASK.as_bytes());
                replaced.extend_from_slice(&whole.as_bytes()[secret.end() - whole.start()..]);
                replaced
            })
            .into_owned();
    }
    text
}

/// Shorter values are no secrets, and would take too much with them.
const KNOWN_MIN: usize = 4;

/// What counts as a secret in this repository.
pub struct Rules {}

impl Rules {
    /// From the configuration.
    pub fn of(_config: &RecordConfig) -> Rules {
        Rules {}
    }
}

/// The redaction of one run: what its arguments give away as a secret is taken out wherever it turns up.
pub struct Redactor<'a> {
    _rules: &'a Rules,
    capture: CaptureLevel,
    known: Vec<Vec<u8>>,
}

impl<'a> Redactor<'a> {
    /// For a run with these arguments. At the level `full` nothing is taken out.
    pub fn of(rules: &'a Rules, arguments: &[Vec<u8>], capture: CaptureLevel) -> Redactor<'a> {
        let mut known: Vec<Vec<u8>> = after_secret_options(arguments).map(|(_, secret)| secret.clone()).collect();
        for argument in arguments {
            let found = shapes(argument).flat_map(|shape| shape.captures_iter(argument)).filter_map(|found| found.name("s"));
            known.extend(found.map(|secret| secret.as_bytes().to_vec()));
        }
        known.retain(|secret| secret.len() >= KNOWN_MIN && secret != MASK.as_bytes());
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Redactor { _rules: rules, capture, known }
    }

    /// The arguments with every secret replaced, also the one after `--password`.
    pub fn arguments(&self, arguments: &[Vec<u8>]) -> Vec<Vec<u8>> {
        if self.capture == CaptureLevel::Full {
            return arguments.to_vec();
        }
        let mut redacted: Vec<Vec<u8>> = arguments.iter().map(|argument| self.bytes(argument)).collect();
        for (at, _) in after_secret_options(arguments) {
            redacted[at] = MASK.as_bytes().to_vec();
        }
        redacted
    }

    /// A stream with every secret replaced, of which a part may be missing.
    pub fn stream(&self, bytes: &[u8], truncated: bool) -> Vec<u8> {
        match (self.capture, truncated) {
            (CaptureLevel::Full, _) => bytes.to_vec(),
            (_, true) => self.cut_bytes(bytes),
            (_, false) => self.bytes(bytes),
        }
    }

    /// How a run ended, with every secret in the words replaced.
    pub fn exit(&self, exit: Exit) -> Exit {
        match exit {
            Exit::NotStarted(why) => Exit::NotStarted(String::from_utf8_lossy(&self.stream(why.as_bytes(), false)).into_owned()),
            exit => exit,
        }
    }

    /// The bytes with every secret replaced.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        redact(&self.known.iter().fold(bytes.to_vec(), |text, secret| replace(&text, secret)))
    }

    /// The same for bytes of which a part is missing: the words at the cut are taken out, because half a secret has no shape.
    pub fn cut_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        static PLACES: OnceLock<Option<(Regex, Regex)>> = OnceLock::new();
        let places =
            || Some((Regex::new(r"\S{0,300}(\n\[\d+ bytes not kept\]\n)\S{0,300}").ok()?, Regex::new(r"\S{1,300}\z").ok()?));
        let text = self.bytes(bytes);
        let Some((middle, end)) = PLACES.get_or_init(places) else { return text };
        match middle.is_match(&text) {
            true => middle.replace_all(&text, format!("{MASK}$1{MASK}").as_bytes()).into_owned(),
            false => end.replace(&text, MASK.as_bytes()).into_owned(),
        }
    }
}

/// The arguments that are secrets because of the option before them, with their places.
fn after_secret_options(arguments: &[Vec<u8>]) -> impl Iterator<Item = (usize, &Vec<u8>)> {
    let names_a_secret = |argument: &[u8]| {
        let text = String::from_utf8_lossy(argument).to_lowercase().replace('_', "-");
        text.strip_prefix("--").is_some_and(|option| {
            SECRET_OPTIONS.iter().any(|secret| option == *secret || option.ends_with(&format!("-{secret}")))
        })
    };
    arguments.iter().enumerate().filter(move |(at, _)| *at > 0 && names_a_secret(&arguments[at - 1]))
}

fn replace(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(secret.len()).position(|window| window == secret) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(MASK.as_bytes());
        rest = &rest[at + secret.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[Vec<u8>]) -> Redactor<'static> {
        Redactor::of(&Rules {}, arguments, CaptureLevel::Redacted)
    }

    fn text(input: &str) -> String {
        String::from_utf8(redact(input.as_bytes())).expect("stays UTF-8")
    }

    #[test]
    fn every_shape_is_a_valid_expression() {
        assert!(SHAPES.iter().all(|(words, shape)| !words.is_empty() && Regex::new(shape).is_ok()));
    }

    #[test]
    fn secrets_of_known_shapes_do_not_survive() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        assert_eq!(text(&format!("pushed with {token}!")), "pushed with [redacted]!");
        assert_eq!(text("https://bob:hunter22@example.com/x"), "https://bob:[redacted]@example.com/x");
        assert_eq!(text("DB_PASSWORD=hunter22 ok"), "DB_PASSWORD=[redacted] ok");
        assert_eq!(text(r#"{"api_key": "abcd1234", "n": 1}"#), r#"{"api_key": "[redacted]", "n": 1}"#);
        assert_eq!(text("Authorization: Bearer abc.def-123"), "Authorization: Bearer [redacted]");
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----";
        assert_eq!(text(key), "-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----");
    }

    #[test]
    fn look_alikes_survive() {
        for harmless in [
            "tokens: 12",
            "4f1c2b7e9a0d4f1c2b7e9a0d4f1c2b7e9a0d4f1c",
            "the password is missing",
            "https://example.com:8080/a@b",
            "KeyError: 'nickname'",
        ] {
            assert_eq!(text(harmless), harmless);
        }
    }

    #[test]
    fn the_argument_after_a_password_option_is_hidden() {
        let arguments = ["--db-password", "x1", "--limit", "5", "--token=abcdefgh12"].map(|text| text.as_bytes().to_vec());
        let redacted: Vec<String> =
            of(&arguments).arguments(&arguments).into_iter().map(|a| String::from_utf8(a).expect("UTF-8")).collect();
        assert_eq!(redacted, ["--db-password", MASK, "--limit", "5", "--token=[redacted]"]);
    }

    #[test]
    fn what_the_arguments_give_away_is_taken_out_of_the_streams_too() {
        let redactor = of(&["--password", "hunter22", "--token=abcdefgh12", "hunter22x"].map(|text| text.as_bytes().to_vec()));
        assert_eq!(redactor.bytes(b"no entry for hunter22 with abcdefgh12"), b"no entry for [redacted] with [redacted]");
        let short = of(&["--password", "no"].map(|text| text.as_bytes().to_vec()));
        assert_eq!(short.bytes(b"no entry"), b"no entry");
    }

    #[test]
    fn the_words_at_a_cut_are_taken_out_because_half_a_secret_has_no_shape() {
        let redactor = of(&[]);
        assert_eq!(redactor.cut_bytes(b"pushed with ghp_a1B2"), b"pushed with [redacted]");
        let both_ends = b"with ghp_a1\n[99 bytes not kept]\nB2a1 failed";
        assert_eq!(redactor.cut_bytes(both_ends), b"with [redacted]\n[99 bytes not kept]\n[redacted] failed");
        assert_eq!(redactor.bytes(b"pushed with ghp_a1B2"), b"pushed with ghp_a1B2");
    }
}
