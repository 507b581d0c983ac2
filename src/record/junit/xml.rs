//! The elements of JUnit XML as a tree. It is data from outside: entities other than XML's own five are refused and never expanded,
//! depth and lengths are bounded. Deliberately not here: what the elements mean.

use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::record::import::{BadDocument, RUNS};

/// Elements inside each other.
const DEPTH: usize = 64;
/// Bytes of an attribute.
const ATTRIBUTE: usize = 64 << 10;
const SECONDS: f64 = 1e9;
const CONVERT: &str = "convert it first: `iconv -f ENCODING -t UTF-8 FILE | fractal import -`";

/// `testsuites` or `testsuite`.
#[derive(Debug, Default)]
pub(super) struct Suite {
    pub name: String,
    pub timestamp: Option<String>,
    pub hostname: String,
    pub offset: usize,
    /// How many tests it says that it has.
    pub tests: Option<usize>,
    /// It is `testsuites`.
    pub is_group: bool,
    pub parts: Vec<Part>,
}

#[derive(Debug)]
pub(super) enum Part {
    Suite(Suite),
    Case(Case),
}

/// `testcase`.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub offset: usize,
    pub name: String,
    pub class: String,
    pub timestamp: Option<String>,
    pub time: Duration,
    pub attempts: Vec<Attempt>,
    pub skipped: bool,
    pub out: String,
    pub err: String,
}

/// Which run of a test an element tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// `flakyFailure`, `flakyError`: an earlier one, after which the test passed.
    Before,
    /// `failure`, `error`.
    #[default]
    This,
    /// `rerunFailure`, `rerunError`: a later one of a test that never passed.
    After,
}

/// One of the elements that say that a run failed.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    pub turn: Turn,
    /// An `error`, not a `failure`.
    pub is_error: bool,
    pub class: String,
    pub message: String,
    pub text: String,
    pub out: String,
    pub err: String,
    pub timestamp: Option<String>,
    pub time: Option<Duration>,
}

enum Open {
    Suite(Suite),
    Case(Case),
    Attempt(Attempt),
    Text(Stream, String),
    Ignored,
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
    Trace,
}

/// Reads a document.
///
/// # Errors
/// When it is not well-formed, not UTF-8, not JUnit XML, or larger than anybody means.
pub(super) fn read(bytes: &[u8]) -> Result<Suite, BadDocument> {
    let text = utf8(bytes)?;
    let mut reader = Reader::from_str(text);
    let mut tree = Tree { bytes, open: Vec::new(), names: Vec::new(), root: None, cases: 0 };
    loop {
        let offset = at(reader.buffer_position());
        let event = reader.read_event().map_err(|error| tree.bad(at(reader.error_position()), &error.to_string()))?;
        match event {
            Event::Start(start) => tree.start(&start, offset)?,
            Event::Empty(start) => {
                tree.start(&start, offset)?;
                tree.end();
            }
            Event::End(_) => tree.end(),
            Event::Text(piece) if tree.open.is_empty() && !piece.trim_ascii().is_empty() => {
                return Err(tree.bad(offset, "text outside of any element"));
            }
            Event::Text(piece) => tree.text(&String::from_utf8_lossy(&piece)),
            Event::CData(piece) => tree.text(&String::from_utf8_lossy(&piece)),
            Event::GeneralRef(reference) => {
                let character = resolved(&reference).map_err(|message| tree.bad(offset, &message))?;
                tree.text(character.encode_utf8(&mut [0; 4]));
            }
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().and_then(Result::ok).unwrap_or_default().to_ascii_lowercase();
                let known = matches!(encoding.as_slice(), b"" | b"utf-8" | b"utf8" | b"us-ascii" | b"ascii");
                if !known && !bytes.is_ascii() {
                    let message = format!("the encoding `{}` is not read, only UTF-8 is", String::from_utf8_lossy(&encoding));
                    return Err(tree.bad(offset, &message).hint(CONVERT));
                }
            }
            Event::Eof => break,
            Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if let Some(name) = tree.names.last() {
        return Err(tree.bad(bytes.len(), &format!("the file ends inside of `{name}`")));
    }
    tree.root.take().ok_or_else(|| BadDocument::at(bytes, bytes.len(), "there is no XML element"))
}

fn at(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

fn utf8(bytes: &[u8]) -> Result<&str, BadDocument> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(BadDocument::at(bytes, 0, "the encoding UTF-16 is not read, only UTF-8 is").hint(CONVERT));
    }
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        return Err(BadDocument::at(bytes, offset, "a NUL byte, which XML does not allow"));
    }
    std::str::from_utf8(bytes).map_err(|error| BadDocument::at(bytes, error.valid_up_to(), "this is not UTF-8").hint(CONVERT))
}

