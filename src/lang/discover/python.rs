//! Python: `unittest` and pytest. A test that needs nothing of its runner (no fixture, no parameter, no decorator) is also told as a
//! program, because programs can be tried in a warm interpreter.

use std::collections::BTreeSet;

use super::super::{Grammar, SyntaxNode, parses};
use super::{Files, OwnTest, below, field, text, with};
use crate::model::Language;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Runner {
    Unittest,
    Pytest,
}

/// One test in a file.
struct Found {
    /// Empty for a function of the module.
    class: String,
    function: String,
    /// Whether it can be called without its runner.
    plain: bool,
    /// Whether its class is a `TestCase`.
    case: bool,
}

/// A class of the module.
struct Class {
    name: String,
    /// Whether it is a `TestCase`.
    case: bool,
    tests: Vec<Found>,
}

/// `None` when the command is none of ours, or has options that choose among the tests.
pub(super) fn tests(program: &str, words: &[&str], files: &Files<'_>) -> Option<Vec<OwnTest>> {
    let is_python = program.starts_with("python");
    let (runner, from) = match words.get(1..3) {
        Some(["-m", "unittest"]) if is_python => (Runner::Unittest, 3),
        Some(["-m", "pytest"]) if is_python => (Runner::Pytest, 3),
        _ if matches!(program, "pytest" | "py.test") => (Runner::Pytest, 1),
        _ => return None,
    };
    let (mut prefix, mut targets) = (words[..from].to_vec(), Vec::new());
    for word in &words[from..] {
        match *word {
            // Options that take no value, and change only what is printed or when it ends.
            "-q" | "-qq" | "-v" | "-vv" | "-x" | "-s" | "-f" | "-b" | "--quiet" | "--verbose" | "--exitfirst" | "--failfast"
            | "--buffer"
                if *word != "-s" || runner == Runner::Pytest =>
            {
                prefix.push(word);
            }
            "discover" if runner == Runner::Unittest && targets.is_empty() => {}
            word if word.starts_with('-') => return None,
            word => targets.push(word),
        }
    }
    let mut found = Vec::new();
    for path in test_files(runner, &targets, files)? {
        found.extend(tests_of(runner, is_python, &prefix, &path, files)?);
    }
    Some(found)
}

/// The test files that the targets name, each once.
fn test_files(runner: Runner, targets: &[&str], files: &Files<'_>) -> Option<Vec<String>> {
    let mut chosen = Vec::new();
    let named = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        match runner {
            Runner::Unittest => name.starts_with("test") && name.ends_with(".py"),
            Runner::Pytest => name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py")),
        }
    };
    let in_packages = |path: &str| {
        let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        runner == Runner::Pytest || folders.all(|folder| files.contains_key(format!("{folder}/__init__.py").as_str()))
    };
    if targets.is_empty() {
        chosen.extend(below(files, "").filter(|path| named(path) && in_packages(path)).map(str::to_string));
    }
    for target in targets {
        let dotted = format!("{}.py", target.replace('.', "/"));
        let folder = target.trim_end_matches('/');
        if files.contains_key(target) {
            chosen.push(target.to_string());
        } else if runner == Runner::Unittest && files.contains_key(dotted.as_str()) {
            chosen.push(dotted);
        } else if runner == Runner::Pytest && below(files, folder).next().is_some() {
            chosen.extend(below(files, folder).filter(|path| named(path)).map(str::to_string));
        } else {
            return None;
        }
    }
    let mut seen = BTreeSet::new();
    chosen.retain(|path| seen.insert(path.clone()));
    Some(chosen)
}

fn tests_of(runner: Runner, by_python: bool, prefix: &[&str], path: &str, files: &Files<'_>) -> Option<Vec<OwnTest>> {
    let source = text(files, path)?;
    let found = read(runner, source)?;
    let alone =
        runner == Runner::Unittest || !has_hooks(path, files) && !source.contains("autouse") && !source.contains("pytestmark");
    let base = match runner {
        Runner::Unittest => "",
        Runner::Pytest => base_of(path, files),
    };
    let module = path.strip_prefix(base)?.trim_start_matches('/').strip_suffix(".py")?.replace('/', ".");
    let importable = module.split('.').all(is_identifier);
    if runner == Runner::Unittest && !importable {
        return None;
    }
    let test = |found: Found| {
        let parts: Vec<&str> = [found.class.as_str(), &found.function].into_iter().filter(|part| !part.is_empty()).collect();
        let name = match runner {
            Runner::Unittest => format!("{module}.{}", parts.join(".")),
            Runner::Pytest => format!("{path}::{}", parts.join("::")),
        };
        let mut places = vec![base];
        if runner == Runner::Pytest && by_python && !base.is_empty() {
            places.push("");
        }
        let program = (alone && importable && found.plain).then(|| program(&places, &module, &found));
        OwnTest { command: with(prefix, &[&name]), name, program }
    };
    Some(found.into_iter().map(test).collect())
}

/// Whether pytest would run something around the tests of a file.
fn has_hooks(path: &str, files: &Files<'_>) -> bool {
    let folders = std::iter::once("").chain(path.match_indices('/').map(|(at, _)| &path[..at + 1]));
    folders.into_iter().any(|folder| files.contains_key(format!("{folder}conftest.py").as_str()))
}

