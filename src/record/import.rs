//! What the readers of other programs' files have in common: which format a file has, where in it something is wrong, lines of
//! bounded length. Deliberately not here: the formats themselves, opening files.

use std::io::{self, BufRead, Read};

use serde::Serialize;

use super::observed::Observed;
use crate::model::plain_line;

/// Bytes of one line of JSON lines.
pub const LINE: usize = 8 << 20;
/// Bytes of a document that is read as a whole, unzipped.
pub const DOCUMENT: usize = 64 << 20;
/// What some programs begin UTF-8 with.
pub const BYTE_ORDER: &[u8] = b"\xef\xbb\xbf";
/// Runs of one document.
pub const RUNS: usize = 200_000;

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One execution a line, see [`super::lines`].
    Lines,
    Junit,
    /// Workflow runs and jobs of GitHub's REST interface.
    Github,
}

impl Format {
    /// The format's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Format::Lines => "JSON lines",
            Format::Junit => "JUnit XML",
            Format::Github => "GitHub workflow runs",
        }
    }
}

/// What a document holds.
#[derive(Debug, Default, PartialEq)]
pub struct Imported {
    pub runs: Vec<Observed>,
    /// What was left out or assumed, for people.
    pub remarks: Vec<String>,
}

/// Where and why a document cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: column {column}: {message}")]
pub struct BadDocument {
    /// Both count from 1; columns are bytes.
    pub line: usize,
    pub column: usize,
    pub message: String,
    pub hint: Option<&'static str>,
}

impl BadDocument {
    /// What is wrong at a byte of the text.
    pub fn at(text: &[u8], offset: usize, message: &str) -> Self {
        let before = &text[..offset.min(text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        BadDocument { line, column, message: plain_line(message, 300), hint: None }
    }

    /// With what to do about it.
    pub fn hint(self, hint: &'static str) -> Self {
        BadDocument { hint: Some(hint), ..self }
    }
}

/// The format that a file seems to have, by its first bytes.
pub fn guess(head: &[u8]) -> Format {
    let text = head.strip_prefix(BYTE_ORDER).unwrap_or(head).trim_ascii_start();
    let utf16 = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    if text.starts_with(b"<") || utf16 {
        return Format::Junit;
    }
    if text.starts_with(b"[") {
        return Format::Github;
    }
    #[derive(serde::Deserialize)]
    struct Keys {
        tool: Option<serde::de::IgnoredAny>,
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match serde_json::from_slice::<Keys>(line) {
        Ok(keys) if keys.tool.is_some() => Format::Lines,
        // Cut off, spread over lines, or wrong: only GitHub's have these keys.
        _ => {
            let has = |key: &str| text.windows(key.len()).any(|window| window == key.as_bytes());
            let keys = ["\"workflow_runs\"", "\"workflow_id\"", "\"workflow_run\"", "\"workflow_job\"", "\"run_id\"", "\"jobs\""];
            if keys.into_iter().any(has) { Format::Github } else { Format::Lines }
        }
    }
}

/// What [`next_line`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum NextLine {
    /// It is in the buffer, without its end.
    Line,
    /// It was longer than allowed, and is passed over.
    TooLong,
    End,
}

/// Reads one line of at most `limit` bytes; more are never in memory.
///
/// # Errors
/// When the source cannot be read.
pub fn next_line(source: &mut dyn BufRead, buffer: &mut Vec<u8>, limit: usize) -> io::Result<NextLine> {
    buffer.clear();
    let mut bounded = source.take(limit as u64 + 1);
    if bounded.read_until(b'\n', buffer)? == 0 {
        return Ok(NextLine::End);
    }
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
    } else if buffer.len() > limit {
        source.skip_until(b'\n')?;
        return Ok(NextLine::TooLong);
    }
    Ok(NextLine::Line)
}

/// Reads a whole document, without the mark that some programs begin it with; `None` when it is larger than `limit`.
///
/// # Errors
/// When the source cannot be read.
pub fn document(source: &mut dyn BufRead, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    source.take(limit as u64 + 1).read_to_end(&mut text)?;
    if text.starts_with(BYTE_ORDER) {
        text.drain(..BYTE_ORDER.len());
    }
    Ok((text.len() <= limit).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_first_bytes() {
        for (head, format) in [
            ("\u{feff}  <?xml version=\"1.0\"?><testsuites/>", Format::Junit),
            ("{\"tool\":\"a\",\"at\":0,\"exit\":0,\"args\":[\"workflow_runs\"]}\n{", Format::Lines),
            ("{\"at\":0,\"exit\":0}", Format::Lines),
            ("{\n  \"total_count\": 1,\n  \"workflow_runs\": [", Format::Github),
            ("{\"id\":1,\"workflow_id\":2", Format::Github),
            ("[{\"total_count\":0,\"jobs\":[]}]", Format::Github),
            ("", Format::Lines),
        ] {
            assert_eq!(guess(head.as_bytes()), format, "{head}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_is_whole() {
        let mut source: &[u8] = b"abc\n\nabcdef\nxyz";
        let mut buffer = Vec::new();
        let mut next = |buffer: &mut Vec<u8>| next_line(&mut source, buffer, 3).expect("reads");
        assert_eq!((next(&mut buffer), buffer.as_slice()), (NextLine::Line, b"abc".as_slice()));
        assert_eq!((next(&mut buffer), buffer.as_slice()), (NextLine::Line, b"".as_slice()));
        assert_eq!(next(&mut buffer), NextLine::TooLong);
        assert_eq!((next(&mut buffer), buffer.as_slice()), (NextLine::Line, b"xyz".as_slice()));
        assert_eq!(next(&mut buffer), NextLine::End);
    }

    #[test]
    fn a_place_counts_lines_and_columns_from_one() {
        let at = |offset| BadDocument::at(b"ab\ncd", offset, "x").to_string();
        assert_eq!(
            (at(0), at(2), at(3), at(99)),
            ("1: column 1: x".into(), "1: column 3: x".into(), "2: column 1: x".into(), "2: column 3: x".into())
        );
    }
}
