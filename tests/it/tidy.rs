//! The rules on the code itself: layers, what only `world` may touch, sizes, paths that documents name.
//!
//! A rule is a function from text to complaints, so that each can be shown to fail on a small bad piece of text. The text of
//! Rust files is looked at without comments, strings and tests; `source.rs` beside this file takes them out.
//!
//! Deliberately not here: what rustfmt and clippy check already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::source::Source;

/// Modules of `src` from the bottom up. A module may use modules of lower rows, and never a sibling of its own row.
const LAYERS: [&[&str]; 8] = [
    &["model"],
    // Both need nothing but the nouns. `stats` lies below the stages because `detect` and `monitor` share it.
    &["compare", "stats", "config"],
    &["lang"],
    &["world"],
    &["record"],
    &["detect", "prioritize", "investigate", "improve", "validate", "deploy", "monitor"],
    &["engine"],
    &["cli"],
];
/// Items that `src/lib.rs` hands on under `crate::` belong to this module.
const RE_EXPORTED: &str = "engine";

/// The outside: only `src/world/` and `src/main.rs` may name these.
const OUTSIDE: [&str; 14] = [
    "std::fs",
    "std::process",
    "std::env",
    "git2",
    "rusqlite",
    "rustls",
    "tokio_postgres",
    "octocrab",
    "reqwest",
    "tempfile",
    "rustix",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
];
/// Where else, what, and why that is no harm. An exception that nothing needs any more is a complaint too.
const OUTSIDE_EXCEPTIONS: [(&str, &str, &str); 1] =
    [("src/cli/", "std::process::ExitCode", "a value that `main` returns, not an effect")];

/// Files that may name the permission to write.
const MAY_WRITE: [&str; 2] = ["src/world/", "src/engine/actions.rs"];

const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 600;

type Complaints = Vec<String>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with its path from the root; build output and git's own files left out.
fn files(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root().join(folder)];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder of the repository").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8").to_string();
            match entry.file_type().expect("a file type") {
                kind if kind.is_dir() && !matches!(name.as_str(), "target" | ".git") => open.push(path),
                kind if kind.is_file() => drop(found.insert(name, std::fs::read(&path).expect("readable"))),
                _ => {}
            }
        }
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn rust(folder: &str) -> Vec<(String, String)> {
    let all = files(folder).into_iter().filter(|(path, _)| path.ends_with(".rs"));
    all.map(|(path, bytes)| (path, text(&bytes))).collect()
}

/// Runs a rule over Rust files; the whole list at once is worth more than the first complaint.
fn obey(folder: &str, rule: impl Fn(&str, &str) -> Complaints) {
    none(rust(folder).iter().flat_map(|(path, text)| rule(path, text)).collect());
}

fn none(complaints: Complaints) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

// ---- layers ----

/// The top-level module that a file of `src` belongs to, and how many `super` lead from it to the root.
fn module_of(path: &str) -> Option<(String, usize)> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    let top = inner.split('/').next()?.to_string();
    (!matches!(top.as_str(), "lib" | "main")).then(|| (top, inner.split('/').count()))
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn layers(path: &str, text: &str) -> Complaints {
    let Some((own, depth)) = module_of(path).filter(|_| !is_test_file(path)) else { return Vec::new() };
    let Some(row) = layer(&own) else { return vec![format!("{path}: module `{own}` has no place in LAYERS")] };
    let to_root = "super::".repeat(depth);
    let mut complaints = Vec::new();
    for (line, used) in Source::without_tests(text).paths() {
        let Some(inner) = used.strip_prefix("crate::").or_else(|| used.strip_prefix(&to_root)) else { continue };
        let name = inner.split("::").next().unwrap_or_default();
        let module = if name.starts_with(char::is_uppercase) { RE_EXPORTED } else { name };
        match layer(module) {
            Some(below) if below < row || module == own => {}
            Some(_) => complaints.push(format!("{path}:{line}: `{own}` must not use `{module}`")),
            None => complaints.push(format!("{path}:{line}: `{used}` leads to no module of LAYERS")),
        }
    }
    complaints
}

#[test]
fn modules_use_only_modules_of_lower_layers_and_stages_never_each_other() {
    obey("src", layers);
}