/// The folder that pytest puts on the path for a file: the first one upwards that is no package.
fn base_of<'p>(path: &'p str, files: &Files<'_>) -> &'p str {
    let mut folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    while !folder.is_empty() && files.contains_key(format!("{folder}/__init__.py").as_str()) {
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
    }
    folder
}

fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_alphabetic() || first == '_') && letters.all(|c| c.is_alphanumeric() || c == '_')
}

/// Leaves the interpreter as it was, so that many sources can be tried in one.
fn program(places: &[&str], module: &str, found: &Found) -> String {
    let places: Vec<String> = places.iter().map(|place| format!("os.path.join(os.getcwd(), {place:?})")).collect();
    let call = match (found.case, found.class.as_str()) {
        (true, class) => format!("unittest.TestSuite([module.{class}({:?})]).debug()", found.function),
        (false, "") => format!("module.{}()", found.function),
        (false, class) => format!("module.{class}().{}()", found.function),
    };
    format!(
        "import os, sys, unittest\nbefore = list(sys.path)\n\
         sys.path[:0] = [os.path.normpath(place) for place in [{}]]\ntry:\n    import {module}\n    module = sys.modules[{module:?}]\n    {call}\n\
         except unittest.SkipTest:\n    pass\nfinally:\n    sys.path[:] = before\n",
        places.join(", ")
    )
}

/// `None` when the tests of a file cannot be known from its text.
fn read(runner: Runner, source: &str) -> Option<Vec<Found>> {
    parses(Language::Python, source.as_bytes()).ok()?;
    let tree = Grammar::of(Language::Python)?.tree(source)?;
    let root = tree.root();
    let (mut found, mut classes): (Vec<Found>, Vec<Class>) = (Vec::new(), Vec::new());
    // `setup_module` and the like run around functions.
    let around = |name: &str| name.starts_with("setup") || name.starts_with("teardown") || name.starts_with("pytest_");
    let mut bare = true;
    for node in root.children() {
        let (node, decorated) = undecorated(node);
        let name = field(&node, "name");
        match &*node.kind() {
            "function_definition" if name == "load_tests" => return None,
            "function_definition" => {
                bare &= !around(&name) || runner == Runner::Unittest;
                if runner == Runner::Pytest && name.starts_with("test") {
                    let plain = !decorated && field(&node, "parameters") == "()" && !is_async(&node);
                    found.push(Found { class: String::new(), function: name, plain, case: false });
                }
            }
            "class_definition" => {
                let class = read_class(runner, &node, name, decorated, &classes)?;
                classes.push(class);
            }
            _ => {}
        }
    }
    found.extend(classes.into_iter().flat_map(|class| class.tests));
    found.iter_mut().for_each(|test| test.plain &= bare);
    Some(found)
}

/// A class with its tests, those of classes above it in this file too; `None` when they cannot be known.
fn read_class(runner: Runner, node: &SyntaxNode<'_>, name: String, decorated: bool, known: &[Class]) -> Option<Class> {
    let (mut case, mut inherited) = (false, Vec::new());
    for base in node.field("superclasses").iter().flat_map(|bases| bases.children()).filter(|base| base.is_named()) {
        let base = base.text();
        match known.iter().find(|class| class.name == base) {
            Some(class) => {
                case |= class.case;
                inherited.extend(class.tests.iter().map(|test| (test.function.clone(), test.plain)));
            }
            None if base.ends_with("TestCase") => case = true,
            None if base == "object" => {}
            // What an imported class brings along cannot be seen here.
            None => return None,
        }
    }
    let methods: Vec<(SyntaxNode<'_>, bool)> = node
        .field("body")
        .iter()
        .flat_map(|body| body.children())
        .map(undecorated)
        .filter(|(n, _)| n.kind() == "function_definition")
        .collect();
    let has = |wanted: &dyn Fn(&str) -> bool| methods.iter().any(|(method, _)| wanted(&field(method, "name")));
    let is_tested = case || runner == Runner::Pytest && name.starts_with("Test") && !has(&|name| name == "__init__");
    if !is_tested {
        return Some(Class { name, case, tests: Vec::new() });
    }
    // A `TestCase` prepares itself; what pytest calls around a method of another class, it does not.
    let prepared = !case && has(&|name| name.starts_with("setup") || name.starts_with("teardown"));
    let own = methods.iter().map(|(method, decorated)| {
        let plain = !decorated && (case || field(method, "parameters") == "(self)" && !is_async(method));
        (field(method, "name"), plain)
    });
    let mut tests: Vec<Found> = Vec::new();
    for (function, plain) in inherited.into_iter().chain(own).filter(|(function, _)| function.starts_with("test")) {
        tests.retain(|test| test.function != function);
        tests.push(Found { class: name.clone(), function, plain: plain && !decorated && !prepared, case });
    }
    Some(Class { name, case, tests })
}

fn undecorated(node: SyntaxNode<'_>) -> (SyntaxNode<'_>, bool) {
    match node.kind() == "decorated_definition" {
        true => (node.field("definition").unwrap_or(node), true),
        false => (node, false),
    }
}

fn is_async(function: &SyntaxNode<'_>) -> bool {
    function.text().starts_with("async")
}
