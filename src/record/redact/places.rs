//! Secrets that their place gives away: in URLs, in the armour of private keys, in a `.pgpass`.

use super::MASK;
use super::scan::Scan;
use super::text::{VALUE_MAX, before, is_random, run, until};

const END: &[u8] = b"-----END";

/// Credentials and signatures in a URL; the cue is `://`.
pub(super) fn url(scan: &mut Scan<'_>, start: usize, end: usize) {
    let text = scan.text;
    let scheme = before(text, start, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let window = until(text, end, 2 * VALUE_MAX);
    let authority = run(window, end, |byte| !byte.is_ascii_whitespace() && !b"/?#\"'`<>\\".contains(&byte));
    let Some(at) = window[end..end + authority].iter().rposition(|byte| *byte == b'@').filter(|_| scheme > 0) else { return };
    let user = &text[end..end + at];
    match user.iter().position(|byte| *byte == b':') {
        Some(colon) => {
            let secret = &user[colon + 1..];
            if !is_stand_in(secret) {
                scan.add(end + colon + 1, end + at);
            }
            if is_random(&user[..colon]) || is_long_hex(&user[..colon]) {
                scan.add(end, end + colon);
            }
        }
        None if is_random(user) || is_long_hex(user) => scan.add(end, end + at),
        None => {}
    }
}

fn is_long_hex(user: &[u8]) -> bool {
    user.len() >= 24 && user.iter().all(u8::is_ascii_hexdigit)
}

/// `$PASSWORD`, `<password>`, `***`, `password`, nothing.
fn is_stand_in(secret: &[u8]) -> bool {
    let known: [&[u8]; 8] = [b"password", b"pass", b"passwd", b"secret", b"token", b"pw", b"pwd", b"changeme"];
    secret.is_empty()
        || known.iter().any(|word| secret.eq_ignore_ascii_case(word))
        || secret.starts_with(b"$")
            && secret.len() > 1
            && secret[1..].iter().all(|byte| byte.is_ascii_alphanumeric() || b"_{}".contains(byte))
        || secret.starts_with(b"{") && secret.ends_with(b"}")
        || secret.windows(MASK.len()).any(|window| window == MASK.as_bytes())
        || secret.len() > 1 && secret.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.'))
}

/// What a private key's armour holds; the cue is in its first or its last line.
pub(super) fn private_key(scan: &mut Scan<'_>, start: usize, end: usize) {
    let text = scan.text;
    if text[start + 7] == b'-' {
        return putty(scan, end);
    }
    let line_start = start
        - before(text, start, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'_'))
            .min(60);
    let head = &text[line_start..start];
    let block = if text[end..].starts_with(b" BLOCK") { 6 } else { 0 };
    let spaces = run(text, end + block, |byte| byte == b' ').min(1);
    let dashes = run(text, end + block + spaces, |byte| byte == b'-');
    let has = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    if dashes < 4 || !text[start].is_ascii_uppercase() {
        return;
    }
    if has(b"BEGIN ") {
        let body = end + block + spaces + dashes;
        let stop = closing_armour(scan, body).unwrap_or_else(|| body + armoured(text, body));
        let content = text[body..stop].trim_ascii();
        if content.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() >= 16 && content != MASK.as_bytes() {
            scan.add(body, stop);
        }
    } else if has(b"END ") && has(b"--") {
        // The first line is missing: a stream may have been cut.
        let first = line_start + head.windows(2).position(|pair| pair == b"--").unwrap_or(0);
        if first == 0 || text[first - 1] != b'\n' {
            return;
        }
        let reach = first.saturating_sub(16 << 10);
        let lines = text[reach..first].rsplit(|byte| *byte == b'\n').skip(1);
        let length: usize = lines.take_while(|line| is_armour_line(line)).map(|line| line.len() + 1).sum();
        let from = (first - length.min(first - reach)).max(reach);
        if length > 16 && text[from..first].trim_ascii() != MASK.as_bytes() {
            scan.add(from, first - 1);
        }
    }
}

/// Where the last line of the armour begins, if there is one before the next first line.
fn closing_armour(scan: &mut Scan<'_>, body: usize) -> Option<usize> {
    let text = scan.text;
    // What was looked for once is remembered: first lines without a last one must not make this slow.
    let end = match scan.armour_end {
        Some((from, end)) if from <= body && end.is_none_or(|end| end >= body) => end,
        _ => text[body..].windows(END.len()).position(|part| part == END || part == b"---- END").map(|at| body + at),
    };
    scan.armour_end = Some((body, end));
    let between = &text[body..end?];
    (!between.windows(10).any(|part| part == b"-----BEGIN")).then_some(end?)
}

/// How much from `body` on is lines of armour.
fn armoured(text: &[u8], body: usize) -> usize {
    let mut at = body;
    while at < text.len() {
        let line = run(text, at, |byte| byte != b'\n');
        if !is_armour_line(&text[at..at + line]) {
            // Escaped line ends: all of it is one line.
            return at - body + run(text, at, |byte| byte.is_ascii_alphanumeric() || b"+/=\\ -".contains(&byte));
        }
        at = (at + line + 1).min(text.len());
    }
    at - body
}

fn is_armour_line(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let header =
        line.windows(2).any(|pair| pair == b": ") && line.len() < 100 && line.first().is_some_and(u8::is_ascii_uppercase);
    header || line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
}

/// `Private-Lines: 14` of PuTTY, then so many lines.
fn putty(scan: &mut Scan<'_>, end: usize) {
    let text = scan.text;
    let line = end + run(text, end, |byte| byte != b'\n');
    let body = (line + 1).min(text.len());
    let length = armoured(text, body);
    if length >= 16 && text[end..].starts_with(b":") {
        scan.add(body, body + length);
    }
}

/// `host:5432:database:user:password`, a line of its own; the cue is in its middle.
pub(super) fn pgpass(scan: &mut Scan<'_>, start: usize) {
    let text = scan.text;
    if start < scan.pgpass_until {
        return;
    }
    let from = start - before(text, start, |byte| !byte.is_ascii_whitespace());
    let belongs = |byte: u8| !byte.is_ascii_whitespace() && !b"\"'<>,".contains(&byte);
    let to = start + run(until(text, start, VALUE_MAX), start, belongs);
    scan.pgpass_until = to;
    let mut colons = (from..to).filter(|at| text[*at] == b':');
    let (Some(first), Some(second), Some(_), Some(fourth)) = (colons.next(), colons.next(), colons.next(), colons.next()) else {
        return;
    };
    let port = &text[first + 1..second];
    let is_port = port == b"*" || (2..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    if is_port && first > from && to - fourth > 4 && !is_stand_in(&text[fourth + 1..to]) {
        scan.add(fourth + 1, to);
    }
}