#[test]
fn the_rule_on_layers_sees_every_way_of_writing_a_use() {
    let bad = |path, text| layers(path, text).len();
    assert_eq!(bad("src/detect/mod.rs", "use crate::monitor::Watch;"), 1);
    assert_eq!(bad("src/detect/mod.rs", "use crate::{model::Tool, deploy, validate::{Gate, Judged}};"), 3);
    assert_eq!(bad("src/world/git/remote.rs", "fn f() { super::super::super::engine::run() }"), 1);
    assert_eq!(bad("src/world/git/remote.rs", "use super::super::process;"), 0);
    assert_eq!(bad("src/stats.rs", "use super::config::Config;"), 1);
    assert_eq!(bad("src/world/mod.rs", "fn f(e: crate::CycleError) {}"), 1);
    assert_eq!(
        bad("src/improve/x.rs", "use crate::{lang, model};\n// crate::cli\n#[cfg(test)]\nmod tests { use crate::cli; }"),
        0
    );
    assert_eq!(bad("src/helpers.rs", ""), 1);
}

// ---- the outside ----

fn names(path: &str, wanted: &str) -> bool {
    let at = |start: usize| {
        let end = start + wanted.len();
        (start == 0 || path[..start].ends_with("::")) && (end == path.len() || path[end..].starts_with("::"))
    };
    path.match_indices(wanted).any(|(start, _)| at(start))
}

fn outside(path: &str, text: &str) -> Complaints {
    if path.starts_with("src/world/") || path == "src/main.rs" || is_test_file(path) {
        return Vec::new();
    }
    let allowed = |used: &str| OUTSIDE_EXCEPTIONS.iter().any(|(place, what, _)| path.starts_with(place) && names(used, what));
    let used = Source::without_tests(text).paths();
    let wrong = used.iter().filter(|(_, used)| OUTSIDE.iter().any(|outside| names(used, outside)) && !allowed(used));
    wrong.map(|(line, used)| format!("{path}:{line}: `{used}` belongs below src/world/")).collect()
}

#[test]
fn only_world_touches_files_processes_the_environment_git_and_the_clock() {
    obey("src", outside);
}

#[test]
fn every_exception_is_still_needed() {
    let used = |place: &str, what: &str| {
        let mut files = rust("src").into_iter().filter(|(path, _)| path.starts_with(place));
        files.any(|(_, text)| Source::without_tests(&text).paths().iter().any(|(_, used)| names(used, what)))
    };
    let stale = OUTSIDE_EXCEPTIONS.iter().filter(|(place, what, _)| !used(place, what));
    none(stale.map(|(place, what, _)| format!("{place} does not use `{what}`: remove the exception")).collect());
}

#[test]
fn the_rule_on_the_outside_can_fail() {
    let bad = |path, text| outside(path, text).len();
    assert_eq!(bad("src/engine/x.rs", "use std::{fs, path::Path};"), 1);
    assert_eq!(bad("src/engine/x.rs", "fn f() { let t = std::time::Instant::now(); }"), 1);
    assert_eq!(bad("src/engine/x.rs", "use jiff::Timestamp;\nfn f() -> Timestamp { Timestamp::now() }"), 1);
    assert_eq!(bad("src/cli/x.rs", "fn f() { std::process::Command::new(\"x\"); }"), 1);
    assert_eq!(bad("src/cli/x.rs", "use std::process::ExitCode;"), 0);
    assert_eq!(bad("src/engine/x.rs", "use std::process::ExitCode;"), 1);
    assert_eq!(bad("src/world/x.rs", "use std::fs;"), 0);
    assert_eq!(bad("src/lang/x.rs", "/// std::fs\nfn my_tempfile() -> &'static str { \"std::fs\" }"), 0);
}

fn prints(path: &str, text: &str) -> Complaints {
    let source = Source::new(text);
    let macros = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
    let lines = macros.iter().filter(|_| !path.starts_with("src/cli/")).flat_map(|name| source.lines_with(name));
    lines.map(|line| format!("{path}:{line}: only the command line prints")).collect()
}

