//! What a name says about the value beside it: `DB_PASSWORD` holds a secret, `max_tokens`, `primary_key` and `token_count` do not.
//!
//! Deliberately not here: the value.

use super::text::NAME_MAX;

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A password that a person may have chosen.
    Password,
    /// `pass` alone, which also counts what passed.
    Pass,
    /// Several words up to the end of the line.
    Phrase,
    /// A token, a key, a secret: machines draw them by lot.
    Token,
    /// A few digits.
    Pin,
    /// `auth`: a secret only if it looks like one.
    Auth,
    /// `Authorization`: a scheme, then the secret.
    Authorization,
    /// `Cookie`, `Set-Cookie`: pairs.
    Cookie,
    /// The name of a session.
    Session,
    /// `key` alone: a secret only if it was drawn by lot.
    Key,
    /// `sig`, a signature that gives access.
    Signature,
}

/// Words after the one that counts, which change nothing.
const NEUTRAL: [&[u8]; 14] = [
    b"value",
    b"plaintext",
    b"plain",
    b"raw",
    b"string",
    b"str",
    b"b64",
    b"base64",
    b"prod",
    b"production",
    b"dev",
    b"staging",
    b"live",
    b"test",
];

const PASSWORDS: [&[u8]; 9] =
    [b"password", b"passwd", b"passwort", b"passcode", b"passwrd", b"kennwort", b"contrasena", b"motdepasse", b"userpass"];
const PHRASES: [&[u8]; 5] = [b"passphrase", b"mnemonic", b"seedphrase", b"recoveryphrase", b"passphrases"];
/// What makes a `key` a secret one.
const QUALIFIERS: [&[u8]; 32] = [
    b"api",
    b"access",
    b"secret",
    b"private",
    b"priv",
    b"auth",
    b"account",
    b"shared",
    b"master",
    b"encryption",
    b"encrypt",
    b"signing",
    b"service",
    b"ssh",
    b"deploy",
    b"storage",
    b"license",
    b"session",
    b"hmac",
    b"aes",
    b"consumer",
    b"webhook",
    b"jwt",
    b"cipher",
    b"admin",
    b"app",
    b"application",
    b"subscription",
    b"integration",
    b"ingest",
    b"functions",
    b"write",
];
/// What makes a `token` a plain one: pages of a listing, and the vocabulary of language models.
const PLAIN_TOKENS: [&[u8]; 21] = [
    b"next",
    b"page",
    b"continuation",
    b"sync",
    b"stop",
    b"start",
    b"starting",
    b"end",
    b"pad",
    b"eos",
    b"bos",
    b"unk",
    b"mask",
    b"sep",
    b"cls",
    b"per",
    b"public",
    b"publishable",
    b"jsonweb",
    b"max",
    b"min",
];

/// What the name promises, if anything.
pub(super) fn kind(name: &[u8]) -> Option<Kind> {
    let name = last_that_counts(name);
    let mut buffer = [0; NAME_MAX];
    let compact = compact(name, &mut buffer);
    let ends = |word: &[u8]| compact.ends_with(word);
    let any = |words: &[&[u8]]| words.iter().any(|word| ends(word));
    if any(&PHRASES) {
        return Some(Kind::Phrase);
    }
    if any(&PASSWORDS) {
        return Some(Kind::Password);
    }
    if let Some(ahead) = compact.strip_suffix(b"token") {
        return (!PLAIN_TOKENS.iter().any(|word| ahead.ends_with(word))).then_some(Kind::Token);
    }
    if let Some(ahead) = compact.strip_suffix(b"key").or_else(|| compact.strip_suffix(b"keybase")) {
        let qualified = QUALIFIERS.iter().any(|word| ahead.ends_with(word));
        return if qualified { Some(Kind::Token) } else { ahead.is_empty().then_some(Kind::Key) };
    }
    let machine: [&[u8]; 6] = [b"secret", b"credential", b"credentials", b"accesssignature", b"securitytoken", b"webhookurl"];
    if any(&machine) {
        return Some(Kind::Token);
    }
    if any(&[b"authorization"]) {
        return Some(Kind::Authorization);
    }
    if compact == b"cookie" || ends(b"setcookie") {
        return Some(Kind::Cookie);
    }
    if any(&[b"sessionid", b"sessid", b"sessionkey", b"sessioncookie", b"gitlabsession"]) {
        return Some(Kind::Session);
    }
    let word = last_word(name);
    let is = |wanted: &str| word.eq_ignore_ascii_case(wanted.as_bytes());
    let alone = word.len() == name.len();
    match () {
        () if is("pass") && alone => Some(Kind::Pass),
        () if (is("pass") || is("pw") || is("pwd") || is("creds")) && name != b"PWD" && name != b"OLDPWD" => Some(Kind::Password),
        () if is("pin") || is("otp") || is("totp") || is("cvv") || is("cvc") => Some(Kind::Pin),
        () if is("auth") => Some(Kind::Auth),
        () if is("sid") || is("session") => Some(Kind::Session),
        () if is("sig") || is("signature") => Some(Kind::Signature),
        () => None,
    }
}

