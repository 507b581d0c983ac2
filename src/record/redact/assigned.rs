//! Names that call something a secret, and the value beside them: `name = value` in every notation that tools print.
//!
//! Deliberately not here: what makes a name (`names`) and a value (`values`) one.

use super::names::{self, Kind};
use super::scan::Scan;
use super::text::{NAME_MAX, VALUE_MAX, after_colour, before, before_within, begins, holds, run, until};
use super::values::{Value, Written, is_credentials_in_base64, is_harmless, stands_out, value};

/// How far from a word something that looks drawn by lot is taken for the secret.
const BESIDE_BEFORE: usize = 60;
const BESIDE_AFTER: usize = 100;
const SPACES: usize = 16;
/// The longest header that is not one word.
const HEADER_MAX: usize = 1024;
/// The longest phrase.
const PHRASE_MAX: usize = 1024;

/// A name in the text, and what it promises.
struct Name {
    start: usize,
    end: usize,
    kind: Kind,
    /// Dashes before it: it is an option.
    option: bool,
}

/// Looks around a word that names of secrets have.
pub(super) fn at(scan: &mut Scan<'_>, start: usize, end: usize) {
    let text = scan.text;
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let (ahead, rest) = (before_within(text, start, NAME_MAX, belongs), run(until(text, end, NAME_MAX), end, belongs));
    if ahead >= NAME_MAX || rest >= NAME_MAX || start < scan.names_until {
        return;
    }
    scan.names_until = end + rest;
    let mut name = start - ahead..end + rest;
    while name.end > name.start && matches!(text[name.end - 1], b'.' | b'-') {
        name.end -= 1;
    }
    let dashes = run(&text[name.clone()], 0, |byte| byte == b'-');
    let written_out = name.start > 0 && text[name.start - 1] == b'\\' && begins(text, name.start + 1);
    name.start += dashes.max(usize::from(written_out)).min(name.len());
    let Some(kind) = two_words(text, name.start, name.end).or_else(|| names::kind(&text[name.clone()])) else {
        if names::mentions(&text[name.clone()]) {
            beside(scan, name.start, name.end, false);
        }
        return;
    };
    let name = Name { start: name.start, end: name.end, kind, option: dashes > 0 };
    if let Some((found, written)) = assigned(text, &name) {
        take(scan, &name, found, written);
    } else if !matches!(kind, Kind::Pin | Kind::Signature | Kind::Session | Kind::Cookie | Kind::Pass | Kind::Key) {
        beside(scan, name.start, name.end, true);
    }
}

/// `API key`, `secret access key`: the word before makes it one.
fn two_words(text: &[u8], start: usize, end: usize) -> Option<Kind> {
    let is_key = text[start..end].eq_ignore_ascii_case(b"key") && start > 1 && text[start - 1] == b' ';
    let word = before(text, start.saturating_sub(1), |byte| byte.is_ascii_alphabetic());
    (is_key && names::is_qualifier(&text[start - 1 - word..start - 1])).then_some(Kind::Token)
}

/// Takes out a value that the name calls secret.
fn take(scan: &mut Scan<'_>, name: &Name, found: Value, written: Written) {
    let text = scan.text;
    let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    // `"pin": 1234` has to stay JSON.
    let in_json = !found.quoted && text.get(name.end) == Some(&b'"') && text[found.start..found.end].iter().all(is_number);
    match name.kind {
        _ if in_json => {
            if !is_harmless(text, found, name.kind, written) {
                scan.add_value(found.start, found.end, true);
            }
        }
        Kind::Authorization => authorization(scan, found),
        Kind::Cookie => cookies(scan, found, text[name.start..name.end].len() > 6),
        Kind::Phrase if !found.quoted => {
            let near = until(text, found.start, PHRASE_MAX);
            let line = run(near, found.start, |byte| !matches!(byte, b'\n' | b'\r' | b'"' | 0x1b));
            let all = Value { end: found.start + line, ..found };
            if !is_harmless(text, all, name.kind, written) {
                scan.add(all.start, all.end);
            }
        }
        _ if is_harmless(text, found, name.kind, written) => {}
        _ => scan.add(found.start, found.end),
    }
}

