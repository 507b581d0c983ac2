//! Redaction: secrets are taken out before anything is stored, and never come back.
//!
//! Known token shapes, credentials in URLs, private keys, and the values beside words like `password` or `token`. What looks
//! harmless stays: a recorded run is only worth something if it can be repeated.

use std::sync::OnceLock;

use regex::bytes::{Captures, Regex};

/// What stands in the place of a secret.
pub const MASK: &str = "[redacted]";

/// Shapes of tokens that their issuers document, and of secrets beside words that name them. The group `s` is the secret.
const SHAPES: [&str; 8] = [
    r"(?P<s>\bgh[pousr]_[A-Za-z0-9]{36,251}\b|\bgithub_pat_[A-Za-z0-9_]{22,251}\b|\bglpat-[A-Za-z0-9_-]{20,}\b)",
    r"(?P<s>\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bsk-[A-Za-z0-9_-]{20,}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}\b|\bAIza[A-Za-z0-9_-]{35}\b)",
    r"(?P<s>\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})",
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<s>.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]+:(?P<s>[^/\s@]+)@",
    r"(?i)\bauthorization\s*:\s*(?:bearer|basic|token)\s+(?P<s>[A-Za-z0-9._~+/=-]{6,})",
    r#"(?i)["']?\b[A-Za-z0-9_.-]*(?:password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|access[_-]?token|client[_-]?secret)["']?\s*[=:]\s*["']?(?P<s>[^\s"'&,;]{4,})"#,
    r#"(?i)["']?\b(?:[A-Za-z0-9_.-]*[_-])?token["']?\s*[=:]\s*["']?(?P<s>[^\s"'&,;]{8,})"#,
];

/// Options whose next argument is a secret.
const SECRET_OPTIONS: [&str; 6] = ["password", "passwd", "token", "secret", "api-key", "apikey"];

fn shapes() -> &'static [Regex] {
    static SET: OnceLock<Vec<Regex>> = OnceLock::new();
    SET.get_or_init(|| SHAPES.iter().filter_map(|shape| Regex::new(shape).ok()).collect())
}

/// The bytes with every secret replaced by [`MASK`].
pub fn redact(bytes: &[u8]) -> Vec<u8> {
    let mut text = bytes.to_vec();
    for shape in shapes() {
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

/// The arguments with every secret replaced, also the one after `--password`.
pub fn redact_arguments(arguments: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let names_a_secret = |argument: &Vec<u8>| {
        let text = String::from_utf8_lossy(argument).to_lowercase().replace('_', "-");
        text.strip_prefix("--").is_some_and(|option| {
            SECRET_OPTIONS.iter().any(|secret| option == *secret || option.ends_with(&format!("-{secret}")))
        })
    };
    let mut redacted = Vec::with_capacity(arguments.len());
    for (at, argument) in arguments.iter().enumerate() {
        let after_option = at > 0 && names_a_secret(&arguments[at - 1]);
        redacted.push(if after_option { MASK.as_bytes().to_vec() } else { redact(argument) });
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> String {
        String::from_utf8(redact(input.as_bytes())).expect("stays UTF-8")
    }

    #[test]
    fn every_shape_is_a_valid_expression() {
        assert_eq!(shapes().len(), SHAPES.len());
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
            redact_arguments(&arguments).into_iter().map(|a| String::from_utf8(a).expect("UTF-8")).collect();
        assert_eq!(redacted, ["--db-password", MASK, "--limit", "5", "--token=[redacted]"]);
    }
}
