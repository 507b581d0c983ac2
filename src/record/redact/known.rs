//! Secrets that are known by their value: of the environment, and of one part of a run, to be found in all others.
//!
//! A known value is found as it is, in base64 (at any place of what was encoded), in hexadecimal digits, encoded for a URL, and
//! escaped for JSON.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::MASK;
use super::scan::Place;
use super::text::{begins, is_dull};
use super::values::is_credentials_in_base64;

/// Shorter values are no secrets, and would take too much with them.
const MIN: usize = 6;
/// Encoded forms of shorter values turn up by chance.
const MIN_ENCODED: usize = 8;
/// More than any run knows.
const VALUES_MAX: usize = 1_000;
const LENGTH_MAX: usize = 64 << 10;

/// A set of values.
pub(super) struct Known {
    forms: AhoCorasick,
    /// By form: whether it is a word that may be part of a harmless longer one.
    words: Vec<bool>,
}

impl Known {
    /// Of these values; `None` when none of them is worth knowing.
    pub(super) fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Known> {
        let mut forms: Vec<(Vec<u8>, bool)> = Vec::new();
        for value in values.into_iter().filter(|value| is_distinctive(value)).take(VALUES_MAX) {
            add_forms(value, &mut forms);
        }
        forms.sort();
        forms.dedup_by(|one, other| one.0 == other.0);
        if forms.is_empty() {
            return None;
        }
        let words = forms.iter().map(|(_, word)| *word).collect();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(forms.iter().map(|(form, _)| form));
        Some(Known { forms: automaton.ok()?, words })
    }

    /// Where the values are in the text.
    pub(super) fn places(&self, text: &[u8], found: &mut Vec<Place>) {
        for seen in self.forms.find_iter(text) {
            let (start, end) = (seen.start(), seen.end());
            let part_of_a_word = self.words[seen.pattern().as_usize()]
                && (!begins(text, start) || text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric()));
            if !part_of_a_word {
                found.push(Place { start, end, in_quotes: false });
            }
        }
    }
}

/// Whether a value is long and odd enough to be looked for everywhere.
pub(super) fn is_distinctive(value: &[u8]) -> bool {
    const COMMON: [&str; 40] = [
        "true",
        "false",
        "localhost",
        "default",
        "password",
        "secret",
        "production",
        "staging",
        "development",
        "disabled",
        "enabled",
        "required",
        "optional",
        "unknown",
        "undefined",
        "example",
        "changeme",
        "changeit",
        "master",
        "develop",
        "username",
        "database",
        "postgres",
        "mariadb",
        "mongodb",
        "administrator",
        "anonymous",
        "bearer",
        "basic",
        "string",
        "public",
        "private",
        "service",
        "github",
        "gitlab",
        "docker",
        "kubernetes",
        "windows",
        "release",
        "test123",
    ];
    let text = value.trim_ascii();
    let number = text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'-' | b':'));
    let mask = MASK.as_bytes();
    let ours =
        mask.windows(text.len().max(1)).any(|window| window == text) || text.windows(mask.len()).any(|window| window == mask);
    let common = COMMON.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    let fits = (MIN..=LENGTH_MAX).contains(&text.len());
    fits && (!number || text.len() >= 8) && !(common || ours || is_dull(text))
}

/// What a secret that was found gives away to look for elsewhere: itself, and what it encodes. What was only guessed from a word
/// beside it has to be odd enough.
pub(super) fn given_away(value: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let odd = |value: &[u8]| value.len() >= MIN_ENCODED && !value.iter().all(u8::is_ascii_alphabetic) && is_distinctive(value);
    let mut all = vec![Cow::Borrowed(value)];
    if value.contains(&b'%') {
        all.push(Cow::Owned(url_decoded(value)));
    }
    if is_credentials_in_base64(value) {
        let bare: Vec<u8> = value.iter().copied().filter(|byte| *byte != b'=').collect();
        let plain = STANDARD_NO_PAD.decode(bare).unwrap_or_default();
        let colon = plain.iter().position(|byte| *byte == b':').map_or(0, |colon| colon + 1);
        all.push(Cow::Owned(plain[colon..].to_vec()));
    }
    all.retain(|value| odd(value));
    all
}