/// The value that is assigned to the name.
fn assigned(text: &[u8], name: &Name) -> Option<(Value, Written)> {
    let mut at = name.end;
    let escapes = run(text, at, |byte| byte == b'\\');
    let quotes = run(text, at + escapes, |byte| matches!(byte, b'"' | b'\'' | b'`'));
    let closed = (1..=3).contains(&quotes);
    if closed {
        at += escapes + quotes;
    }
    if text.get(at) == Some(&b']') {
        at += 1;
    }
    at = after_colour(text, at);
    let spaces = run(text, at, |byte| matches!(byte, b' ' | b'\t')).min(SPACES);
    let sign = at + spaces;
    let rest = &text[sign..];
    if rest.starts_with(b">") && spaces == 0 {
        return element(text, name, sign + 1);
    }
    if let Some(length) = sign_length(rest, closed || spaces > 0) {
        let is_path = name.start > 0 && text[name.start - 1] == b'/' && rest[0] == b':';
        return if is_path { None } else { after_sign(text, name, sign, length, closed) };
    }
    if closed || text.get(at) == Some(&b'\n') {
        return listed(text, at);
    }
    if spaces == 0 {
        return None;
    }
    apart(text, name, sign)
}

/// The length of `=`, `:`, `:=`, `=>`, `==`, `%3D` …; `::` and `://` are none.
fn sign_length(rest: &[u8], spaced: bool) -> Option<usize> {
    let signs: [&[u8]; 11] = [b"===", b"!==", b"=>", b"->", b"==", b"!=", b":=", b"=", b"%3D", b"%3d", b"%3A"];
    if let Some(sign) = signs.iter().find(|sign| rest.starts_with(sign)) {
        return Some(sign.len());
    }
    let colon = rest.first() == Some(&b':') && !rest.starts_with(b"::") && !rest.starts_with(b"://");
    (colon || (spaced && rest.starts_with(b"||"))).then_some(if colon { 1 } else { 2 })
}

fn after_sign(text: &[u8], name: &Name, sign: usize, length: usize, closed: bool) -> Option<(Value, Written)> {
    let blank = |byte: u8| matches!(byte, b' ' | b'\t') || (closed && matches!(byte, b'\n' | b'\r'));
    let after = after_colour(text, sign + length);
    let spaces = run(text, after, blank).min(4 * SPACES);
    let mut at = after_colour(text, after + spaces);
    if matches!(name.kind, Kind::Authorization | Kind::Cookie) && text.get(at) == Some(&b'[') {
        at += 1 + run(text, at + 1, blank).min(SPACES);
    }
    let comparing = length >= 2 && text[sign..sign + length].ends_with(b"==") || text[sign] == b'!';
    let tight = sign == name.end && spaces == 0 && !comparing && text[sign] != b':';
    if let Some(block) = block(text, name, at) {
        return Some((block, Written::Loose));
    }
    if matches!(text.get(at), Some(b'[' | b'{')) && !text[at..].starts_with(super::MASK.as_bytes()) {
        let next = text.get(at + 1);
        if next.is_none_or(|byte| byte.is_ascii_whitespace() || b"\"'{[\\".contains(byte)) {
            return None;
        }
    }
    let bare_in_json = closed && !matches!(text.get(at), Some(b'"' | b'\'' | b'\\'));
    if matches!(name.kind, Kind::Authorization | Kind::Cookie) && !bare_in_json {
        return Some((rest_of_header(text, at)?, Written::Loose));
    }
    let line_start = name.start == 0 || matches!(text[name.start - 1], b'\n' | b'\r') || text[..name.start].ends_with(b"export ");
    let mut value = value(text, at, tight && line_start && text[sign] == b'=')?;
    if tight && name.start > 0 && matches!(text[name.start - 1], b'?' | b'&') {
        value.end = value.start + run(&text[..value.end], value.start, |byte| byte != b'#');
    }
    // `passwd:shell` lists names.
    let names =
        text[sign] == b':' && spaces == 0 && !value.quoted && text[value.start..value.end].iter().all(u8::is_ascii_alphabetic);
    let wanted = (!comparing || value.quoted) && !names;
    wanted.then_some((value, if tight { Written::Tight } else { Written::Loose }))
}