#[test]
fn only_the_command_line_prints() {
    obey("src", prints);
    assert_eq!(prints("src/engine/x.rs", "fn f() { println!(\"x\"); }").len(), 1);
    assert_eq!(prints("src/engine/x.rs", "fn f() { writeln!(out, \"println!\"); }").len(), 0);
}

fn writes(path: &str, text: &str) -> Complaints {
    let may = MAY_WRITE.iter().any(|place| path.starts_with(place));
    let lines = Source::without_tests(text).lines_with("Effects");
    lines
        .into_iter()
        .filter(|_| !may)
        .map(|line| format!("{path}:{line}: `Effects` is the engine's action log's alone"))
        .collect()
}

#[test]
fn only_the_action_log_holds_the_permission_to_write() {
    obey("src", writes);
    assert_eq!(writes("src/deploy/x.rs", "use crate::world::Effects;").len(), 1);
    assert_eq!(writes("src/deploy/x.rs", "use crate::model::SideEffects; // Effects").len(), 0);
}

// ---- processes ----

type Names = &'static [&'static str];
/// Files and folders, and why.
type Places = &'static [(&'static str, &'static str)];

/// What starts processes: names that nothing else may use, who may, and what they start.
const STARTS: [(Names, Places); 2] = [
    (
        &["Command::new", "MetadataCommand::new", "Command::cargo_bin"],
        &[
            ("src/world/process.rs", "everything that we wait for"),
            ("src/world/passthrough.rs", "what the user runs through `fractal exec`"),
            ("src/world/passthrough/output.rs", "`cat`, when a run cannot be recorded any more"),
            ("src/world/catalog.rs", "`cargo metadata`, which runs nothing of the repository"),
        ],
    ),
    // With this a process starts without confinement: whoever wants it confined asks a `Sandbox`.
    (
        &["Spawn::new", "process::run", "Kept::start"],
        &[
            ("src/world/sandbox/", "tools, tests and candidates, confined"),
            ("src/world/git/remote.rs", "git"),
            ("src/world/git/exchange/remote.rs", "git"),
            ("src/cli/demo/stage_set.rs", "the demo's own commands: git and `fractal exec`"),
        ],
    ),
];

fn starts(path: &str, text: &str) -> Complaints {
    if is_test_file(path) {
        return Vec::new();
    }
    let source = Source::without_tests(text);
    let mut complaints = Vec::new();
    for (names, places) in STARTS {
        if places.iter().any(|(place, _)| path.starts_with(place)) {
            continue;
        }
        for (line, used) in source.paths().iter().filter(|(_, used)| names.iter().any(|name| used.ends_with(name))) {
            complaints.push(format!("{path}:{line}: `{used}` starts a process outside of the sandbox"));
        }
    }
    complaints
}

#[test]
fn what_runs_tools_tests_and_candidates_goes_through_the_sandbox() {
    obey("src", starts);
    for (names, places) in STARTS {
        for (place, _) in places {
            let mut files = rust("src").into_iter().filter(|(path, _)| path.starts_with(place));
            let used = files.any(|(_, text)| {
                Source::without_tests(&text).paths().iter().any(|(_, used)| names.iter().any(|name| used.ends_with(name)))
            });
            assert!(used, "{place} starts nothing: remove the exception");
        }
    }
}

#[test]
fn the_rule_on_processes_can_fail() {
    assert_eq!(starts("src/world/trial/x.rs", "use std::process::Command;\nfn f() { Command::new(\"x\"); }").len(), 1);
    assert_eq!(starts("src/world/bench.rs", "fn f() { super::process::run(&Spawn::new(a, b, c)); }").len(), 2);
    assert_eq!(starts("src/world/bench.rs", "fn f() { Kept::start(&spawn); }").len(), 1);
    assert_eq!(starts("src/world/git/remote.rs", "fn f() { process::run(&Spawn::new(a, b, c)); }").len(), 0);
    assert_eq!(starts("src/world/bench.rs", "fn f() { self.sandbox.run(scratch, argv, stdin, cwd, time); }").len(), 0);
}

/// The one file with unsafe code.
const UNSAFE: &str = "src/world/sandbox/raw.rs";