fn url_decoded(value: &[u8]) -> Vec<u8> {
    let digit = |at: usize| value.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut plain = Vec::with_capacity(value.len());
    let mut at = 0;
    while at < value.len() {
        match (value[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}

fn add_forms(value: &[u8], forms: &mut Vec<(Vec<u8>, bool)>) {
    let value = value.trim_ascii();
    let word = value.len() < 16 && value.iter().all(u8::is_ascii_alphabetic);
    forms.push((value.to_vec(), word));
    let lines: Vec<&[u8]> = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    if lines.len() > 1 {
        // Keys: each line of one gives enough away.
        forms.extend(
            lines.iter().filter(|line| line.len() >= 20 && !line.starts_with(b"-----")).map(|line| (line.to_vec(), false)),
        );
    }
    if value.len() < MIN_ENCODED {
        return;
    }
    for (skip, pad) in [(0, 0), (2, 1), (3, 2)] {
        // Encoded after other bytes, the value begins at one of three places; the digits at its ends depend on its neighbours.
        let padded: Vec<u8> = [&[0; 2][..pad], value].concat();
        let whole = padded.len() / 3 * 4;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let digits = engine.encode(&padded);
            forms.push((digits.as_bytes()[skip..whole].to_vec(), false));
        }
    }
    let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    forms.push((hex.to_uppercase().into_bytes(), false));
    forms.push((hex.into_bytes(), false));
    for escaped in escaped(value) {
        if escaped != value {
            forms.push((escaped, false));
        }
    }
}

/// For URLs in both cases and with `+` for a space, for JSON with and without Unicode, for HTML, and as Python and shells quote.
fn escaped(value: &[u8]) -> Vec<Vec<u8>> {
    let url = |upper: bool, plus: bool, kept: &[u8]| {
        let mut encoded = Vec::new();
        for byte in value {
            match byte {
                b' ' if plus => encoded.push(b'+'),
                byte if byte.is_ascii_alphanumeric() || kept.contains(byte) => encoded.push(*byte),
                byte if upper => encoded.extend(format!("%{byte:02X}").into_bytes()),
                byte => encoded.extend(format!("%{byte:02x}").into_bytes()),
            }
        }
        encoded
    };
    let mut forms = vec![
        url(true, false, b"-_.~"),
        url(true, true, b"-_.~"),
        url(true, true, b"-_.*"),
        url(true, false, b"-_.~/"),
        url(true, false, b"-_.!~*'()"),
        url(false, false, b"-_.~"),
        url(false, true, b"-_.~"),
    ];
    if let Ok(text) = std::str::from_utf8(value) {
        if let Ok(json) = serde_json::to_string(text) {
            let inner = json[1..json.len() - 1].to_string();
            forms.push(in_ascii(&inner).into_bytes());
            forms.push(inner.replace('/', "\\/").into_bytes());
            forms.push(inner.replace('\\', "\\\\").into_bytes());
            forms.push(inner.into_bytes());
        }
        forms.push(text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n").into_bytes());
        forms.push(text.replace('\'', "'\\''").into_bytes());
        for (quote, apostrophe) in [("&quot;", "&#39;"), ("&quot;", "&apos;"), ("&quot;", "&#x27;"), ("&#34;", "&#39;")] {
            let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            forms.push(html.replace('"', quote).replace('\'', apostrophe).into_bytes());
        }
    }
    forms
}

/// Everything beyond ASCII as `\u1234`, as most writers of JSON do.
fn in_ascii(text: &str) -> String {
    let mut ascii = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii() => ascii.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(value: &str, text: &str) -> bool {
        let mut found = Vec::new();
        Known::of([value.as_bytes()]).expect("worth knowing").places(text.as_bytes(), &mut found);
        !found.is_empty()
    }

    #[test]
    fn a_known_value_is_found_in_every_usual_encoding() {
        let value = "p\"w /é&<'1>\\x";
        for ahead in ["", "a", "ab", "abc"] {
            let encoded = STANDARD_NO_PAD.encode(format!("{ahead}{value}:z"));
            assert!(holds(value, &encoded), "{encoded}");
            assert!(holds(value, &URL_SAFE_NO_PAD.encode(format!("{ahead}{value}"))));
        }
        for text in [
            "x 7022772 70227720 2fc3a9263c27313e5c78",
            "702277202fc3a9263c27313e5c78",
            "p%22w%20%2F%C3%A9%26%3C%271%3E%5Cx",
            "p%22w+%2f%c3%a9%26%3c%271%3e%5cx",
            r#"{"a": "p\"w /é&<'1>\\x"}"#,
            r#"{"a": "p\"w /\u00e9&<'1>\\x"}"#,
            r#"p"w /é&<\'1>\\x"#,
            "p&quot;w /é&amp;&lt;&#39;1&gt;\\x",
        ] {
            assert!(holds(value, text) || text.starts_with("x "), "{text}");
        }
    }

    #[test]
    fn a_plain_word_is_found_as_a_word_only() {
        assert!(holds("sesame", "open sesame!") && !holds("sesame", "sesames") && !holds("sesame", "asesame"));
        assert!(holds("hunter22", "xhunter22x"));
        for dull in ["true", "localhost", "production", "12345", "xxxxxxxx", "redacted", "short"] {
            assert!(!is_distinctive(dull.as_bytes()), "{dull}");
        }
    }
}