fn resolved(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character);
    }
    let name = String::from_utf8_lossy(reference);
    let character = quick_xml::escape::resolve_predefined_entity(&name).and_then(|text| text.chars().next());
    character.ok_or_else(|| format!("`&{name};` is none of XML's own entities; others are not expanded"))
}

struct Tree<'a> {
    bytes: &'a [u8],
    open: Vec<Open>,
    names: Vec<String>,
    root: Option<Suite>,
    cases: usize,
}

impl Tree<'_> {
    fn bad(&self, offset: usize, message: &str) -> BadDocument {
        BadDocument::at(self.bytes, offset, message)
    }

    fn start(&mut self, start: &BytesStart<'_>, offset: usize) -> Result<(), BadDocument> {
        if self.open.len() >= DEPTH {
            return Err(self.bad(offset, &format!("more than {DEPTH} elements inside each other")));
        }
        let local = start.local_name();
        let opened = match (local.as_ref(), self.open.last_mut()) {
            (b"testsuites" | b"testsuite", None) if self.root.is_none() => Open::Suite(self.suite(start, offset)?),
            (b"testsuites" | b"testsuite", Some(Open::Suite(_))) => Open::Suite(self.suite(start, offset)?),
            (name, None) => {
                let name = String::from_utf8_lossy(name);
                let message = match &self.root {
                    None => format!("this is not JUnit XML: it begins with `{name}`, not with `testsuites` or `testsuite`"),
                    Some(_) => format!("`{name}` follows after the end of the document"),
                };
                return Err(self.bad(offset, &message));
            }
            (b"testcase", Some(Open::Suite(_))) => Open::Case(self.case(start, offset)?),
            (b"skipped", Some(Open::Case(case))) => {
                case.skipped = true;
                Open::Ignored
            }
            (name, Some(Open::Case(_))) if turn(name).is_some() => match turn(name) {
                Some(kind) => Open::Attempt(self.attempt(start, offset, kind)?),
                None => Open::Ignored,
            },
            (b"system-out", Some(Open::Case(_) | Open::Attempt(_))) => Open::Text(Stream::Out, String::new()),
            (b"system-err", Some(Open::Case(_) | Open::Attempt(_))) => Open::Text(Stream::Err, String::new()),
            (b"stackTrace", Some(Open::Attempt(_))) => Open::Text(Stream::Trace, String::new()),
            _ => Open::Ignored,
        };
        self.open.push(opened);
        self.names.push(String::from_utf8_lossy(start.name().as_ref()).into_owned());
        Ok(())
    }

    /// quick-xml has made sure that it ends what is open.
    fn end(&mut self) {
        self.names.pop();
        let Some(ended) = self.open.pop() else { return };
        match (ended, self.open.last_mut()) {
            (Open::Suite(suite), Some(Open::Suite(outer))) => outer.parts.push(Part::Suite(suite)),
            (Open::Suite(suite), _) => self.root = Some(suite),
            (Open::Case(case), Some(Open::Suite(suite))) => suite.parts.push(Part::Case(case)),
            (Open::Attempt(attempt), Some(Open::Case(case))) => case.attempts.push(attempt),
            (Open::Text(stream, text), Some(Open::Case(case))) => match stream {
                Stream::Out => case.out.push_str(&text),
                Stream::Err => case.err.push_str(&text),
                Stream::Trace => {}
            },
            (Open::Text(stream, text), Some(Open::Attempt(attempt))) => match stream {
                Stream::Out => attempt.out.push_str(&text),
                Stream::Err => attempt.err.push_str(&text),
                Stream::Trace => attempt.text.push_str(&text),
            },
            _ => {}
        }
    }

    fn text(&mut self, piece: &str) {
        match self.open.last_mut() {
            Some(Open::Text(_, text)) => text.push_str(piece),
            Some(Open::Attempt(attempt)) => attempt.text.push_str(piece),
            _ => {}
        }
    }

    fn suite(&self, start: &BytesStart<'_>, offset: usize) -> Result<Suite, BadDocument> {
        let is_group = start.local_name().as_ref() == b"testsuites";
        let mut suite = Suite { offset, is_group, ..Suite::default() };
        self.attributes(start, offset, |key, value| match key {
            b"name" => suite.name = value,
            b"timestamp" => suite.timestamp = Some(value),
            b"hostname" => suite.hostname = value,
            b"tests" => suite.tests = value.trim().parse().ok(),
            _ => {}
        })?;
        Ok(suite)
    }

    fn case(&mut self, start: &BytesStart<'_>, offset: usize) -> Result<Case, BadDocument> {
        self.cases += 1;
        if self.cases > RUNS {
            let bad = self.bad(offset, &format!("more than {RUNS} test cases"));
            return Err(bad.hint("let the test runner write several files"));
        }
        let mut case = Case { offset, ..Case::default() };
        self.attributes(start, offset, |key, value| match key {
            b"name" => case.name = value,
            b"classname" => case.class = value,
            b"timestamp" => case.timestamp = Some(value),
            b"time" => case.time = seconds(&value).unwrap_or_default(),
            // GoogleTest and CTest
            b"status" | b"result" => case.skipped |= matches!(value.as_str(), "notrun" | "disabled" | "suppressed" | "skipped"),
            _ => {}
        })?;
        Ok(case)
    }

    fn attempt(&self, start: &BytesStart<'_>, offset: usize, (turn, is_error): (Turn, bool)) -> Result<Attempt, BadDocument> {
        let mut attempt = Attempt { turn, is_error, ..Attempt::default() };
        self.attributes(start, offset, |key, value| match key {
            b"type" => attempt.class = value,
            b"message" => attempt.message = value,
            b"timestamp" => attempt.timestamp = Some(value),
            b"time" => attempt.time = seconds(&value),
            _ => {}
        })?;
        Ok(attempt)
    }

    fn attributes(&self, start: &BytesStart<'_>, offset: usize, mut take: impl FnMut(&[u8], String)) -> Result<(), BadDocument> {
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| self.bad(offset, &error.to_string()))?;
            let key = attribute.key.local_name();
            if attribute.value.len() > ATTRIBUTE {
                let name = String::from_utf8_lossy(key.as_ref());
                return Err(self.bad(offset, &format!("the attribute `{name}` is longer than {ATTRIBUTE} bytes")));
            }
            let value = attribute.unescape_value().map_err(|error| self.bad(offset, &error.to_string()))?;
            take(key.as_ref(), value.into_owned());
        }
        Ok(())
    }
}

fn turn(name: &[u8]) -> Option<(Turn, bool)> {
    Some(match name {
        b"failure" => (Turn::This, false),
        b"error" => (Turn::This, true),
        b"flakyFailure" => (Turn::Before, false),
        b"flakyError" => (Turn::Before, true),
        b"rerunFailure" => (Turn::After, false),
        b"rerunError" => (Turn::After, true),
        _ => return None,
    })
}

/// `1,234.5` is what Surefire writes; what is no number says nothing.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.replace(',', "").trim().parse().ok()?;
    (0.0..=SECONDS).contains(&seconds).then(|| Duration::from_micros((seconds * 1e6).round() as u64))
}
