//! Values beside names: where one ends, and whether it is a secret or only looks like the place of one.
//!
//! Deliberately not here: names and separators (`assigned`).

use super::MASK;
use super::names::{self, Kind};
use super::text::{VALUE_MAX, before, holds, is_dull, is_random, is_uuid, run, until};

/// A value in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quoted: bool,
}

/// How a value is written down, as far as it matters for what it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// `name=value`, without a space: settings, arguments, queries.
    Tight,
    /// `name = value`, `name: value`, `--name value`, `name is value`.
    Loose,
}

const QUOTES: [u8; 3] = [b'"', b'\'', b'`'];

/// The value that begins at `at`, quoted or not. `whole_line`: it is a setting in a line of its own, and may hold anything but space.
pub(super) fn value(text: &[u8], at: usize, whole_line: bool) -> Option<Value> {
    let at = after_literal_prefix(text, at);
    let escapes = run(text, at, |byte| byte == b'\\');
    if let Some(quote) = text.get(at + escapes).filter(|byte| QUOTES.contains(byte)) {
        let start = at + escapes + 1;
        if closes_what_is_around(text, at, *quote, start) {
            return None;
        }
        if let Some(end) = closing(text, start, *quote, escapes) {
            return Some(Value { start, end, quoted: true });
        }
        return bare(text, start, false);
    }
    if text.get(at) == Some(&b'<') {
        // `<your password>`
        let window = until(text, at, 64);
        let end = at + run(window, at, |byte| byte != b'>' && byte != b'\n');
        if window.get(end) == Some(&b'>') {
            return Some(Value { start: at, end: end + 1, quoted: false });
        }
    }
    bare(text, at, whole_line)
}

/// Whether the quote at `at` ends a string that the name is in: `["password=", 1]`.
fn closes_what_is_around(text: &[u8], at: usize, quote: u8, start: usize) -> bool {
    let goes_on = text.get(start).is_none_or(|byte| matches!(byte, b',' | b']' | b'}' | b':' | b'\\'));
    let line = before(text, at, |byte| byte != b'\n');
    goes_on && text[at - line..at].iter().filter(|byte| **byte == quote).count() % 2 == 1
}

/// `b"…"`, `f'…'`, `@"…"`.
fn after_literal_prefix(text: &[u8], at: usize) -> usize {
    let prefixed = matches!(text.get(at), Some(b'b' | b'r' | b'f' | b'u' | b'B' | b'R' | b'F' | b'U' | b'L' | b'@'));
    if prefixed && text.get(at + 1).is_some_and(|byte| QUOTES.contains(byte)) { at + 1 } else { at }
}

/// Where the quote that was opened with `escapes` backslashes is closed, on the same line.
fn closing(text: &[u8], start: usize, quote: u8, escapes: usize) -> Option<usize> {
    let window = &text[start..text.len().min(start + 2 * VALUE_MAX)];
    let mut at = 0;
    while at < window.len() {
        match window[at] {
            b'\n' => return None,
            b'\\' => {
                let slashes = run(window, at, |byte| byte == b'\\');
                let quoted = window.get(at + slashes) == Some(&quote);
                if quoted && slashes == escapes && escapes > 0 {
                    return Some(start + at);
                }
                if quoted && slashes % 2 == 0 && escapes == 0 {
                    return Some(start + at + slashes);
                }
                at += slashes + 1;
            }
            byte if byte == quote && escapes == 0 => return Some(start + at),
            // The text around it ends here.
            byte if byte == quote => return None,
            _ => at += 1,
        }
    }
    None
}

