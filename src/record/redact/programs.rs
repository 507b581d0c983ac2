//! Options of well-known programs that take a secret, where nothing but the program's name tells: `mysql -pX`, `curl -u a:b`.

use super::scan::Scan;
use super::text::{begins, run, until};

/// A program, and its options that take secrets.
pub(super) struct Program {
    pub(super) name: &'static str,
    options: &'static [(&'static str, How)],
}

/// Where the secret is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// In the next word, or behind the option in the same one.
    Next,
    /// Only in the same word: `-pX`.
    Attached,
    /// After the first such byte of the next word: `a:b`.
    After(u8),
}

const fn program(name: &'static str, options: &'static [(&'static str, How)]) -> Program {
    Program { name, options }
}

const USER: &[(&str, How)] =
    &[("-u", How::After(b':')), ("--user", How::After(b':')), ("-U", How::After(b':')), ("--proxy-user", How::After(b':'))];

pub(super) const PROGRAMS: &[Program] = &[
    program("curl", USER),
    program("mysql", &[("-p", How::Attached)]),
    program("mariadb", &[("-p", How::Attached)]),
    program("sshpass", &[("-p", How::Next)]),
    program("redis-cli", &[("-a", How::Next)]),
    program("smbclient", &[("-U", How::After(b'%'))]),
    program("ldapsearch", &[("-w", How::Next)]),
    program("ldapmodify", &[("-w", How::Next)]),
    program("docker login", &[("-p", How::Next)]),
    program("podman login", &[("-p", How::Next)]),
    program("helm registry login", &[("-p", How::Next)]),
    program("7z a", &[("-p", How::Attached)]),
    program("mongosh", &[("-p", How::Next)]),
    program("mongodump", &[("-p", How::Next)]),
    program("sqlcmd", &[("-P", How::Next)]),
];

/// So many bytes of a command line are looked at.
const LINE: usize = 512;

/// The rest of the line after a program's name.
pub(super) fn line(scan: &mut Scan<'_>, program: &Program, start: usize, end: usize) {
    let text = scan.text;
    if !begins(text, start) || scan.line_until.0 == program.name && start < scan.line_until.1 {
        return;
    }
    let to = end + run(until(text, end, LINE), end, |byte| !matches!(byte, b'\n' | b'|' | b';'));
    scan.line_until = (program.name, to);
    let mut words = Words { text, at: end, to };
    while let Some((from, until)) = words.next() {
        let word = &text[from..until];
        let Some((option, how)) = program.options.iter().find(|(option, _)| word.starts_with(option.as_bytes())) else {
            continue;
        };
        let rest = &word[option.len()..];
        let (from, until) = match rest.first() {
            None if *how == How::Attached => continue,
            None => match words.next() {
                Some(place) => place,
                None => return,
            },
            Some(b'=') => (from + option.len() + 1, until),
            // `--user-agent` is not `--user`.
            Some(_) if option.starts_with("--") => continue,
            Some(_) => (from + option.len(), until),
        };
        if let Some(from) = secret(&text[from..until], *how).map(|skip| from + skip) {
            scan.add(from, until);
        }
    }
}

/// The same for a command's words, each an argument: which of them is a secret, and from which byte on.
pub(super) fn arguments(name: &[u8], arguments: &[Vec<u8>]) -> Vec<(usize, usize)> {
    let words = || std::iter::once(name).chain(arguments.iter().map(Vec::as_slice)).map(base);
    let is_named = |part: &str| words().any(|word| word == part.as_bytes() || part == "mysql" && word.starts_with(b"mysql"));
    let here = PROGRAMS.iter().filter(|program| program.name.split(' ').all(is_named));
    let options: Vec<&(&str, How)> = here.flat_map(|program| program.options).collect();
    let mut found = Vec::new();
    if options.is_empty() {
        return found;
    }
    for (at, word) in arguments.iter().enumerate() {
        for (option, how) in &options {
            let Some(rest) = word.strip_prefix(option.as_bytes()) else { continue };
            let (at, skip) = match rest.first() {
                None if *how == How::Attached => continue,
                None => (at + 1, 0),
                Some(b'=') => (at, option.len() + 1),
                Some(_) if option.starts_with("--") => continue,
                Some(_) => (at, option.len()),
            };
            if let Some(value) = arguments.get(at).and_then(|argument| argument.get(skip..))
                && let Some(more) = secret(value, *how)
            {
                found.push((at, skip + more));
            }
        }
    }
    found
}

/// A program's name without its folder.
fn base(word: &[u8]) -> &[u8] {
    word.rsplit(|byte| *byte == b'/').next().unwrap_or(word)
}

/// Where in the word the secret begins, if there is one.
fn secret(word: &[u8], how: How) -> Option<usize> {
    let skip = match how {
        How::After(sign) => word.iter().position(|byte| *byte == sign)? + 1,
        How::Next | How::Attached => 0,
    };
    let secret = &word[skip..];
    let stands_in = secret.is_empty() || secret.starts_with(b"$") || secret.starts_with(b"<") || secret.starts_with(b"-");
    let masked = secret.windows(super::MASK.len()).any(|window| window == super::MASK.as_bytes());
    (!stands_in && !masked).then_some(skip)
}

/// Words of a command line, in quotes or not.
struct Words<'a> {
    text: &'a [u8],
    at: usize,
    to: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<(usize, usize)> {
        let line = &self.text[..self.to];
        self.at += run(line, self.at, |byte| byte == b' ');
        let quote = line.get(self.at).copied().filter(|byte| matches!(byte, b'"' | b'\''));
        let from = self.at + usize::from(quote.is_some());
        let length = match quote {
            Some(quote) => run(line, from, |byte| byte != quote),
            None => run(line, from, |byte| !matches!(byte, b' ' | b'"' | b'\'' | b'`')),
        };
        self.at = from + length + usize::from(quote.is_some() || !matches!(line.get(from + length), Some(b' ')));
        (length > 0 || quote.is_some()).then_some((from, from + length)).filter(|(from, _)| *from < self.to)
    }
}
