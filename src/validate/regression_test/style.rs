//! How the tests of a tool are written, read off its test command and the test files that there are. A hint, never a promise: whether a
//! generated test works is found out by running it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::place::{Naming, folder_of};
use crate::lang;
use crate::model::{Language, Tool};
use crate::world::sandbox::ScratchFile;

/// Test files that are read, and bytes of each.
const FILES: usize = 50;
const FILE_BYTES: usize = 256 * 1024;

/// The shape of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Functions; the words that start pytest.
    Pytest(Vec<String>),
    /// A class; the words that start what runs it, or none when the file runs itself.
    Unittest(Vec<String>),
    /// `test()` or `describe()` and `it()` of `node:test`, as an ES module or not.
    Node { describe: bool, module: bool },
    /// An integration test; whether it asks Cargo for the program instead of running Cargo.
    Cargo { program: bool },
    /// The words that start bats.
    Bats(Vec<String>),
    /// A POSIX shell script whose exit code tells.
    Script,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub form: Form,
    pub naming: Naming,
    /// Empty, or with a `/` at its end.
    pub folder: String,
    pub indent: String,
    pub quote: char,
    pub semicolons: bool,
    /// Whether the names of test classes begin with `Test` instead of ending with it.
    pub test_first: bool,
    /// Whether test files can be run by themselves.
    pub main: bool,
}

/// A test file that is there.
struct Known<'f> {
    path: &'f str,
    text: &'f str,
}

impl Style {
    /// The style of the tool's tests, then a plain one for when that does not work.
    pub(super) fn forms(tool: &Tool, files: &[ScratchFile]) -> Vec<Style> {
        let known = test_files(tool, files);
        let Some(plain) = plain_form(tool.language) else { return Vec::new() };
        let folder = folder(tool, &known, files);
        let default = Style {
            naming: match plain {
                // No package can make an ES module of it.
                Form::Node { .. } => Naming::new("", ".test.cjs"),
                _ => naming(&plain, None),
            },
            form: plain,
            folder: folder.clone(),
            indent: if tool.language == Language::Javascript { "  ".into() } else { "    ".into() },
            quote: '"',
            semicolons: true,
            test_first: false,
            main: true,
        };
        let texts: Vec<&str> = known.iter().map(|file| file.text).collect();
        let form = form(tool, &known, files, &folder);
        // Bats runs nothing else.
        let named = known.iter().filter(|file| file.path.ends_with(".bats") == matches!(form, Form::Bats(_)));
        let usual = most(named.filter_map(|file| Naming::of(file.path)));
        let count = |what: &str| texts.iter().filter(|text| text.contains(what)).count();
        let styled = Style {
            naming: naming(&form, usual),
            form,
            folder,
            indent: most(texts.iter().filter_map(|text| indentation(text))).unwrap_or_else(|| default.indent.clone()),
            quote: quote(tool.language, &texts),
            semicolons: tool.language != Language::Javascript || texts.is_empty() || count(";\n") > 0,
            test_first: count("\nclass Test") * 2 > count("\nclass "),
            main: count("unittest.main(") * 2 > texts.len(),
        };
        if styled == default { vec![default] } else { vec![styled, default] }
    }
}

fn plain_form(language: Language) -> Option<Form> {
    match language {
        Language::Python => Some(Form::Unittest(Vec::new())),
        Language::Javascript => Some(Form::Node { describe: false, module: false }),
        Language::Rust => Some(Form::Cargo { program: false }),
        Language::Shell => Some(Form::Script),
        Language::Other => None,
    }
}

fn naming(form: &Form, usual: Option<Naming>) -> Naming {
    match form {
        // Cargo takes every name, and a name may not begin with a digit.
        Form::Cargo { .. } => Naming::new("regression_", ".rs"),
        _ if usual.is_some() => usual.unwrap_or_else(|| Naming::new("", "")),
        Form::Pytest(_) | Form::Unittest(_) => Naming::new("test_", ".py"),
        Form::Node { .. } => Naming::new("", ".test.js"),
        Form::Bats(_) => Naming::new("", ".bats"),
        Form::Script => Naming::new("", "_test.sh"),
    }
}

/// The tool's own test files in its language; those of the whole checkout when it names none.
fn test_files<'f>(tool: &Tool, files: &'f [ScratchFile]) -> Vec<Known<'f>> {
    let read = |file: &'f ScratchFile| {
        let path = std::str::from_utf8(&file.path).ok()?;
        let bats = tool.language == Language::Shell && path.ends_with(".bats");
        let foreign = path.split('/').any(|part| part.starts_with('.') || matches!(part, "node_modules" | "vendor" | "target"));
        let fits = !foreign && (bats || lang::detect(path, &file.content) == tool.language) && file.content.len() <= FILE_BYTES;
        let text = std::str::from_utf8(&file.content).ok()?;
        (fits && !text.trim().is_empty()).then_some(Known { path, text })
    };
    let own: Vec<Known<'_>> = files.iter().filter_map(read).filter(|file| tool.tests_own(file.path)).take(FILES).collect();
    if !own.is_empty() {
        return own;
    }
    files.iter().filter_map(read).filter(|file| !tool.owns(file.path) && Naming::of(file.path).is_some()).take(FILES).collect()
}

