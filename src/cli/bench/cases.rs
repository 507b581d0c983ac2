//! Repair cases: programs with one bug and tests, one JSON object a line. Owns the form and which tests may be seen. A right answer
//! that a case may bring beside them is not read, so that nothing can look at it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::model::{Language, Test, TestBody};
use crate::world::files;

/// One program with a bug.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) language: Language,
    pub(super) path: String,
    pub(super) source: String,
    pub(super) support: BTreeMap<String, Vec<u8>>,
    pub(super) tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    language: Language,
    path: String,
    source: String,
    #[serde(default)]
    support: BTreeMap<String, String>,
    tests: Vec<TestLine>,
}

#[derive(Deserialize)]
struct TestLine {
    name: String,
    code: String,
}

impl Case {
    /// The tests that a strategy may see, and the others. Chosen by hash, so nobody can tune the choice: the half whose
    /// `blake3(id + name)` is an even number.
    pub(super) fn halves(&self) -> (Vec<Test>, Vec<Test>) {
        self.tests.iter().cloned().partition(|test| {
            let hash = blake3::hash(format!("{}{}", self.id, test.name).as_bytes());
            hash.as_bytes()[31].is_multiple_of(2)
        })
    }
}

/// Reads a file of cases.
///
/// # Errors
/// What is wrong with it, with the line.
pub(super) fn read(path: &Path) -> Result<Vec<Case>, String> {
    let bytes = files::read(path).map_err(|error| format!("{error:#}"))?;
    let text = String::from_utf8(bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut cases = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |why: String| format!("{}:{}: {why}", path.display(), at + 1);
        let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let inside = |path: &str| !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..");
        if let Some(outside) = line.support.keys().chain([&line.path]).find(|path| !inside(path)) {
            return Err(wrong(format!("`{outside}` is not a path below the case's folder")));
        }
        if line.tests.is_empty() {
            return Err(wrong("a case needs tests".into()));
        }
        let test = |test: TestLine| Test { name: test.name, body: TestBody::Program(test.code) };
        cases.push(Case {
            id: line.id,
            language: line.language,
            path: line.path,
            source: line.source,
            support: line.support.into_iter().map(|(path, text)| (path, text.into_bytes())).collect(),
            tests: line.tests.into_iter().map(test).collect(),
        });
    }
    Ok(cases)
}