/// The value up to what can be no part of it.
fn bare(text: &[u8], start: usize, whole_line: bool) -> Option<Value> {
    let mut at = start;
    while let Some(byte) = text.get(at) {
        let ends = match byte {
            b'"' | b'\'' | b'`' => !whole_line,
            b'<' | b'>' => !whole_line && at > start,
            b'\\' => match text.get(at + 1) {
                Some(b'n' | b'r' | b't' | b'"' | b'\'') => true,
                Some(_) => {
                    at += 1;
                    false
                }
                None => false,
            },
            b'&' | b';' | b',' | b')' | b']' | b'}' | b'|' => is_delimiter(text, at, whole_line),
            0x1b => true,
            byte => byte.is_ascii_whitespace() || *byte == 0,
        };
        if ends {
            break;
        }
        at += 1;
    }
    let mut end = at.min(text.len());
    while end > start && matches!(text[end - 1], b'.' | b'!' | b'?' | b':') && !whole_line {
        end -= 1;
    }
    (end > start).then_some(Value { start, end, quoted: false })
}

/// Whether a value ends at such a sign: before space, quotes, the end, another sign, or the next `name=`.
fn is_delimiter(text: &[u8], at: usize, whole_line: bool) -> bool {
    let rest = &text[at + 1..];
    let name = run(&rest[..rest.len().min(64)], 0, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ' | b'%')
    });
    let next_pair = name > 0 && matches!(rest.get(name), Some(b'='));
    if next_pair || text[at] == b'&' && !whole_line {
        return true;
    }
    let Some(next) = rest.first() else { return !whole_line };
    let over = next.is_ascii_whitespace()
        || matches!(next, b'"' | b'\'' | b'`' | b'<' | b'\\' | b',' | b';' | b':' | b')' | b']' | b'}');
    over && !whole_line
}

/// Whether the value of something that a name calls secret is none.
pub(super) fn is_harmless(text: &[u8], value: Value, kind: Kind, written: Written) -> bool {
    let content = &text[value.start..value.end];
    if content.len() > 2 * VALUE_MAX {
        return false;
    }
    let letters = content.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'.' | b'*'));
    let digits = content.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+'));
    if is_placeholder(content) || is_path_or_address(content) {
        return true;
    }
    // A quoted sentence, or a word of one.
    if value.quoted && content.contains(&b' ') && matches!(kind, Kind::Token | Kind::Session | Kind::Auth | Kind::Signature) {
        return true;
    }
    let generic = text.get(value.end) == Some(&b'<') && letters && content[0].is_ascii_uppercase();
    let sentence = match kind {
        Kind::Phrase => begins_a_sentence(content),
        _ => is_word_of_a_sentence(text, value),
    };
    if !value.quoted && written == Written::Loose && (sentence || generic || is_expression(content)) {
        return true;
    }
    if kind == Kind::Token && ["(?", "[^", "\\w", "%s"].iter().any(|part| holds(content, part.as_bytes())) {
        return true;
    }
    if !value.quoted && kind != Kind::Phrase && (content.contains(&b'(') || content.contains(&b'[')) && is_expression(content) {
        return true;
    }
    match kind {
        Kind::Password => content.len() < 4,
        Kind::Phrase => content.len() < 4,
        Kind::Pass => content.len() < 4 || content.contains(&b'/') || digits || (letters && !value.quoted),
        Kind::Token => content.len() < 8 || (letters && !is_random(content) && (written == Written::Loose || is_name(content))),
        Kind::Pin => !((3..=10).contains(&content.len()) && content.iter().all(u8::is_ascii_digit)),
        Kind::Auth => !(is_random(content) || is_credentials_in_base64(content)),
        Kind::Key => content.len() < 24 || content.iter().any(|byte| b"/.:-".contains(byte)) || !stands_out(content),
        Kind::Session => content.len() < 16 || letters || !content.iter().any(u8::is_ascii_digit),
        Kind::Signature => content.len() < 16 || content.iter().filter(|byte| byte.is_ascii_digit()).count() < 2,
        Kind::Authorization | Kind::Cookie => content.len() < 6,
    }
}

/// Words that stand where a secret would.
const PLACEHOLDERS: &str = "true false null none nil undefined yes no on off string str bytes int integer bool boolean any text char \
    object number float optional required missing invalid incorrect wrong expired empty unset hidden masked redacted removed omitted \
    secret secrets password passwd passphrase pass token key apikey value prompt stdin env file vault keyring changeme changeit change \
    example sample placeholder dummy default todo fixme tbd na basic bearer disabled enabled inherit auto failed denied accepted";
