//! Arguments that are secrets because of the option before them, or because of the program.

use super::names::{self, Kind};
use super::programs;
use super::scan::Place;
use super::text::NAME_MAX;

/// Which arguments of `tool` hold secrets that none of them gives away alone, and where in them.
pub(super) fn places(tool: &str, arguments: &[Vec<u8>]) -> Vec<(usize, Place)> {
    if arguments.is_empty() {
        return Vec::new();
    }
    let mut found = programs::arguments(tool.as_bytes(), arguments);
    for (at, argument) in arguments.iter().enumerate() {
        let next = arguments.get(at + 1).filter(|next| !next.starts_with(b"--"));
        let equals = argument.iter().take(NAME_MAX + 2).position(|byte| *byte == b'=');
        if equals.is_none() && !argument.starts_with(b"-") {
            continue;
        }
        let name = &argument[..equals.unwrap_or(argument.len().min(NAME_MAX + 2))];
        match (secret_name(name), equals, next) {
            (Some((kind, _)), Some(equals), _) if is_secret(kind, &argument[equals + 1..]) => found.push((at, equals + 1)),
            (Some((kind, true)), None, Some(next)) if is_secret(kind, next) => found.push((at + 1, 0)),
            (_, None, Some(next)) if matches!(name, b"-u" | b"--user" | b"--auth" | b"--basic-auth") => {
                found.extend(user_and_password(next).map(|colon| (at + 1, colon + 1)));
            }
            _ => {}
        }
    }
    let place = |(at, start): (usize, usize)| (at, Place { start, end: arguments[at].len(), in_quotes: false });
    found.into_iter().map(place).filter(|(_, place)| place.start < place.end).collect()
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
    let digits = value.iter().all(u8::is_ascii_digit);
    let nothing = value.is_empty() || matches!(value, b"-" | b"true" | b"false" | b"none") || is_reference(value);
    match kind {
        Kind::Password | Kind::Phrase | Kind::Pass => !nothing,
        Kind::Token => !nothing && (!digits || value.len() >= 6),
        Kind::Pin => digits && value.len() >= 3,
        Kind::Session => value.len() >= 16,
        // The text itself is looked at.
        Kind::Auth | Kind::Authorization | Kind::Cookie | Kind::Signature | Kind::Key => false,
    }
}

/// `$PASSWORD`, `<password>`, `file:…`, a path: where the secret comes from.
fn is_reference(value: &[u8]) -> bool {
    const STARTS: [&[u8]; 7] = [b"file:", b"env:", b"./", b"../", b"~/", b"http://", b"https://"];
    let path = value.strip_prefix(b"/").is_some_and(|rest| rest.contains(&b'/'));
    let variable = value
        .strip_prefix(b"$")
        .is_some_and(|rest| rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_{}".contains(byte)));
    variable
        || path
        || value.starts_with(b"<") && value.ends_with(b">")
        || STARTS.iter().any(|start| value.starts_with(start) && value.len() < 200)
}

/// The colon in `bob:hunter22`; not in `1000:1000` and `root:root`, which name users and groups.
fn user_and_password(value: &[u8]) -> Option<usize> {
    let colon = value.iter().position(|byte| *byte == b':')?;
    let (user, password) = (&value[..colon], &value[colon + 1..]);
    let group = password.iter().all(u8::is_ascii_digit) || user == password || password.len() < 4;
    (!group && !password.contains(&b'/') && !password.starts_with(b"[")).then_some(colon)
}
