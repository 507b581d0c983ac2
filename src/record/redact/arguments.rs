//! Arguments that are secrets because of the option before them, or because of the program.

use super::names::{self, Kind};
use super::programs;
use super::scan::Place;
use super::text::NAME_MAX;

/// Which arguments of `tool` hold secrets that none of them gives away alone, and where in them.
pub(super) fn places(tool: &str, arguments: &[Vec<u8>]) -> Vec<(usize, Place)> {
    let mut found = Vec::new();
    let mut add = |at: usize, start: usize| {
        let end = arguments[at].len();
        if start < end {
            found.push((at, Place { start, end, in_quotes: false }));
        }
    };
    for (at, argument) in arguments.iter().enumerate() {
        let equals = argument.iter().take(NAME_MAX + 2).position(|byte| *byte == b'=');
        let name = &argument[..equals.unwrap_or(argument.len().min(NAME_MAX + 2))];
        let Some((kind, is_option)) = secret_name(name) else {
            if let Some(next) = arguments.get(at + 1).filter(|_| matches!(name, b"-u" | b"--user" | b"--auth" | b"--basic-auth"))
            {
                if let Some(colon) = user_and_password(next) {
                    add(at + 1, colon + 1);
                }
            }
            continue;
        };
        match (equals, arguments.get(at + 1)) {
            (Some(equals), _) => {
                if is_secret(kind, &argument[equals + 1..]) {
                    add(at, equals + 1);
                }
            }
            (None, Some(next)) if is_option && !next.starts_with(b"--") && is_secret(kind, next) => add(at + 1, 0),
            _ => {}
        }
    }
    for (at, start) in programs::arguments(tool.as_bytes(), arguments) {
        add(at, start);
    }
    found
}

/// What the name before a value promises, and whether it is an option.
fn secret_name(name: &[u8]) -> Option<(Kind, bool)> {
    let dashes = name.iter().take_while(|byte| **byte == b'-').count();
    let bare = &name[dashes..];
    let plain = bare.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let short = dashes == 1 && bare.len() < 3;
    if !plain || bare.is_empty() || bare.len() > NAME_MAX || short {
        return None;
    }
    names::kind(bare).map(|kind| (kind, dashes > 0))
}

/// An option says so clearly enough that its value need not look like a secret; only what cannot be one stays.
fn is_secret(kind: Kind, value: &[u8]) -> bool {
    let number = value.iter().all(u8::is_ascii_digit);
    let stands_in = value.is_empty()
        || value == b"-"
        || [&b"$"[..], b"<", b"{", b"@", b"/", b"./", b"../", b"~/", b"env:", b"file:", b"http://", b"https://"]
            .iter()
            .any(|start| value.starts_with(start) && value.len() < 200);
    match kind {
        Kind::Password | Kind::Phrase | Kind::Pass => {
            !value.is_empty() && value != b"-" && !(stands_in && value.len() > 1 && is_reference(value))
        }
        Kind::Token => !stands_in && !(number && value.len() < 6) && !matches!(value, b"true" | b"false" | b"none"),
        Kind::Pin => number && value.len() >= 3,
        Kind::Session => value.len() >= 16,
        // The text itself is looked at.
        Kind::Auth | Kind::Authorization | Kind::Cookie | Kind::Signature => false,
    }
}

/// `$PASSWORD`, `<password>`, `file:…`, a path: where the password comes from.
fn is_reference(value: &[u8]) -> bool {
    let variable = value
        .strip_prefix(b"$")
        .is_some_and(|rest| rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_{}".contains(byte)));
    variable
        || value.starts_with(b"<") && value.ends_with(b">")
        || [&b"file:"[..], b"env:", b"/", b"./", b"../", b"~/"].iter().any(|start| value.starts_with(start))
}

/// The colon in `bob:hunter22`; not in `1000:1000` and `root:root`, which name users and groups.
fn user_and_password(value: &[u8]) -> Option<usize> {
    let colon = value.iter().position(|byte| *byte == b':')?;
    let (user, password) = (&value[..colon], &value[colon + 1..]);
    let group = password.iter().all(u8::is_ascii_digit) || user == password || password.len() < 4;
    (!group && !password.contains(&b'/') && !password.starts_with(b"[")).then_some(colon)
}