fn unsafety(path: &str, text: &str) -> Complaints {
    let lines = Source::new(text).lines_with("unsafe");
    let wrong = lines.into_iter().filter(|_| path != UNSAFE);
    let mut complaints: Vec<String> = wrong.map(|line| format!("{path}:{line}: unsafe code is only in {UNSAFE}")).collect();
    // What is said in texts is no code.
    let code = |line: &str| line.find("unsafe {").is_some_and(|at| !line[..at].contains('"'));
    for (line, _) in text.lines().enumerate().filter(|(_, line)| code(line)) {
        let before: Vec<&str> = text.lines().take(line).collect();
        if !before.iter().rev().take(4).any(|line| line.contains("// SAFETY: ")) {
            complaints.push(format!("{path}:{}: unsafe code says why it is sound: `// SAFETY: `", line + 1));
        }
    }
    complaints
}

#[test]
fn unsafe_code_is_in_one_file_and_says_why_it_is_sound() {
    obey("src", unsafety);
    assert!(Source::new(&text(&std::fs::read(root().join(UNSAFE)).expect(UNSAFE))).lines_with("unsafe").len() > 1, "{UNSAFE}");
    assert_eq!(unsafety("src/world/x.rs", "fn f() {\n    // SAFETY: x\n    unsafe { g() }\n}").len(), 1);
    assert_eq!(unsafety(UNSAFE, "fn f() {\n    unsafe { g() }\n}").len(), 1);
    assert_eq!(unsafety(UNSAFE, "fn f() {\n    // SAFETY: x\n    unsafe { g() }\n}").len(), 0);
}

// ---- sizes and habits ----

fn sizes(path: &str, text: &str) -> Complaints {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES {
        complaints.push(format!("{path}: {lines} lines, more than {FILE_LINES}: split it"));
    }
    for (line, name, length) in Source::new(text).functions() {
        if length > FUNCTION_LINES {
            complaints.push(format!("{path}:{line}: `{name}` has {length} lines, more than {FUNCTION_LINES}"));
        }
    }
    if !text.starts_with("//! ") {
        complaints.push(format!("{path}:1: a file opens with `//!`: what it owns, and what it does not"));
    }
    complaints
}

fn habits(path: &str, text: &str) -> Complaints {
    let source = Source::new(text);
    let forbidden = ["todo!", "unimplemented!", "#[ignore", "#[allow(", "#![allow("];
    let lines = forbidden.iter().flat_map(|word| source.lines_with(word).into_iter().map(move |line| (line, word)));
    lines.map(|(line, word)| format!("{path}:{line}: no `{word}`; `#[expect(lint, reason = \"…\")]` says why")).collect()
}

#[test]
fn functions_and_files_are_short_and_every_file_says_what_it_is() {
    obey("src", sizes);
    obey("tests/it", sizes);
}

#[test]
fn nothing_is_left_undone_ignored_or_allowed() {
    obey("src", habits);
    obey("tests/it", habits);
}

#[test]
fn the_rules_on_sizes_and_habits_can_fail() {
    let long = format!("//! x\nfn long(a: [u8; 4]) {{\n{}}}\nfn short() {{}}\n", "    let s = \"}\";\n".repeat(69));
    assert_eq!(sizes("x", &long), ["x:2: `long` has 71 lines, more than 70"]);
    assert_eq!(sizes("x", &long.replacen("    let s = \"}\";\n", "", 1)).len(), 0);
    assert_eq!(sizes("x", &format!("//! x\n{}", "// y\n".repeat(600))).len(), 1);
    assert_eq!(sizes("x", "use std::fmt;\n").len(), 1);
    assert_eq!(habits("x", "#[allow(dead_code)]\nfn f() { todo!() }\n#[test]\n#[ignore = \"slow\"]\nfn g() {}").len(), 3);
    assert_eq!(habits("x", "// todo!\n#[expect(dead_code, reason = \"x\")]\nfn f() {}").len(), 0);
}

// ---- documents and data ----