/// `--password hunter22`, `password "hunter22"`, `password is hunter22`, and `password hunter22` of a `.netrc`.
fn apart(text: &[u8], name: &Name, at: usize) -> Option<(Value, Written)> {
    let personal = matches!(name.kind, Kind::Password | Kind::Phrase);
    let mut at = at;
    let joined = ["is ", "was ", "is: ", "was: "].iter().find(|word| text[at..].starts_with(word.as_bytes()));
    if let Some(word) = joined {
        at += word.len();
    }
    let for_whom = holds(&text[at..text.len().min(at + 4)], b"for ") && at == name.end + 1;
    if for_whom && personal {
        return asked_for(text, at);
    }
    let value = value(text, at, false)?;
    let content = &text[value.start..value.end];
    let unlike_words = content.iter().any(u8::is_ascii_digit) && content.iter().any(u8::is_ascii_alphabetic);
    let wanted = match (name.option, value.quoted, joined) {
        (true, ..) => !content.starts_with(b"-"),
        (false, true, _) => personal && !content.contains(&b' ') || stands_out(content),
        (false, false, Some(_)) => unlike_words && (personal || stands_out(content)) || stands_out(content),
        (false, false, None) => in_netrc(text, name.start) && personal,
    };
    wanted.then_some((value, Written::Loose))
}

/// `Password for bob: hunter22`, when nothing follows.
fn asked_for(text: &[u8], at: usize) -> Option<(Value, Written)> {
    let line = run(until(text, at, 120), at, |byte| !matches!(byte, b'\n' | b'\r'));
    let colon = text[at..at + line].windows(2).rposition(|pair| pair == b": ")?;
    let value = value(text, at + colon + 2, false)?;
    (value.end >= at + line).then_some((value, Written::Loose))
}

/// Whether `machine` or `login` is said shortly before.
fn in_netrc(text: &[u8], at: usize) -> bool {
    let near = &text[at.saturating_sub(200)..at];
    holds(near, b"machine ") || holds(near, b"login ")
}

/// `<password>hunter22</password>`.
fn element(text: &[u8], name: &Name, at: usize) -> Option<(Value, Written)> {
    let opened = name.start > 0 && matches!(text[name.start - 1], b'<' | b':');
    let length = run(until(text, at, 1024), at, |byte| !matches!(byte, b'<' | b'\n'));
    let closes = text[at + length..].starts_with(b"</");
    (opened && closes && length > 0).then_some((Value { start: at, end: at + length, quoted: true }, Written::Tight))
}

/// `{"name": "DB_PASSWORD", "value": "hunter22"}`, also over two lines of YAML.
fn listed(text: &[u8], at: usize) -> Option<(Value, Written)> {
    let gap = run(text, at, |byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'"' | b'\'' | b'\\')).min(4 * SPACES);
    let rest = &text[at + gap..];
    let word = rest.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"value"));
    let sign = at + gap + 5 + run(text, at + gap + 5, |byte| matches!(byte, b'"' | b'\'' | b'\\' | b' '));
    if !word || !matches!(text.get(sign), Some(b':' | b'=')) {
        return None;
    }
    let spaces = run(text, sign + 1, |byte| byte == b' ').min(SPACES);
    Some((value(text, sign + 1 + spaces, false)?, Written::Loose))
}

