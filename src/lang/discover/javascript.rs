//! JavaScript: `node --test`, by the names of tests that are written out.

use std::collections::BTreeMap;

use super::super::{Grammar, SyntaxNode, parses};
use super::{Files, OwnTest, below, text, with};
use crate::model::Language;

/// `None` when the command is none of ours, or has options that we do not know.
pub(super) fn tests(words: &[&str], files: &Files<'_>) -> Option<Vec<OwnTest>> {
    let (mut prefix, mut chosen) = (vec![words[0]], Vec::new());
    let mut testing = false;
    for word in &words[1..] {
        match *word {
            "--test" => testing = true,
            word if word.starts_with("--test-reporter=") => {}
            word if word.starts_with('-') => return None,
            word if files.contains_key(word) => chosen.push(word),
            _ => return None,
        }
    }
    if !testing {
        return None;
    }
    prefix.push("--test");
    if chosen.is_empty() {
        chosen.extend(below(files, "").filter(|path| is_test(path)));
    }
    let mut found = Vec::new();
    for path in chosen {
        let names = named(text(files, path)?);
        if names.is_empty() {
            found.push(OwnTest { name: path.to_string(), command: with(&prefix, &[path]), program: None });
        }
        for name in names {
            // Some versions compare the name alone, others with those of the suites around it.
            let pattern = format!("--test-name-pattern=(^| ){}$", regex::escape(&name));
            found.push(OwnTest { name: format!("{path}: {name}"), command: with(&prefix, &[&pattern, path]), program: None });
        }
    }
    Some(found)
}

/// What Node.js looks for when it is told no file.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, "js" | "cjs" | "mjs")) = name.rsplit_once('.') else { return false };
    let marked = stem == "test" || stem.starts_with("test-") || ["-test", ".test", "_test"].iter().any(|end| stem.ends_with(end));
    marked || path.split('/').rev().skip(1).any(|folder| folder == "test")
}

/// The names of the tests of a file; none unless every test is called by a text of its own.
fn named(source: &str) -> Vec<String> {
    if parses(Language::Javascript, source.as_bytes()).is_err() {
        return Vec::new();
    }
    let Some(tree) = Grammar::of(Language::Javascript).and_then(|grammar| grammar.tree(source)) else { return Vec::new() };
    let root = tree.root();
    let mut names: BTreeMap<usize, String> = BTreeMap::new();
    for call in root.dfs().filter(|node| node.kind() == "call_expression") {
        let called = call.field("function").map(|function| function.text().into_owned()).unwrap_or_default();
        if !matches!(called.as_str(), "test" | "it") {
            continue;
        }
        let first = call.field("arguments").and_then(|arguments| arguments.children().find(SyntaxNode::is_named));
        match first.filter(|argument| argument.kind() == "string" && !argument.text().contains('\\')) {
            Some(name) => drop(names.insert(call.range().start, name.text()[1..name.text().len() - 1].to_string())),
            None => return Vec::new(),
        }
    }
    let names: Vec<String> = names.into_values().collect();
    let twice = (1..names.len()).any(|at| names[..at].contains(&names[at]));
    if twice { Vec::new() } else { names }
}
