//! What the strategies make of real files: those of the machine's own programs and libraries, found when the test runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fractal::improve::{Case, candidates};
use fractal::lang;
use fractal::model::{
    CommitId, Conclusion, Exit, Failure, FileEdit, Investigation, Language, Location, Origin, SideEffects, StdinUse, SuccessRule,
    Tool,
};

use crate::peers;

/// Files of one language that are looked at.
const FILES: usize = 8;
/// Bytes of the largest of them.
const BYTES: u64 = 10 * 1024;
/// Candidates of one file and failure.
const CANDIDATES: usize = 20;

fn failure(language: Language) -> Failure {
    let said = match language {
        Language::Python => "Traceback (most recent call last):\n  File \"t\", line 5, in f\nKeyError: 'x'\n",
        Language::Javascript => "TypeError: Cannot read properties of undefined (reading 'length')\n    at f (t:5:1)\n",
        Language::Rust => "thread 'main' panicked at t:5:1:\nattempt to subtract with overflow\n",
        _ => "t.sh: line 5: name: unbound variable\n",
    };
    lang::failure(&Exit::Code(1), said.as_bytes(), "/r")
}

fn investigation(failure: Failure, lines: usize) -> Investigation {
    let location = |line| Location { path: "t".into(), line, function: None, suspicion: 1.0 };
    let middle = u32::try_from(lines / 2).expect("small");
    Investigation {
        commit: CommitId("0".repeat(40)),
        failure,
        reproductions: vec![],
        locations: vec![location(5), location(middle)],
        culprit: None,
        suite: None,
        remarks: vec![],
        others: Vec::new(),
        conclusion: Conclusion::Improvable,
    }
}

/// The texts that are proposed for `source`, as a file of this language.
fn proposed(language: Language, name: &str, source: &str, failure: Failure) -> Vec<String> {
    let tool = Tool {
        name: "t".into(),
        paths: vec![name.into()],
        run: vec![],
        test: None,
        tests: vec![],
        needs: vec![],
        timeout: None,
        success: SuccessRule::default(),
        stdin: StdinUse::default(),
        effects: SideEffects::None,
        compare: fractal::model::Comparison::Exact,
        language,
        origin: Origin::Declared,
    };
    let sources = BTreeMap::from([(name.to_string(), source.as_bytes().to_vec())]);
    let mut found = investigation(failure, source.lines().count());
    found.locations.iter_mut().for_each(|location| location.path = name.into());
    let case = Case { tool: &tool, investigation: &found, sources: &sources, revert: None, learned: None };
    let texts = candidates(&case, CANDIDATES, None).into_iter().flat_map(|candidate| candidate.patch.edits.into_values());
    texts
        .map(|edit| match edit {
            FileEdit::Write(content) => String::from_utf8(content).expect("text stays text"),
            FileEdit::Delete => panic!("a template deletes nothing"),
        })
        .collect()
}

/// Files below `folder` that are in this language, in the order of their paths, spread over all of them.
fn files(folder: &Path, language: Language) -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(next) = open.pop().filter(|_| found.len() < 4000) {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            let named = || lang::detect(&entry.path().to_string_lossy(), &head(&entry.path(), language)) == language;
            if about.is_dir() {
                open.push(entry.path());
            } else if about.is_file() && (200..BYTES).contains(&about.len()) && named() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    let step = (found.len() / FILES).max(1);
    found.into_iter().step_by(step).take(FILES).collect()
}

/// Only scripts of a shell are known by their first line alone.
fn head(path: &Path, language: Language) -> Vec<u8> {
    let whole = (language == Language::Shell).then(|| std::fs::read(path).ok()).flatten();
    whole.map(|bytes| bytes.into_iter().take(100).collect()).unwrap_or_default()
}

fn says(program: &str, arguments: &[&str]) -> Option<PathBuf> {
    let done = Command::new(program).args(arguments).output().ok().filter(|done| done.status.success())?;
    Some(PathBuf::from(String::from_utf8(done.stdout).ok()?.trim()))
}

/// A folder with such files, if this machine has one.
fn folder(language: Language) -> Option<PathBuf> {
    match language {
        Language::Python => says("python3", &["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]),
        Language::Javascript => says("npm", &["root", "-g"]),
        Language::Rust => {
            let below_home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
            std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(below_home).map(|cargo| cargo.join("registry/src"))
        }
        _ => Some(PathBuf::from("/usr/bin")),
    }
    .filter(|folder| folder.is_dir())
}

/// How many bytes were taken away between the ends that an edit did not touch, and what is there now.
fn changed(before: &str, after: &str) -> (usize, String) {
    let front = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
    let most = before.len().min(after.len()) - front;
    let back = before.bytes().rev().zip(after.bytes().rev()).take(most).take_while(|(a, b)| a == b).count();
    let put = &after.as_bytes()[front..after.len() - back];
    (before.len() - front - back, String::from_utf8_lossy(put).into_owned())
}

fn real_files_are_edited_in_one_place(language: Language) {
    let Some(folder) = peers::or_not_run(folder(language), &format!("folder with {language:?} files")) else { return };
    let (mut seen, mut made) = (0, 0);
    for path in files(&folder, language) {
        let Ok(source) = std::fs::read_to_string(&path) else { continue };
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if lang::detect(&name, source.as_bytes()) != language {
            continue;
        }
        seen += 1;
        for (failure, source) in [(failure(language), source.clone()), (Failure::wrong_output(), source.replace('\n', "\r\n"))] {
            // A shell takes a carriage return for a part of the word before it.
            let mixed = source.contains("\r\r\n") || language == Language::Shell;
            let parsed = lang::parses(language, source.as_bytes()).is_ok();
            let texts = proposed(language, &name, &source, failure);
            assert!(parsed || texts.is_empty(), "{} does not parse", path.display());
            made += texts.len();
            for text in texts {
                let (taken, put) = changed(&source, &text);
                assert!(taken + put.len() > 0 && put.len() <= taken + 600, "{}: {put}", path.display());
                let ends = !source.contains("\r\n") || !text.replace("\r\n", "").contains('\n');
                assert!(mixed || ends, "{}: a line ends otherwise: {put:?}", path.display());
            }
        }
    }
    assert!(seen > 0 && made > seen, "{seen} files of {}, {made} candidates", folder.display());
}

#[test]
fn real_files_of_python_are_edited_in_one_place() {
    real_files_are_edited_in_one_place(Language::Python);
}

#[test]
fn real_files_of_javascript_are_edited_in_one_place() {
    real_files_are_edited_in_one_place(Language::Javascript);
}

#[test]
fn real_files_of_rust_are_edited_in_one_place() {
    real_files_are_edited_in_one_place(Language::Rust);
}

#[test]
fn real_files_of_a_shell_are_edited_in_one_place() {
    real_files_are_edited_in_one_place(Language::Shell);
}