/// The lines below `password: |` that are set in deeper.
fn block(text: &[u8], name: &Name, at: usize) -> Option<Value> {
    let first = matches!(text.get(at), Some(b'|' | b'>'));
    let signs = run(text, at, |byte| matches!(byte, b'|' | b'>' | b'+' | b'-') || byte.is_ascii_digit());
    if !first || text.get(at + signs) != Some(&b'\n') {
        return None;
    }
    let outer = before(text, name.start, |byte| matches!(byte, b' ' | b'-' | b'"' | b'\''));
    let start = at + signs + 1;
    let mut end = start;
    while end < text.len() {
        let deep = run(text, end, |byte| byte == b' ');
        let line = run(text, end, |byte| byte != b'\n');
        if deep <= outer || line == deep {
            break;
        }
        end += line + 1;
    }
    let start = start + run(text, start, |byte| byte == b' ');
    let end = end.min(text.len() + 1).saturating_sub(1);
    (end > start).then_some(Value { start, end, quoted: true })
}

/// A header's value: to the end of its quotes, or of the line.
fn rest_of_header(text: &[u8], at: usize) -> Option<Value> {
    if matches!(text.get(at), Some(b'"' | b'\'' | b'\\')) {
        return value(text, at, false);
    }
    let near = until(text, at, HEADER_MAX);
    let mut end = at + run(near, at, |byte| !matches!(byte, b'\n' | b'\r' | b'"' | b'\'' | 0x1b));
    if let Some(written_out) = text[at..end].windows(2).position(|pair| pair == b"\\n" || pair == b"\\r") {
        end = at + written_out;
    }
    end -= before(text, end, |byte| byte == b'\\').min(end - at);
    (end > at).then_some(Value { start: at, end, quoted: false })
}

