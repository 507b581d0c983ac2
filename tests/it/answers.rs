//! Patches that pass the same tests are told apart by what they answer to other inputs.

use std::collections::BTreeMap;
use std::time::Duration;

use fractal::improve::{self, Budget, Known};
use fractal::model::{Language, Origin, Test, TestBody, Tool};
use fractal::world::sandbox::Sandbox;
use fractal::world::trial::{self, Subject};

/// A search for a repair of `source`, which the `tests` show.
fn searched(language: Language, path: &str, source: &str, tests: &[&str]) -> improve::Report {
    searched_if(true, language, path, source, tests)
}

/// The same, where it is said whether other inputs may be tried.
fn searched_if(may_vary: bool, language: Language, path: &str, source: &str, tests: &[&str]) -> improve::Report {
    let test = |code: &&str| Test { name: (*code).into(), body: TestBody::Program((*code).into()) };
    let subject = Subject {
        language,
        path: path.into(),
        mode: 0o100644,
        support: Vec::new(),
        run: Vec::new(),
        tests: tests.iter().map(test).collect(),
    };
    let sandbox = Sandbox::new("answers", &[], 1 << 30);
    let mut trials = trial::open(&sandbox, subject, Duration::from_secs(5)).expect("tests");
    let tool = Tool::known_by("t", vec![path.into()], Vec::new(), language, Origin::Declared);
    let sources = BTreeMap::from([(path.to_string(), source.as_bytes().to_vec())]);
    let budget = Budget::default();
    improve::search(&tool, &sources, path, Known { may_vary, ..Known::default() }, trials.as_mut(), budget, &mut |_, _| {})
        .expect("searches")
}

/// Clusters are numbered from the first patch on, and those that differ differ in what is told.
fn is_told_apart(report: &improve::Report, function: &str) {
    let clusters: Vec<usize> = report.plausible.iter().filter_map(|found| found.cluster).collect();
    assert!(clusters.is_sorted() && clusters.first() == Some(&0), "{clusters:?}");
    let count = clusters.last().expect("looked at") + 1;
    assert!(count > 1, "{clusters:?}");
    let difference = report.difference.as_ref().expect("they differ");
    assert!(difference.input.starts_with(function) && difference.answers.len() == count, "{difference:?}");
    assert_ne!(difference.answers[0], difference.answers[1]);
}

#[test]
fn python() {
    let source =
        "def largest(xs):\n    best = xs[0]\n    for x in xs:\n        if x < best:\n            best = x\n    return best\n";
    // An answer that is also the last item, or the second, leaves much open.
    let report = searched(Language::Python, "tool.py", source, &["from tool import *\nassert largest([1, 3]) == 3\n"]);
    is_told_apart(&report, "largest(");
}

#[test]
fn javascript() {
    let source = "function largest(xs) {\n  let best = xs[0];\n  for (const x of xs) {\n    if (x < best) best = x;\n  }\n  return best;\n}\n\
        module.exports = { largest };\n";
    let test = "const assert = require('node:assert');\nconst { largest } = require('./tool.js');\nassert.strictEqual(largest([1, 3]), 3);\n";
    is_told_apart(&searched(Language::Javascript, "tool.js", source, &[test]), "largest(");
}

#[test]
fn rust() {
    let source = "pub fn largest(xs: Vec<i32>) -> i32 {\n    let mut best = xs[0];\n    for x in xs {\n        if x < best {\n            best = x;\n        }\n    }\n    best\n}\n";
    is_told_apart(&searched(Language::Rust, "src/lib.rs", source, &["assert!(largest(vec![1, 3]) == 3);"]), "largest(");
}

#[test]
fn a_call_that_never_ends_or_fails_is_an_answer_like_any_other() {
    let source = "def down(n):\n    while n != 0:\n        n -= 2\n    return n\n";
    let report = searched(Language::Python, "tool.py", source, &["from tool import *\nassert down(3) == -1\n"]);
    assert!(!report.plausible.is_empty() && report.plausible.iter().all(|found| found.source != source));
    // Told within its time, though some of them go on for ever with other inputs.
    assert_eq!(report.plausible[0].cluster, Some(0));
}

#[test]
fn a_tool_that_may_do_harm_is_called_with_nothing_but_the_inputs_of_its_tests() {
    let source = "def largest(xs):\n    assert xs == [1, 3], 'harm'\n    return xs[0]\n";
    let report = searched_if(false, Language::Python, "tool.py", source, &["from tool import *\nassert largest([1, 3]) == 3\n"]);
    assert!(report.plausible.len() > 1 && report.difference.is_none());
    assert!(report.plausible.iter().all(|found| found.cluster.is_none()));
}
