//! What a language means to the loop: which one a file is in, how its failures read, when the environment is at fault, and
//! whether a text still parses. One file per language for its traces and its table of syntax; `grammar.rs` holds the
//! tree-sitter grammars.
//!
//! Text in, facts out: nothing here reads a file or believes what it reads. Making edits is `improve`'s business.

mod capability;
mod discover;
mod environment;
mod grammar;
mod hard_coded;
mod javascript;
mod misuse;
mod mutate;
mod probe;
mod pytest;
mod python;
mod remarks;
mod rust;
mod shape;
mod shell;
mod swallowed;
mod syntax;
mod tree;

pub use capability::{Capability, Finding, Grade, Kind, capabilities, gained};
pub use discover::{Files, OwnTest, own_tests};
pub use environment::environment_reason;
pub use grammar::Grammar;
pub use hard_coded::{Seen, hard_coded};
pub use misuse::misuse_reason;
pub use mutate::{Mutant, mutants, new_lines};
pub use probe::{calls, probe, varied};
pub use remarks::observe;
pub use shape::{Class, Shape, Wrap, shape};
pub use swallowed::swallowed;
pub use syntax::{Span, Syntax, SyntaxNode, entry, functions, is_statement, loops, parses};
pub use tree::{Editable, Item, Tree};

use regex::Regex;

use crate::model::{Exit, Failure, Frame, Language};

/// Only so much of the end of an output is read, in bytes.
const TAIL: usize = 64 * 1024;
/// Frames kept of one trace, the innermost ones.
const FRAMES: usize = 200;

/// What a failed run said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// `ZeroDivisionError`, `TypeError`, `panic`; `None` when the output names none.
    pub error_type: Option<String>,
    /// The line that says what went wrong, with the error's name where the language prints it there.
    pub message: String,
    /// Innermost first.
    pub frames: Vec<Frame>,
}

/// The language of a file, by its extension, else by the interpreter its first line names.
pub fn detect(path: &str, first_bytes: &[u8]) -> Language {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("py" | "pyw") => Language::Python,
        Some("js" | "mjs" | "cjs") => Language::Javascript,
        Some("rs") => Language::Rust,
        Some("sh" | "bash" | "dash" | "ksh" | "zsh") => Language::Shell,
        _ => by_shebang(first_bytes),
    }
}

fn by_shebang(first_bytes: &[u8]) -> Language {
    let line = first_bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.get(..line.len().min(200)).unwrap_or_default());
    let Some(command) = line.strip_prefix("#!") else { return Language::Other };
    let mut programs = command
        .split_whitespace()
        .filter(|word| !word.starts_with('-') && !word.contains('='))
        .map(|word| word.rsplit('/').next().unwrap_or(word));
    let program = match programs.next() {
        Some("env") => programs.next(),
        first => first,
    };
    let plain = program.unwrap_or_default().trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    match plain {
        "python" | "pypy" => Language::Python,
        "node" | "nodejs" | "bun" => Language::Javascript,
        "rust-script" => Language::Rust,
        "sh" | "ash" | "bash" | "dash" | "ksh" | "zsh" => Language::Shell,
        _ => Language::Other,
    }
}

/// What `stderr` tells about a failure: the traces of Python, pytest, Node.js, Rust and the shell are known, in this order; else the
/// last line that is not empty. `root` is the folder of the checkout the tool ran in: paths below it become
/// repository-relative. Reads the last 64 KiB; text that is not UTF-8 is read with replacement characters.
pub fn read_failure(stderr: &[u8], root: &str) -> Trace {
    let tail = stderr.get(stderr.len().saturating_sub(TAIL)..).unwrap_or_default();
    let text = String::from_utf8_lossy(tail);
    python::read(&text, root)
        .or_else(|| pytest::read(&text, root))
        .or_else(|| javascript::read(&text, root))
        .or_else(|| rust::read(&text, root))
        .or_else(|| shell::read(&text, root))
        .unwrap_or_else(|| Trace { message: last_line(&text).to_string(), ..Trace::default() })
}

/// The failure of a run that ended with `exit` and wrote `stderr`; `root` as in [`read_failure`].
pub fn failure(exit: &Exit, stderr: &[u8], root: &str) -> Failure {
    let trace = read_failure(stderr, root);
    Failure::new(exit, trace.error_type, &trace.message, trace.frames)
}

/// What begins a comment to the end of the line.
pub fn comment(language: Language) -> &'static str {
    match language {
        Language::Javascript | Language::Rust => "//",
        Language::Python | Language::Shell | Language::Other => "#",
    }
}