/// Parts of such words.
const PARTS: &str = "your- your_ yourpass yourtoken changeme change-me change_me placeholder replace-me replace_me -here _here";

/// `$PASSWORD`, `${{ secrets.X }}`, `<token>`, `****`, `changeme`, `your-api-key`, `None`, `str`.
fn is_placeholder(content: &[u8]) -> bool {
    if content.len() > VALUE_MAX {
        return false;
    }
    let mask = MASK.as_bytes();
    if is_template(content) || is_dull(content) || content.windows(mask.len()).any(|window| window == mask) {
        return true;
    }
    // The name of a variable, not its value.
    let variable = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b'-');
    if content.iter().all(variable)
        && ["password", "passwd", "passphrase", "credential"].iter().any(|name| holds(content, name.as_bytes()))
    {
        return true;
    }
    if content.iter().any(u8::is_ascii_digit) {
        return false;
    }
    let word = content.trim_ascii();
    let word = word.strip_suffix(b"?").unwrap_or(word);
    // `API_KEY`, `DB_PASSWORD`: the name of what goes there.
    let is_name =
        || content.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')) && names::kind(content).is_some();
    is_one_of(word, PLACEHOLDERS) || PARTS.split(' ').any(|part| holds(content, part.as_bytes())) || is_name()
}

/// Whether it is one of the words, which are separated by spaces, whatever the case.
fn is_one_of(word: &[u8], words: &str) -> bool {
    words.split_ascii_whitespace().any(|one| word.eq_ignore_ascii_case(one.as_bytes()))
}

/// What programs fill in: `$NAME`, `${…}`, `$(…)`, `%NAME%`, `%s`, `{name}`, `{{ … }}`, `<name>`.
fn is_template(content: &[u8]) -> bool {
    let starts = |prefix: &str| content.starts_with(prefix.as_bytes());
    let whole = |open: &str, close: &str| starts(open) && content.ends_with(close.as_bytes());
    let variable = |name: &[u8]| !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let field = |rest: &[u8]| rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.!:}[]()".contains(byte));
    starts("${")
        || starts("$(")
        || content.strip_prefix(b"$").is_some_and(variable)
        || content.len() > 2 && whole("%", "%") && variable(&content[1..content.len() - 1])
        || content.len() <= 3 && starts("%")
        || starts("{{")
        || whole("{", "}")
        || content.strip_prefix(b"{").is_some_and(field)
        || whole("<", ">")
        || starts("<%")
}

/// `/run/secrets/token`, `./key.pem`, `C:\keys`, `https://…`, `a@example.com`.
fn is_path_or_address(content: &[u8]) -> bool {
    let starts = |prefix: &str| content.starts_with(prefix.as_bytes());
    let drive = content.len() > 3 && content[0].is_ascii_alphabetic() && content[1] == b':' && matches!(content[2], b'\\' | b'/');
    let rooted = drive || ["/", "./", "../", "~/"].iter().any(|prefix| starts(prefix));
    let plain = |part: &[u8]| !(is_random(part) || part.iter().any(|byte| matches!(byte, b'+' | b'=' | b'!' | b'#' | b'$')));
    if rooted && content.len() <= VALUE_MAX {
        return content.split(|byte| matches!(byte, b'/' | b'\\')).all(plain);
    }
    let url = ["http://", "https://", "file://", "vault://", "arn:", "projects/", "env:", "op://", "secretsmanager:"];
    url.iter().any(|prefix| starts(prefix))
}

/// `Password: must be longer`: a small word, and another one behind it.
fn is_word_of_a_sentence(text: &[u8], value: Value) -> bool {
    let content = &text[value.start..value.end];
    let letters = content.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'\'');
    let rest = &text[value.end..text.len().min(value.end + 24)];
    let word =
        rest.strip_prefix(b" ").is_some_and(|rest| rest.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'('));
    letters && word
}

/// `Passphrase: must be longer`.
fn begins_a_sentence(content: &[u8]) -> bool {
    const WORDS: &str = "is was must should may can cannot will has not too needs required missing incorrect wrong for please does \
        mismatch empty invalid the an optional string bytes";
    let first = content.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    content.starts_with(b"(") || content.starts_with(b":") || is_one_of(first, WORDS)
}

