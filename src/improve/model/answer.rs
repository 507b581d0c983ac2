//! The form of an answer: a title and edits to search and replace, or the word that there are none; as text or as JSON.

use serde::Deserialize;
use serde_json::{Value, json};

/// Bytes of an answer that is looked at.
const ANSWER_MAX: usize = 256 << 10;
/// Edits of one answer.
const EDITS_MAX: usize = 32;

/// What stands in place of what, in which file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Edit {
    pub path: String,
    pub search: String,
    pub replace: String,
}

/// An answer taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub title: String,
    pub abstains: Option<String>,
    pub edits: Vec<Edit>,
}

/// The JSON schema of an answer, with its name.
pub fn schema() -> (&'static str, Value) {
    let text = json!({"type": "string"});
    let edit = json!({
        "type": "object", "additionalProperties": false, "required": ["path", "search", "replace"],
        "properties": {"path": text, "search": text, "replace": text},
    });
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["title", "abstain", "edits"],
        "properties": {"title": text, "abstain": text, "edits": {"type": "array", "items": edit}},
    });
    ("repair", schema)
}

#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    title: String,
    #[serde(default)]
    abstain: Option<String>,
    #[serde(default)]
    edits: Vec<Edit>,
}

/// Takes an answer apart.
///
/// # Errors
/// What is wrong with its form.
pub(super) fn read(answer: &str) -> Result<Read, String> {
    if answer.len() > ANSWER_MAX {
        return Err(format!("the answer is longer than {} KiB", ANSWER_MAX >> 10));
    }
    let text = unfenced(answer.trim());
    let read = if text.starts_with('{') { json(text)? } else { blocks(text)? };
    match (&read.abstains, read.edits.len()) {
        (None, 0) => Err("the answer has no edit, and does not abstain".into()),
        (Some(_), 1..) => Err("the answer abstains and has edits".into()),
        (_, edits) if edits > EDITS_MAX => Err(format!("the answer has {edits} edits, more than {EDITS_MAX}")),
        _ => Ok(read),
    }
}

/// Without a fence around all of it.
fn unfenced(text: &str) -> &str {
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    inner.and_then(|inner| inner.split_once('\n')).map_or(text, |(_, inner)| inner.trim())
}

fn json(text: &str) -> Result<Read, String> {
    let read: Json =
        serde_json::from_str(text).map_err(|error| format!("the answer is not the JSON that was asked for: {error}"))?;
    Ok(Read { title: read.title, abstains: read.abstain.filter(|why| !why.trim().is_empty()), edits: read.edits })
}

/// Where a reader of blocks stands.
enum In {
    Nothing,
    Search(Edit),
    Replace(Edit),
}

fn blocks(text: &str) -> Result<Read, String> {
    let (mut read, mut path, mut place) = (Read::default(), String::new(), In::Nothing);
    for (number, line) in text.lines().enumerate() {
        let misplaced = || Err(format!("line {}: `{}` is out of place", number + 1, line.trim_end()));
        let (begins, between, ends) = (line.starts_with("<<<<<<< SEARCH"), line.trim_end() == "=======", is_end(line));
        place = match place {
            In::Nothing if begins && path.is_empty() => return Err(format!("line {}: no `FILE:` before the edit", number + 1)),
            In::Nothing if begins => In::Search(Edit { path: path.clone(), ..Edit::default() }),
            In::Nothing if ends || between => return misplaced(),
            In::Nothing => {
                if let Some(rest) = line.strip_prefix("FILE:") {
                    path = rest.trim().trim_matches('`').to_string();
                } else if let Some(rest) = line.strip_prefix("TITLE:") {
                    read.title = rest.trim().to_string();
                } else if let Some(rest) = line.strip_prefix("ABSTAIN:") {
                    read.abstains = Some(rest.trim().to_string());
                }
                In::Nothing
            }
            In::Search(edit) if between => In::Replace(edit),
            In::Search(_) if begins || ends => return misplaced(),
            In::Search(edit) => In::Search(Edit { search: edit.search + line + "\n", ..edit }),
            In::Replace(edit) if ends => {
                read.edits.push(edit);
                In::Nothing
            }
            In::Replace(_) if begins || between => return misplaced(),
            In::Replace(edit) => In::Replace(Edit { replace: edit.replace + line + "\n", ..edit }),
        };
    }
    match place {
        In::Nothing => Ok(read),
        In::Search(_) | In::Replace(_) => Err("the answer ends in the middle of an edit".into()),
    }
}

fn is_end(line: &str) -> bool {
    line.starts_with(">>>>>>> REPLACE")
}