/// Beside the tool's first test file; else in the folder that is declared; else beside the nearest tests of others that are about the
/// folder in which the tool is, or about one above it; else in `tests/`.
fn folder(tool: &Tool, known: &[Known<'_>], files: &[ScratchFile]) -> String {
    let own = || known.iter().filter(|file| tool.tests_own(file.path));
    if let Some(file) = own().find(|file| Naming::of(file.path).is_some()).or(own().next()) {
        return folder_of(file.path).to_string();
    }
    if let Some(declared) = tool.tests.first() {
        let inside = format!("{}/", declared.trim_end_matches('/'));
        let is_there = files.iter().any(|file| file.path.starts_with(inside.as_bytes()));
        return if is_there { inside } else { folder_of(declared).to_string() };
    }
    let at = tool.paths.first().map_or("", String::as_str);
    let others = known.iter().map(|file| folder_of(file.path)).filter(|folder| at.starts_with(about(folder)));
    others.max_by_key(|folder| (about(folder).len(), Reverse(*folder))).unwrap_or("tests/").to_string()
}

/// The folder that the tests in a folder are about: the one around `tests/`, `test/` or `spec/`.
fn about(folder: &str) -> &str {
    let around = |name: &&str| folder == *name || folder.ends_with(&format!("/{name}"));
    let name = ["tests/", "test/", "spec/"].into_iter().find(|name| around(name));
    &folder[..folder.len() - name.map_or(0, str::len)]
}

fn form(tool: &Tool, known: &[Known<'_>], files: &[ScratchFile], folder: &str) -> Form {
    let words = tool.test.clone().unwrap_or_default();
    // The words up to the runner of this name.
    let through = |names: &[&str]| {
        let is = |word: &String| names.contains(&word.rsplit('/').next().unwrap_or(word));
        words.iter().position(is).map(|at| words[..=at].to_vec())
    };
    let mostly = |what: &dyn Fn(&str) -> bool| known.iter().filter(|file| what(file.text)).count() * 2 > known.len();
    match tool.language {
        Language::Python => {
            let classes = mostly(&|text| text.contains("TestCase"));
            let plain = || vec!["python3".to_string(), "-m".into(), "pytest".into()];
            match (through(&["pytest", "py.test"]), through(&["unittest"])) {
                (Some(pytest), _) if classes => Form::Unittest(pytest),
                (Some(pytest), _) => Form::Pytest(pytest),
                (None, Some(unittest)) => Form::Unittest(unittest),
                (None, None) if mostly(&|text| text.contains("\ndef test_")) => Form::Pytest(plain()),
                (None, None) => Form::Unittest(Vec::new()),
            }
        }
        Language::Javascript => {
            let describe = mostly(&|text| begins(text, "describe(") && begins(text, "it("));
            Form::Node { describe, module: is_module(known, files, folder) }
        }
        Language::Rust => Form::Cargo { program: true },
        Language::Shell | Language::Other => match through(&["bats"]) {
            Some(words) => Form::Bats(words),
            None if known.iter().filter(|file| file.path.ends_with(".bats")).count() * 2 > known.len() => {
                Form::Bats(vec!["bats".into()])
            }
            None => Form::Script,
        },
    }
}

fn begins(text: &str, with: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with(with))
}

/// Whether Node.js reads a new test file as an ES module: by the extension that test files have, then by the nearest package, then by
/// what the test files do.
fn is_module(known: &[Known<'_>], files: &[ScratchFile], folder: &str) -> bool {
    let named = most(known.iter().filter_map(|file| Some(Naming::of(file.path)?.after)));
    match named.as_deref().and_then(|after| after.rsplit('.').next()) {
        Some("mjs") => return true,
        Some("cjs") => return false,
        _ => {}
    }
    let mut above = folder.trim_end_matches('/');
    loop {
        let path = if above.is_empty() { "package.json".to_string() } else { format!("{above}/package.json") };
        if let Some(package) = files.iter().find(|file| file.path == path.as_bytes()) {
            let package: serde_json::Value = serde_json::from_slice(&package.content).unwrap_or_default();
            return package.get("type").and_then(|kind| kind.as_str()) == Some("module");
        }
        if above.is_empty() {
            break;
        }
        above = above.rsplit_once('/').map_or("", |(above, _)| above);
    }
    known.iter().filter(|file| file.text.lines().any(|line| line.starts_with("import "))).count() * 2 > known.len()
}

/// What the first indented lines of blocks begin with, most often.
fn indentation(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let opened = lines.windows(2).filter(|pair| !pair[0].starts_with([' ', '\t']) && pair[0].ends_with([':', '{']));
    let blanks = opened.map(|pair| pair[1][..pair[1].len() - pair[1].trim_start_matches([' ', '\t']).len()].to_string());
    most(blanks.filter(|blanks| blanks == "\t" || (1..=8).contains(&blanks.len()) && !blanks.contains('\t')))
}

/// The quote that most one-line strings begin with; `"` when that is no answer, and in languages with only one kind.
fn quote(language: Language, texts: &[&str]) -> char {
    let comment = match language {
        Language::Python => "#",
        Language::Javascript => "//",
        _ => return '"',
    };
    let (mut single, mut double) = (0, 0);
    for line in texts.iter().flat_map(|text| text.lines()).filter(|line| !line.contains("\"\"\"") && !line.contains("'''")) {
        let mut rest = line.split(comment).next().unwrap_or_default();
        while let Some(at) = rest.find(['"', '\'']) {
            let quote = &rest[at..=at];
            *(if quote == "'" { &mut single } else { &mut double }) += 1;
            let Some(end) = rest[at + 1..].find(quote) else { break };
            rest = &rest[at + 1 + end + 1..];
        }
    }
    if single > double { '\'' } else { '"' }
}

/// The most frequent; the least of several.
fn most<T: Ord>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_default() += 1);
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(item, _)| item)
}