fn last_line(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default()
}

/// A frame with its path made repository-relative when it lies below `root`. Installed packages, generated code (`<string>`),
/// the runtime's own files (`node:`) and paths with `..` are not in the repository.
fn frame(path: &str, line: &str, function: Option<&str>, root: &str) -> Frame {
    const INSTALLED: [&str; 4] = ["site-packages", "dist-packages", "node_modules", ".venv"];
    let root = root.trim_end_matches('/');
    let below = match path.strip_prefix(root) {
        Some(rest) if !root.is_empty() => rest.strip_prefix('/'),
        _ if path.starts_with(['/', '<']) || path.starts_with("node:") => None,
        _ => Some(path),
    };
    let below = below
        .map(|rest| rest.trim_start_matches("./"))
        .filter(|rest| !rest.is_empty() && !rest.split('/').any(|part| part == ".." || INSTALLED.contains(&part)));
    Frame {
        path: below.unwrap_or(path).to_string(),
        function: function.filter(|name| !name.is_empty()).map(str::to_string),
        line: line.parse().unwrap_or(0),
        in_repo: below.is_some(),
    }
}

/// A pattern that is part of the program.
fn regex(pattern: &'static str) -> Regex {
    Regex::new(pattern).expect("a constant pattern compiles")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_is_known_by_its_extension_and_else_by_its_first_line() {
        assert_eq!(detect("tools/a.py", b""), Language::Python);
        assert_eq!(detect("tools/a.d/b", b"#!/usr/bin/env -S python3.12 -u\n"), Language::Python);
        assert_eq!(detect("tools/b", b"#!/bin/bash -e\n"), Language::Shell);
        assert_eq!(detect("x", b"#!/usr/bin/env node"), Language::Javascript);
        assert_eq!(detect("src/main.rs", b"#!/bin/sh"), Language::Rust);
        assert_eq!(detect("README", b"# python"), Language::Other);
        assert_eq!(detect("x", b"#!"), Language::Other);
    }

    #[test]
    fn paths_below_the_root_become_relative_and_all_others_stay_outside() {
        let seen = |path: &str| {
            let frame = frame(path, "3", None, "/srv/repo/");
            (frame.path, frame.in_repo)
        };
        assert_eq!(seen("/srv/repo/tools/a.py"), ("tools/a.py".into(), true));
        assert_eq!(seen("./tools/a.py"), ("tools/a.py".into(), true));
        assert_eq!(seen("/srv/repository/a.py"), ("/srv/repository/a.py".into(), false));
        for outside in ["/usr/lib/json.py", "<string>", "node:fs", "../x.py", "/srv/repo/.venv/lib/site-packages/x.py"] {
            assert!(!seen(outside).1, "{outside}");
        }
    }

    #[test]
    fn without_a_trace_the_last_line_that_is_not_empty_is_the_message() {
        let trace = read_failure(b"starting\nupstream timed out\n\n", "/r");
        assert_eq!(trace, Trace { message: "upstream timed out".into(), ..Trace::default() });
        assert_eq!(failure(&Exit::Code(3), b"bad \xff input\n", "/r").class, "exit 3");
        assert_eq!(read_failure(b"", "").message, "");
    }

    proptest! {
        #[test]
        fn no_output_whatever_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), root in ".{0,8}") {
            let read = failure(&Exit::Code(1), &bytes, &root);
            let _ = environment_reason(&read);
        }

        #[test]
        fn no_shuffling_of_trace_lines_makes_the_reader_panic(picks in proptest::collection::vec(0usize..14, 0..40)) {
            const LINES: [&str; 14] = [
                "Traceback (most recent call last):", "  File \"/r/a.py\", line 99999999999, in f", "  File \"<x>\", line 3",
                "KeyError: 'a'", "Current thread 0x1 (most recent call first):", "Fatal Python error: Aborted", "",
                "TypeError: x", "    at f (file:///r/a.js:1:2)", "    at \u{e9} (", "thread 'main' panicked at src/main.rs:3:5:",
                "   0: core::panic", "             at ./src/main.rs:1", "x.sh: line 3: foo: command not found",
            ];
            let text: Vec<&str> = picks.iter().map(|pick| LINES[*pick]).collect();
            let read = failure(&Exit::TimedOut, text.join("\n").as_bytes(), "/r");
            let _ = environment_reason(&read);
            let _ = observe(Language::Python, &text.join("\n"), 2, &read);
        }
    }
}