/// Whether some whole word of the name is one that secrets stand beside.
pub(super) fn mentions(name: &[u8]) -> bool {
    let words: [&[u8]; 8] =
        [b"password", b"passwd", b"passphrase", b"secret", b"token", b"credential", b"credentials", b"apikey"];
    name.split(|byte| matches!(byte, b'_' | b'-' | b'.')).any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
}

/// Whether a word before `key` makes it a secret one: `API key`.
pub(super) fn is_qualifier(word: &[u8]) -> bool {
    QUALIFIERS.iter().any(|qualifier| word.eq_ignore_ascii_case(qualifier))
}

/// The name without numbers and neutral words at its end: `db_password_2`, `TOKEN_PROD`.
fn last_that_counts(name: &[u8]) -> &[u8] {
    let mut name = name;
    loop {
        let trimmed = name.trim_ascii_end();
        let mut end = trimmed.len();
        while end > 0 && (trimmed[end - 1].is_ascii_digit() || matches!(trimmed[end - 1], b'_' | b'-' | b'.')) {
            end -= 1;
        }
        name = &trimmed[..end];
        let word = last_word(name);
        if word.len() == name.len() || !NEUTRAL.iter().any(|neutral| word.eq_ignore_ascii_case(neutral)) {
            return name;
        }
        name = &name[..name.len() - word.len()];
    }
}

/// What follows the last `_`, `-`, `.` or change to a capital.
fn last_word(name: &[u8]) -> &[u8] {
    let starts = |at: usize| {
        matches!(name[at - 1], b'_' | b'-' | b'.') || (name[at].is_ascii_uppercase() && !name[at - 1].is_ascii_uppercase())
    };
    let at = (1..name.len()).rev().find(|at| starts(*at)).unwrap_or(0);
    &name[at..]
}

/// In small letters, without what stands between words.
fn compact<'a>(name: &[u8], buffer: &'a mut [u8; NAME_MAX]) -> &'a [u8] {
    let mut length = 0;
    for byte in name.iter().filter(|byte| !matches!(byte, b'_' | b'-' | b'.' | b' ')).take(NAME_MAX) {
        buffer[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    &buffer[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_name_decides() {
        for (name, wanted) in [
            ("DB_PASSWORD", Kind::Password),
            ("userPassword2", Kind::Password),
            ("db_pass", Kind::Password),
            ("dbPass", Kind::Password),
            ("pass", Kind::Pass),
            ("authToken", Kind::Token),
            ("X-Api-Key", Kind::Token),
            ("aws_secret_access_key", Kind::Token),
            ("CLIENT_SECRET_PROD", Kind::Token),
            ("secret_key_base", Kind::Token),
            ("Proxy-Authorization", Kind::Authorization),
            ("Set-Cookie", Kind::Cookie),
            ("PHPSESSID", Kind::Session),
            ("X-Amz-Signature", Kind::Signature),
            ("ssh_passphrase", Kind::Phrase),
            ("card.pin", Kind::Pin),
        ] {
            assert_eq!(kind(name.as_bytes()), Some(wanted), "{name}");
        }
        for name in [
            "tokens",
            "max_tokens",
            "token_count",
            "tokenizer",
            "primary_key",
            "foreign_key",
            "keyboard",
            "author",
            "bypass",
            "compass",
            "passed",
            "secret_santa",
            "password_file",
            "api_key_id",
            "next_page_token",
            "eos_token",
            "PWD",
            "design",
            "pinned",
            "side",
            "signature_algorithm",
            "public_key",
            "monkey",
        ] {
            assert_eq!(kind(name.as_bytes()), None, "{name}");
        }
    }
}
