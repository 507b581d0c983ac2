//! Edits to files: the text that is searched must be there once, exactly, or else once when white space at the ends of lines does not
//! count. What is there twice, or not at all, is refused: nobody guesses what was meant.

use std::collections::BTreeMap;

use super::answer::Edit;
use crate::model::{FileEdit, Patch, plain_line};

/// The files after all of the edits, one after the other.
///
/// # Errors
/// Why one of them cannot be made.
pub(super) fn apply(edits: &[Edit], sources: &BTreeMap<String, Vec<u8>>) -> Result<Patch, String> {
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for edit in edits {
        let shown = plain_line(&edit.path, 120);
        let Some((path, content)) = sources.get_key_value(&edit.path) else {
            return Err(format!("`{shown}` is no file that may be changed"));
        };
        let text = match texts.remove(path.as_str()) {
            Some(text) => text,
            None => String::from_utf8(content.clone()).map_err(|_| format!("`{shown}` is not UTF-8, and cannot be edited"))?,
        };
        let text = replaced(&text, edit).map_err(|why| format!("an edit of `{shown}` {why}"))?;
        texts.insert(path, text);
    }
    let changed = texts.into_iter().filter(|(path, text)| sources.get(*path).is_none_or(|old| old != text.as_bytes()));
    let patch = Patch { edits: changed.map(|(path, text)| (path.to_string(), FileEdit::Write(text.into_bytes()))).collect() };
    if patch.edits.is_empty() { Err("the edits change nothing".into()) } else { Ok(patch) }
}

fn replaced(text: &str, edit: &Edit) -> Result<String, String> {
    if edit.search.trim().is_empty() {
        return Err("searches for nothing".into());
    }
    let first = plain_line(edit.search.trim().lines().next().unwrap_or_default(), 80);
    let found: Vec<usize> = text.match_indices(&edit.search).map(|(at, _)| at).take(2).collect();
    match found[..] {
        [at] => Ok(format!("{}{}{}", &text[..at], edit.replace, &text[at + edit.search.len()..])),
        [_, _, ..] => Err(format!("is ambiguous: what it searches (`{first}`…) is there more than once")),
        [] => by_lines(text, edit).map_err(|many| match many {
            true => format!("is ambiguous: but for white space, what it searches (`{first}`…) is there more than once"),
            false => format!("searches for what is not there (`{first}`…)"),
        }),
    }
}

/// The same where indentation and the ends of lines may differ; whether it was found too often, when it was not found once.
fn by_lines(text: &str, edit: &Edit) -> Result<String, bool> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let wanted: Vec<&str> = edit.search.trim_matches('\n').lines().collect();
    let fits = |at: &usize| lines[*at..*at + wanted.len()].iter().zip(&wanted).all(|(line, want)| line.trim() == want.trim());
    let places: Vec<usize> = (0..(lines.len() + 1).saturating_sub(wanted.len())).filter(fits).take(2).collect();
    let [at] = places[..] else { return Err(places.len() > 1) };
    let own = &lines[at..at + wanted.len()];
    let full = |line: &&&str| !line.trim().is_empty();
    let (Some(have), Some(want)) = (own.iter().find(full), wanted.iter().find(full)) else { return Err(false) };
    let (have, want) = (indentation(have), indentation(want));
    let mut new = String::new();
    for line in edit.replace.trim_end_matches('\n').lines() {
        let moved = match (line.trim().is_empty(), line.strip_prefix(want)) {
            (true, _) => String::new(),
            (_, Some(rest)) => format!("{have}{rest}"),
            // It is further out than what was searched: it cannot be told how far.
            (_, None) => return Err(false),
        };
        new.push_str(&moved);
        new.push('\n');
    }
    let (before, after): (String, String) = (lines[..at].concat(), lines[at + wanted.len()..].concat());
    if after.is_empty() && !text.ends_with('\n') {
        new.truncate(new.trim_end_matches('\n').len());
    }
    Ok(format!("{before}{new}{after}"))
}

fn indentation(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}