/// `get_password()`, `os.environ[`, `self.password`, `Option<String>`, `args.token`.
fn is_expression(content: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.()[]:>$&*-<".contains(byte);
    let joined =
        content.iter().any(|byte| b".([".contains(byte)) || content.windows(2).any(|pair| pair == b"::" || pair == b"->");
    let named = content.split(|byte| b".()[]:>$&*-<".contains(byte)).all(|part| {
        let index = part.len() <= 2 && part.iter().all(u8::is_ascii_digit);
        index || part.first().is_none_or(|byte| byte.is_ascii_alphabetic() || *byte == b'_') && !is_random(part)
    });
    let called = content.iter().position(|byte| matches!(byte, b'(' | b'[')).unwrap_or(0);
    let function = &content[..called];
    let dotted =
        function.iter().any(|byte| matches!(byte, b'_' | b'.' | b':')) && !function.split(|byte| *byte == b'.').any(is_random);
    let calls = called >= 3
        && function
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b':') || dotted && byte.is_ascii_digit());
    calls || joined && content.iter().all(allowed) && named && content.iter().filter(|byte| byte.is_ascii_digit()).count() <= 2
}

/// `my-tls-secret`: small words joined, the name of a thing.
fn is_name(content: &[u8]) -> bool {
    let small = content.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_' | b'.'));
    small && content.split(|byte| matches!(byte, b'-' | b'_' | b'.')).count() > 1
}

/// Whether base64 text decodes to `name:password`.
pub(super) fn is_credentials_in_base64(content: &[u8]) -> bool {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let bare = content.strip_suffix(b"==").or_else(|| content.strip_suffix(b"=")).unwrap_or(content);
    bare.len() >= 6
        && bare.len() <= 4 * VALUE_MAX
        && STANDARD_NO_PAD.decode(bare).is_ok_and(|plain| {
            plain.contains(&b':') && std::str::from_utf8(&plain).is_ok_and(|text| !text.chars().any(char::is_control))
        })
}

/// Whether a string beside a secret word is taken for the secret.
pub(super) fn stands_out(content: &[u8]) -> bool {
    content.split(|byte| *byte == b'.').any(is_random) && !is_uuid(content) && !content.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> &str {
        let value = value(text.as_bytes(), 0, false).expect("a value");
        &text[value.start..value.end]
    }

    #[test]
    fn a_value_ends_where_its_quotes_close_or_the_next_setting_begins() {
        for (text, wanted) in [
            (r#""a b" c"#, "a b"),
            (r#""a\"b" c"#, r#"a\"b"#),
            (r#"\"ab\", \"c\""#, "ab"),
            ("'it' x", "it"),
            ("b'it' x", "it"),
            ("a,b&c=d", "a,b"),
            ("ab;Server=x", "ab"),
            ("ab, next", "ab"),
            ("ab)", "ab"),
            (r"ab\ncd", "ab"),
            ("ab.", "ab"),
            ("\"open", "open"),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
        assert_eq!(value(b"a'b;c,d e", 0, true), Some(Value { start: 0, end: 7, quoted: false }));
    }

    #[test]
    fn placeholders_expressions_and_paths_are_no_secrets() {
        for text in [
            "$PASSWORD",
            "${PW:-x}",
            "<password>",
            "{{ pw }}",
            "%PW%",
            "****",
            "changeme",
            "None",
            "YOUR_API_KEY",
            "your-token-here",
        ] {
            assert!(is_placeholder(text.as_bytes()), "{text}");
        }
        assert!(!is_placeholder(b"hunter22") && !is_placeholder(b"$ecret99!"));
        assert!(is_expression(b"os.environ[") && is_expression(b"get_password()") && !is_expression(b"a.b9x8c7"));
        assert!(is_path_or_address(b"/run/secrets/token") && !is_path_or_address(b"/K7MDENG/bPxRfiCY7dKq2LxwJalrXUtnFEMI"));
    }
}