/// Words in back-quotes outside of fenced blocks that look like paths of this repository.
fn named_paths(document: &str) -> Vec<String> {
    let mut fenced = false;
    let mut words = Vec::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            words.extend(line.split('`').skip(1).step_by(2).map(str::to_string));
        }
    }
    const FOLDERS: [&str; 6] = ["src/", "tests/", "templates/", "benches/", ".github/", ".ci/"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let looks_like_one = |word: &str| FOLDERS.iter().any(|folder| word.starts_with(folder)) || word.ends_with(".rs");
    words.into_iter().filter(|word| word.chars().all(plain) && looks_like_one(word)).collect()
}

fn missing_paths(name: &str, document: &str) -> Complaints {
    let missing = named_paths(document).into_iter().filter(|path| !root().join(path).exists());
    missing.map(|path| format!("{name}: `{path}` does not exist")).collect()
}

#[test]
fn every_path_that_a_document_names_exists() {
    for name in ["README.md", "src/ARCHITECTURE.md"] {
        let document = std::fs::read_to_string(root().join(name)).expect(name);
        none(missing_paths(name, &document));
    }
    assert!(named_paths(include_str!("../../src/ARCHITECTURE.md")).len() > 20, "the code map is empty");
}

#[test]
fn every_module_is_on_the_code_map() {
    let map = named_paths(include_str!("../../src/ARCHITECTURE.md"));
    let modules = LAYERS.iter().flat_map(|row| row.iter());
    let absent = modules.filter(|module| {
        let (file, folder) = (format!("src/{module}.rs"), format!("src/{module}/"));
        !map.iter().any(|path| path == &file || path.starts_with(&folder))
    });
    none(absent.map(|module| format!("src/ARCHITECTURE.md: module `{module}` is not on the code map")).collect());
}

#[test]
fn the_rule_on_paths_in_documents_can_fail() {
    assert_eq!(missing_paths("x", "see `src/gone.rs`, `cycle.rs` and `src/prioritize/mod.rs`").len(), 2);
    assert_eq!(missing_paths("x", "```\n`src/gone.rs`\n```\n`templates/fixes/<language>/`, `refs/fractal/log`").len(), 0);
}

/// What is wrong with the file of a fix template.
fn caseless(path: &str, template: &str) -> Complaints {
    let cases = template.split_once("\n  cases:\n").map_or("", |(_, cases)| cases);
    let count = |key: &str| cases.lines().filter(|line| line.trim_start_matches([' ', '-']).starts_with(key)).count();
    match (count("before:"), count("after:")) {
        (0, _) => vec![format!("{path}: a template has at least one case with `before` and `after`")],
        (before, after) if before != after => vec![format!("{path}: {before} times `before`, {after} times `after`")],
        _ => Vec::new(),
    }
}

#[test]
fn every_fix_template_has_cases() {
    let templates = files("templates/fixes");
    assert!(templates.len() > 50, "only {} templates", templates.len());
    none(templates.iter().flat_map(|(path, bytes)| caseless(path, &text(bytes))).collect());
    assert_eq!(caseless("x", "id: x\nmetadata:\n  doc: 'x'\n").len(), 1);
    assert_eq!(caseless("x", "metadata:\n  cases:\n    - before: a\n").len(), 1);
    assert_eq!(caseless("x", "metadata:\n  cases:\n    - before: a\n      after: b\n").len(), 0);
}

/// Absolute paths below the folders where people and machines keep their own things.
fn machine_paths(path: &str, text: &str) -> Complaints {
    let own = ["home", "Users", "root", "work"].map(|folder| format!("/{folder}/"));
    let absolute = |line: &str, at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_.-}$*/".contains(c));
    let named = |line: &str| own.iter().any(|folder| line.match_indices(folder.as_str()).any(|(at, _)| absolute(line, at)));
    let lines = text.lines().enumerate().filter(|(_, line)| named(line));
    lines.map(|(number, line)| format!("{path}:{}: names a place on one machine: {}", number + 1, line.trim())).collect()
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    none(files("").iter().flat_map(|(path, bytes)| machine_paths(path, &text(bytes))).collect());
    let bad = format!("open('{}ana/x')", Path::new("/home").join("").display());
    assert_eq!(machine_paths("x", &bad).len(), 1);
    assert_eq!(machine_paths("x", "https://example.com/home/x, {root}/home/x, src/root/x").len(), 0);
}
