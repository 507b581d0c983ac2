//! What the compiler says, as far as we read it, and which candidate a message is about.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;

/// A message of the compiler.
#[derive(Deserialize)]
struct Message {
    level: String,
    message: String,
    #[serde(default)]
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    line_start: u32,
    is_primary: bool,
    #[serde(default)]
    expansion: Option<Box<Expansion>>,
}

#[derive(Deserialize)]
struct Expansion {
    span: Span,
}

/// The module of a candidate.
pub(super) fn module(candidate: usize) -> String {
    format!("c{candidate}.rs")
}

/// The module that holds the variants of many.
pub(super) const BASE: &str = "base.rs";

/// The candidates that the compiler refused, with what it said. `lines` are those of the variants in [`BASE`].
///
/// # Errors
/// The first message that is about no candidate.
pub(super) fn refused(stderr: &[u8], lines: &[(Range<u32>, usize)]) -> Result<BTreeMap<usize, String>, String> {
    let text = String::from_utf8_lossy(stderr);
    let mut found = BTreeMap::new();
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    // The last message only counts the others.
    for message in
        messages.filter(|message| message.level.starts_with("error") && !message.message.starts_with("aborting due to"))
    {
        let mut about =
            message.spans.iter().filter(|span| span.is_primary).filter_map(|span| candidate_of(span, lines)).peekable();
        if about.peek().is_none() {
            return Err(said(&message));
        }
        for candidate in about {
            found.entry(candidate).or_insert_with(|| said(&message));
        }
    }
    if found.is_empty() { Err("the compiler did not say why".into()) } else { Ok(found) }
}

/// The candidate in whose text the place is, or the call of the macro that it came from.
fn candidate_of(span: &Span, lines: &[(Range<u32>, usize)]) -> Option<usize> {
    let own = match span.file_name.as_str() {
        BASE => lines.iter().find(|(range, _)| range.contains(&span.line_start)).map(|(_, candidate)| *candidate),
        name => name.strip_prefix('c').and_then(|rest| rest.strip_suffix(".rs")).and_then(|number| number.parse().ok()),
    };
    own.or_else(|| candidate_of(&span.expansion.as_ref()?.span, lines))
}

fn said(message: &Message) -> String {
    let line = message.spans.first().map_or(0, |span| span.line_start);
    format!("line {line}: {}", message.message)
}