/// A scheme, then the secret; some schemes have several parts.
fn authorization(scan: &mut Scan<'_>, found: Value) {
    const SCHEMES: [&str; 9] = ["bearer", "basic", "token", "bot", "apikey", "negotiate", "ntlm", "jwt", "key"];
    const PARTED: [&str; 6] = ["digest", "aws4-hmac-sha256", "oauth", "hawk", "signature", "sharedaccesssignature"];
    let text = scan.text;
    let content = &text[found.start..found.end];
    let word = run(content, 0, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let is = |names: &[&str]| names.iter().any(|name| content[..word].eq_ignore_ascii_case(name.as_bytes()));
    let spaces = run(content, word, |byte| byte == b' ');
    let start = found.start + word + spaces;
    if spaces > 0 && is(&PARTED) && found.end > start {
        return scan.add(start, found.end);
    }
    let start = if spaces > 0 && is(&SCHEMES) { start } else { found.start };
    let all = if found.quoted { &text[..found.end] } else { text };
    let length = run(all, start, |byte| !byte.is_ascii_whitespace() && !b",;\"'\\\x1b".contains(&byte));
    let secret = Value { start, end: start + length, quoted: false };
    let is_word = text[secret.start..secret.end].iter().all(u8::is_ascii_alphabetic) && length < 16;
    if !is_word && !is_harmless(text, secret, Kind::Authorization, Written::Tight) {
        scan.add(secret.start, secret.end);
    }
}

/// The values of cookies; of `Set-Cookie` only the first pair is one.
fn cookies(scan: &mut Scan<'_>, found: Value, only_first: bool) {
    let text = scan.text;
    scan.names_until = scan.names_until.max(if only_first { 0 } else { found.end });
    let mut at = found.start;
    while at < found.end {
        let pair = run(&text[..found.end], at, |byte| byte != b';');
        let name = run(&text[..at + pair], at, |byte| byte != b'=');
        let (start, end) = ((at + name + 1).min(at + pair), at + pair);
        let content = &text[start..end];
        let named = names::kind(text[at..at + name].trim_ascii()).is_some();
        let telling = content.iter().all(u8::is_ascii_alphabetic) && !named;
        let least = if named { 4 } else { 8 };
        if content.len() >= least && !telling && !content.starts_with(super::MASK.as_bytes()) {
            scan.add(start, end);
        }
        at = end + 1;
        if only_first {
            break;
        }
    }
}

/// Strings that look drawn by lot near a word that secrets stand beside, on its line.
/// `named`: the word itself names a secret, so that even hexadecimal digits are one directly behind it.
pub(super) fn beside(scan: &mut Scan<'_>, start: usize, end: usize, named: bool) {
    let text = scan.text;
    let same_line = |byte: u8| byte != b'\n';
    // What an earlier word has looked at needs no second look.
    let seen = scan.beside_until.min(end);
    let from = (start - before_within(text, start, BESIDE_BEFORE, same_line)).max(seen);
    let to = end + run(until(text, end, BESIDE_AFTER), end, same_line);
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"+/_=.~-".contains(&byte);
    scan.beside_until = to;
    let near = until(text, to, VALUE_MAX + 1);
    let mut next = from;
    while next < to {
        let at = next;
        let length = run(near, at, belongs);
        let signs = run(&text[..at + length], at, |byte| b"/.=~-".contains(&byte));
        let (at, length) = (at + signs, length - signs);
        let candidate = &text[at..at + length];
        let cut_off = at == from && from > 0 && belongs(text[from - 1]);
        let trimmed = candidate.strip_suffix(b".").unwrap_or(candidate);
        let direct = named && at >= end && is_direct(&text[end..at]) && super::text::is_hex_or_uuid(trimmed);
        if !(cut_off && signs == 0)
            && length >= 20
            && (stands_out(trimmed) || direct)
            && !is_hash(text, at, trimmed)
            && !is_path(trimmed)
        {
            scan.add(at, at + trimmed.len());
        }
        next = at + length + 1;
    }
}

/// Whether only a few signs and small words stand between a word and a value.
fn is_direct(gap: &[u8]) -> bool {
    let words = gap.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let small: [&[u8]; 5] = [b"is", b"was", b"value", b"now", b"to"];
    !gap.is_empty() && gap.len() <= 14 && words.into_iter().all(|word| small.iter().any(|small| word.eq_ignore_ascii_case(small)))
}

/// Hashes say what they are: `sha256:…`, `sha512-…`, `md5=…`.
fn is_hash(text: &[u8], at: usize, candidate: &[u8]) -> bool {
    let names: [&[u8]; 9] = [b"sha1", b"sha256", b"sha384", b"sha512", b"md5", b"blake3", b"checksum", b"digest", b"hash"];
    let near = &text[at.saturating_sub(12)..at];
    let inside = &candidate[..candidate.len().min(8)];
    names.iter().any(|name| holds(near, name) || holds(inside, name)) || candidate.starts_with(b"data:")
}

/// `/usr/lib/x86_64-linux-gnu/libA.so`: parts that are no secrets.
fn is_path(candidate: &[u8]) -> bool {
    let parts = candidate.split(|byte| *byte == b'/');
    candidate.contains(&b'/')
        && parts.into_iter().all(|part| !super::text::is_random(part) && part.len() < 40)
        && (candidate.starts_with(b"/") || candidate.contains(&b'.'))
}

/// `Bearer …` and `Basic …` outside of a header.
pub(super) fn scheme(scan: &mut Scan<'_>, start: usize, end: usize) {
    let text = scan.text;
    if !begins(text, start) {
        return;
    }
    let basic = text[start] | 0x20 == b'b' && text[start + 1] | 0x20 == b'a';
    let spaces = run(text, end, |byte| byte == b' ').min(SPACES);
    let encoded = usize::from(text[end..].starts_with(b"%20")) * 3;
    let at = end + spaces + encoded;
    if at == end {
        return;
    }
    let length = run(text, at, |byte| byte.is_ascii_alphanumeric() || b"._~+/=-".contains(&byte));
    let content = &text[at..at + length];
    let digits = content.iter().take(512).filter(|byte| byte.is_ascii_digit()).count();
    let secret = if basic { is_credentials_in_base64(content) } else { length >= 16 && digits >= 2 || stands_out(content) };
    if secret && !super::text::is_dull(content) {
        scan.add(at, at + length);
    }
}
