//! Rust: `cargo test`, by the paths of the functions with a `test` attribute.

use super::super::{Grammar, SyntaxNode, parses};
use super::{Files, OwnTest, below, field, text, with};
use crate::model::Language;

/// `None` when the command is none of ours, or chooses among the tests.
pub(super) fn tests(words: &[&str], files: &Files<'_>) -> Option<Vec<OwnTest>> {
    let mut rest = words.get(1..)?.iter();
    if *rest.next()? != "test" {
        return None;
    }
    let mut folder = "";
    while let Some(word) = rest.next() {
        match *word {
            "--manifest-path" => folder = manifest_folder(rest.next()?)?,
            "-p" | "--package" | "--features" | "-F" | "--target" | "--profile" | "-j" | "--jobs" | "--bin" | "--test" => {
                rest.next()?;
            }
            word if word == "--" || !word.starts_with('-') => return None,
            word => folder = word.strip_prefix("--manifest-path=").map_or(Some(folder), manifest_folder)?,
        }
    }
    let mut found: Vec<OwnTest> = Vec::new();
    for path in below(files, folder) {
        let inside = path[folder.len()..].trim_start_matches('/');
        let Some(module) = module_of(inside) else { continue };
        let source = text(files, path)?;
        parses(Language::Rust, source.as_bytes()).ok()?;
        let tree = Grammar::of(Language::Rust)?.tree(source)?;
        let mut names = Vec::new();
        collect(&tree.root(), &module, &mut names);
        for name in names {
            // The same name in another target is run together with this one.
            if !found.iter().any(|known| known.name == name) {
                found.push(OwnTest { command: with(words, &[&name, "--", "--exact"]), name, program: None });
            }
        }
    }
    Some(found)
}

fn manifest_folder(manifest: &str) -> Option<&str> {
    let manifest = manifest.strip_prefix("{root}/").unwrap_or(manifest);
    Some(manifest.strip_suffix("Cargo.toml")?.trim_end_matches('/'))
}

/// The module that a file is, by where it lies in its package; `None` for what holds no tests.
fn module_of(path: &str) -> Option<Vec<String>> {
    let path = path.strip_suffix(".rs")?;
    let mut parts: Vec<&str> = path.split('/').collect();
    let place = parts.remove(0);
    match (place, parts.as_slice()) {
        ("src", ["main" | "lib"] | ["bin", _]) => parts.clear(),
        ("src", ["bin", ..]) => drop(parts.drain(..2)),
        // `tests/NAME.rs` and `tests/NAME/main.rs` are programs of their own.
        ("tests", [_]) => parts.clear(),
        ("tests", [_, ..]) => drop(parts.remove(0)),
        ("src", [_, ..]) => {}
        _ => return None,
    }
    if parts.last().is_some_and(|last| matches!(*last, "mod" | "main")) {
        parts.pop();
    }
    Some(parts.into_iter().map(str::to_string).collect())
}

fn collect(node: &SyntaxNode<'_>, module: &[String], names: &mut Vec<String>) {
    let (mut tested, mut ignored) = (false, false);
    for child in node.children() {
        match &*child.kind() {
            "attribute_item" => {
                let text = child.text();
                let name = text.trim_start_matches(['#', '[', ' ']).split(['(', ']', ' ', '=']).next().unwrap_or_default();
                tested |= name == "test" || name.ends_with("::test");
                ignored |= name == "ignore";
                continue;
            }
            "line_comment" | "block_comment" => continue,
            "function_item" if tested && !ignored => {
                let path: Vec<&str> = module.iter().map(String::as_str).collect();
                names.push([path.as_slice(), &[field(&child, "name").as_str()]].concat().join("::"));
            }
            "mod_item" => {
                if let Some(body) = child.field("body") {
                    let inner: Vec<String> = module.iter().cloned().chain([field(&child, "name")]).collect();
                    collect(&body, &inner, names);
                }
            }
            _ => {}
        }
        (tested, ignored) = (false, false);
    }
}
