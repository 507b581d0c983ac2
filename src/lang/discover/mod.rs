//! Discovery: the single tests that a test command runs, found by reading the command and the test files. One file per language.
//!
//! Owns which tests there are and how one of them is run alone. A shell's test scripts are commands already. Where single tests
//! cannot be told apart, nothing is found, and the whole command is the test.

mod javascript;
mod python;
mod rust;

use std::collections::BTreeMap;

use super::syntax::SyntaxNode;

/// Files of a checkout by repository-relative path.
pub type Files<'a> = BTreeMap<&'a str, &'a [u8]>;

/// One test of a tool's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnTest {
    /// As the test runner calls it.
    pub name: String,
    /// Runs it alone, in the root of a checkout; exit code 0 passes.
    pub command: Vec<String>,
    /// The same as a program that is run in the root of a checkout, for Python tests that need nothing of their runner.
    pub program: Option<String>,
}

/// The tests that `command` runs in the root of a checkout with `files`, in their order; none when they cannot be told apart.
/// `{root}` in the command stands for that root.
pub fn own_tests(command: &[String], files: &Files<'_>) -> Vec<OwnTest> {
    let words: Vec<&str> = command.iter().map(|word| word.strip_prefix("{root}/").unwrap_or(word)).collect();
    let program = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
    let found = match program {
        "cargo" => rust::tests(&words, files),
        "node" | "nodejs" => javascript::tests(&words, files),
        _ => python::tests(program, &words, files),
    };
    found.unwrap_or_default()
}

/// The text of a file, when it is text.
fn text<'a>(files: &Files<'a>, path: &str) -> Option<&'a str> {
    std::str::from_utf8(files.get(path)?).ok()
}

/// Files below a folder; all for the root, which is empty.
fn below<'a>(files: &'a Files<'_>, folder: &str) -> impl Iterator<Item = &'a str> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    files.keys().copied().filter(move |path| path.starts_with(&prefix) && !is_foreign(path))
}

/// What lies in folders that hold other people's code, or what tools made.
fn is_foreign(path: &str) -> bool {
    const FOREIGN: [&str; 7] = ["node_modules", "site-packages", "target", "build", "dist", "venv", "vendor"];
    path.split('/').any(|part| part.starts_with('.') || FOREIGN.contains(&part))
}

/// `words` with other arguments at the end.
fn with(words: &[&str], arguments: &[&str]) -> Vec<String> {
    words.iter().chain(arguments).map(ToString::to_string).collect()
}

fn field(node: &SyntaxNode<'_>, name: &str) -> String {
    node.field(name).map(|field| field.text().into_owned()).unwrap_or_default()
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python", feature = "lang-rust"))]
mod tests;
